"""The cluster clients of Python and redis-cli: `cluster.py CLIENT PROTOCOL PORT SERVER`."""

import subprocess
import sys
import time

import redis

PATIENCE = 60
[CLIENT, PROTOCOL, PORT, SERVER] = sys.argv[1:]
NODES = 3 if SERVER == "kv" else 1
KEYS = [f"key-{number}" for number in range(200)]


def main():
    if CLIENT == "redis-py cluster":
        print("version", redis.__version__)
        checks = {"values": values, "pipeline": pipeline, "errors": errors, "channels": channels}
    else:
        print("version", run("redis-cli", "--version").split()[1])
        checks = {"values": tool_values}
    for name, steps in checks.items():
        try:
            steps()
            print("ok", name, flush=True)
        except Exception as error:
            print(f"failed {name}: {error!r}", flush=True)


def cluster():
    return redis.RedisCluster(host="127.0.0.1", port=int(PORT), protocol=int(PROTOCOL), decode_responses=True)


def values():
    with cluster() as client:
        client.flushall()
        for key in KEYS:
            assert client.set(key, key.upper()) is True
        assert [client.get(key) for key in KEYS] == [key.upper() for key in KEYS]
        assert client.mget_nonatomic(KEYS) == [key.upper() for key in KEYS]
        # It returns the size of one node.
        assert NODES > 1 or client.dbsize() == len(KEYS)
        assert len(client.get_nodes()) == NODES


def pipeline():
    with cluster() as client:
        with client.pipeline() as steps:
            for key in KEYS:
                steps.set(key, 1).incr(key)
            assert steps.execute() == [True, 2] * len(KEYS)


def errors():
    with cluster() as client:
        client.delete("text")
        client.set("text", "x")
        try:
            client.incr("text")
        except redis.ResponseError as error:
            assert "not an integer" in str(error)
        else:
            raise AssertionError("no error")


def channels():
    with cluster() as client:
        listener = client.pubsub()
        listener.subscribe("news")
        deadline = time.monotonic() + PATIENCE
        message = None
        while message is None or message["type"] != "message":
            client.publish("news", "hello")
            message = listener.get_message(timeout=0.1)
            assert time.monotonic() < deadline
        assert message["data"] == "hello"
        listener.close()


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done
    return done.stdout


def tool_values():
    cli = ("redis-cli", "-c", f"-{PROTOCOL}", "-p", PORT)
    assert run(*cli, "SET", "greeting", "hello") == "OK\n"
    assert run(*cli, "GET", "greeting") == "hello\n"
    assert run("redis-cli", "--cluster", "check", f"127.0.0.1:{PORT}").count("[OK] All 16384 slots covered.") == 1


main()
