"""taskiq: a list or a stream, as the variable KIND says. A list loses the jobs of a killed worker.

Before several servers: a queue name with a hash tag, since the lock of the stream is a second key.
"""

import asyncio
import os
import sys

from taskiq.exceptions import SendTaskError
from taskiq_redis import ListQueueBroker, RedisAsyncResultBackend, RedisStreamBroker

import job

queue = f"{job.TAG}jobs"
if os.environ["KIND"] == "list":
    # A worker sends BRPOP without a timeout, which redis-py itself ends after five seconds.
    broker = ListQueueBroker(job.URL, queue_name=queue, socket_timeout=None)
else:
    broker = RedisStreamBroker(job.URL, queue_name=queue, consumer_id="0", idle_timeout=3000, xread_count=10)
broker = broker.with_result_backend(RedisAsyncResultBackend(job.URL, result_ex_time=600))


@broker.task("double")
async def double(number: int) -> int:
    return await job.do_later(number)


def work():
    from taskiq.__main__ import main

    sys.argv = ["taskiq", "worker", "taskiq_jobs:broker", "--workers", "1", "--max-async-tasks", "4"]
    main()


def send():
    asyncio.run(send_all())


async def send_all():
    await broker.startup()
    half = len(job.numbers()) // 2
    tasks = [await kiq(number) for number in job.numbers()[:half]]
    job.sent()
    for number in job.numbers()[half:]:
        tasks.append(await kiq(number))
        # Workers of a stream claim the jobs of a killed one only after they have read a new job.
        await asyncio.sleep(0.02)
    job.wait()
    job.report([await result(task) for task in tasks])
    await broker.shutdown()


async def kiq(number):
    """Sends a job, again and again while the server is down."""
    while True:
        try:
            return await double.kiq(number)
        except SendTaskError:
            await asyncio.sleep(0.5)


async def result(task):
    return (await task.get_result()).return_value if await task.is_ready() else None


if __name__ == "__main__":
    job.main(work, send)
