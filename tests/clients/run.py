"""Tests all clients with `kv`, and some with `balancer` or `standby`: `run.py [--write] [CLIENT ...]`.

The arguments of a client's program are the name of the client, the protocol (2 or 3), the port and the name of the
server. The program runs the checks and prints the result of each to standard output:

    version 8.1.0
    ok values
    failed errors: what went wrong
    restart

The line `restart` requests a restart of the server. The program then reads a line from standard input when the
server runs again. All other output is printed if a check fails. `--write` writes the results into README.md.
"""

import argparse
import concurrent.futures
import dataclasses
import os
import pathlib
import subprocess
import sys
import threading

from kv import Balancer, Emulated, Facade, Instances, Server, Sharded, Standby

HERE = pathlib.Path(__file__).parent
TARGET = HERE.parent.parent / "target/clients"
PATIENCE = 180
# How many clients are tried at the same time: they wait more than they compute.
AT_ONCE = 2 * os.cpu_count()

# The required checks of each client. A program may run more.
COMMON = ["options", "values", "pipeline", "errors", "binary", "large", "reconnect"]
CLUSTER = ["values", "pipeline"]
ON_BALANCER = [*COMMON, "transactions", "channels", "lists", "scan"]

PYTHON = [TARGET / "python/bin/python", "-B"]
NODE = [TARGET / "node/node_modules/.bin/node"]
GO = [TARGET / "go-clients"]
RUST = [TARGET.parent / "ci/rust-clients"]
os.environ["NODE_PATH"] = str(TARGET / "node/node_modules")


class Client:
    def __init__(self, name, program, protocols=(2, 3), checks=COMMON, server=Server):
        self.name, self.program, self.protocols, self.checks = name, program, protocols, checks
        self.server = server

    def title(self):
        return self.name if self.server is Server else f"{self.name} on `{self.server.label}`"


CLIENTS = [
    Client("redis-cli", [*PYTHON, HERE / "tools.py"]),
    Client("redis-benchmark", [*PYTHON, HERE / "tools.py"], checks=["values", "pipeline", "large"]),
    Client("redis-py", [*PYTHON, HERE / "python.py"]),
    Client("redis-py asyncio", [*PYTHON, HERE / "python.py"]),
    Client("valkey-py", [*PYTHON, HERE / "python.py"]),
    Client("valkey-glide", [*PYTHON, HERE / "python.py"]),
    Client("coredis", [*PYTHON, HERE / "python.py"], protocols=[3]),
    Client("redis-rs", RUST, checks=[*COMMON, "users"]),
    Client("fred", RUST),
    Client("rustis", RUST, protocols=[3]),
    Client("ioredis 5", [*NODE, HERE / "node.cjs"], protocols=[2]),
    Client("ioredis 6", [*NODE, HERE / "node.cjs"]),
    Client("node-redis 4", [*NODE, HERE / "node.cjs"], protocols=[2]),
    Client("node-redis 6", [*NODE, HERE / "node.cjs"]),
    Client("hiredis", [TARGET / "hiredis"], protocols=[2]),
    Client("redigo", GO, protocols=[2], checks=[*COMMON, "users"]),
    Client("go-redis 5", GO, protocols=[2], checks=[*COMMON, "users"]),
    Client("Perl's Redis", ["perl", HERE / "perl.pl"], protocols=[2]),
    Client("redis-rb", ["ruby", HERE / "ruby.rb"], protocols=[2]),
    Client("phpredis", ["php", HERE / "php.php"], protocols=[2]),
    Client(
        "prometheus-redis-exporter", [*PYTHON, HERE / "exporter.py"], protocols=[2], checks=["values", "clients", "log"]
    ),
    Client("redis-commander", [*NODE, HERE / "web.cjs"], protocols=[2], checks=["keys", "values"]),
    Client("redis-py", [*PYTHON, HERE / "python.py"], server=Sharded),
    Client("ioredis 6", [*NODE, HERE / "node.cjs"], server=Sharded),
    Client("node-redis 6", [*NODE, HERE / "node.cjs"], server=Sharded),
    Client("redis-rs", RUST, server=Sharded),
    Client("redis-cli", [*PYTHON, HERE / "tools.py"], checks=ON_BALANCER, server=Balancer),
    Client("redis-py", [*PYTHON, HERE / "python.py"], checks=ON_BALANCER, server=Balancer),
    Client("ioredis 6", [*NODE, HERE / "node.cjs"], checks=ON_BALANCER, server=Balancer),
    Client("redis-rs", RUST, checks=[*ON_BALANCER, "watch"], server=Balancer),
    Client("redis-py cluster", [*PYTHON, HERE / "cluster.py"], checks=[*CLUSTER, "errors", "channels"], server=Instances),
    Client("redis-cli -c", [*PYTHON, HERE / "cluster.py"], checks=["values"], server=Instances),
    Client("ioredis cluster", [*NODE, HERE / "cluster.cjs"], protocols=[2], checks=[*CLUSTER, "errors"], server=Instances),
    Client("node-redis cluster", [*NODE, HERE / "cluster.cjs"], checks=[*CLUSTER, "errors"], server=Instances),
    Client("redis-rs cluster", RUST, checks=[*CLUSTER, "transactions", "errors"], server=Instances),
    Client("redis-py sentinel", [*PYTHON, HERE / "sentinel.py"], checks=["addresses", "switch"], server=Standby),
    # Their connections that ask for the master speak RESP2 only.
    Client("ioredis 5 sentinel", [*NODE, HERE / "sentinel.cjs"], protocols=[2], checks=["switch"], server=Standby),
    Client("ioredis sentinel", [*NODE, HERE / "sentinel.cjs"], protocols=[2], checks=["switch"], server=Standby),
    Client("node-redis sentinel", [*NODE, HERE / "sentinel.cjs"], checks=["switch"], server=Standby),
    Client("go-redis 5 sentinel", GO, protocols=[2], checks=["switch"], server=Standby),
    Client("redis-py sentinel", [*PYTHON, HERE / "sentinel.py"], checks=["addresses", "switch"], server=Facade),
    # It uses only servers whose role is that of a Sentinel.
    Client("redis-rs sentinel", RUST, checks=["switch"], server=Facade),
    Client("redis-py cluster", [*PYTHON, HERE / "cluster.py"], checks=[*CLUSTER, "errors", "channels"], server=Emulated),
    Client("redis-cli -c", [*PYTHON, HERE / "cluster.py"], checks=["values"], server=Emulated),
    # Its connection that asks for the slots speaks RESP2 only.
    Client("ioredis cluster", [*NODE, HERE / "cluster.cjs"], protocols=[2], checks=[*CLUSTER, "errors"], server=Emulated),
    Client("node-redis cluster", [*NODE, HERE / "cluster.cjs"], checks=[*CLUSTER, "errors"], server=Emulated),
    # It receives messages over RESP3 only.
    Client("redis-rs cluster", RUST, checks=[*CLUSTER, "transactions", "scripts", "errors"], server=Emulated),
]


def main():
    parser = argparse.ArgumentParser(description="Tests the clients with kv and balancer")
    parser.add_argument("--write", action="store_true", help="write the table into README.md")
    parser.add_argument("clients", nargs="*", help="client names, or `balancer` for all of its clients (default: all)")
    wanted = parser.parse_args()
    runs = [
        (client, protocol)
        for client in CLIENTS
        for protocol in client.protocols
        if not wanted.clients or {client.name, client.server.label}.intersection(wanted.clients)
    ]
    if not runs:
        parser.error("there is no such client")
    # Processes, not threads: what stands between a client and the server would wait for the lock of the interpreter.
    with concurrent.futures.ProcessPoolExecutor(AT_ONCE) as pool:
        results = []
        for result in pool.map(try_client, *zip(*runs)):
            print(*result.report, sep="\n", flush=True)
            results.append(result)
    if wanted.write:
        write(results)
    passed = sum(result.passed for result in results)
    failed = sum(result.failed for result in results)
    print(f"test result: {'ok' if not failed else 'FAILED'}. {passed} passed; {failed} failed; 0 ignored")
    sys.exit(failed > 0)


@dataclasses.dataclass
class Result:
    """The lines that report a run, the numbers of checks, and the row of the table."""

    report: list[str]
    passed: int
    failed: int
    row: str


def try_client(client, protocol):
    run = Run(client, protocol)
    report = run.run()
    return Result(report, len(run.passed), len(run.failed), run.row())


class Run:
    """One client with one of its protocols, and with its own server."""

    def __init__(self, client, protocol):
        self.client, self.protocol = client, protocol
        self.version = "?"
        self.passed, self.failed, self.output = [], [], []
        self.report = [f"{client.title()}, RESP{protocol}"]

    def run(self):
        """Tries the client and returns the lines that report the results."""
        self.server = self.client.server()
        self.use()
        for check in self.client.checks:
            if check not in self.passed + self.failed:
                self.fails(check, "the program did not run it")
        self.run_check("protocol", self.check_protocol)
        self.run_check("server", self.server.stop)
        return self.report + (self.output if self.failed else [])

    def use(self):
        words = [self.client.name, self.protocol, self.server.proxy.port, self.server.name]
        command = [*self.client.program, *map(str, words)]
        try:
            program = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
            )
        except OSError as error:
            self.fails("program", error)
            return
        timeout = threading.Timer(PATIENCE, program.kill)
        timeout.start()
        for line in program.stdout:
            self.handle_line(line.rstrip("\n"), program)
        if code := program.wait():
            self.fails("program", f"exited with {code}")
        timeout.cancel()

    def handle_line(self, line, program):
        word, _, rest = line.partition(" ")
        if word == "version":
            self.version = rest
        elif word == "ok":
            self.passes(rest)
        elif word == "failed":
            self.fails(*rest.split(": ", 1))
        elif line == "restart":
            self.run_check("restart", self.server.restart)
            print("restarted", file=program.stdin, flush=True)
        else:
            self.output.append(line)

    def check_protocol(self):
        assert self.server.proxy.spoke_resp3 == (self.protocol == 3), "the client spoke the other protocol"

    def run_check(self, check, step):
        try:
            step()
        except AssertionError as error:
            self.fails(check, error)
        else:
            self.passes(check)

    def passes(self, check):
        self.passed.append(check)
        self.report.append(f"  {check} ... ok")

    def fails(self, check, why):
        self.failed.append(check)
        self.report.append(f"  {check} ... FAILED: {why}")

    def row(self):
        checks = f"{len(self.passed)} of {len(self.passed) + len(self.failed)}"
        if self.failed:
            checks += f", not {', '.join(self.failed)}"
        greeting = ", ".join(f"`{' '.join(words)}`" for words in self.server.proxy.greeting) or "nothing"
        return f"| {self.client.title()} | {self.version} | {self.protocol} | {checks} | {greeting} |\n"


def write(results):
    page = HERE / "README.md"
    begin, end = "<!-- the table -->\n", "<!-- the end of the table -->\n"
    before, _, rest = page.read_text().partition(begin)
    _, _, after = rest.partition(end)
    head = "| client | version | RESP | passes | sends first |\n| --- | --- | --- | --- | --- |\n"
    page.write_text(before + begin + head + "".join(result.row for result in results) + end + after)


if __name__ == "__main__":
    main()
