"""The servers under test, and the recording proxy through which the clients reach them."""

import os
import socket
import subprocess
import tempfile
import threading

from servers import free_ports, is_open, wait_until

# The start of the reply to HELLO in RESP3: a map.
HELLO_IN_RESP3 = b"%7\r\n$6\r\nserver\r\n"


class Server:
    """The program `kv` (the variable KV names its binary), behind a proxy that survives restarts."""

    # The name of the binary, and how the report calls the server.
    name = label = "kv"

    def __init__(self):
        self.log = tempfile.TemporaryFile("w+")
        self.proxy = RecordingProxy()
        self.start()

    def start(self):
        command = [os.environ[self.name.upper()], "--bind", "127.0.0.1:0", *self.options()]
        environment = {**os.environ, "RUST_LOG": "warn"}
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=self.log, text=True, env=environment
        )
        line = self.process.stdout.readline()
        self.proxy.server_port = int(line.removeprefix("listening on 127.0.0.1:"))

    def options(self):
        return []

    def stop(self):
        """Stops the server gracefully. Raises AssertionError if it fails or has logged warnings."""
        self.proxy.server_port = None
        self.process.terminate()
        self.process.stdout.close()
        code = self.process.wait(timeout=60)
        self.log.seek(0)
        assert code == 0, f"{self.name} ended with {code}"
        assert not (warnings := self.log.read()), f"{self.name} logged {warnings!r}"

    def restart(self):
        self.stop()
        self.start()


class Sharded(Server):
    """The program `kv` with keys in four shards."""

    label = "kv --threads 4"

    def options(self):
        return ["--threads", "4"]


class Instances(Server):
    """Three instances of the program `kv` that are a cluster. The proxy leads to the first one."""

    label = "kv --cluster-topology"
    NAMES = ["a", "b", "c"]
    SLOTS = ["0-5460", "5461-10922", "10923-16383"]

    def start(self):
        self.folder = tempfile.TemporaryDirectory()
        self.topology = f"{self.folder.name}/topology"
        ports = free_ports(len(self.NAMES))
        with open(self.topology, "w") as file:
            file.write("version 1\n")
            file.writelines(f"{name} 127.0.0.1:{port} {slots}\n" for name, port, slots in zip(self.NAMES, ports, self.SLOTS))
        self.own_port, *ports = ports
        self.others = [
            subprocess.Popen(
                [os.environ["KV"], "--bind", f"127.0.0.1:{port}", *self.instance(name)],
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
            for name, port in zip(self.NAMES[1:], ports)
        ]
        for other in self.others:
            assert other.stdout.readline().startswith("listening on ")
        super().start()

    def instance(self, name):
        return ["--cluster-topology", self.topology, "--cluster-node", name]

    def options(self):
        return ["--bind", f"127.0.0.1:{self.own_port}", *self.instance(self.NAMES[0])]

    def stop(self):
        super().stop()
        for other in self.others:
            other.kill()
            other.stdout.close()
            other.wait()
        self.folder.cleanup()


class Standby(Server):
    """Two servers of the program `standby`. The proxy leads to the first one, which is the master at first."""

    name = label = "standby"
    # From the port of the server to that of its facade.
    offset = 0

    def start(self):
        ports = free_ports(2, beside=Facade.offset)
        self.addresses = [f"127.0.0.1:{port}" for port in ports]
        self.proxy.server_port = ports[0]
        self.servers = [
            subprocess.Popen([os.environ["STANDBY"], address, *self.addresses], stderr=self.log)
            for address in self.addresses
        ]
        for port in ports:
            wait_until(lambda: is_open(port))
            wait_until(lambda: is_open(port + Facade.offset))
        self.proxy.server_port += self.offset

    def stop(self):
        self.proxy.server_port = None
        for server in self.servers:
            server.terminate()
            code = server.wait(timeout=60)
            assert code == 0, f"{self.name} ended with {code}"
        self.log.seek(0)
        assert not (warnings := self.log.read()), f"{self.name} logged {warnings!r}"


class Facade(Standby):
    """Two servers of the program `standby`. The proxy leads to the facade of the first one, on a port of its own."""

    label = "standby's facade"
    offset = 1000


class Balancer(Server):
    """The program `balancer` in front of three redis-servers, which lose their data when it restarts."""

    name = label = "balancer"

    def options(self):
        self.folder = tempfile.TemporaryDirectory()
        sockets = [f"{self.folder.name}/{number}.sock" for number in range(3)]
        self.redis = [start_redis(socket) for socket in sockets]
        return [f"unix:{socket}" for socket in sockets]

    def stop(self):
        super().stop()
        for redis in self.redis:
            redis.kill()
            redis.stdout.close()
            redis.wait()
        self.folder.cleanup()


class Emulated(Balancer):
    """A balancer that is a cluster of one node for its clients."""

    label = "balancer --emulate-cluster"

    def options(self):
        return ["--emulate-cluster", *super().options()]


def start_redis(socket):
    command = ["redis-server", "--port", "0", "--unixsocket", socket, "--save", "", "--appendonly", "no"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    while "eady to accept connections" not in (line := process.stdout.readline()):
        assert line, f"redis-server ended with {process.wait()}"
    return process


class RecordingProxy:
    """Forwards connections to the server, and records the requests of a client before its first SET, SCAN or SENTINEL.

    While the server is down, the proxy closes new connections.
    """

    def __init__(self):
        self.server_port = None
        # The bytes and the requests of the first connection. Recording ends at the first of these.
        self.requests = b""
        self.greeting = []
        self.spoke_resp3 = False
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        first = True
        while True:
            client, _ = self.listener.accept()
            try:
                server = socket.create_connection(("127.0.0.1", self.server_port))
            except (OSError, TypeError):
                client.close()
                continue
            for end in (client, server):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            record = self.record_request if first else lambda _request: None
            threading.Thread(target=forward, args=(client, server, record), daemon=True).start()
            threading.Thread(target=forward, args=(server, client, self.record_reply), daemon=True).start()
            first = False

    def record_request(self, data):
        """Records the requests of the first connection."""
        if self.requests is None:
            return
        self.requests += data
        self.greeting = []
        for words in whole_requests(self.requests):
            if words[0].upper() in ("SET", "SCAN", "SENTINEL"):
                self.requests = None
                return
            self.greeting.append(words)

    def record_reply(self, data):
        if HELLO_IN_RESP3 in data:
            self.spoke_resp3 = True


def whole_requests(data):
    """Returns the words of each complete request in `data`, including inline requests."""
    while b"\r\n" in data:
        head, _, data = data.partition(b"\r\n")
        if not head.startswith(b"*"):
            yield head.decode(errors="replace").split(" ")
            continue
        words = []
        for _ in range(int(head[1:])):
            length, _, data = data.partition(b"\r\n")
            if not length or len(data) < int(length[1:]) + 2:
                return
            words.append(data[: int(length[1:])].decode(errors="replace"))
            data = data[int(length[1:]) + 2 :]
        yield words


def forward(source, target, record):
    """Forwards bytes, and closes both sockets as soon as one of them is closed."""
    try:
        while data := source.recv(1 << 18):
            record(data)
            target.sendall(data)
    except OSError:
        pass
    for end in (source, target):
        try:
            end.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
