"""The Sentinel client of redis-py, while another server becomes the master: `sentinel.py CLIENT PROTOCOL PORT SERVER`."""

import sys
import threading
import time

import redis
from redis.sentinel import Sentinel

PATIENCE = 60
THREADS = 4
# How often each thread counts before the next switch.
COUNTS = 200
[_CLIENT, PROTOCOL, PORT, _SERVER] = sys.argv[1:]


def main():
    print("version", redis.__version__)
    for name, steps in {"addresses": addresses, "switch": switch}.items():
        try:
            steps()
            print("ok", name, flush=True)
        except Exception as error:
            print(f"failed {name}: {error!r}", flush=True)


def sentinel():
    protocol = {"protocol": int(PROTOCOL)}
    return Sentinel([("127.0.0.1", int(PORT))], sentinel_kwargs=protocol, decode_responses=True, **protocol)


def servers():
    """Returns the master and the replica."""
    return [sentinel().discover_master("counters"), *sentinel().discover_slaves("counters")]


def follow(master):
    """Makes a server the master: the old master ends its work first."""
    for server in servers():
        with redis.Redis(*server) as client:
            assert client.execute_command("FOLLOW", *master) == b"OK"


def addresses():
    master, replica = servers()
    assert master != replica
    [state] = sentinel().sentinels[0].sentinel_masters().values()
    assert (state["ip"], state["port"], state["is_master"]) == (*master, True)
    with redis.Redis(*replica) as client:
        assert client.role() == [b"slave", master[0].encode(), master[1], b"connect", -1]
        try:
            client.execute_command("INCR", "n")
        except redis.exceptions.ReadOnlyError:
            pass
        else:
            raise AssertionError("a replica has counted")


def switch():
    counters = [Counter() for _ in range(THREADS)]
    try:
        wait(counters)
        all_servers = servers()
        for master in [*reversed(all_servers), all_servers[1]]:
            follow(master)
            wait(counters)
    finally:
        for counter in counters:
            counter.stop()
    total = 0
    for server in servers():
        follow(server)
        with redis.Redis(*server) as client:
            total += int(client.get("n") or 0)
    counted, failed = sum(counter.counted for counter in counters), sum(counter.failed for counter in counters)
    assert counted <= total <= counted + failed, f"{total} are counted, {counted} acknowledged, {failed} failed"


def wait(counters):
    """Waits until each thread has counted again."""
    before = [counter.counted for counter in counters]
    deadline = time.monotonic() + PATIENCE
    while any(counter.counted < count + COUNTS for counter, count in zip(counters, before)):
        assert time.monotonic() < deadline, "the client does not find the master"
        time.sleep(0.01)


class Counter(threading.Thread):
    def __init__(self):
        super().__init__(daemon=True)
        self.counted, self.failed, self.is_over = 0, 0, False
        self.start()

    def run(self):
        client = sentinel().master_for("counters")
        while not self.is_over:
            try:
                client.execute_command("INCR", "n")
                self.counted += 1
            except redis.RedisError:
                self.failed += 1
                time.sleep(0.01)

    def stop(self):
        self.is_over = True
        self.join()


main()
