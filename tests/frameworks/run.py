"""Gives jobs to real job frameworks through `balancer`, and kills a worker in the middle: `run.py [NAME ...]`.

Each framework runs four times: with redis-server alone, and with `balancer` in front of one server, of three, and of a
cluster, whose master with the jobs is killed too. A job appends its number to a file, so that the test counts jobs
without Redis. A run passes if all jobs are done and have a result, except those that the framework loses with a killed
worker by its own design. If a server is killed too, the results do not count, since the server may lose them.
"""

import argparse
import importlib.metadata
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

from targets import RESTARTED, TARGETS, new_folder

HERE = pathlib.Path(__file__).parent
BUILT = HERE.parent.parent / "target/frameworks"
PYTHON = [BUILT / "python/bin/python", "-B"]
ARQ = [BUILT / "arq/bin/python", "-B"]
NODE = [BUILT / "node/node_modules/.bin/node"]
WORKERS = 4
TAG = "{jobs}"
ALL = TARGETS | RESTARTED


class Framework:
    """A program, which works if its argument is `work`, and sends jobs and reads their results if it is `send`."""

    def __init__(self, name, program, packages, kind="", *, held=0, patience=20):
        self.name, self.program, self.packages, self.kind = name, program, packages, kind
        # How many jobs a killed worker may take with it, by the framework's own design.
        self.held = held
        # Seconds without a job that is done, after which the rest is lost.
        self.patience = patience

    def versions(self):
        if self.program[0] == NODE[0]:
            folder = BUILT / "node/node_modules"
            found = [json.loads((folder / name / "package.json").read_text())["version"] for name in self.packages]
        else:
            [folder] = pathlib.Path(self.program[0]).parent.parent.glob("lib/python*/site-packages")
            found = [
                next(iter(importlib.metadata.distributions(name=name, path=[str(folder)]))).version
                for name in self.packages
            ]
        return ", ".join(f"{name} {version}" for name, version in zip(self.packages, found))


TASKIQ = ["taskiq", "taskiq-redis", "redis"]
FRAMEWORKS = [
    Framework("celery", [*PYTHON, HERE / "celery_jobs.py"], ["celery", "kombu", "redis"], held=1, patience=30),
    Framework("rq", [*PYTHON, HERE / "rq_jobs.py"], ["rq", "redis"], held=1, patience=100),
    Framework("dramatiq", [*PYTHON, HERE / "dramatiq_jobs.py"], ["dramatiq", "redis"]),
    Framework("huey", [*PYTHON, HERE / "huey_jobs.py"], ["huey", "redis"], held=2, patience=5),
    Framework("arq", [*ARQ, HERE / "arq_jobs.py"], ["arq", "redis"]),
    Framework("taskiq-list", [*PYTHON, HERE / "taskiq_jobs.py"], TASKIQ, "list", held=12, patience=5),
    Framework("taskiq-stream", [*PYTHON, HERE / "taskiq_jobs.py"], TASKIQ, "stream"),
    Framework("bullmq", [*NODE, HERE / "bullmq.cjs"], ["bullmq", "ioredis"]),
    Framework("socket.io", [*NODE, HERE / "socketio.cjs"], ["socket.io", "@socket.io/redis-adapter", "redis"], "pubsub"),
    Framework(
        "socket.io-streams",
        [*NODE, HERE / "socketio.cjs"],
        ["socket.io", "@socket.io/redis-streams-adapter", "redis"],
        "streams",
    ),
    Framework("django", [*PYTHON, HERE / "django_jobs.py"], ["Django", "redis"], "django"),
    Framework("leases", [*PYTHON, HERE / "leases_jobs.py"], ["redis"]),
    Framework("django-redis", [*PYTHON, HERE / "django_jobs.py"], ["django-redis", "redis"], "django-redis"),
]


def main():
    parser = argparse.ArgumentParser(description="Gives jobs to real job frameworks through balancer")
    parser.add_argument("--jobs", type=int, default=1000)
    parser.add_argument("--target", action="append", choices=ALL, help="default: the first four")
    parser.add_argument("--no-tag", action="store_true", help="without the hash tag that several servers need")
    parser.add_argument("frameworks", nargs="*", metavar="NAME", help="default: all")
    options = parser.parse_args()
    wanted = [each for each in FRAMEWORKS if not options.frameworks or each.name in options.frameworks]
    if not wanted:
        parser.error("the frameworks are " + ", ".join(each.name for each in FRAMEWORKS))
    passed = failed = 0
    for framework in wanted:
        print(f"{framework.name}: {framework.versions()}", flush=True)
        for name in options.target or TARGETS:
            run = Run(framework, ALL[name], options)
            run.run()
            print(f"  {run.result()}", flush=True)
            passed += run.passed
            failed += not run.passed
    print(f"test result: {'ok' if not failed else 'FAILED'}. {passed} passed; {failed} failed; 0 ignored")
    sys.exit(failed > 0)


class Run:
    """One framework with one target."""

    def __init__(self, framework, target, options):
        self.framework, self.target, self.jobs = framework, target, options.jobs
        self.folder = new_folder(BUILT / "logs", f"{framework.name}-{target.label.replace(' ', '-')}")
        self.done_file = self.folder / "done"
        self.done_file.touch()
        self.tag = TAG if target.needs_a_tag and not options.no_tag else ""
        self.results, self.error, self.ended = None, "", 0

    def run(self):
        begun = time.monotonic()
        with self.target(self.folder) as target:
            self.environment = {
                **os.environ,
                "PORT": str(target.port),
                "TAG": self.tag,
                "KIND": self.framework.kind,
                "DONE": str(self.done_file),
                "JOBS": str(self.jobs),
                "PYTHONPATH": str(HERE),
                "NODE_PATH": str(BUILT / "node/node_modules"),
            }
            self.workers = []
            sender = self.start("sender", "send", stdin=subprocess.PIPE)
            try:
                self.wait_for_the_sender(sender)
                self.workers += [self.start(f"worker-{number}", "work") for number in range(WORKERS)]
                self.wait_for(self.jobs // 4)
                kill(self.workers.pop())
                self.workers.append(self.start("worker-new", "work"))
                if target.kills_the_server:
                    self.wait_for(self.jobs // 2)
                    target.kill_the_server()
                self.wait_for(self.jobs)
                self.seconds = time.monotonic() - begun
                if target.kills_the_server:
                    target.wait_for_the_server()
                self.collect(sender)
            finally:
                for process in [*self.workers, sender]:
                    kill(process)

    def start(self, name, role, stdin=subprocess.DEVNULL):
        log = open(self.folder / f"{name}.log", "w", encoding="utf-8")
        command = [*map(str, self.framework.program), role]
        # Its own session, so that a signal reaches the processes of a worker too.
        process = subprocess.Popen(
            command, env=self.environment, stdin=stdin, stdout=log, stderr=log, cwd=HERE, start_new_session=True
        )
        log.close()
        return process

    def wait_for_the_sender(self, sender):
        """Waits until the jobs are sent, or at most a minute."""
        deadline = time.monotonic() + 60
        while "sent" not in (self.folder / "sender.log").read_text().splitlines() and sender.poll() is None:
            if time.monotonic() > deadline:
                return
            time.sleep(0.05)

    def done(self):
        return self.done_file.read_text().split()

    def wait_for(self, count):
        """Waits until so many jobs are done, or no job is done for a while."""
        last, deadline = -1, 0
        patience = max(self.framework.patience, 30 if self.target.kills_the_server else 0)
        while (now := len(set(self.done()))) < count:
            if now != last:
                last, deadline = now, time.monotonic() + patience
            if time.monotonic() > deadline:
                return
            self.restart_workers()
            time.sleep(0.05)

    def restart_workers(self):
        """Starts new workers for those that ended by themselves, as a supervisor would."""
        for index, worker in enumerate(self.workers):
            if worker.poll() is not None:
                kill(worker)
                self.ended += 1
                self.workers[index] = self.start(f"worker-again-{self.ended}", "work")
                time.sleep(1)

    def collect(self, sender):
        """Lets the sender read the results."""
        try:
            sender.communicate(b"\n", timeout=30)
        except subprocess.TimeoutExpired:
            self.error = "the sender does not end"
        lines = (self.folder / "sender.log").read_text().splitlines()
        found = [line for line in lines if line.startswith("results ")]
        self.results = int(found[0].split()[1]) if found else 0
        if not self.error and sender.returncode != 0:
            self.error = f"the sender ended with {sender.returncode}: {lines[-1:]}"

    @property
    def lost(self):
        return self.jobs - len(set(self.done()))

    @property
    def passed(self):
        if self.target.kills_the_server:
            # Each worker may lose what it holds. Whether the sender survives is the framework's business.
            return self.lost <= self.framework.held * (WORKERS + 1)
        enough = self.jobs - self.framework.held
        return not self.error and self.jobs - self.lost >= enough and self.results >= enough

    def result(self):
        done = self.done()
        twice = len(done) - len(set(done))
        line = (
            f"{'ok' if self.passed else 'FAILED'} {self.target.label}: {self.jobs} jobs, {self.jobs - self.lost} done, "
            f"{self.lost} lost, {twice} again, {self.results} results, {self.ended} workers ended, {self.seconds:.0f} s"
        )
        return line if self.passed else f"{line}; {self.error} (logs: {self.folder})"


def kill(process):
    """Kills a process, its group, and the processes that it started in other groups."""
    for each in [process.pid, *descendants(process.pid)]:
        try:
            os.kill(each, signal.SIGKILL)
        except ProcessLookupError:
            pass
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()


def descendants(parent):
    children = [pid for pid, its_parent in parents().items() if its_parent == parent]
    return children + [each for child in children for each in descendants(child)]


def parents():
    """Returns the parent of each process."""
    found = {}
    for status in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            # The name of the program, in parentheses, may contain anything.
            found[int(status.parent.name)] = int(status.read_text().rpartition(")")[2].split()[1])
        except OSError:
            pass
    return found


if __name__ == "__main__":
    main()
