"""Increments keys in turn with a cluster client: `count.py CLIENT PORT COUNTS KEYS`."""

import asyncio
import importlib.metadata
import inspect
import subprocess
import sys

PATIENCE = 60
[CLIENT, PORT, COUNTS, KEYS] = sys.argv[1], *map(int, sys.argv[2:])


def redis_py():
    import redis

    return "redis", redis.RedisCluster(host="127.0.0.1", port=PORT).incr


def redis_py_asyncio():
    import redis.asyncio

    return "redis", redis.asyncio.RedisCluster(host="127.0.0.1", port=PORT).incr


def valkey_py():
    import valkey

    return "valkey", valkey.ValkeyCluster(host="127.0.0.1", port=PORT).incr


async def valkey_glide():
    import glide

    nodes = [glide.NodeAddress("127.0.0.1", PORT)]
    options = glide.GlideClusterClientConfiguration(nodes, request_timeout=PATIENCE * 1000)
    return "valkey-glide", (await glide.GlideClusterClient.create(options)).incr


LIBRARIES = {
    "redis-py": redis_py,
    "redis-py asyncio": redis_py_asyncio,
    "valkey-py": valkey_py,
    "valkey-glide": valkey_glide,
}


async def with_library(make):
    package, increment = await finished(make())
    counted = errors = 0
    for number in range(COUNTS):
        try:
            await finished(increment(f"key-{number % KEYS}"))
            counted += 1
        except Exception as error:  # of whatever type the library has
            errors += 1
            print(repr(error))
    say(importlib.metadata.version(package), counted, errors)


async def finished(value):
    return await value if inspect.isawaitable(value) else value


def with_cli():
    requests = "".join(f"INCR key-{number % KEYS}\n" for number in range(COUNTS))
    replies = run("redis-cli", "-c", "-p", str(PORT), input=requests).split("\n")
    counted = sum(reply.isdigit() for reply in replies)
    say(version("redis-cli"), counted, sum(reply.startswith("(error)") for reply in replies))


def with_benchmark():
    words = ["--cluster", "-p", str(PORT), "-c", "3", "-t", "incr", "-r", str(KEYS), "-n", str(COUNTS), "-q", "-e"]
    errors = run("redis-benchmark", *words).count("ERR")
    say(version("redis-benchmark"), COUNTS - errors, errors)


def run(*command, input=None):
    done = subprocess.run(command, capture_output=True, text=True, input=input)
    assert done.returncode == 0, done
    return done.stdout + done.stderr


def version(program):
    return run(program, "--version").split()[1]


def say(version, counted, errors):
    print("version", version)
    print("counted", counted)
    print("errors", errors)


if CLIENT in LIBRARIES:
    asyncio.run(with_library(LIBRARIES[CLIENT]))
elif CLIENT == "redis-cli -c":
    with_cli()
else:
    with_benchmark()
