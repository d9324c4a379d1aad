"""Has 1,000 callers and 100 workers exchange jobs and results over `jobs`, and checks every result.

First the programs of the README are run as they are written there. Then the calls are made twice: in peace, and while
a worker process is killed every second in the middle of its jobs.

What is checked: each caller gets the result of its own call, and no other. No call is lost. In peace, no job is run
twice; with kills, jobs of those who were killed have been tried again. In the end no job is left.
"""

import argparse
import asyncio
import os
import random
import re
import signal
import subprocess
import sys
import time

import redis
import redis.asyncio

PROCESSES = 10


def main():
    options = parse()
    with Server() as server:
        readme(server)
        calls(server, options, kills=False)
        calls(server, options, kills=True)


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=20_000)
    parser.add_argument("--callers", type=int, default=1_000)
    parser.add_argument("--workers", type=int, default=100)
    parser.add_argument("--worker", nargs=3, metavar=("PORT", "COUNT", "PAUSE"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        port, count, pause = options.worker
        asyncio.run(work(int(port), int(count), float(pause)))
        sys.exit()
    return options


class Server:
    def __enter__(self):
        command = [os.environ["JOBS"], "--bind", "127.0.0.1:0"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.port = int(self.process.stdout.readline().rsplit(":", 1)[1])
        return self

    def __exit__(self, *_):
        self.process.terminate()
        assert self.process.wait(30) == 0, "the server does not end in order"


def readme(server):
    """The producer and the worker of the README do what it says."""
    path = os.path.join(os.path.dirname(__file__), "../../apps/jobs/README.md")
    with open(path, encoding="utf-8") as file:
        programs = dict(re.findall(r"```python (\w+)\n(.*?)```", file.read(), re.DOTALL))
    command = [sys.executable, "-c"]
    worker = subprocess.Popen([*command, programs["worker"], str(server.port)])
    try:
        producer = subprocess.run(
            [*command, programs["producer"], str(server.port)], capture_output=True, text=True, timeout=60, check=True
        )
    finally:
        worker.kill()
        worker.wait()
    expected = "".join(f"{number} squared is {number**2}\n" for number in range(10))
    assert producer.stdout == expected, producer.stdout
    print("the programs of the README: ok")


def calls(server, options, kills):
    """All calls, and what has become of them."""
    begun = time.monotonic()
    # A job takes a moment where workers are killed, so that they are killed in the middle of it.
    pause = "0.1" if kills else "0"
    workers = Workers(server.port, options.workers, pause)
    killed, tries = asyncio.run(call_all(server.port, options, workers if kills else None))
    ran = workers.end()
    seconds = time.monotonic() - begun
    assert len(tries) == options.calls, "every call has been answered"
    retried = sum(tries.values())
    if not kills:
        assert retried == 0, f"{retried} jobs were given to a worker more than once"
        assert ran == options.calls, f"{ran} jobs were run for {options.calls} calls"
    else:
        assert killed > 0 and retried > 0, f"{killed} workers were killed and {retried} jobs given to another one"
    stat = dict_of(redis.Redis(port=server.port).execute_command("QSTAT", "calls"))
    assert (stat["ready"], stat["out"], stat["delayed"]) == (0, 0, 0), stat
    print(
        f"{options.calls} calls by {options.callers} callers, {options.workers} workers, {killed} processes killed, "
        f"{retried} jobs tried again: each has its result, {options.calls / seconds:.0f} a second"
    )


async def call_all(port, options, victims):
    """Makes all calls. Returns how many processes were killed, and how often each job was tried before its last time."""
    tries = {}
    left = iter(range(options.calls))

    async def caller():
        client = redis.asyncio.Redis(port=port, socket_timeout=120)
        for number in left:
            secret = os.urandom(8).hex()
            result = await client.execute_command("CALLJOB", "calls", f"{number}:{secret}", 120_000)
            assert result is not None, f"call {number} is lost"
            told, tried = result.decode().rsplit(":", 1)
            assert told == f"{number}:{secret}"[::-1], f"call {number} got the result {told}"
            assert number not in tries
            tries[number] = int(tried)
        await client.aclose()

    async def killer():
        killed = 0
        while victims and not over.is_set():
            try:
                await asyncio.wait_for(over.wait(), 1)
            except TimeoutError:
                # It is always ended: half a kill would leave a process that nobody knows of.
                await asyncio.to_thread(victims.kill_one)
                killed += 1
        return killed

    over = asyncio.Event()
    killing = asyncio.create_task(killer())
    await asyncio.sleep(0)
    await asyncio.gather(*(caller() for _ in range(options.callers)))
    over.set()
    return await killing, tries


class Workers:
    """Processes with some workers each, on a connection of their own each."""

    def __init__(self, port, count, pause):
        self.command = [sys.executable, "-B", __file__, "--worker", str(port), str(count // PROCESSES), pause]
        self.processes = [self.start() for _ in range(PROCESSES)]

    def start(self):
        return subprocess.Popen(self.command, stdout=subprocess.PIPE, text=True)

    def kill_one(self):
        index = random.randrange(PROCESSES)
        self.wait_for(self.processes[index])
        self.processes[index].kill()
        self.processes[index].communicate()
        self.processes[index] = self.start()

    def end(self):
        """Returns how many jobs were run, by those that have not been killed."""
        for process in self.processes:
            self.wait_for(process)
            process.send_signal(signal.SIGTERM)
        return sum(int(process.communicate(timeout=30)[0]) for process in self.processes)

    @staticmethod
    def wait_for(process):
        """Until its workers have connected: before that there is nothing to be killed, nor to be ended in order."""
        assert process.stdout.readline() == "connected\n", "a process of workers has ended by itself"


async def work(port, count, pause):
    """Workers until SIGTERM; says how many jobs they have run."""
    ran = 0

    async def worker(client):
        nonlocal ran
        while True:
            [[_, id, body, tries]] = await client.execute_command("GETJOB", "FROM", "calls")
            if pause:
                await asyncio.sleep(pause)
            answered = await client.execute_command("REPLYJOB", id, f"{body.decode()[::-1]}:{tries}")
            assert answered == 1, "a job that is out has a caller"
            ran += 1

    # Without a time limit of the client's own: a worker may have to wait for long.
    options = {"port": port, "single_connection_client": True, "socket_timeout": None}
    clients = [redis.asyncio.Redis(**options) for _ in range(count)]
    await asyncio.gather(*(client.ping() for client in clients))
    tasks = [asyncio.create_task(worker(client)) for client in clients]
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, lambda: [task.cancel() for task in tasks])
    print("connected", flush=True)
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    print(ran)
    for outcome in outcomes:
        if not isinstance(outcome, asyncio.CancelledError):
            raise outcome


def dict_of(reply):
    if isinstance(reply, dict):
        return {key.decode(): value for key, value in reply.items()}
    return {key.decode(): value for key, value in zip(reply[::2], reply[1::2])}


if __name__ == "__main__":
    main()
