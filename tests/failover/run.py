"""Kills, stops and cuts off instances of `jobs` under load, and checks what every client has seen.

Three instances of `jobs` share a PostgreSQL with a synchronous standby, and agree through etcd (three nodes) or through the same
PostgreSQL. Twenty producers and twenty workers use them through redis-py's cluster client. Meanwhile, one fault comes after another:

- `kill`: an instance gets SIGKILL, and starts again after some seconds
- `stop`: an instance gets SIGSTOP, for much longer than its lease, and then goes on
- `cut`: an instance cannot reach the store any more, but its database
- `term`: an instance gets SIGTERM, and starts again
- `etcd`: a node of etcd gets SIGKILL, and starts again
- `primary`, once, in the middle: the primary of PostgreSQL gets SIGKILL, and the standby is promoted

At the end all jobs are worked off. check.py says what the history of all operations may have. The time for which no instance
served a queue must be less than the lease and a second, except while the primary is down. `--no-gaps` does not check this, for
machines with other work.
"""

import argparse
import json
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import check
import redis
from redis.crc import key_slot
from servers import is_open, wait_until
from services import Etcd, Instance, Replicated

HERE = pathlib.Path(__file__).parent
SLOTS = 16384
CLIENTS = 20
PROCESSES = 4
# Jobs per second of a producer.
RATE = 4
# The time after the lease within which another instance serves the queue.
GRACE = 1


def main():
    options = parse()
    random.seed(options.seed)
    folder = pathlib.Path(tempfile.mkdtemp(prefix="failover."))
    print(f"seed {options.seed}, history and logs in {folder}", flush=True)
    test = Test(options, folder)
    try:
        passed = test.run()
    finally:
        test.stop()
    if passed:
        shutil.rmtree(folder)
    sys.exit(not passed)


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30, help="how long the faults last (default: 30)")
    parser.add_argument("--store", choices=["etcd", "postgres"], default="etcd", help="where the instances agree (default: etcd)")
    parser.add_argument("--stopped", type=float, default=30, help="seconds of a stop and of a cut (default: 30)")
    parser.add_argument("--no-gaps", action="store_true", help="do not fail if a queue is not served for too long")
    parser.add_argument("--lease", type=float, default=3, help="lease of the instances in seconds (default: 3)")
    parser.add_argument("--partitions", type=int, default=6, help="number of partitions (default: 6)")
    parser.add_argument(
        "--seed", type=int, default=random.randrange(1 << 32), help="seed of the order of the faults (default: random)"
    )
    return parser.parse_args()


class Test:
    def __init__(self, options, folder):
        self.options, self.folder = options, folder
        self.clients, self.instances = [], []
        self.faults = []
        self.postgres = Replicated(folder)
        self.store = Etcd(folder) if options.store == "etcd" else self.postgres
        # A queue for each partition.
        self.queues = [self.queue_in(partition) for partition in range(options.partitions)]
        self.instances = [
            Instance(name, folder, self.postgres.url(), self.store, options) for name in ("a", "b", "c")
        ]

    def queue_in(self, partition):
        names = (f"queue-{number}" for number in range(10_000))
        return next(
            name for name in names if key_slot(name.encode()) * self.options.partitions // SLOTS == partition
        )

    def run(self):
        self.wait_for_service()
        self.start_clients()
        self.break_things()
        self.finish()
        return self.report()

    def wait_for_service(self):
        for instance in self.instances:
            wait_until(lambda: is_open(instance.port))
        wait_until(lambda: all(self.is_served(queue) for queue in self.queues))

    def is_served(self, queue):
        return any(self.ask(instance, "QLEN", queue) is not None for instance in self.instances)

    def ask(self, instance, *words):
        """Returns the reply of this instance; None if it does not reply, or with an error."""
        try:
            with redis.Redis(port=instance.port, protocol=3, socket_timeout=1, retry=None) as client:
                return client.execute_command(*words)
        except (redis.RedisError, OSError):
            return None

    def start_clients(self):
        ports = ",".join(str(instance.port) for instance in self.instances)
        share = CLIENTS // PROCESSES
        kinds = [("producer", number * share) for number in range(PROCESSES)]
        kinds += [("worker", number * share) for number in range(PROCESSES)]
        kinds += [("probe", 0)]
        for kind, first in kinds:
            path = self.folder / f"{kind}-{first}.history"
            words = [kind, path, ports, ",".join(self.queues), share, first, RATE]
            command = [sys.executable, "-B", HERE / "clients.py", *words]
            with open(self.folder / "clients.log", "ab") as log:
                process = subprocess.Popen(map(str, command), stdin=subprocess.PIPE, stdout=log, stderr=log)
            self.clients.append((kind, process))

    def break_things(self):
        settle = 2 * self.options.lease
        end = time.monotonic() + self.options.minutes * 60
        middle = end - self.options.minutes * 30
        faults = {"kill": self.kill, "stop": self.pause, "cut": self.cut, "term": self.term}
        if self.options.store == "etcd":
            faults["etcd"] = self.kill_etcd
        planned = []
        has_promoted = False
        time.sleep(settle)
        while time.monotonic() < end:
            if not has_promoted and time.monotonic() > middle:
                kind, has_promoted = "primary", True
            else:
                planned = planned or random.sample(list(faults), len(faults))
                kind = planned.pop()
            instance = random.choice(self.instances)
            start = time.monotonic()
            if kind == "primary":
                self.promote()
            else:
                faults[kind](instance)
            time.sleep(settle)
            self.faults.append((kind, start, time.monotonic()))
            print(f"{kind} {instance.name}", flush=True)

    def kill(self, instance):
        instance.kill(pause=2 * self.options.lease)
        time.sleep(3 * self.options.lease)

    def pause(self, instance):
        instance.signal(signal.SIGSTOP)
        time.sleep(self.options.stopped)
        instance.signal(signal.SIGCONT)

    def cut(self, instance):
        instance.cable.cut()
        time.sleep(self.options.stopped)
        instance.cable.mend()

    def term(self, instance):
        instance.terminate(pause=self.options.lease)
        time.sleep(2 * self.options.lease)

    def kill_etcd(self, _):
        number = random.randrange(3)
        self.store.kill(number)
        time.sleep(2 * self.options.lease)
        self.store.restart(number)

    def promote(self):
        self.postgres.kill_primary()
        self.postgres.promote()
        time.sleep(2 * self.options.lease)

    def finish(self):
        """Ends the producers, and waits until the workers have no more work."""
        self.end_clients("producer")
        self.end_clients("probe")
        wait_until(lambda: all(self.jobs_in(queue) == 0 for queue in self.queues), patience=300)
        self.end_clients("worker")

    def jobs_in(self, queue):
        for instance in self.instances:
            if stats := self.ask(instance, "QSTAT", queue):
                return stats[b"ready"] + stats[b"delayed"] + stats[b"out"]
        return None

    def end_clients(self, kind):
        for process in [process for one, process in self.clients if one == kind]:
            process.stdin.close()
        for process in [process for one, process in self.clients if one == kind]:
            assert process.wait(120) == 0, f"a {kind} has failed: see clients.log"

    def report(self):
        history, served = self.history()
        kinds = {"add": check.Add, "take": check.Take, "done": check.Done}
        operations = [kinds[kind](*fields) for kind, *fields in history]
        wrong = check.violations(operations)
        adds = [one for one in operations if isinstance(one, check.Add)]
        takes = [one for one in operations if isinstance(one, check.Take)]
        acknowledged = sum(add.id is not None for add in adds)
        again = sum(take.tries > 0 for take in takes)
        print(f"{len(adds)} jobs, {acknowledged} acknowledged; {len(takes)} deliveries, {again} of them after a failed try")
        print(f"starts of the instances: {', '.join(f'{one.name} {one.starts}' for one in self.instances)}")
        refused = sum(one.log.read_text(errors="replace").count("another process owns the jobs now") for one in self.instances)
        print(f"instances that ended because a commit was refused: {refused}")
        late = self.gaps(served)
        for line in [*wrong[:20], *late]:
            print(line)
        passed = not wrong and (self.options.no_gaps or not late)
        print(f"test result: {'ok. 1 passed; 0' if passed else 'FAILED. 0 passed; 1'} failed; 0 ignored")
        return passed

    def history(self):
        operations, served = [], {queue: [] for queue in self.queues}
        for path in self.folder.glob("*.history"):
            for line in path.open():
                kind, *fields = json.loads(line)
                if kind == "served":
                    at, queue, _ = fields
                    served[queue].append(at)
                else:
                    operations.append((kind, *fields))
        return operations, served

    def gaps(self, served):
        """Prints the longest gaps of each kind of fault. Returns a line for each gap that is too long."""
        limit = self.options.lease + GRACE
        longest, late = {}, []
        for queue, times in served.items():
            times.sort()
            for before, after in zip(times, times[1:]):
                begun = [fault for fault in self.faults if fault[1] <= after]
                kind, _, end = begun[-1] if begun else ("none", 0, 0)
                kind = kind if before <= end else "none"
                longest[kind] = max(longest.get(kind, 0), after - before)
                if after - before > limit and kind != "primary":
                    late.append(f"{kind}: no instance served {queue} for {after - before:.2f} s, and the limit is {limit} s")
        counts = {kind: sum(one == kind for one, _, _ in self.faults) for kind, _, _ in self.faults}
        for kind, gap in sorted(longest.items()):
            print(f"{kind:8} {counts.get(kind, 0):4} times, longest gap in the service of a queue {gap:.2f} s")
        return late

    def stop(self):
        for _, process in self.clients:
            process.kill()
        for instance in self.instances:
            instance.end()
        if self.store is not self.postgres:
            self.store.stop()
        self.postgres.stop()


if __name__ == "__main__":
    main()
