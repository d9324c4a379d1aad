"""Compares the jobs per second of `jobs` with those of job frameworks: `run.py [NAME ...]`.

A program adds jobs that do nothing, a hundred at a time where the framework can do that, and workers finish them meanwhile. A job counts
when a worker has finished it, by a byte that its worker appends to a file. Each job is on disk before its producer goes on, and each end
of a job before the worker gets another one: redis-server runs with `appendfsync always`, PostgreSQL and SQLite wait for the disk.
`jobs` in memory is the upper bound.

The frameworks take turns, in several rounds; the table has medians. The CPU time is that of the servers: redis-server, or `jobs` with its
PostgreSQL. The clients have the language of the framework that they are compared with.
"""

import argparse
import os
import pathlib
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

from servers import Postgres, free_ports, wait_until

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
from targets import ask  # noqa: E402

BUILT = HERE.parent.parent.parent / "target/frameworks"
PYTHON = [BUILT / "python/bin/python", "-B"]
NODE = [BUILT / "node/node_modules/.bin/node"]
os.environ["NODE_PATH"] = str(BUILT / "node/node_modules")
WARM_UP = 100
PATIENCE = 120
TICKS = os.sysconf("SC_CLK_TCK")


class System:
    """A server, and the program that adds and finishes jobs."""

    def __init__(self, name, server, program, workers, jobs):
        self.name, self.server, self.program, self.workers, self.jobs = name, server, program, workers, jobs


def redis(folder, port):
    options = ["--port", str(port), "--save", "", "--dir", str(folder), "--appendonly", "yes", "--appendfsync", "always"]
    return [spawn(folder, ["redis-server", *options])]


def jobs_in_memory(folder, port):
    return [spawn(folder, [os.environ["JOBS_PROGRAM"], "--bind", f"127.0.0.1:{port}"])]


def jobs_in_sqlite(folder, port):
    return [spawn(folder, [os.environ["JOBS_PROGRAM"], "--bind", f"127.0.0.1:{port}", "--database", f"sqlite:{folder}/jobs.db"])]


def jobs_in_postgres(folder, port):
    postgres = Postgres(folder / "postgres")
    postgres.create()
    postgres.start()
    url = f"postgres://test@localhost/postgres?host={postgres.folder}"
    return [postgres.process, spawn(folder, [os.environ["JOBS_PROGRAM"], "--bind", f"127.0.0.1:{port}", "--database", url])]


SYSTEMS = [
    System("jobs in memory, Node.js", jobs_in_memory, [*NODE, HERE / "jobs.cjs"], 1, 100_000),
    System("jobs in SQLite, Node.js", jobs_in_sqlite, [*NODE, HERE / "jobs.cjs"], 1, 50_000),
    System("jobs in PostgreSQL, Node.js", jobs_in_postgres, [*NODE, HERE / "jobs.cjs"], 1, 50_000),
    System("BullMQ", redis, [*NODE, HERE / "bullmq.cjs"], 1, 20_000),
    System("jobs in memory, Python", jobs_in_memory, [*PYTHON, HERE / "jobs_client.py"], 4, 50_000),
    System("jobs in SQLite, Python", jobs_in_sqlite, [*PYTHON, HERE / "jobs_client.py"], 4, 50_000),
    System("jobs in PostgreSQL, Python", jobs_in_postgres, [*PYTHON, HERE / "jobs_client.py"], 4, 50_000),
    System("RQ", redis, [*PYTHON, HERE / "rq_client.py"], 4, 2_000),
    System("Celery", redis, [*PYTHON, HERE / "celery_client.py"], 1, 5_000),
]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("names", nargs="*", help=f"default: all of {', '.join(system.name for system in SYSTEMS)}")
    options = parser.parse_args()
    systems = [system for system in SYSTEMS if not options.names or system.name in options.names]
    results = {system.name: [] for system in systems}
    for number in range(options.rounds):
        for system in systems:
            rate, cpu = measure(system)
            results[system.name].append((rate, cpu))
            print(f"round {number + 1}: {system.name}: {rate:,.0f} jobs a second, {cpu:.0f} µs", file=sys.stderr, flush=True)
    print("| | jobs a second | CPU time of the servers per job |\n| --- | ---: | ---: |")
    for name, rounds in results.items():
        rates, times = zip(*rounds)
        print(f"| {name} | {statistics.median(rates):,.0f} | {statistics.median(times):.0f} µs |")


def measure(system):
    """Returns the jobs per second, and the CPU time of the servers per job in microseconds."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="speed."))
    done = folder / "done"
    done.touch()
    [port] = free_ports(1)
    servers, clients = system.server(folder, port), []
    try:
        wait_until(lambda: ask(port, "PING") == "PONG")
        environment = {**os.environ, "PORT": str(port), "DONE": str(done)}
        clients = [spawn(folder, [*system.program, "work"], environment) for _ in range(system.workers)]
        send(system, environment, WARM_UP)
        wait_until(lambda: done.stat().st_size == WARM_UP, PATIENCE)
        before, start = cpu_of(servers), time.monotonic()
        sender = subprocess.Popen(words([*system.program, "send", system.jobs]), env=environment, stdout=subprocess.DEVNULL)
        wait_until(lambda: done.stat().st_size >= WARM_UP + system.jobs, PATIENCE, poll=0.005)
        took, used = time.monotonic() - start, cpu_of(servers) - before
        assert sender.wait(PATIENCE) == 0
        assert done.stat().st_size == WARM_UP + system.jobs, "a job has run twice"
    finally:
        for process in [*clients, *servers[::-1]]:
            end(process)
        shutil.rmtree(folder)
    return system.jobs / took, used / system.jobs * 1e6


def send(system, environment, count):
    subprocess.run(words([*system.program, "send", count]), env=environment, check=True, stdout=subprocess.DEVNULL)


def spawn(folder, command, environment=None):
    with open(folder / f"log-{time.monotonic_ns()}", "w") as log:
        return subprocess.Popen(words(command), stdout=log, stderr=log, env=environment, start_new_session=True, cwd=folder)


def words(command):
    return [str(word) for word in command]


def end(process):
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()


def cpu_of(processes):
    """Returns the CPU time of processes and all that they have started, in seconds."""
    parents, times = {}, {}
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        # Behind the name, the parent is the second field; the user and system time, also of ended children, are the twelfth and later.
        pid = int(stat.parent.name)
        parents[pid], times[pid] = int(fields[1]), sum(map(int, fields[11:15]))
    roots = {process.pid for process in processes}

    def is_ours(pid):
        while pid not in roots and pid in parents:
            pid = parents[pid]
        return pid in roots

    return sum(time for pid, time in times.items() if is_ours(pid)) / TICKS


if __name__ == "__main__":
    main()
