"""Producers, workers and probes: `clients.py KIND FILE PORTS QUEUES THREADS FIRST RATE`.

Each thread is one client with connections of its own. It writes what it has seen to FILE, a line of JSON for each operation. The
program ends its clients when its standard input ends.
"""

import asyncio
import json
import random
import sys
import threading
import time

import redis
from redis.backoff import NoBackoff
from redis.cluster import ClusterNode
from redis.retry import Retry

# Longer than a worker waits for a job.
SOCKET_TIMEOUT = 3
WAIT = 1000
PROBE = 0.2

is_over = threading.Event()


def main():
    kind, path, ports, queues, threads, first, rate = sys.argv[1:]
    ports, queues = [int(port) for port in ports.split(",")], queues.split(",")
    with open(path, "w") as file:
        record = Record(file)
        if kind == "probe":
            work = [threading.Thread(target=lambda: asyncio.run(probe(record, ports, queues)))]
        else:
            client = {"producer": produce, "worker": work_off}[kind]
            numbers = range(int(first), int(first) + int(threads))
            work = [
                threading.Thread(target=client, args=(record, ports, queues, number, float(rate))) for number in numbers
            ]
        for thread in work:
            thread.start()
        sys.stdin.read()
        is_over.set()
        for thread in work:
            thread.join()


class Record:
    def __init__(self, file):
        self.file, self.lock = file, threading.Lock()

    def __call__(self, *fields):
        line = json.dumps(fields)
        with self.lock:
            self.file.write(f"{line}\n")


class Client:
    """A cluster client that is made anew when it can no longer help itself."""

    def __init__(self, ports):
        self.ports, self.cluster = ports, None

    def call(self, *words):
        try:
            if self.cluster is None:
                nodes = [ClusterNode("127.0.0.1", port) for port in random.sample(self.ports, len(self.ports))]
                # The history needs to know of each time that a command was sent, so the client follows MOVED, but sends nothing again.
                self.cluster = redis.RedisCluster(
                    startup_nodes=nodes,
                    retry=Retry(NoBackoff(), 0),
                    socket_timeout=SOCKET_TIMEOUT,
                    socket_connect_timeout=1,
                    decode_responses=True,
                )
            return self.cluster.execute_command(*words)
        except (redis.RedisError, OSError) as error:
            # An error of the server leaves the connection as it was.
            if not isinstance(error, redis.ResponseError):
                self.leave()
            raise Failed from error

    def leave(self):
        """Closes all connections. The jobs that were given to them are given to others."""
        if self.cluster is not None:
            self.cluster.close()
        self.cluster = None


class Failed(Exception):
    """Nobody knows whether the command has run."""


def produce(record, ports, queues, number, rate):
    """Adds jobs. Half of them have a name, and are sent again until they are acknowledged."""
    client, count = Client(ports), 0
    while not is_over.is_set():
        time.sleep(random.expovariate(rate))
        count += 1
        queue, body = random.choice(queues), f"{number}-{count}"
        words = ["ADDJOB", queue, body]
        has_name = count % 2 == 0
        if has_name:
            words += ["ID", body]
        start = time.monotonic()
        while True:
            try:
                id = client.call(*words)
            except Failed:
                id = None
                time.sleep(0.1)
            if id is not None or not has_name:
                break
        record("add", start, time.monotonic(), queue, body, id)


def work_off(record, ports, queues, number, _rate):
    client, queue = Client(ports), queues[number % len(queues)]
    while not is_over.is_set():
        start = time.monotonic()
        try:
            given = client.call("GETJOB", "TIMEOUT", WAIT, "FROM", queue)
        except Failed:
            time.sleep(0.1)
            continue
        for name, id, body, tries in given or []:
            record("take", start, time.monotonic(), name, id, body, tries)
            time.sleep(random.uniform(0, 0.02))
            start = time.monotonic()
            try:
                accepted = client.call("ACKJOB", id) == 1
            except Failed:
                accepted = None
                # An instance that has refused the end of the job would keep it for this connection.
                client.leave()
            record("done", start, time.monotonic(), id, accepted)


async def probe(record, ports, queues):
    """Asks each instance again and again whether it serves each queue."""
    await asyncio.gather(*(probe_instance(record, port, queues) for port in ports))


async def probe_instance(record, port, queues):
    while not is_over.is_set():
        writer = None
        try:
            reader, writer = await asyncio.wait_for(asyncio.open_connection("127.0.0.1", port), 1)
            while not is_over.is_set():
                for queue in queues:
                    writer.write(request("ADDJOB", f"{{{queue}}}probe", "x", "TTL", "1"))
                for queue in queues:
                    if (await asyncio.wait_for(reader.readline(), 1)).startswith(b"$"):
                        await asyncio.wait_for(reader.readline(), 1)
                        record("served", time.monotonic(), queue, port)
                await asyncio.sleep(PROBE)
        except (OSError, TimeoutError, asyncio.TimeoutError):
            await asyncio.sleep(PROBE)
        if writer is not None:
            writer.close()


def request(*words):
    return b"".join([b"*%d\r\n" % len(words), *(b"$%d\r\n%s\r\n" % (len(word), word.encode()) for word in words)])


if __name__ == "__main__":
    main()
