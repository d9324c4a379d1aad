"""dramatiq: one script does everything. It has one declared key, the namespace, and makes other keys of it.

Before several servers: a namespace with a hash tag, for the broker and for the results. redis-server refuses the
undeclared keys in a cluster unless they have that hash tag.
"""

import sys

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from dramatiq.results import Results, ResultMissing
from dramatiq.results.backends import RedisBackend

import job

# Every command looks for dead workers, those without a command for three seconds.
broker = RedisBroker(
    port=job.PORT, namespace=f"{job.TAG}dramatiq", heartbeat_timeout=3000, maintenance_chance=1_000_000
)
broker.add_middleware(Results(backend=RedisBackend(port=job.PORT, namespace=f"{job.TAG}results"), store_results=True))
dramatiq.set_broker(broker)


@dramatiq.actor
def double(number):
    return job.do(number)


def work():
    from dramatiq.cli import main, make_argument_parser

    sys.exit(main(make_argument_parser().parse_args(["dramatiq_jobs", "--processes", "1", "--threads", "2"])))


def send():
    messages = [double.send(number) for number in job.numbers()]
    job.sent()
    job.wait()
    job.report(result(message) for message in messages)


def result(message):
    try:
        return message.get_result()
    except ResultMissing:
        return None


if __name__ == "__main__":
    job.main(work, send)
