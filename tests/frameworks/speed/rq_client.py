"""A producer and a worker of RQ: `rq_client.py work`, or `rq_client.py send COUNT`."""

import os
import sys

from redis import Redis
from rq import Queue, SimpleWorker

BATCH = 100
connection = Redis(port=int(os.environ["PORT"]))
queue = Queue("jobs", connection=connection)


def do():
    file = os.open(os.environ["DONE"], os.O_WRONLY | os.O_APPEND)
    os.write(file, b".")
    os.close(file)


def work():
    # Without a process for each job.
    SimpleWorker([queue], connection=connection).work(logging_level="ERROR")


def send(count):
    import rq_client

    for first in range(0, count, BATCH):
        number = min(BATCH, count - first)
        queue.enqueue_many([Queue.prepare_data(rq_client.do, result_ttl=0) for _ in range(number)])


if __name__ == "__main__":
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    if sys.argv[1] == "work":
        work()
    else:
        send(int(sys.argv[2]))
