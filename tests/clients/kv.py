"""The server that the clients are tried on: the example `kv`, whose binary the variable KV names."""

import os
import subprocess
import unittest


class Server:
    """A `kv` of its own, on a free port."""

    def __init__(self):
        command = [os.environ["KV"], "--bind", "127.0.0.1:0"]
        environment = {**os.environ, "RUST_LOG": "error"}
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
        line = self.process.stdout.readline()
        host, self.port = line.removeprefix("listening on ").strip().split(":")
        assert host == "127.0.0.1", line

    def stop(self):
        """Stops it in order; returns its exit code."""
        self.process.terminate()
        self.process.stdout.close()
        return self.process.wait(timeout=60)


class ServerTest(unittest.TestCase):
    """Tests that share a server, which has to survive them."""

    @classmethod
    def setUpClass(cls):
        cls.server = Server()

    @classmethod
    def tearDownClass(cls):
        assert cls.server.stop() == 0, "it did not end in order"
