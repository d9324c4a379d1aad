"""A producer and four workers of Celery: `celery_client.py work`, or `celery_client.py send COUNT`."""

import os
import sys

from celery import Celery

app = Celery("celery_client", broker=f"redis://127.0.0.1:{os.environ['PORT']}/0")
app.conf.update(broker_connection_retry_on_startup=True, task_acks_late=True, task_ignore_result=True)


@app.task(name="do")
def do():
    file = os.open(os.environ["DONE"], os.O_WRONLY | os.O_APPEND)
    os.write(file, b".")
    os.close(file)


def work():
    app.worker_main(["worker", "--concurrency", "4", "--loglevel", "ERROR", "--without-gossip", "--without-mingle"])


def send(count):
    # One connection for all. Celery sends tasks one by one.
    with app.producer_or_acquire() as producer:
        for _ in range(count):
            do.apply_async(producer=producer)


if __name__ == "__main__":
    if sys.argv[1] == "work":
        work()
    else:
        send(int(sys.argv[2]))
