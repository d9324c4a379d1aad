"""The Python clients: `python.py CLIENT PROTOCOL PORT SERVER`."""

import asyncio
import importlib.metadata
import inspect
import sys

import coredis
import glide
import redis
import redis.asyncio
import redis.cache
import valkey

import redis_py

PATIENCE = 60
EVERY_BYTE = bytes(range(256)) + b"\r\n$5\r\n*1\r\n"


class RedisPy:
    package, library, make = "redis", redis, redis.Redis

    def __init__(self, protocol, port, name=None, database=0):
        self.Error, self.Lost = self.library.ResponseError, self.library.ConnectionError
        self.client = self.make(port=port, protocol=protocol, client_name=name, db=database)

    async def connect(self):
        pass

    async def close(self):
        self.client.close()

    async def set(self, key, value):
        assert self.client.set(key, value) is True

    async def get(self, key):
        return self.client.get(key)

    async def call(self, *words):
        return self.client.execute_command(*words)

    async def pipeline(self, commands, atomic=False):
        pipeline = self.client.pipeline(transaction=atomic)
        for words in commands:
            pipeline.execute_command(*words)
        return pipeline.execute(raise_on_error=False)

    async def count_up(self, key, times):
        for _ in range(times):
            await asyncio.to_thread(self.client.transaction, count_up(key), key)


class ValkeyPy(RedisPy):
    """valkey-py uses the names of redis-py for everything else."""

    package, library, make = "valkey", valkey, valkey.Valkey


class RedisPyAsyncio(RedisPy):
    make = redis.asyncio.Redis

    async def close(self):
        await self.client.aclose()

    async def set(self, key, value):
        assert await self.client.set(key, value) is True

    async def get(self, key):
        return await self.client.get(key)

    async def call(self, *words):
        return await self.client.execute_command(*words)

    async def pipeline(self, commands, atomic=False):
        return await (await super().pipeline(commands, atomic))

    async def count_up(self, key, times):
        async def step(pipeline):
            value = int(await pipeline.get(key) or 0)
            pipeline.multi()
            pipeline.set(key, value + 1)

        for _ in range(times):
            await self.client.transaction(step, key)


def count_up(key):
    """Increments a watched key in a transaction, which fails if the key has changed."""

    def step(pipeline):
        value = int(pipeline.get(key) or 0)
        pipeline.multi()
        pipeline.set(key, value + 1)

    return step


class Coredis:
    package = "coredis"
    Error, Lost = coredis.exceptions.ResponseError, coredis.exceptions.ConnectionError

    def __init__(self, _resp3_always, port, name=None, database=0):
        self.client = coredis.Redis(port=port, client_name=name, db=database)

    async def connect(self):
        await self.client.__aenter__()

    async def close(self):
        await self.client.__aexit__(None, None, None)

    async def set(self, key, value):
        assert await self.client.set(key, value) is True

    async def get(self, key):
        return await self.client.get(key)

    async def call(self, name, *words):
        return await self.client.create_request(name.encode(), *words, callback=as_it_is)

    async def pipeline(self, commands, atomic=False):
        async with self.client.pipeline(transaction=atomic, raise_on_error=False) as pipeline:
            for name, *words in commands:
                pipeline.create_request(name.encode(), *words, callback=as_it_is)
        return list(pipeline.results)


def as_it_is(reply, **_):
    return reply


class Glide:
    package = "valkey-glide"
    Error, Lost = glide.RequestError, glide.ConnectionError

    def __init__(self, protocol, port, name=None, database=0):
        self.options = glide.GlideClientConfiguration(
            [glide.NodeAddress("127.0.0.1", port)],
            protocol=glide.ProtocolVersion.RESP2 if protocol == 2 else glide.ProtocolVersion.RESP3,
            client_name=name,
            database_id=database,
            # The default timeout of 250 ms is too short for a busy machine.
            request_timeout=PATIENCE * 1000,
        )

    async def connect(self):
        self.client = await glide.GlideClient.create(self.options)

    async def close(self):
        await self.client.close()

    async def set(self, key, value):
        assert await self.client.set(key, value) == "OK"

    async def get(self, key):
        return await self.client.get(key)

    async def call(self, *words):
        return await self.client.custom_command([*words])

    async def pipeline(self, commands, atomic=False):
        batch = glide.Batch(is_atomic=atomic)
        for words in commands:
            batch.custom_command([*words])
        return await self.client.exec(batch, raise_on_error=False)


CLIENTS = {
    "redis-py": RedisPy,
    "redis-py asyncio": RedisPyAsyncio,
    "valkey-py": ValkeyPy,
    "valkey-glide": Glide,
    "coredis": Coredis,
}


async def main(name, protocol, port, server):
    make = CLIENTS[name]
    print("version", importlib.metadata.version(make.package))
    client = make(int(protocol), int(port))
    await client.connect()
    await check("values", values(client))
    await check("options", options(client, make(int(protocol), int(port), name="tester", database=3)))
    await check("pipeline", pipeline(client))
    await check("errors", errors(client))
    await check("transactions", transactions(client))
    await check("binary", binary(client))
    await check("large", large(client))
    if isinstance(client, RedisPy):
        await check("channels", channels(client.client))
    if server == "balancer":
        await check("lists", lists(client))
    elif type(client) is RedisPy and int(protocol) == 3:
        await check("cache", cache(client, int(port)))
    if isinstance(client.client, (redis.Redis, valkey.Valkey)):
        for more in redis_py.CHECKS:
            await check(more.__name__, more(client.client))
    await check("reconnect", reconnect(client))
    await client.close()


async def values(client):
    await client.set("greeting", "hello world")
    assert await client.get("greeting") == b"hello world"
    assert await client.get("missing") is None


async def options(client, tester):
    await tester.connect()
    assert await tester.call("CLIENT", "GETNAME") in (b"tester", "tester")
    await tester.set("where", "in 3")
    assert await client.get("where") is None
    assert await tester.get("where") == b"in 3"
    await tester.close()


async def pipeline(client):
    """Sends ten thousand pairs of SET and GET in one pipeline, with an error in the middle."""
    commands = [words for n in range(10_000) for words in (["SET", f"key-{n}", str(n)], ["GET", f"key-{n}"])]
    replies = await client.pipeline(commands[:10_000] + [["NOPE"]] + commands[10_000:])
    error = replies.pop(10_000)
    assert isinstance(error, client.Error) and "unknown command 'NOPE'" in str(error), repr(error)
    assert all(reply in (True, "OK", b"OK") for reply in replies[0::2])
    assert list(replies[1::2]) == [str(n).encode() for n in range(10_000)]


async def transactions(client):
    """Runs a transaction. If the client supports WATCH, ten clients then increment one watched key."""
    # The hash tag in braces maps all keys to one server.
    await client.set("{t}word", "abc")
    commands = [["SET", "{t}n", "1"], ["INCR", "{t}n"], ["INCR", "{t}word"], ["ECHO", "among"], ["GET", "{t}n"]]
    stored, sum, error, among, value = await client.pipeline(commands, atomic=True)
    assert stored in (True, "OK", b"OK") and (sum, among, value) == (2, b"among", b"2"), (stored, sum, among, value)
    assert isinstance(error, client.Error) and "not an integer" in str(error), repr(error)
    if hasattr(client, "count_up"):
        await asyncio.gather(*(client.count_up("total", 100) for _ in range(10)))
        assert await client.get("total") == b"1000"


async def lists(client):
    """A blocked client receives an element that another client pushes, repeatedly."""
    for number in range(50):
        waiting = asyncio.create_task(asyncio.to_thread(client.client.blpop, f"list-{number}", PATIENCE))
        assert await client.call("RPUSH", f"list-{number}", number) == 1
        assert [*await waiting] == [b"list-%d" % number, b"%d" % number]


async def errors(client):
    await fails(client, "unknown command 'NOPE', with args beginning with: 'a'", "NOPE", "a")
    await fails(client, "wrong number of arguments for 'get' command", "GET")
    await client.set("word", "abc")
    await fails(client, "value is not an integer or out of range", "INCR", "word")
    assert await client.get("word") == b"abc"


async def fails(client, text, *words):
    try:
        reply = await client.call(*words)
    except client.Error as error:
        assert text in str(error), repr(error)
    else:
        raise AssertionError(f"{words} is answered {reply!r}")


async def binary(client):
    await client.set(EVERY_BYTE, EVERY_BYTE)
    assert await client.get(EVERY_BYTE) == EVERY_BYTE


async def large(client):
    for length in (0, 16_384, 8 << 20):
        value = b"0123456789abcd\r\n" * (length // 16)
        await client.set("large", value)
        assert await client.get("large") == value


async def cache(client, port):
    """The client reads a key from its cache until another client changes the key."""
    keeper = redis.Redis(port=port, protocol=3, cache_config=redis.cache.CacheConfig())

    def calls():
        return client.client.info("commandstats")["cmdstat_get"]["calls"]

    async def until(value):
        """What changes a key is answered on another connection than the one that tells of the change."""
        async with asyncio.timeout(PATIENCE):
            while keeper.get("kept") != value:
                await asyncio.sleep(0.01)

    await client.set("kept", "one")
    for value in ("one", "two", "three"):
        await client.set("kept", value)
        await until(value.encode())
        before = calls()
        assert [keeper.get("kept") for _ in range(100)] == [value.encode()] * 100
        assert calls() == before
    await client.call("FLUSHALL")
    await until(None)
    # An expired key is also invalidated.
    client.client.set("kept", "brief", px=2000)
    await until(b"brief")
    await until(None)
    keeper.close()


async def channels(client):
    """Receives a thousand messages in order from a channel and from a matching pattern, then unsubscribes."""

    async def awaited(reply):
        return await reply if inspect.isawaitable(reply) else reply

    async def heard():
        message = None
        while message is None:
            message = await awaited(listener.get_message(timeout=1))
        return message["type"], message["channel"], message["data"]

    listener = client.pubsub()
    await awaited(listener.subscribe("news"))
    assert await heard() == ("subscribe", b"news", 1)
    await awaited(listener.psubscribe("n?ws"))
    assert await heard() == ("psubscribe", b"n?ws", 2)
    assert dict(await awaited(client.pubsub_numsub("news"))) == {b"news": 1}
    for number in range(1000):
        assert await awaited(client.publish("news", number)) == 2
    for number in range(1000):
        told = [await heard() for _ in range(2)]
        assert told == [(kind, b"news", str(number).encode()) for kind in ("message", "pmessage")], told
    await awaited(listener.ping())
    assert (await heard())[0] == "pong"
    await awaited(listener.unsubscribe())
    assert await heard() == ("unsubscribe", b"news", 1)
    await awaited(listener.punsubscribe())
    assert await heard() == ("punsubscribe", b"n?ws", 0)
    assert await awaited(client.publish("news", "nobody")) == 0
    await awaited(listener.aclose() if hasattr(listener, "aclose") else listener.close())


async def reconnect(client):
    """The same client works after a restart of the server. Its first commands may fail."""
    await client.set("greeting", "hello world")
    print("restart", flush=True)
    input()
    while True:
        try:
            value = await client.get("greeting")
            break
        except client.Lost as lost:
            print(f"after the restart: {lost!r}")
            await asyncio.sleep(0.1)
    assert value is None
    await values(client)


async def check(name, steps):
    """Runs a check and prints its result."""
    try:
        await asyncio.wait_for(steps, PATIENCE)
    except Exception as error:
        print(f"failed {name}: {error!r}".replace("\n", " ")[:500], flush=True)
    else:
        print("ok", name, flush=True)


asyncio.run(main(*sys.argv[1:]))
