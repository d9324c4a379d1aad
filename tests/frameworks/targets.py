"""What a framework connects to: redis-server alone, or `balancer` in front of one server, of three, or of a cluster."""

import os
import pathlib
import subprocess
import tempfile
import time

from servers import free_ports, wait_until

# The nodes of a cluster. redis-cli makes the first half masters, and the other half their replicas.
NODES = 6
# Milliseconds after which the nodes of a cluster replace a master that does not reply.
NODE_TIMEOUT = 2000
PATIENCE = 60


class Target:
    """Servers that a framework reaches at one port. The folder keeps their logs."""

    # Whether all keys of a framework must have the same hash tag.
    needs_a_tag = False
    # Whether a run kills the server with the jobs in the middle.
    kills_the_server = False

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.processes = []

    def __enter__(self):
        try:
            self.port = self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for process in reversed(self.processes):
            process.kill()
            process.wait()

    def spawn(self, name, command):
        with open(self.folder / f"{name}.log", "w", encoding="utf-8") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log)
        self.processes.append(process)
        return process

    def redis(self, port, *options):
        command = ["redis-server", "--port", str(port), "--save", "", "--dir", str(self.folder)]
        process = self.spawn(f"redis-{port}", [*command, *options])
        wait_until(lambda: ask(port, "PING") == "PONG")
        return process

    def balancer(self, *arguments):
        self.spawn("balancer", [os.environ["BALANCER"], "--bind", "127.0.0.1:0", *arguments])
        log = self.folder / "balancer.log"
        line = wait_until(lambda: [line for line in log.read_text().splitlines() if "listening on" in line])[0]
        return int(line.rsplit(":", 1)[1])


class Alone(Target):
    label = "redis-server"

    def start(self):
        [self.server] = free_ports(1)
        self.process = self.redis(self.server, *self.options)
        return self.server

    options = []


class One(Alone):
    label = "one server"

    def start(self):
        return self.balancer(f"127.0.0.1:{super().start()}")


class Restarted(Alone):
    """redis-server, which is killed in the middle. It starts again after two seconds, with what its clients wrote."""

    label = "redis-server restarted"
    kills_the_server = True
    options = ["--appendonly", "yes", "--appendfsync", "always"]

    def kill_the_server(self):
        self.process.kill()
        self.process.wait()
        time.sleep(2)
        self.redis(self.server, *self.options)

    def wait_for_the_server(self):
        wait_until(lambda: ask(self.port, "EXISTS", "key") == "0")


class OneRestarted(Restarted, One):
    label = "one server restarted"


class Three(Target):
    label = "three servers"
    needs_a_tag = True

    def start(self):
        ports = free_ports(3)
        for port in ports:
            self.redis(port)
        return self.balancer(*(f"127.0.0.1:{port}" for port in ports))


class Cluster(Target):
    """A cluster of three masters with a replica each. A run kills the master that has the jobs for good."""

    label = "cluster"
    needs_a_tag = True
    kills_the_server = True

    def start(self):
        self.nodes = {}
        ports = free_ports(2 * NODES)
        for port, bus in zip(ports[:NODES], ports[NODES:]):
            options = ["--cluster-enabled", "yes", "--cluster-node-timeout", str(NODE_TIMEOUT)]
            options += ["--cluster-port", str(bus), "--cluster-config-file", f"nodes-{port}.conf"]
            self.nodes[port] = self.redis(port, *options)
        addresses = [f"127.0.0.1:{port}" for port in self.nodes]
        create = ["redis-cli", "--cluster", "create", *addresses, "--cluster-replicas", "1", "--cluster-yes"]
        subprocess.run(create, check=True, capture_output=True, timeout=PATIENCE)
        wait_until(lambda: all(is_whole(port) for port in self.nodes))
        return self.balancer("--cluster", *addresses)

    def kill_the_server(self):
        """Kills the master with the most keys, which are those of the framework."""
        masters = [port for port in self.nodes if ask(port, "ROLE").startswith("master")]
        port = max(masters, key=lambda port: int(ask(port, "DBSIZE")))
        self.nodes.pop(port).kill()

    def wait_for_the_server(self):
        """Waits until a replica has taken over, and the balancer knows it."""
        keys = [f"key-{number}" for number in range(50)]
        wait_until(lambda: ask(self.port, "EXISTS", *keys) == "0")


TARGETS = {"redis": Alone, "one": One, "three": Three, "cluster": Cluster}
# Only on request: they show what each framework does when the server is down for a while.
RESTARTED = {"redis-restarted": Restarted, "one-restarted": OneRestarted}


def is_whole(port):
    """Whether a node knows all nodes and slots, and is in sync with its master or has a replica."""
    info = ask(port, "CLUSTER", "INFO")
    replication = ask(port, "INFO", "replication")
    in_sync = "master_link_status:up" in replication or "state=online" in replication
    return "cluster_state:ok" in info and f"cluster_known_nodes:{NODES}" in info and in_sync


def ask(port, *words):
    command = ["redis-cli", "-p", str(port), *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False).stdout.strip()


def new_folder(path, name):
    path = pathlib.Path(path) / name
    path.mkdir(parents=True, exist_ok=True)
    return pathlib.Path(tempfile.mkdtemp(dir=path, prefix="run-"))
