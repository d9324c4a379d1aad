"""Exchanges jobs and results between 1,000 callers and 100 workers through `jobs`, and checks every result.

First the test runs the programs of the README. Then it makes all calls twice: undisturbed, and while it kills a worker
process every second in the middle of its jobs.

The checks: each caller gets the result of its own call. No call is lost. Undisturbed, no job runs twice. With kills,
other workers run the jobs of killed workers again. At the end no job is left.
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
from servers import Server

PROCESSES = 10


def main():
    options = parse()
    with Server(os.environ["JOBS"]) as server:
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


def readme(server):
    """Runs the programs of the README."""
    path = os.path.join(os.path.dirname(__file__), "../../apps/jobs/README.md")
    with open(path, encoding="utf-8") as file:
        found = re.findall(r"```(python|sh) (\w+)\n(.*?)```", file.read(), re.DOTALL)
    python, shell = [sys.executable, "-c"], ["bash", "-euc"]
    programs = {
        name: [*python, text, str(server.port)] if language == "python" else [*shell, text, name, str(server.port)]
        for language, name, text in found
    }
    expected = {
        "producer": "".join(f"{number} squared is {number**2}\n" for number in range(10)),
        "typed": "hello True 0\n",
        "reports": "1\nreport of January, report of February, report of March\n",
    }
    # The programs import jobs_client.py, and the workers of this test tests/servers.py.
    os.environ["PYTHONPATH"] = os.pathsep.join([os.path.dirname(path), os.environ["PYTHONPATH"]])
    workers = [subprocess.Popen(programs.pop(name)) for name in ("worker", "reporter")]
    try:
        for name, output in expected.items():
            program = subprocess.run(programs.pop(name), capture_output=True, text=True, timeout=60, check=True)
            assert program.stdout == output, program.stdout
        assert not programs, f"these programs do not run: {programs}"
        assert all(worker.poll() is None for worker in workers), "a worker has ended"
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
    client = redis.Redis(port=server.port)
    [schedule] = client.execute_command("SCHEDULES")
    assert dict_of(schedule)["tz"] == b"Europe/Berlin", schedule
    assert client.execute_command("UNSCHEDULE", "hourly") == 1
    print("the programs of the README: ok")


def calls(server, options, kills):
    """Makes all calls and checks their results."""
    begun = time.monotonic()
    # With kills, a job takes 0.1 s, so that a kill hits it in the middle.
    pause = "0.1" if kills else "0"
    workers = Workers(server.port, options.workers, pause)
    killed, tries = asyncio.run(call_all(server.port, options, workers if kills else None))
    ran = workers.end()
    seconds = time.monotonic() - begun
    assert len(tries) == options.calls, "not every call got a result"
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
    """Makes all calls. Returns the number of killed processes and the number of failed tries of each job."""
    tries = {}
    left = iter(range(options.calls))

    async def caller():
        client = redis.asyncio.Redis(port=port, socket_timeout=120)
        for number in left:
            secret = os.urandom(8).hex()
            result = await client.execute_command("CALLJOB", "calls", f"{number}:{secret}", 120_000)
            assert result is not None, f"call {number} is lost"
            reversed_job, tried = result.decode().rsplit(":", 1)
            assert reversed_job == f"{number}:{secret}"[::-1], f"call {number} got the result {reversed_job}"
            assert number not in tries
            tries[number] = int(tried)
        await client.aclose()

    async def killer():
        killed = 0
        while victims and not over.is_set():
            try:
                await asyncio.wait_for(over.wait(), 1)
            except TimeoutError:
                # Runs to its end, because an interrupted kill_one could leave an untracked process behind.
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
    """Processes of several workers. Each worker has its own connection."""

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
        """Ends the processes. Returns the number of jobs that they ran, without those of killed processes."""
        for process in self.processes:
            self.wait_for(process)
            process.send_signal(signal.SIGTERM)
        return sum(int(process.communicate(timeout=30)[0]) for process in self.processes)

    @staticmethod
    def wait_for(process):
        """Waits until the workers have connected. Before that, the process has no job and no SIGTERM handler."""
        assert process.stdout.readline() == "connected\n", "a worker process has exited"


async def work(port, count, pause):
    """Runs workers until SIGTERM, then prints the number of jobs that they ran."""
    ran = 0

    async def worker(client):
        nonlocal ran
        while True:
            [[_, id, body, tries]] = await client.execute_command("GETJOB", "FROM", "calls")
            if pause:
                await asyncio.sleep(pause)
            answered = await client.execute_command("REPLYJOB", id, f"{body.decode()[::-1]}:{tries}")
            assert answered == 1, "no caller waits for the job"
            ran += 1

    # No client-side timeout, because a worker may wait long for a job.
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
