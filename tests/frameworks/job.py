"""What the programs of all Python frameworks share: the job, and the sender that checks the results.

The runner sets the variables PORT, TAG (a hash tag, or nothing) and DONE (the file that lists the jobs that are done).
"""

import os
import sys
import time

PORT = int(os.environ["PORT"])
URL = f"redis://127.0.0.1:{PORT}/0"
TAG = os.environ["TAG"]
SECONDS = 0.01


def do(number):
    """Does a job: waits, then writes its number into the file. Returns twice the number."""
    time.sleep(SECONDS)
    note(number)
    return 2 * number


async def do_later(number):
    import asyncio

    await asyncio.sleep(SECONDS)
    note(number)
    return 2 * number


def note(number):
    """Appends one line, which is atomic, so that workers can share the file."""
    file = os.open(os.environ["DONE"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, b"%d\n" % number)
    os.close(file)


def numbers():
    return range(int(os.environ["JOBS"]))


def sent():
    """Tells the runner to start the workers."""
    print("sent", flush=True)


def wait():
    """Waits until the runner wants the results."""
    sys.stdin.readline()


def report(results):
    """Reports how many of the results are right."""
    right = sum(result == 2 * number for number, result in zip(numbers(), results, strict=True))
    print("results", right, flush=True)


def main(work, send):
    {"work": work, "send": send}[sys.argv[1]]()
