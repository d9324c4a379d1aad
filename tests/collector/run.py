"""Runs the scripts and queries of `collector`'s README, and tests the stream methods of clients.

The checks: the scripts turn every line of a log into an event. The queries return the events in the database. The
stream methods of redis-py return the same as with Redis. The arguments are programs that check other clients.
"""

import os
import re
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time

import redis
from servers import Server

README = os.path.join(os.path.dirname(__file__), "../../apps/collector/README.md")

# Lines with spaces, quotes and other characters that need care in a script.
LOG = b"first line\n  spaces  \n\n\"quotes\" 'and' $HOME `pwd` \\n %s\nan error, and \xc3\xa9\nlast line\n"


def main():
    with open(README, encoding="utf-8") as file:
        blocks = dict(re.findall(r"```\w+ (\w+)\n(.*?)```", file.read().replace("```sh ship", "```sh shell"), re.DOTALL))
    with tempfile.TemporaryDirectory() as folder, Server(os.environ["COLLECTOR"], "--dir", folder) as server:
        ship(server, blocks, folder)
        run_queries(blocks["queries"], folder)
        methods(redis.Redis(port=server.port, decode_responses=True))
        for program in sys.argv[1:]:
            subprocess.run([*program.split(), str(server.port)], timeout=60, check=True)


def ship(server, blocks, folder):
    """Both scripts ship a log, one of them into the stream that the queries read."""
    log, script = os.path.join(folder, "log"), os.path.join(folder, "ship")
    with open(log, "wb") as file:
        file.write(LOG)
    with open(script, "w", encoding="utf-8") as file:
        file.write(blocks["shell"])
    subprocess.run([sys.executable, "-c", blocks["ship"], str(server.port), "logs", log], timeout=60, check=True)
    with open(log, "rb") as lines:
        shell = ["sh", script, str(server.port), "shell"]
        subprocess.run(shell, stdin=lines, stdout=subprocess.DEVNULL, timeout=60, check=True)
    client = redis.Redis(port=server.port)
    for stream in ("logs", "shell"):
        shipped = [fields[b"line"] for _, fields in client.xrange(stream)]
        assert shipped == LOG.splitlines(), (stream, shipped)
    print("the scripts of the README: ok")


def run_queries(queries, folder):
    """Runs the queries of the README while the server uses the database."""
    database = sqlite3.connect(os.path.join(folder, "events.db"))
    hosts, errors, minutes = (database.execute(query).fetchall() for query in queries.split(";")[:3])
    count = len(LOG.splitlines())
    assert [events for _, events in hosts] == [count], hosts
    assert [line for *_, line in errors] == ["an error, and é"], errors
    assert sum(events for _, events, _ in minutes) == count, minutes
    print("the queries of the README: ok")


def methods(client):
    """Checks that redis-py's methods return the same as with Redis."""
    ids = [client.xadd("s", {"n": number}) for number in range(5)]
    assert ids == sorted(ids, key=lambda id: tuple(map(int, id.split("-")))) and len(set(ids)) == 5
    assert client.xadd("s", {"n": 5}, id="99999999999999-1", maxlen=4, approximate=False) == "99999999999999-1"
    assert client.xadd("none", {"n": 1}, nomkstream=True) is None
    assert client.xlen("s") == 4
    assert [fields for _, fields in client.xrange("s", count=2)] == [{"n": "2"}, {"n": "3"}]
    assert client.xrevrange("s", count=1) == [("99999999999999-1", {"n": "5"})]
    assert client.xrange("s", min="(" + ids[4]) == [("99999999999999-1", {"n": "5"})]
    assert client.xread({"s": ids[4]}, count=10) == [["s", [("99999999999999-1", {"n": "5"})]]]
    assert client.xread({"s": "$"}, block=20) in ([], None)
    assert client.xdel("s", ids[2], "1-1") == 1
    assert client.xtrim("s", maxlen=2, approximate=False) == 1
    assert client.xtrim("s", minid="99999999999999-0") in (0, 1)
    about = client.xinfo_stream("s")
    assert (about["entries-added"], about["last-generated-id"]) == (6, "99999999999999-1"), about
    assert about["last-entry"] == ("99999999999999-1", {"n": "5"}), about
    assert client.xinfo_stream("s", full=True)["entries"], "in full"

    threading.Thread(target=lambda: (time.sleep(0.2), client.xadd("later", {"n": 1}, id="1-1"))).start()
    assert client.xread({"s": "$", "later": "$"}, block=0) == [["later", [("1-1", {"n": "1"})]]]
    try:
        client.xadd("later", {"n": 2}, id="1-1")
    except redis.ResponseError as error:
        assert "equal or smaller than the target stream top item" in str(error)
    else:
        raise AssertionError("XADD accepted an existing ID")
    assert client.delete("s", "later") == 2 and client.exists("s") == 0
    groups(client)
    print("the methods of redis-py: ok")


def groups(client):
    """Two consumers share the events, and one claims the pending events of the other."""
    assert client.xgroup_create("jobs", "g", id="0", mkstream=True)
    try:
        client.xgroup_create("jobs", "g")
    except redis.ResponseError as error:
        assert str(error).startswith("BUSYGROUP"), error
    ids = [client.xadd("jobs", {"n": number}) for number in range(4)]
    [[_, first]] = client.xreadgroup("g", "one", {"jobs": ">"}, count=2)
    [[_, second]] = client.xreadgroup("g", "two", {"jobs": ">"}, count=10, block=100)
    assert [id for id, _ in first + second] == ids
    assert client.xack("jobs", "g", *ids[:2]) == 2
    summary = client.xpending("jobs", "g")
    assert (summary["pending"], summary["min"], summary["max"]) == (2, ids[2], ids[3]), summary
    assert summary["consumers"] == [{"name": "two", "pending": 2}], summary
    pending = client.xpending_range("jobs", "g", "-", "+", 10, consumername="two")
    assert [(entry["message_id"], entry["times_delivered"]) for entry in pending] == [(ids[2], 1), (ids[3], 1)], pending
    assert client.xclaim("jobs", "g", "one", 0, [ids[2]]) == [(ids[2], {"n": "2"})]
    assert client.xclaim("jobs", "g", "one", 0, [ids[2]], justid=True) == [ids[2]]
    assert client.xautoclaim("jobs", "g", "one", 0)[1] == [(ids[2], {"n": "2"}), (ids[3], {"n": "3"})]
    assert client.xreadgroup("g", "one", {"jobs": "0"})[0][1] == [(ids[2], {"n": "2"}), (ids[3], {"n": "3"})]
    [about] = client.xinfo_groups("jobs")
    assert (about["consumers"], about["pending"], about["lag"]) == (2, 2, 0), about
    assert {consumer["name"] for consumer in client.xinfo_consumers("jobs", "g")} == {"one", "two"}
    assert client.xgroup_setid("jobs", "g", "$") and client.xgroup_createconsumer("jobs", "g", "three") == 1
    assert client.xgroup_delconsumer("jobs", "g", "one") == 2
    assert client.xgroup_destroy("jobs", "g") == 1


if __name__ == "__main__":
    main()
