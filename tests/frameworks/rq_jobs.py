"""RQ: a list, which a worker takes its next job from with BLMOVE. A process per job does it.

Before several servers: the variable RQ_KEY_PREFIX with a hash tag.
"""

import os

import job

os.environ["RQ_KEY_PREFIX"] = f"{job.TAG}rq"

from redis import Redis  # noqa: E402
from rq import Queue, Retry, Worker  # noqa: E402

connection = Redis(port=job.PORT)
queue = Queue("jobs", connection=connection)


def work():
    # RQ takes a worker for dead a minute after its last sign of life, and then tries its job again. An idle worker looks
    # for dead ones when it stops waiting for a job, which is 15 seconds before its own time to live.
    options = {"worker_ttl": 20, "maintenance_interval": 2, "job_monitoring_interval": 1}
    Worker([queue], connection=connection, **options).work(logging_level="WARN")


def send():
    data = [Queue.prepare_data(job.do, (number,), result_ttl=600, retry=Retry(max=3)) for number in job.numbers()]
    jobs = queue.enqueue_many(data)
    job.sent()
    job.wait()
    job.report(each.return_value() for each in jobs)


if __name__ == "__main__":
    job.main(work, send)
