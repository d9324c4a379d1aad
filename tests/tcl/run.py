"""Runs the test suites of Redis 7.0 on `kv` and `collector`: `run.py [--all | --listed] [--write] [SUITE ...]`.

skipped.txt lists the tests that do not run, with reasons. The run fails if another test fails, if a suite does not
reach its end, or if the list names a test that does not exist. `--all` also runs the tests of the list that pass: they
are slow, or fail on a busy machine. `--listed` runs only the tests of the list that fail, and fails if one of them
passes. `--write` writes the table of results into README.md.
"""

import argparse
import collections
import concurrent.futures
import dataclasses
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).parent.resolve()
REDIS = HERE.parent.parent / "target/tcl/redis"
PATIENCE = 600
# How many suites run at the same time: they wait more than they compute.
AT_ONCE = 3 * os.cpu_count()
# Tests with this tag need replicas. Some do not say so in a test, but in the code around it.
WITHOUT = ["--tags", "-needs:repl"]

KV, COLLECTOR = "KV", "COLLECTOR"
# The suites, the longest first.
SUITES = {
    "unit/expire": KV,
    "unit/multi": KV,
    "unit/pause": KV,
    "unit/tracking": KV,
    "unit/client-eviction": KV,
    "unit/obuf-limits": KV,
    "unit/querybuf": KV,
    "unit/other": KV,
    "unit/introspection": KV,
    "unit/introspection-2": KV,
    "unit/type/string": KV,
    "unit/type/incr": KV,
    "unit/keyspace": KV,
    "unit/scan": KV,
    "unit/pubsub": KV,
    "unit/pubsubshard": KV,
    "unit/protocol": KV,
    "unit/info": KV,
    "unit/info-command": KV,
    "unit/slowlog": KV,
    "unit/auth": KV,
    "unit/acl": KV,
    "unit/acl-v2": KV,
    "unit/quit": KV,
    "unit/limits": KV,
    "unit/type/stream": COLLECTOR,
    "unit/type/stream-cgroups": COLLECTOR,
}

# The columns of the table, with the status of their tests in the results.
COLUMNS = {"passed": "ok", "skipped by the list": "skip", "skipped by the suite": "ignore"}
TABLE = "<!-- the table -->\n"


# The first characters of a reason in skipped.txt: its tests fail; nothing tries them; they pass.
KINDS = "=!~"


@dataclasses.dataclass
class Suite:
    name: str
    results: list
    # The failed tests, and mistakes in the list.
    problems: list

    def count(self, status):
        return sum(1 for found, _ in self.results if found == status)


def main():
    parser = argparse.ArgumentParser()
    modes = parser.add_mutually_exclusive_group()
    modes.add_argument("--all", action="store_true")
    modes.add_argument("--listed", action="store_true")
    parser.add_argument("--write", action="store_true")
    parser.add_argument("suites", nargs="*", metavar="SUITE")
    options = parser.parse_args()
    skipped = read_list()
    names = options.suites or list(SUITES)
    shutil.rmtree(REDIS / "tests/tmp", ignore_errors=True)
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        runs = [pool.submit(run, index, name, skipped, options) for index, name in enumerate(names)]
    suites = [finished.result() for finished in runs]
    suites.sort(key=lambda suite: suite.name)
    report(suites, options)


def read_list():
    """Returns the kind, the suite and the name of each test in skipped.txt."""
    kind, skipped = "", []
    for number, line in enumerate((HERE / "skipped.txt").read_text().splitlines(), 1):
        if line.startswith("#") or not line:
            continue
        if line[0] in KINDS:
            kind = line[0]
            continue
        suite, _, test = line.partition(": ")
        if suite not in SUITES:
            sys.exit(f"skipped.txt:{number}: there is no suite {suite}")
        skipped.append((kind, suite, test))
    return skipped


def run(index, name, listed_tests, options):
    def listed(kinds):
        return [test for kind, suite, test in listed_tests if suite == name and kind in kinds]

    fails, skipped = listed("="), listed("=!" if options.all else KINDS)
    if options.listed:
        if not fails:
            return Suite(name, [], [])
        selection = [word for test in fails for word in ("--only", test)]
    else:
        selection = [word for test in skipped for word in ("--skiptest", test)]
    results, end = run_suite(index, name, selection)
    if options.listed:
        return judge_listed(name, fails, results, end)
    return judge(name, skipped, results, end)


def judge(name, skipped, results, end):
    """A suite is right if it ran to its end, no test failed, and each listed test exists."""
    problems = [text for status, text in results if status in ("err", "exception")]
    if end:
        problems.append(end)
    if not end and not any(status in COLUMNS.values() for status, _ in results):
        problems.append("it has no tests")
    met = {text for status, text in results if status == "skip"}
    if not end:
        problems += [f"skipped.txt lists a test that does not exist: {test}" for test in skipped if test not in met]
    return Suite(name, results, problems)


def judge_listed(name, fails, results, end):
    """The list is right if each of its tests fails."""
    failed = {test for test in fails for status, text in results if status == "err" and text.startswith(f"{test} in ")}
    passed = {text for status, text in results if status == "ok"}
    problems = [f"skipped.txt lists a test that passes: {test}" for test in passed if test not in failed]
    if end:
        problems.append(end)
    return Suite(name, [("failed", test) for test in failed], problems)


def run_suite(index, name, selection):
    """Returns the results of a suite, and how it ended if it did not reach its end."""
    ports = ["--baseport", str(20000 + 100 * index), "--portcount", "100"]
    with tempfile.TemporaryDirectory() as folder:
        paths = [pathlib.Path(folder) / name for name in ("results", "output")]
        command = ["tclsh", HERE / "suite.tcl", paths[0], os.environ[SUITES[name]], "--single", name]
        databases = ["--singledb"] if SUITES[name] == COLLECTOR else []
        end = end_of([*command, *databases, *ports, *WITHOUT, *selection], paths[1])
        results = paths[0].read_text(errors="replace") if paths[0].exists() else ""
    results = [tuple(line.split("\t", 1)) for line in results.splitlines()]
    running = [text for status, text in results if status == "testing"]
    if end and running:
        end = f"{running[-1]}: {end}"
    kill_servers(results)
    return results, end


def end_of(command, output):
    """Runs a program to its end, and returns what it says if it fails."""
    with open(output, "wb") as file:
        process = subprocess.Popen(command, cwd=REDIS, stdout=file, stderr=file)
        try:
            status = process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            return "does not end"
    return output.read_text(errors="replace") if status else ""


def kill_servers(results):
    """Ends the servers that a suite left behind."""
    servers = collections.Counter()
    for status, pid in results:
        if status in ("server-spawned", "server-killed"):
            servers[int(pid)] += 1 if status == "server-spawned" else -1
    for pid in (pid for pid, runs in servers.items() if runs > 0):
        try:
            os.kill(pid, 9)
        except ProcessLookupError:
            pass


def report(suites, options):
    for suite in suites:
        for problem in suite.problems:
            print(f"== {suite.name}: {problem}".replace("\\n", "\n   "))
    columns = {"failed as listed": "failed"} if options.listed else COLUMNS
    table = [["suite", "server", *columns], ["---", "---", *["---:"] * len(columns)]]
    for suite in suites:
        counts = [suite.count(status) for status in columns.values()]
        table.append([suite.name, f"`{SUITES[suite.name].lower()}`", *counts])
    sums = [sum(suite.count(status) for suite in suites) for status in columns.values()]
    table.append(["all", "", *sums])
    lines = [f"| {' | '.join(map(str, row))} |" for row in table]
    print("\n".join(lines))
    if options.write:
        write_table(lines)
    failed = sum(len(suite.problems) for suite in suites)
    if not sums[0]:
        failed += 1
        print("no test ran")
    print(f"test result: {'FAILED' if failed else 'ok'}. {sums[0]} passed; {failed} failed; {sum(sums[1:])} ignored")
    sys.exit(1 if failed else 0)


def write_table(table):
    readme = HERE / "README.md"
    before = readme.read_text().split(TABLE)[0]
    readme.write_text(before + TABLE + "\n".join([*table, ""]))


main()
