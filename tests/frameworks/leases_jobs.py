"""A queue of our own, as job servers such as Asynq build one: a script for each step, on several keys.

A worker takes a job with a lease, and extends its leases while it works. A sweep gives the jobs of expired leases to other
workers. A job that fails waits in a sorted set for its next attempt. Every tenth job fails once. Before several servers: the
prefix of all keys is a hash tag.
"""

import threading
import time
import uuid

import redis
from redis.backoff import ConstantBackoff
from redis.retry import Retry

import job

LEASE = 1500
RETRY_DELAY = 200
ATTEMPTS = 5
THREADS = 2

client = redis.Redis(
    port=job.PORT,
    decode_responses=True,
    retry=Retry(ConstantBackoff(0.1), 20),
    retry_on_error=[redis.ConnectionError, redis.TimeoutError],
)

# Time in milliseconds, by the clock of the server.
NOW = "local t = redis.call('TIME') local now = t[1] * 1000 + math.floor(t[2] / 1000) "


def key(name):
    return f"{job.TAG}leases:{name}"


PENDING, LEASED, OWNERS = key("pending"), key("leased"), key("owners")
RETRY, DEAD = key("retry"), key("dead")
JOBS, TRIES, RESULTS, WAKE = key("jobs"), key("tries"), key("results"), key("wake")

ENQUEUE = client.register_script(
    """if redis.call('HSETNX', KEYS[1], ARGV[1], ARGV[2]) == 0 then return 0 end
    redis.call('LPUSH', KEYS[2], ARGV[1])
    redis.call('LPUSH', KEYS[3], 'wake')
    redis.call('LTRIM', KEYS[3], 0, 9)
    return 1"""
)
TAKE = client.register_script(
    NOW
    + """local id = redis.call('RPOP', KEYS[1])
    if not id then return false end
    redis.call('ZADD', KEYS[2], now + ARGV[2], id)
    redis.call('HSET', KEYS[3], id, ARGV[1])
    return {id, redis.call('HGET', KEYS[4], id), redis.call('HINCRBY', KEYS[5], id, 1)}"""
)
# Extends a lease, unless another worker has the job by now.
BEAT = client.register_script(
    NOW
    + """if redis.call('HGET', KEYS[2], ARGV[1]) ~= ARGV[2] then return 0 end
    return redis.call('ZADD', KEYS[1], 'XX', 'CH', now + ARGV[3], ARGV[1])"""
)
FINISH = client.register_script(
    """if redis.call('HGET', KEYS[2], ARGV[1]) ~= ARGV[2] then return 0 end
    redis.call('ZREM', KEYS[1], ARGV[1])
    redis.call('HDEL', KEYS[2], ARGV[1])
    redis.call('HDEL', KEYS[3], ARGV[1])
    redis.call('HSET', KEYS[4], ARGV[1], ARGV[3])
    return 1"""
)
# Keeps a failed job for another attempt, or for good after the last one.
FAIL = client.register_script(
    NOW
    + """if redis.call('HGET', KEYS[2], ARGV[1]) ~= ARGV[2] then return 0 end
    redis.call('ZREM', KEYS[1], ARGV[1])
    redis.call('HDEL', KEYS[2], ARGV[1])
    if tonumber(redis.call('HGET', KEYS[3], ARGV[1])) < tonumber(ARGV[4]) then
        return redis.call('ZADD', KEYS[4], now + ARGV[3], ARGV[1])
    end
    return redis.call('ZADD', KEYS[5], now, ARGV[1])"""
)
# Gives jobs whose lease has expired, or whose next attempt is due, to the workers again.
SWEEP = client.register_script(
    NOW
    + """local moved = 0
    for _, waiting in ipairs({KEYS[1], KEYS[3]}) do
        for _, id in ipairs(redis.call('ZRANGE', waiting, '-inf', now, 'BYSCORE', 'LIMIT', 0, 100)) do
            redis.call('ZREM', waiting, id)
            redis.call('HDEL', KEYS[2], id)
            redis.call('RPUSH', KEYS[4], id)
            moved = moved + 1
        end
    end
    return moved"""
)


class Worker:
    """Threads that work, and one that extends the leases of their jobs and sweeps."""

    def __init__(self):
        self.name = uuid.uuid4().hex
        self.held = set()

    def run(self):
        for _ in range(THREADS):
            threading.Thread(target=self.work, daemon=True).start()
        while True:
            for number in list(self.held):
                attempt(BEAT, [LEASED, OWNERS], [number, self.name, LEASE])
            attempt(SWEEP, [LEASED, OWNERS, RETRY, PENDING])
            time.sleep(0.3)

    def work(self):
        while True:
            taken = attempt(TAKE, [PENDING, LEASED, OWNERS, JOBS, TRIES], [self.name, LEASE])
            if not taken:
                self.wait()
                continue
            number, text, tries = taken
            self.held.add(number)
            self.do(number, text, tries)
            self.held.discard(number)

    def do(self, number, text, tries):
        if text is None:
            return  # Another worker has finished it, after a lease that has expired.
        if int(number) % 10 == 0 and tries == 1:
            until_answered(FAIL, [LEASED, OWNERS, TRIES, RETRY, DEAD], [number, self.name, RETRY_DELAY, ATTEMPTS])
        else:
            result = job.do(int(text))
            until_answered(FINISH, [LEASED, OWNERS, JOBS, RESULTS], [number, self.name, result])

    def wait(self):
        try:
            client.blpop([WAKE], timeout=0.2)
        except redis.RedisError:
            time.sleep(0.05)


def attempt(script, keys, arguments=()):
    """Runs a script. Returns None after an error: then the script may have run, and the lease will show it."""
    try:
        return script(keys=keys, args=arguments)
    except redis.RedisError:
        time.sleep(0.05)
        return None


def until_answered(script, keys, arguments):
    """Runs a script that may run twice, because the job is no longer leased after the first time."""
    while attempt(script, keys, arguments) is None:
        pass


def send():
    with client.pipeline(transaction=False) as pipeline:
        for number in job.numbers():
            ENQUEUE(keys=[JOBS, PENDING, WAKE], args=[number, number], client=pipeline)
        pipeline.execute()
    job.sent()
    job.wait()
    deadline = time.monotonic() + 10
    while client.hlen(RESULTS) < len(job.numbers()) and time.monotonic() < deadline:
        time.sleep(0.05)
    results = client.hmget(RESULTS, list(job.numbers()))
    assert client.zcard(DEAD) == 0
    job.report(result and int(result) for result in results)


if __name__ == "__main__":
    job.main(lambda: Worker().run(), send)
