"""redis-py, in both protocols."""

import concurrent.futures
import time
import unittest

import redis

from kv import ServerTest


class RedisPy(ServerTest):
    protocol = 2

    def setUp(self):
        self.redis = self.connect()
        self.redis.flushall()

    def tearDown(self):
        self.redis.close()

    def connect(self, **options):
        return redis.Redis(port=int(self.server.port), protocol=self.protocol, **options)

    def test_connect(self):
        with self.connect(db=3, client_name="me", decode_responses=True) as client:
            self.assertTrue(client.ping())
            self.assertEqual(client.client_getname(), "me")
            client.set("k", "in 3")
        self.assertIsNone(self.redis.get("k"))
        self.redis.select(3)
        self.assertEqual(self.redis.get("k"), b"in 3")

    def test_set_and_get(self):
        self.assertTrue(self.redis.set("k", "v"))
        self.assertEqual(self.redis.get("k"), b"v")
        self.assertIsNone(self.redis.set("k", "w", nx=True))
        self.assertEqual(self.redis.set("k", "w", xx=True, get=True), b"v")
        self.assertEqual(self.redis.getdel("k"), b"w")
        self.assertIsNone(self.redis.get("k"))
        self.assertTrue(self.redis.mset({"a": 1, "b": 2}))
        self.assertEqual(self.redis.mget("a", "b", "c"), [b"1", b"2", None])
        self.assertEqual(self.redis.delete("a", "b", "c"), 2)

    def test_numbers(self):
        self.assertEqual(self.redis.incr("n", 41), 41)
        self.assertEqual(self.redis.incr("n"), 42)
        self.assertEqual(self.redis.incrbyfloat("n", 0.5), 42.5)
        with self.assertRaisesRegex(redis.ResponseError, "value is not an integer or out of range"):
            self.redis.incr("n")

    def test_errors(self):
        with self.assertRaisesRegex(redis.ResponseError, "unknown command 'NOPE'"):
            self.redis.execute_command("NOPE", "a")
        with self.assertRaisesRegex(redis.ResponseError, "wrong number of arguments for 'get' command"):
            self.redis.execute_command("GET")
        self.assertTrue(self.redis.ping())

    def test_pipelines(self):
        pipeline = self.redis.pipeline(transaction=False)
        for number in range(10_000):
            pipeline.set(f"key-{number}", number)
            pipeline.get(f"key-{number}")
        pipeline.execute_command("NOPE")
        replies = pipeline.execute(raise_on_error=False)
        self.assertIsInstance(replies.pop(), redis.ResponseError)
        self.assertEqual(replies[0::2], [True] * 10_000)
        self.assertEqual(replies[1::2], [str(number).encode() for number in range(10_000)])

    def test_binary_values(self):
        value = bytes(range(256)) + b"\r\n$5\r\n*1\r\n"
        self.redis.set(value, value)
        self.assertEqual(self.redis.get(value), value)
        self.assertEqual(self.redis.keys(), [value])

    def test_large_values(self):
        for length in (0, 16_383, 16_384, 16_385, 8 << 20):
            value = (b"0123456789abcde\n" * (length // 16 + 1))[:length]
            self.redis.set("large", value)
            self.assertEqual(self.redis.get("large"), value)
            self.assertEqual(self.redis.strlen("large"), length)

    def test_expiry(self):
        self.redis.set("brief", 1, px=50)
        self.redis.set("long", 1, ex=100)
        self.assertEqual(self.redis.ttl("long"), 100)
        self.assertTrue(self.redis.persist("long"))
        self.assertEqual(self.redis.ttl("long"), -1)
        self.assertEqual(self.redis.ttl("missing"), -2)
        # It goes though nobody asks for it.
        deadline = time.monotonic() + 60
        while self.redis.dbsize() == 2:
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.01)
        self.assertIsNone(self.redis.get("brief"))

    def test_scan_iter(self):
        names = {f"key-{number}".encode() for number in range(1000)}
        self.redis.mset(dict.fromkeys(names, 1))
        self.assertEqual(set(self.redis.scan_iter()), names)
        matching = {name for name in names if name.startswith(b"key-99")}
        self.assertEqual(set(self.redis.scan_iter(match="key-99*", count=7)), matching)
        self.assertEqual(list(self.redis.scan_iter(_type="list")), [])

    def test_command(self):
        commands = self.redis.command()
        self.assertEqual(commands["get"]["arity"], 2)
        self.assertIn("readonly", texts(commands["get"]["flags"]))
        self.assertEqual(self.redis.command_count(), len(commands))
        self.assertEqual(texts(self.redis.command_getkeys("MSET", "a", "1", "b", "2")), ["a", "b"])
        self.assertIn("get", texts(self.redis.command_list()))

    def test_config(self):
        self.assertEqual(self.redis.config_get("maxclients"), {"maxclients": "10000"})

    def test_fifty_clients(self):
        def work(number):
            with self.connect() as client:
                for turn in range(20):
                    client.set(f"client-{number}", turn)
                    self.assertEqual(client.get(f"client-{number}"), str(turn).encode())

        with concurrent.futures.ThreadPoolExecutor(50) as pool:
            list(pool.map(work, range(50)))
        self.assertEqual(self.redis.dbsize(), 50)


def texts(replies):
    """As text, which redis-py makes of some replies, depending on the protocol."""
    return [reply if isinstance(reply, str) else reply.decode() for reply in replies]


class RedisPyResp3(RedisPy):
    protocol = 3

    def test_the_protocol(self):
        self.assertEqual(self.redis.execute_command("HELLO")[b"proto"], 3)


if __name__ == "__main__":
    unittest.main()
