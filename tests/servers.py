"""Starts servers for several test programs. `tests/programs` lets them import it."""

import os
import pathlib
import pwd
import random
import signal
import socket
import subprocess
import time

PATIENCE = 60


def free_ports(count, beside=0):
    """Returns ports that the kernel gives to no connection, since a server may need its port again when it restarts.

    The ports that are greater by `beside` are free, too.
    """
    ports = []
    while len(ports) < count:
        port = random.randrange(12_000, 32_000)
        if port not in ports and all(map(is_free, {port, port + beside})):
            ports.append(port)
    return ports


def is_free(port):
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


def is_open(port):
    """Returns whether a server listens on a port."""
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def wait_until(condition, patience=PATIENCE, poll=0.02):
    """Waits until a condition holds. Returns what it has returned."""
    deadline = time.monotonic() + patience
    while not (found := condition()):
        assert time.monotonic() < deadline, "it took too long"
        time.sleep(poll)
    return found


class Server:
    """An app that listens on a free port while the `with` block runs."""

    def __init__(self, *command):
        self.command = [*command, "--bind", "127.0.0.1:0"]

    def __enter__(self):
        self.process = subprocess.Popen(self.command, stdout=subprocess.PIPE, text=True)
        # It prints the address on which it listens.
        self.port = int(self.process.stdout.readline().rsplit(":", 1)[1])
        return self

    def __exit__(self, *_):
        self.process.terminate()
        assert self.process.wait(30) == 0, "the server does not exit gracefully"


class Postgres:
    """A server of PostgreSQL in a folder. It listens on a Unix socket in the folder, and on a port if it has one."""

    def __init__(self, folder, port=None):
        self.folder, self.data, self.port = folder, folder / "data", port
        self.programs = max(pathlib.Path("/usr/lib/postgresql").iterdir()) / "bin"
        self.process, self.user = None, []
        self.folder.mkdir()
        if os.geteuid() == 0:
            # PostgreSQL refuses to run as root.
            self.user = ["runuser", "-u", "postgres", "--"]
            os.chown(folder, pwd.getpwnam("postgres").pw_uid, -1)
            for parent in list(folder.parents)[:-1]:
                if parent.owner() == "root":
                    parent.chmod(parent.stat().st_mode | 0o111)

    def create(self):
        self.call("initdb", "--auth=trust", "--username=test", "-D", self.data)

    def create_standby(self, primary):
        address = ["-h", primary.folder, *primary.port_option(), "-U", "test"]
        self.call("pg_basebackup", "--write-recovery-conf", "--checkpoint=fast", *address, "-D", self.data)

    def start(self, *settings):
        settings = [f"unix_socket_directories={self.folder}", *settings]
        settings += ["listen_addresses=127.0.0.1", f"port={self.port}"] if self.port else ["listen_addresses="]
        words = [word for setting in settings for word in ("-c", setting)]
        with open(self.folder / "log", "ab") as log:
            command = self.command("postgres", "-D", self.data, *words)
            self.process = subprocess.Popen(command, stdout=log, stderr=log, cwd="/", start_new_session=True)
        ready = self.command("pg_isready", "-q", "-h", self.folder, *self.port_option())
        wait_until(lambda: subprocess.run(ready, cwd="/").returncode == 0)

    def sql(self, text):
        words = ["-XAtq", "-h", self.folder, *self.port_option(), "-U", "test", "-d", "postgres", "-c", text]
        return self.call("psql", *words).strip()

    def kill(self):
        """Kills the server, which ends its other processes."""
        pid = (self.data / "postmaster.pid").read_text().split()[0]
        os.kill(int(pid), signal.SIGKILL)
        self.process.wait()

    def promote(self):
        self.call("pg_ctl", "promote", "-w", "-D", self.data)

    def stop(self):
        if self.process:
            words = self.command("pg_ctl", "stop", "-m", "immediate", "-D", self.data)
            subprocess.run(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/")
            self.process.wait()

    def port_option(self):
        return ["-p", self.port] if self.port else []

    def command(self, program, *words):
        return [str(word) for word in [*self.user, self.programs / program, *words]]

    def call(self, program, *words):
        command = self.command(program, *words)
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd="/")
        assert done.returncode == 0, (command, done.stdout)
        return done.stdout
