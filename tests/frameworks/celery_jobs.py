"""Celery: a list as its queue, with acknowledgements after the job, and a second set of keys for the results.

Before several servers: the transport option `global_keyprefix` with a hash tag, for the broker and for the results.
"""

from celery import Celery, group

import job

app = Celery("celery_jobs", broker=job.URL, backend=job.URL)
app.conf.update(
    broker_connection_retry_on_startup=True,
    broker_transport_options={
        "global_keyprefix": job.TAG,
        # Other workers get the jobs of a killed worker after this time.
        "visibility_timeout": 5,
        "unacked_restore_interval": 1,
        "unacked_restore_throttle": 1,
        "unacked_mutex_expire": 2,
    },
    result_backend_transport_options={"global_keyprefix": job.TAG},
    task_acks_late=True,
    worker_prefetch_multiplier=1,
)


@app.task(name="double")
def double(number):
    return job.do(number)


def work():
    app.worker_main(["worker", "--concurrency", "2", "--loglevel", "WARNING"])


def send():
    results = group(double.s(number) for number in job.numbers())()
    job.sent()
    # Waits for messages on the channels of the results while the jobs are done.
    job.report(results.get(timeout=100))


if __name__ == "__main__":
    job.main(work, send)
