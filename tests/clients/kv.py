"""The server that the clients are tried on, and the front door through which they reach it."""

import os
import socket
import subprocess
import tempfile
import threading

# How the answer to HELLO begins in RESP3 alone: as a map.
HELLO_IN_RESP3 = b"%7\r\n$6\r\nserver\r\n"


class Server:
    """The example `kv`, whose binary the variable KV names, behind a door that stays when it restarts."""

    def __init__(self):
        self.log = tempfile.TemporaryFile("w+")
        self.door = Door()
        self.start()

    def start(self):
        command = [os.environ["KV"], "--bind", "127.0.0.1:0"]
        environment = {**os.environ, "RUST_LOG": "warn"}
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=self.log, text=True, env=environment
        )
        line = self.process.stdout.readline()
        self.door.leads_to = int(line.removeprefix("listening on 127.0.0.1:"))

    def stop(self):
        """Stops it in order; what went wrong, if anything did, is an AssertionError."""
        self.door.leads_to = None
        self.process.terminate()
        self.process.stdout.close()
        code = self.process.wait(timeout=60)
        self.log.seek(0)
        assert code == 0, f"kv ended with {code}"
        assert not (warnings := self.log.read()), f"kv logged {warnings!r}"

    def restart(self):
        self.stop()
        self.start()


class Door:
    """Listens on a port of its own, forwards what comes, and notes what a client sends before its first SET or SCAN.

    While it leads nowhere it closes whatever knocks, as a server does that is down.
    """

    def __init__(self):
        self.leads_to = None
        # What the first connection has sent, and the requests in it; nothing is noted after the first SET or SCAN.
        self.requests = b""
        self.greeting = []
        self.spoke_resp3 = False
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.welcome, daemon=True).start()

    def welcome(self):
        first = True
        while True:
            client, _ = self.listener.accept()
            try:
                server = socket.create_connection(("127.0.0.1", self.leads_to))
            except (OSError, TypeError):
                client.close()
                continue
            for end in (client, server):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            listen = self.greeted if first else lambda _request: None
            threading.Thread(target=forward, args=(client, server, listen), daemon=True).start()
            threading.Thread(target=forward, args=(server, client, self.answered), daemon=True).start()
            first = False

    def greeted(self, data):
        """Takes notes of what comes on the first connection."""
        if self.requests is None:
            return
        self.requests += data
        self.greeting = []
        for words in whole_requests(self.requests):
            if words[0].upper() in ("SET", "SCAN"):
                self.requests = None
                return
            self.greeting.append(words)

    def answered(self, data):
        if HELLO_IN_RESP3 in data:
            self.spoke_resp3 = True


def whole_requests(data):
    """The words of each request in `data` that is complete, those in a line of text included."""
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


def forward(source, target, note):
    """Carries bytes from one end to the other, and closes both as soon as one of them is closed."""
    try:
        while data := source.recv(1 << 18):
            note(data)
            target.sendall(data)
    except OSError:
        pass
    for end in (source, target):
        try:
            end.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
