"""Counts with cluster clients while slots move, on three instances of `kv` and on a Redis Cluster of three nodes.

Each client increments 200 keys in turn, one increment at a time. When it has sent a third of them, most slots
of the first instance move to the second one; after two thirds they move back. The sum of all keys must be the number
of increments that the client was told to have succeeded, and no increment may fail. redis-benchmark sends no request again,
so its increments that were redirected do not count.

A client has to learn of a move from `MOVED`. One for each slot and move is enough, so no more are expected than slots with
keys have moved, except of clients that keep no table of slots (redis-cli).
"""

import argparse
import concurrent.futures
import os
import pathlib
import subprocess
import sys

from servers import wait_until
from systems import KEYS, Instances, RedisCluster

HERE = pathlib.Path(__file__).parent
TARGET = HERE.parent.parent / "target/clients"
PATIENCE = 600

PYTHON = [TARGET / "python/bin/python", "-B", HERE / "count.py"]
NODE = [TARGET / "node/node_modules/.bin/node", HERE / "count.cjs"]
RUST = [TARGET.parent / "ci/count"]
os.environ["NODE_PATH"] = str(TARGET / "node/node_modules")

CLIENTS = {
    "redis-py": PYTHON,
    "redis-py asyncio": PYTHON,
    "valkey-py": PYTHON,
    "valkey-glide": PYTHON,
    "ioredis": NODE,
    "node-redis": NODE,
    "redis-rs": RUST,
    "redis-cli -c": PYTHON,
    "redis-benchmark --cluster": PYTHON,
}
SYSTEMS = {system.label: system for system in (Instances, RedisCluster)}
# redis-cli follows each MOVED, but keeps no table of slots.
ANY_NUMBER = {"redis-cli -c"}
# redis-benchmark sends no request again, so the increments that got MOVED or ASK are lost.
LOSES = {"redis-benchmark --cluster"}


def main():
    parser = argparse.ArgumentParser(description="Counts with cluster clients while slots move")
    parser.add_argument("--counts", type=int, default=100_000, help="increments of each client (default: 100,000)")
    parser.add_argument("--servers", choices=SYSTEMS, nargs="+", default=list(SYSTEMS), help="the systems to test (default: both)")
    parser.add_argument("clients", nargs="*", help="names of clients (default: all)")
    options = parser.parse_args()
    clients = options.clients or list(CLIENTS)
    if unknown := set(clients) - set(CLIENTS):
        parser.error(f"no such client: {', '.join(unknown)}; there are {', '.join(CLIENTS)}")
    print(f"{'client':26} {'server':14} {'version':>8} {'counted':>8} {'sum':>8} {'MOVED':>6} {'limit':>6} {'errors':>6}")
    # Each run has servers of its own.
    runs = [(client, SYSTEMS[server]) for client in clients for server in options.servers]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        verdicts = list(pool.map(lambda run: count(*run, options.counts), runs))
    passed = sum(verdicts)
    failed = len(verdicts) - passed
    print(f"test result: {'ok' if not failed else 'FAILED'}. {passed} passed; {failed} failed; 0 ignored")
    sys.exit(failed > 0)


def count(client, system, counts):
    """Runs a client on a system, and prints a line. Returns whether the result is right."""
    with system() as servers:
        command = [*CLIENTS[client], client, str(servers.ports[0]), str(counts), str(KEYS)]
        program = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        moved = 0
        for part, move in enumerate([servers.move_away, servers.move_back], start=1):
            wait_until(lambda: servers.increments() >= counts * part // 3 or program.poll() is not None, PATIENCE)
            moved += move()
        try:
            output, _ = program.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            program.kill()
            output, _ = program.communicate()
        said = dict(line.split(" ", 1) for line in output.splitlines() if line.startswith(("version ", "counted ", "errors ")))
        counted, errors = int(said.get("counted", -1)), int(said.get("errors", -1))
        total, redirects = servers.total(), servers.errors("MOVED")
        lost = redirects + servers.errors("ASK") if client in LOSES else 0
    counts, counted = counts - lost, counted - lost
    is_exact = total == counted == counts
    is_frugal = redirects <= moved or client in ANY_NUMBER or system is not Instances
    is_right = is_exact and is_frugal and program.returncode == 0
    limit = "" if client in ANY_NUMBER else moved
    print(
        f"{client:26} {system.label:14} {said.get('version', '?'):>8} {counted:8} {total:8} {redirects:6} {limit:>6} {errors:6}"
        + ("" if is_right else f"  WRONG\n{output[-2000:]}"),
        flush=True,
    )
    return is_right


if __name__ == "__main__":
    main()
