"""A producer and a worker of `jobs`: `jobs_client.py work`, or `jobs_client.py send COUNT`."""

import os
import sys

import redis

BATCH = 100
jobs = redis.Redis(port=int(os.environ["PORT"]), single_connection_client=True, socket_timeout=None)


def work():
    done = os.open(os.environ["DONE"], os.O_WRONLY | os.O_APPEND)
    finished = []
    while True:
        pipeline = jobs.pipeline(transaction=False)
        if finished:
            pipeline.execute_command("ACKJOB", *finished)
        pipeline.execute_command("GETJOB", "COUNT", BATCH, "FROM", "jobs")
        given = pipeline.execute()[-1] or []
        for _ in given:
            os.write(done, b".")
        finished = [id for _, id, _, _ in given]


def send(count):
    for first in range(0, count, BATCH):
        pipeline = jobs.pipeline(transaction=False)
        for number in range(first, min(first + BATCH, count)):
            pipeline.execute_command("ADDJOB", "jobs", number)
        pipeline.execute()


if sys.argv[1] == "work":
    work()
else:
    send(int(sys.argv[2]))
