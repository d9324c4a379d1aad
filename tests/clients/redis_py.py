"""Checks further commands with redis-py and valkey-py."""

import concurrent.futures
import importlib
import time


async def numbers(client):
    client.flushall()
    assert client.incr("n", 41) == 41
    assert client.incr("n") == 42
    assert client.incrbyfloat("n", 0.5) == 42.5


async def conditions(client):
    client.flushall()
    assert client.set("k", "v", nx=True) is True
    assert client.set("k", "w", nx=True) is None
    assert client.set("k", "w", xx=True, get=True) == b"v"
    assert client.getdel("k") == b"w"
    assert client.mset({"a": 1, "b": 2}) is True
    assert client.mget("a", "b", "c") == [b"1", b"2", None]
    assert client.delete("a", "b", "c") == 2


async def expiry(client):
    client.flushall()
    client.set("brief", 1, px=50)
    client.set("long", 1, ex=100)
    assert client.ttl("long") == 100
    assert client.persist("long") is True
    assert (client.ttl("long"), client.ttl("missing")) == (-1, -2)
    # The server removes an expired key even if no client reads it.
    deadline = time.monotonic() + 30
    while client.dbsize() == 2:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert client.get("brief") is None


async def scan(client):
    client.flushall()
    names = {f"key-{number}".encode() for number in range(1000)}
    client.mset(dict.fromkeys(names, 1))
    assert set(client.scan_iter()) == names
    matching = {name for name in names if name.startswith(b"key-99")}
    assert set(client.scan_iter(match="key-99*", count=7)) == matching
    assert list(client.scan_iter(_type="list")) == []


async def command(client):
    commands = client.command()
    assert commands["get"]["arity"] == 2
    assert "readonly" in texts(commands["get"]["flags"])
    assert client.command_count() == len(commands)
    assert texts(client.command_getkeys("MSET", "a", "1", "b", "2")) == ["a", "b"]
    assert "get" in texts(client.command_list())


async def config(client):
    assert client.config_get("maxclients") == {"maxclients": "10000"}


async def users(client):
    """Logs in as a user, and finds what it may not do by the types of the errors."""
    package = type(client).__module__.split(".")[0]
    errors = importlib.import_module(f"{package}.exceptions")
    options = client.connection_pool.connection_kwargs

    def log_in(password):
        address = {name: options[name] for name in ("port", "protocol")}
        return type(client)(**address, username="worker", password=password)

    client.acl_setuser("worker", enabled=True, reset=True, passwords=["+secret"], keys=["job:*"], commands=["+get", "+set"])
    worker = log_in("secret")
    assert worker.set("job:1", "x") is True
    assert worker.get("job:1") == b"x"
    for refused in [lambda: worker.get("other"), worker.flushall, lambda: worker.publish("news", "x")]:
        assert_raises(errors.NoPermissionError, refused)
    replies = worker.pipeline(transaction=False).get("job:1").get("other").execute(raise_on_error=False)
    assert replies[0] == b"x" and isinstance(replies[1], errors.NoPermissionError)
    assert_raises(errors.AuthenticationError, log_in("wrong").ping)
    assert client.acl_dryrun("worker", "get", "job:1") == b"OK"
    assert texts([client.acl_list()[1]])[0].startswith("user worker on ")
    assert client.acl_deluser("worker") == 1
    worker.close()


def assert_raises(error, call):
    try:
        call()
    except error:
        return
    raise AssertionError(f"{error} is not raised")


async def fifty(client):
    """Runs fifty threads, each with a connection from the client's pool."""
    client.flushall()

    def work(number):
        for turn in range(20):
            client.set(f"client-{number}", turn)
            assert client.get(f"client-{number}") == str(turn).encode()

    with concurrent.futures.ThreadPoolExecutor(50) as pool:
        list(pool.map(work, range(50)))
    assert client.dbsize() == 50


def texts(replies):
    """Converts replies to text. Depending on the protocol, redis-py has already done so for some."""
    return [reply if isinstance(reply, str) else reply.decode() for reply in replies]


CHECKS = [numbers, conditions, expiry, scan, command, config, fifty, users]
