"""redis-cli and redis-benchmark: `tools.py CLIENT PROTOCOL PORT SERVER`."""

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time

PATIENCE = 60
EVERY_BYTE = bytes(range(256)) + b"\r\n$5\r\n*1\r\n"
[CLIENT, PROTOCOL, PORT, SERVER] = sys.argv[1:]


def main():
    print("version", run(CLIENT, "--version").decode().split()[1])
    checks = {"redis-cli": CLI, "redis-benchmark": BENCHMARK}[CLIENT]
    if SERVER == "balancer":
        checks |= ON_BALANCER
    for name, steps in checks.items():
        check(name, steps)


def run(*command, input=b""):
    done = subprocess.run(command, capture_output=True, timeout=PATIENCE, input=input)
    assert (done.returncode, done.stderr) == (0, b""), done
    return done.stdout


def cli(*arguments, input=b""):
    return run("redis-cli", f"-{PROTOCOL}", "-p", PORT, *arguments, input=input)


def values():
    is_equal(cli("SET", "greeting", "hello world"), b"OK\n")
    is_equal(cli("GET", "greeting"), b"hello world\n")
    is_equal(cli("--no-raw", "GET", "missing"), b"(nil)\n")


def options():
    """Selects a database with an option. The client name has no option, so the check sends the command."""
    output = cli("-n", "3", input=b"CLIENT SETNAME tester\nCLIENT GETNAME\nSET where in-3\nGET where\n")
    is_equal(output, b"OK\ntester\nOK\nin-3\n")
    is_equal(cli("--no-raw", "GET", "where"), b"(nil)\n")


def pipeline():
    """Sends twenty thousand commands with --pipe, then again with an error in the middle."""
    commands = [request(b"SET", b"mass-%05d" % number, b"%05d" % number) for number in range(20_000)]
    output = cli("-n", "7", "--pipe", input=b"".join(commands)).decode()
    contains(output, "errors: 0, replies: 20000")
    is_equal(cli("-n", "7", "DBSIZE"), b"20000\n")
    commands.insert(10_000, request(b"NOPE"))
    output = subprocess.run(
        ["redis-cli", "-p", PORT, "--pipe"], input=b"".join(commands), capture_output=True, timeout=PATIENCE
    )
    contains(output.stdout.decode(), "errors: 1, replies: 20001")


def errors():
    """Reads lines from standard input. redis-cli prints an error and continues with the next line."""
    output = cli(input=b'SET "a b" word\nNOPE a\nGET\nINCR "a b"\nGET "a b"\n').decode()
    contains(output, "ERR unknown command 'NOPE', with args beginning with: 'a'")
    contains(output, "ERR wrong number of arguments for 'get' command")
    contains(output, "ERR value is not an integer or out of range")
    assert output.rstrip().endswith("word"), output


def binary():
    is_equal(cli("-x", "SET", "binary", input=EVERY_BYTE), b"OK\n")
    is_equal(cli("GET", "binary"), EVERY_BYTE + b"\n")


def large():
    for length in (0, 16_384, 8 << 20):
        value = b"0123456789abcd\r\n" * (length // 16)
        is_equal(cli("-x", "SET", "large", input=value), b"OK\n")
        assert cli("GET", "large") == value + b"\n", f"{length} bytes came back differently"


def hints():
    """While the user types, redis-cli shows the arguments that COMMAND DOCS reports."""
    with Terminal("redis-cli", f"-{PROTOCOL}", "-p", PORT) as terminal:
        terminal.shows(r"127\.0\.0\.1:\d+> ")
        terminal.type("SET ")
        terminal.shows(r"key value \[NX\s?\|\s?XX")
        terminal.type("k v\r")
        terminal.shows(r"OK\s+127\.0\.0\.1:\d+> ")
        terminal.type("CONFIG GET ")
        terminal.shows(r"parameter \[parameter \.\.\.\]")


def docs():
    docs = cli("--no-raw", "COMMAND", "DOCS", "SET").decode()
    for word in ("summary", "key", "value", "NX", "seconds", "milliseconds", "KEEPTTL"):
        contains(docs, f'"{word}"')


def scan():
    cli("-n", "8", "MSET", "a", "1", "b", "2")
    is_equal(sorted(cli("-n", "8", "--scan").split()), [b"a", b"b"])


def bigkeys():
    cli("-n", "9", "MSET", "small", "1", "biggest", "12345")
    output = cli("-n", "9", "--bigkeys").decode()
    contains(output, "Sampled 2 keys in the keyspace!")
    assert re.search(r'Biggest string found .*"biggest".* has 5 bytes', output), output


def stat():
    with Terminal("redis-cli", f"-{PROTOCOL}", "-p", PORT, "--stat") as terminal:
        terminal.shows(r"keys +mem +clients +blocked +requests +connections")
        # Waits for two lines, so that one of them is a second after the first.
        terminal.shows(r"(?m)(^\d+ +[\d.]+[BKMG]? +\d+ +\d+ +\d+ \(\+\d+\) +\d+\s+){2}")


def latency():
    with Terminal("redis-cli", f"-{PROTOCOL}", "-p", PORT, "--latency") as terminal:
        terminal.shows(r"min: \d+, max: \d+, avg: [\d.]+ \([1-9]\d* samples\)")


def transactions():
    """Runs a transaction with an unchanged watched key, then one with a changed key."""
    lines = b"WATCH {t}n\nMULTI\nSET {t}n 1\nINCR {t}n\nEXEC\n"
    is_equal(cli(input=lines), b"OK\nOK\nQUEUED\nQUEUED\nOK\n2\n")
    with Terminal("redis-cli", f"-{PROTOCOL}", "-p", PORT) as terminal:
        terminal.shows(r"127\.0\.0\.1:\d+> ")
        for line, shown in [("WATCH {t}n", "OK"), ("MULTI", "OK"), ("SET {t}n 9", "QUEUED")]:
            terminal.type(line + "\r")
            terminal.shows(rf"{re.escape(line)}\s+{shown}\s+127\.0\.0\.1:\d+(\(TX\))?> ")
        is_equal(cli("SET", "{t}n", "5"), b"OK\n")
        terminal.type("EXEC\r")
        terminal.shows(r"EXEC\s+\(nil\)")
    is_equal(cli("GET", "{t}n"), b"5\n")


def channels():
    with Terminal("redis-cli", f"-{PROTOCOL}", "-p", PORT, "PSUBSCRIBE", "n?ws") as terminal:
        terminal.shows(r'"psubscribe"\s+2\) "n\?ws"\s+3\) \(integer\) 1')
        for message in ("one", "two"):
            is_equal(cli("PUBLISH", "news", message), b"1\n")
            terminal.shows(rf'"pmessage"\s+2\) "n\?ws"\s+3\) "news"\s+4\) "{message}"')


def lists():
    with Terminal("redis-cli", f"-{PROTOCOL}", "-p", PORT, "BLPOP", "list", "0") as terminal:
        is_equal(cli("RPUSH", "list", "value"), b"1\n")
        terminal.shows(r'1\) "list"\s+2\) "value"')


def reconnect():
    """After a restart of the server, the first command fails and the second one succeeds."""
    with Terminal("redis-cli", f"-{PROTOCOL}", "-p", PORT) as terminal:
        terminal.shows(r"127\.0\.0\.1:\d+> ")
        terminal.type("SET greeting hello\r")
        terminal.shows(r"OK\s+127\.0\.0\.1:\d+> ")
        print("restart", flush=True)
        input()
        terminal.type("GET greeting\r")
        # redis-cli discards input that arrives before its prompt.
        terminal.shows(r"Error: Server closed the connection\s+not connected> ")
        terminal.type("GET greeting\r")
        terminal.shows(r"\(nil\)")


def benchmark(*arguments):
    """Runs the tests SET and GET. Each prints a result and no warning."""
    options = ["-3"] if PROTOCOL == "3" else []
    output = run("redis-benchmark", "-p", PORT, *options, "-t", "set,get", "-q", *arguments).decode()
    # Carriage returns separate the progress lines of a test. The last one is the result.
    results = [line.split("\r")[-1] for line in output.split("\n") if line.strip()]
    is_equal([result.split(":")[0] for result in results], ["SET", "GET"])
    assert all(re.match(r"... ?: [0-9.]+ requests per second", result) for result in results), results
    assert not re.search("(?i)warn|error", output), output


CLI = {
    "values": values,
    "options": options,
    "pipeline": pipeline,
    "errors": errors,
    "binary": binary,
    "large": large,
    "hints": hints,
    "docs": docs,
    "scan": scan,
    "bigkeys": bigkeys,
    "stat": stat,
    "latency": latency,
    "reconnect": reconnect,
}

ON_BALANCER = {
    "transactions": transactions,
    "channels": channels,
    "lists": lists,
}

BENCHMARK = {
    "values": lambda: benchmark("-n", "10000", "-c", "50"),
    "pipeline": lambda: benchmark("-n", "100000", "-c", "50", "-P", "64"),
    "large": lambda: benchmark("-n", "10", "-c", "2", "-d", str(8 << 20)),
}


class Terminal:
    """Runs a program in a pseudo-terminal and types into it."""

    def __init__(self, *command):
        self.terminal, other_end = pty.openpty()
        fcntl.ioctl(other_end, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 200, 0, 0))
        environment = {**os.environ, "TERM": "xterm", "HOME": "/nonexistent"}
        self.process = subprocess.Popen(command, stdin=other_end, stdout=other_end, stderr=other_end, env=environment)
        os.close(other_end)
        self.shown = ""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        os.close(self.terminal)

    def type(self, text):
        os.write(self.terminal, text.encode())

    def shows(self, pattern):
        """Reads until the output matches, without colours and cursor movements."""
        deadline = time.monotonic() + PATIENCE
        while not re.search(pattern, re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", self.shown)):
            ready, _, _ = select.select([self.terminal], [], [], max(0, deadline - time.monotonic()))
            assert ready, f"{pattern!r} did not appear: {self.shown[-300:]!r}"
            self.shown += os.read(self.terminal, 4096).decode(errors="replace")


def request(*words):
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words)


def is_equal(found, wanted):
    assert found == wanted, f"got {found!r}, expected {wanted!r}"


def contains(found, wanted):
    assert wanted in found, f"{found!r} does not contain {wanted!r}"


def check(name, steps):
    """Runs a check and prints its result."""
    try:
        steps()
    except Exception as error:
        print(f"failed {name}: {error!r}".replace("\n", " ")[:500], flush=True)
    else:
        print("ok", name, flush=True)


main()
