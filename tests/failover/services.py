"""The processes under test: PostgreSQL with a synchronous standby, etcd, instances of `jobs`, and what cuts them off."""

import asyncio
import os
import pathlib
import pwd
import random
import signal
import socket
import subprocess
import threading
import time

PATIENCE = 60


def free_ports(count):
    """Returns ports that the kernel gives to no connection, since an instance needs its port again when it restarts."""
    ports = []
    while len(ports) < count:
        port = random.randrange(12_000, 32_000)
        try:
            socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            continue
        if port not in ports:
            ports.append(port)
    return ports


def wait_until(holds, patience=PATIENCE):
    deadline = time.monotonic() + patience
    while not holds():
        assert time.monotonic() < deadline, "it took too long"
        time.sleep(0.05)


class Postgres:
    """A primary that waits for its standby with each commit."""

    def __init__(self, folder):
        self.folder = folder / "postgres"
        self.folder.mkdir()
        self.bin = max(pathlib.Path("/usr/lib/postgresql").iterdir()) / "bin"
        self.user = []
        if os.geteuid() == 0:
            self.user = ["runuser", "-u", "postgres", "--"]
            os.chown(self.folder, pwd.getpwnam("postgres").pw_uid, -1)
            for parent in [folder, *folder.parents]:
                if parent.owner() == "root" and parent != pathlib.Path("/"):
                    parent.chmod(parent.stat().st_mode | 0o111)
        self.ports = free_ports(2)
        self.call("initdb", "--auth=trust", "--username=test", "-D", self.data(0))
        self.start(0)
        self.call(
            "pg_basebackup", "--write-recovery-conf", "--checkpoint=fast", "-h", "127.0.0.1", "-p", self.ports[0], "-U", "test",
            "-D", self.data(1),
        )  # fmt: skip
        self.start(1)
        self.sql(0, "ALTER SYSTEM SET synchronous_standby_names = '*'")
        self.sql(0, "SELECT pg_reload_conf()")
        wait_until(lambda: self.sql(0, "SELECT sync_state FROM pg_stat_replication") == "sync")

    def data(self, number):
        return self.folder / f"data{number}"

    def start(self, number):
        options = f"-c listen_addresses=127.0.0.1 -c port={self.ports[number]} -c max_connections=200 -k {self.folder}"
        self.call("pg_ctl", "start", "-w", "-o", options, "-l", self.folder / f"log{number}", "-D", self.data(number))

    def url(self, ports=None):
        hosts = ",".join(f"127.0.0.1:{port}" for port in ports or self.ports)
        return f"postgres://test@{hosts}/postgres?target_session_attrs=read-write&connect_timeout=2"

    def kill_primary(self):
        pid = (self.data(0) / "postmaster.pid").read_text().split()[0]
        os.kill(int(pid), signal.SIGKILL)

    def promote(self):
        # The new primary has no standby.
        (self.data(1) / "postgresql.auto.conf").open("a").write("synchronous_standby_names = ''\n")
        self.call("pg_ctl", "promote", "-w", "-D", self.data(1))
        self.sql(1, "SELECT pg_reload_conf()")

    def sql(self, number, text):
        words = ["psql", "-XAtq", "-h", "127.0.0.1", "-p", self.ports[number], "-U", "test", "-d", "postgres", "-c", text]
        return self.call(*words).strip()

    def call(self, program, *words):
        command = [*self.user, self.bin / program, *words]
        # The server would keep a pipe open.
        output = subprocess.PIPE if program == "psql" else subprocess.DEVNULL
        done = subprocess.run(map(str, command), stdout=output, stderr=subprocess.STDOUT, text=True, cwd="/")
        assert done.returncode == 0, (command, done.stdout)
        return done.stdout

    def stop(self):
        for number in (0, 1):
            words = [*self.user, self.bin / "pg_ctl", "stop", "-m", "immediate", "-D", self.data(number)]
            subprocess.run(map(str, words), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/")


class Etcd:
    """Three nodes of etcd."""

    def __init__(self, folder):
        self.folder = folder
        self.ports, self.peers = free_ports(3), free_ports(3)
        self.nodes = [self.start(number) for number in range(3)]
        for port in self.ports:
            wait_until(lambda: is_open(port))

    def start(self, number):
        client, peer = (f"http://127.0.0.1:{ports[number]}" for ports in (self.ports, self.peers))
        cluster = ",".join(f"n{n}=http://127.0.0.1:{port}" for n, port in enumerate(self.peers))
        with open(self.folder / f"etcd{number}.log", "ab") as log:
            return subprocess.Popen(
                ["etcd", "--name", f"n{number}", "--data-dir", self.folder / f"etcd{number}", "--listen-client-urls", client,
                 "--advertise-client-urls", client, "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
                 "--initial-cluster", cluster],
                stdout=log, stderr=log,
            )  # fmt: skip

    def url(self, ports=None):
        return "etcd://" + ",".join(f"127.0.0.1:{port}" for port in ports or self.ports)

    def kill(self, number):
        self.nodes[number].kill()
        self.nodes[number].wait()

    def restart(self, number):
        self.nodes[number] = self.start(number)

    def stop(self):
        for node in self.nodes:
            node.kill()
            node.wait()


def is_open(port):
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


class Cable:
    """Leads from one instance to the servers of its store. A cut cable swallows all bytes, as a firewall does."""

    def __init__(self, targets):
        self.ports = []
        self.loop = asyncio.new_event_loop()
        self.is_whole = asyncio.Event()
        self.is_whole.set()
        ready = threading.Event()
        threading.Thread(target=self.run, args=(targets, ready), daemon=True).start()
        ready.wait()

    def run(self, targets, ready):
        asyncio.set_event_loop(self.loop)
        self.loop.run_until_complete(self.listen(targets))
        ready.set()
        self.loop.run_forever()

    async def listen(self, targets):
        for target in targets:
            server = await asyncio.start_server(lambda *ends, target=target: self.forward(target, *ends), "127.0.0.1", 0)
            self.ports.append(server.sockets[0].getsockname()[1])

    async def forward(self, target, reader, writer):
        await self.is_whole.wait()
        try:
            there, here = await asyncio.open_connection("127.0.0.1", target)
        except OSError:
            writer.close()
            return
        await asyncio.gather(self.copy(reader, here), self.copy(there, writer))

    async def copy(self, source, target):
        try:
            while data := await source.read(1 << 16):
                await self.is_whole.wait()
                target.write(data)
                await target.drain()
        except OSError:
            pass
        target.close()

    def cut(self):
        self.loop.call_soon_threadsafe(self.is_whole.clear)

    def mend(self):
        self.loop.call_soon_threadsafe(self.is_whole.set)


class Instance:
    """An instance of `jobs`, which starts again when it ends, as systemd would start it."""

    def __init__(self, name, folder, database, store, options):
        self.name, self.log = name, folder / f"{name}.log"
        self.cable = Cable(store.ports)
        [self.port] = free_ports(1)
        self.command = [
            os.environ["JOBS"], "--bind", f"127.0.0.1:{self.port}", "--database", database,
            "--cluster-node", name, "--cluster-address", f"127.0.0.1:{self.port}",
            "--cluster-store", store.url(self.cable.ports), "--cluster-partitions", str(options.partitions),
            "--cluster-lease", str(options.lease),
        ]  # fmt: skip
        self.starts = 0
        # Not before this time, in seconds of the monotonic clock.
        self.start_at = 0.0
        self.process = None
        self.is_wanted = True
        self.supervisor = threading.Thread(target=self.supervise)
        self.supervisor.start()

    def supervise(self):
        while self.is_wanted:
            if time.monotonic() < self.start_at:
                time.sleep(0.05)
                continue
            with open(self.log, "ab") as log:
                self.process = subprocess.Popen(self.command, stdout=log, stderr=log)
            self.starts += 1
            code = self.process.wait()
            self.start_at = max(self.start_at, time.monotonic() + 1)
            with open(self.log, "a") as log:
                log.write(f"--- ended with {code}\n")

    def kill(self, pause):
        self.start_at = time.monotonic() + pause
        self.process.kill()

    def terminate(self, pause):
        self.start_at = time.monotonic() + pause
        self.process.terminate()

    def signal(self, number):
        self.process.send_signal(number)

    def end(self):
        self.is_wanted = False
        self.process.kill()
        self.supervisor.join()
