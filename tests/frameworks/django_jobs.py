"""Django's cache, by Django's own RedisCache or by django-redis, in place of a queue.

A worker claims a job with `add`, which expires, and writes its result with `set_many`. All workers count with `incr`.
Before several servers: KEY_PREFIX with a hash tag, because `set_many` with a timeout is one transaction.
"""

import os
import random
import time

import django
from django.conf import settings

import job

BACKENDS = {"django": "django.core.cache.backends.redis.RedisCache", "django-redis": "django_redis.cache.RedisCache"}
backend = BACKENDS[os.environ["KIND"]]
cache_settings = {"BACKEND": backend, "LOCATION": job.URL, "KEY_PREFIX": job.TAG}
settings.configure(CACHES={"default": cache_settings})
django.setup()

from django.core.cache import cache  # noqa: E402


def work():
    cache.add("count", 0, timeout=None)
    while True:
        todo = list(job.numbers())
        random.shuffle(todo)
        for at in range(0, len(todo), 100):
            numbers = todo[at : at + 100]
            done = cache.get_many([f"result:{number}" for number in numbers])
            for number in numbers:
                # Another worker may claim the job after two seconds, when this one is killed.
                if f"result:{number}" not in done and cache.add(f"claim:{number}", os.getpid(), timeout=2):
                    if cache.get(f"result:{number}") is None:
                        result = job.do(number)
                        cache.set_many({f"result:{number}": result, f"by:{number}": os.getpid()}, timeout=600)
                        cache.incr("count")
        time.sleep(0.1)


def send():
    job.sent()
    job.wait()
    deadline = time.monotonic() + 5
    # The killed worker may have written a result that it did not count.
    while (count := cache.get("count")) < len(job.numbers()) - 1:
        assert time.monotonic() < deadline, f"the count is {count}"
        time.sleep(0.1)
    results = cache.get_many([f"result:{number}" for number in job.numbers()])
    cache.touch("count", 100)
    cache.delete_many([f"claim:{number}" for number in job.numbers()])
    job.report(results.get(f"result:{number}") for number in job.numbers())
    cache.clear()
    assert cache.get("count") is None


if __name__ == "__main__":
    job.main(work, send)
