"""huey: a list, of which a worker takes its next job with BRPOP. A job whose worker is killed is lost.

Before several servers: a name with a hash tag, and `clean_name=False`, which keeps the braces.
"""

from huey import RedisHuey

import job

huey = RedisHuey(f"{job.TAG}jobs", clean_name=False, port=job.PORT)


@huey.task()
def double(number):
    return job.do(number)


def work():
    huey.create_consumer(workers=2).run()


def send():
    results = [double(number) for number in job.numbers()]
    job.sent()
    job.wait()
    job.report(result.get() for result in results)


if __name__ == "__main__":
    job.main(work, send)
