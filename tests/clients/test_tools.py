"""redis-cli and redis-benchmark."""

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time
import unittest

from kv import ServerTest

PATIENCE = 60


class Tools(ServerTest):
    def run_tool(self, tool, *arguments, input=b""):
        command = [tool, "-p", self.server.port, *arguments]
        done = subprocess.run(command, capture_output=True, timeout=PATIENCE, input=input)
        self.assertEqual(done.returncode, 0, done)
        self.assertEqual(done.stderr, b"")
        return done.stdout.decode()

    def cli(self, *arguments, input=b""):
        return self.run_tool("redis-cli", *arguments, input=input)

    def test_set_and_get(self):
        for protocol in ([], ["-2"], ["-3"]):
            self.assertEqual(self.cli(*protocol, "SET", "greeting", "hello world"), "OK\n")
            self.assertEqual(self.cli(*protocol, "GET", "greeting"), "hello world\n")

    def test_a_file_of_commands(self):
        output = self.cli("-n", "5", input=b'SET "a b" 1\nINCR "a b"\nGET nothing\nNOPE\n')
        self.assertEqual(output.splitlines()[:3], ["OK", "2", ""])
        self.assertIn("ERR unknown command 'NOPE'", output)

    def test_value_from_standard_input(self):
        self.assertEqual(self.cli("-x", "SET", "large", input=b"x" * (8 << 20)), "OK\n")
        self.assertEqual(self.cli("STRLEN", "large"), f"{8 << 20}\n")

    def test_docs_name_the_arguments(self):
        for protocol in ("-2", "-3"):
            docs = self.cli(protocol, "--no-raw", "COMMAND", "DOCS", "SET")
            for word in ("summary", "key", "value", "NX", "seconds", "milliseconds", "KEEPTTL"):
                self.assertIn(f'"{word}"', docs)

    def test_mass_insertion(self):
        commands = b"".join(
            b"*3\r\n$3\r\nSET\r\n$10\r\nmass-%05d\r\n$5\r\n%05d\r\n" % (number, number) for number in range(20_000)
        )
        output = self.cli("-n", "7", "--pipe", input=commands)
        self.assertIn("errors: 0, replies: 20000", output)
        self.assertEqual(self.cli("-n", "7", "DBSIZE"), "20000\n")

    def test_scan(self):
        self.cli("-n", "8", "MSET", "a", "1", "b", "2")
        self.assertEqual(sorted(self.cli("-n", "8", "--scan").split()), ["a", "b"])
        self.assertIn("Biggest", self.cli("-n", "8", "--bigkeys"))

    def test_benchmark(self):
        for pipeline in ("1", "16"):
            output = self.run_tool("redis-benchmark", "-t", "set,get", "-P", pipeline, "-n", "50000", "-q", "-c", "50")
            # The progress of each test is overwritten, up to the result.
            results = [line.split("\r")[-1] for line in output.split("\n") if line.strip()]
            self.assertEqual(len(results), 2, output)
            for name, result in zip(("SET", "GET"), results):
                self.assertRegex(result, rf"^{name}: [0-9.]+ requests per second")
            self.assertNotRegex(output, "(?i)warn|error")

    def test_hints_while_typing(self):
        typist = Typist("redis-cli", "-p", self.server.port)
        try:
            typist.read_until(r"127\.0\.0\.1:\d+> ")
            typist.type("SET ")
            typist.read_until(r"key value \[NX\s?\|\s?XX\]")
            typist.type("k v\r")
            typist.read_until(r"OK\s+127\.0\.0\.1:\d+> ")
            typist.type("CONFIG GET ")
            typist.read_until(r"parameter \[parameter \.\.\.\]")
        finally:
            typist.stop()


class Typist:
    """Types into a program at a terminal, and reads what it shows."""

    def __init__(self, *command):
        terminal, other_end = pty.openpty()
        fcntl.ioctl(other_end, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 200, 0, 0))
        environment = {**os.environ, "TERM": "xterm", "HOME": "/nonexistent"}
        self.process = subprocess.Popen(command, stdin=other_end, stdout=other_end, stderr=other_end, env=environment)
        os.close(other_end)
        self.terminal = terminal
        self.shown = ""

    def type(self, text):
        os.write(self.terminal, text.encode())

    def read_until(self, pattern):
        """Reads until what is shown, without colours and cursor movements, matches."""
        deadline = time.monotonic() + PATIENCE
        while not re.search(pattern, re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", self.shown)):
            ready, _, _ = select.select([self.terminal], [], [], max(0, deadline - time.monotonic()))
            if not ready:
                raise AssertionError(f"{pattern!r} is not shown: {self.shown!r}")
            self.shown += os.read(self.terminal, 4096).decode(errors="replace")

    def stop(self):
        self.process.kill()
        self.process.wait()
        os.close(self.terminal)


if __name__ == "__main__":
    unittest.main()
