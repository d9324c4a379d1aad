"""Checks a history of operations on queues for lost, duplicated and reordered jobs.

An operation is known by the time before it was sent and the time after its reply, so two operations have an order only if one
had ended before the other began. The checks hold for each order that the times allow.

`check.py` alone checks itself with histories that are wrong.
"""

import collections
import dataclasses
import sys


@dataclasses.dataclass(frozen=True)
class Add:
    """A producer adds a job. `id` is None if it does not know whether the job was added."""

    start: float
    end: float
    queue: str
    body: str
    id: str | None


@dataclasses.dataclass(frozen=True)
class Take:
    """A worker receives a job."""

    start: float
    end: float
    queue: str
    id: str
    body: str
    tries: int


@dataclasses.dataclass(frozen=True)
class Done:
    """A worker finishes a job. `accepted` is None if it does not know whether the server took this."""

    start: float
    end: float
    id: str
    accepted: bool | None


def violations(history):
    """Returns a line for each violation."""
    adds = [one for one in history if isinstance(one, Add)]
    takes = collections.defaultdict(list)
    dones = collections.defaultdict(list)
    for one in history:
        if isinstance(one, Take):
            takes[one.id].append(one)
        elif isinstance(one, Done):
            dones[one.id].append(one)
    return [
        *lost(adds, takes, dones),
        *invented(adds, takes),
        *doubly_delivered(takes),
        *doubly_done(dones),
        *delivered_after_the_end(takes, dones),
        *reordered(adds, takes),
    ]


def lost(adds, takes, dones):
    for add in adds:
        if add.id is None:
            continue
        if not takes[add.id]:
            yield f"lost: {add.id} was added, and no worker got it"
        elif all(done.accepted is False for done in dones[add.id]):
            yield f"lost: {add.id} was added, and nobody finished it"


def invented(adds, takes):
    by_body = {(add.queue, add.body): add for add in adds}
    for id, all_takes in takes.items():
        for take in all_takes:
            add = by_body.get((take.queue, take.body))
            if add is None or add.start > take.end:
                yield f"invented: a worker got {id} of the queue {take.queue} with {take.body}, which nobody had added"
            elif add.id not in (None, id):
                yield f"duplicated: {take.body} was added as {add.id}, and a worker got it as {id}"


def doubly_delivered(takes):
    """Each delivery of a job has another number of tries, unless two owners deliver it."""
    for id, all_takes in takes.items():
        for tries, count in collections.Counter(take.tries for take in all_takes).items():
            if count > 1:
                yield f"two owners: {id} was delivered {count} times with {tries} tries"


def doubly_done(dones):
    for id, all_dones in dones.items():
        if (count := sum(done.accepted is True for done in all_dones)) > 1:
            yield f"two owners: {count} workers were told that they have finished {id}"


def delivered_after_the_end(takes, dones):
    for id, all_dones in dones.items():
        ends = [done.end for done in all_dones if done.accepted]
        for take in takes[id]:
            if ends and take.start > min(ends):
                yield f"duplicated: {id} was delivered after a worker had finished it"


def reordered(adds, takes):
    """Of two jobs of one queue that nobody has tried before, the first one is delivered first."""
    first_takes = {id: take for id, all_takes in takes.items() for take in all_takes if take.tries == 0}
    by_queue = collections.defaultdict(list)
    for add in adds:
        if add.id in first_takes:
            by_queue[add.queue].append((add, first_takes[add.id]))
    for queue, pairs in by_queue.items():
        # In the order of the ends of the deliveries, a job may not be followed by one whose add had ended before its own began,
        # and whose delivery began after its own had ended.
        pairs.sort(key=lambda pair: pair[1].end)
        delivered = []
        by_take_start = sorted(pairs, key=lambda pair: pair[1].start)
        latest_start = None
        position = 0
        for add, take in by_take_start:
            while position < len(pairs) and pairs[position][1].end < take.start:
                earlier = pairs[position][0]
                delivered.append(earlier)
                if latest_start is None or earlier.start > latest_start.start:
                    latest_start = earlier
                position += 1
            if latest_start is not None and add.end < latest_start.start:
                yield f"reordered: {queue} delivered {latest_start.id} before {add.id}, which had been added before it"


def self_test():
    """Fails if a wrong history passes, or a right one does not."""
    add, other = Add(0, 1, "q", "a", "1"), Add(2, 3, "q", "b", "2")
    take, other_take = Take(4, 5, "q", "1", "a", 0), Take(6, 7, "q", "2", "b", 0)
    done, other_done = Done(8, 9, "1", True), Done(8, 9, "2", True)
    right = [add, other, take, other_take, done, other_done]
    changed = dataclasses.replace
    cases = {
        "right": (right, ""),
        "a done whose reply was lost": ([add, take, changed(done, accepted=None)], ""),
        "an add whose reply was lost": ([changed(add, id=None), take, done], ""),
        "a second try": ([add, take, changed(take, start=6, end=7, tries=1), done], ""),
        "a second try takes the job before its worker finishes": ([add, take, changed(take, end=30, tries=1), done], ""),
        "a later job is tried again first": ([add, other, changed(other_take, tries=1, start=1, end=2), take, done, other_done], ""),
        "never delivered": ([add], "lost"),
        "never finished": ([add, take], "lost"),
        "a finish that was refused": ([add, take, changed(done, accepted=False)], "lost"),
        "a body that nobody sent": ([add, take, done, changed(other_take, body="x"), other_done], "invented"),
        "the wrong queue": ([add, changed(take, queue="r"), done], "invented"),
        "two ids": ([add, take, done, changed(take, id="7"), changed(done, id="7")], "duplicated"),
        "one try twice": ([add, take, changed(take, start=6, end=7), done], "two owners"),
        "finished twice": ([add, take, done, done], "two owners"),
        "delivered after the end": ([add, take, done, changed(take, start=10, end=11, tries=1)], "duplicated"),
        "the wrong order": (
            [add, other, changed(take, start=6, end=7), changed(other_take, start=4, end=5), done, other_done],
            "reordered",
        ),
    }
    for name, (history, expected) in cases.items():
        found = {line.split(":")[0] for line in violations(history)}
        assert found == ({expected} if expected else set()), (name, found)
    print(f"the check of histories: {len(cases)} histories have the expected result")


if __name__ == "__main__":
    self_test()
    sys.exit()
