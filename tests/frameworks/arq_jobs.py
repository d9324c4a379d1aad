"""arq: a sorted set, and WATCH on a key per job so that one worker has it.

Before several servers: a name of the queue and ids of jobs with the hash tag `{arq:abort}`. The key `arq:abort`, whose
name is fixed, is part of the same transactions.
"""

import asyncio
import uuid

from arq import create_pool
from arq.connections import RedisSettings
from arq.worker import func, run_worker

import job

TAG = "{arq:abort}" if job.TAG else ""


async def double(_context, number):
    return await job.do_later(number)


class Settings:
    # Other workers try the jobs of a killed worker again after the timeout and ten seconds.
    functions = [func(double, timeout=1)]
    redis_settings = RedisSettings(port=job.PORT)
    queue_name = f"{TAG}jobs"
    max_jobs = 4
    job_timeout = 1
    poll_delay = 0.1


def work():
    run_worker(Settings)


def send():
    asyncio.run(send_all())


async def send_all():
    pool = await create_pool(Settings.redis_settings, default_queue_name=Settings.queue_name)
    jobs = [await pool.enqueue_job("double", number, _job_id=TAG + uuid.uuid4().hex) for number in job.numbers()]
    job.sent()
    job.wait()
    results = [await each.result_info() for each in jobs]
    job.report(result and result.result for result in results)


if __name__ == "__main__":
    job.main(work, send)
