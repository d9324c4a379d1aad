"""prometheus-redis-exporter, which asks for all that an operator may want to see: `exporter.py CLIENT PROTOCOL PORT`."""

import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.request

PATIENCE = 60
[PROGRAM, _, PORT, _] = sys.argv[1:]

# All that it can ask for, but single keys and what scripts or clusters have.
OPTIONS = ["-debug", "-export-client-list", "-include-config-metrics", "-include-system-metrics"]

# What these do is counted between two scrapes.
COMMANDS = b"""
CONFIG SET latency-tracking yes
CONFIG SET slowlog-log-slower-than 0
SET a b EX 1000
GET a
GET a
GET missing
INCR a
GET
"""

# How much more the second scrape has than the first one.
MORE = {
    'redis_commands_total{cmd="set"}': 1,
    'redis_commands_total{cmd="get"}': 3,
    'redis_commands_rejected_calls_total{cmd="get"}': 1,
    'redis_commands_failed_calls_total{cmd="incr"}': 1,
    'redis_latency_percentiles_usec_count{cmd="get"}': 3,
    'redis_errors_total{err="ERR"}': 2,
    "redis_exporter_scrapes_total": 1,
}

# What both have.
SAME = {
    "redis_up": 1,
    'redis_exporter_last_scrape_error{err=""}': 0,
    "redis_connected_clients": 1,
    "redis_connected_slaves": 0,
    "redis_blocked_clients": 0,
    "redis_config_maxclients": 10_000,
    'redis_config_value{key="databases"}': 16,
    "redis_loading_dump_file": 0,
    "redis_rejected_connections_total": 0,
}

# What the second one has some of.
SOME = [
    "redis_commands_processed_total",
    'redis_commands_duration_seconds_total{cmd="set"}',
    "redis_connections_received_total",
    "redis_memory_used_bytes",
    "redis_memory_used_rss_bytes",
    "redis_memory_used_peak_bytes",
    "redis_total_system_memory_bytes",
    "redis_net_input_bytes_total",
    "redis_net_output_bytes_total",
    "redis_slowlog_length",
    "redis_start_time_seconds",
    "redis_process_id",
]

# What it has, however much.
ANY = [
    "redis_cpu_sys_seconds_total",
    "redis_cpu_user_seconds_total",
    "redis_cpu_sys_children_seconds_total",
    "redis_cpu_user_children_seconds_total",
]


def main():
    version = subprocess.run([PROGRAM, "-version"], capture_output=True, text=True, check=True)
    print("version", re.search(r"Exporter (\S+)", version.stdout + version.stderr)[1])
    with tempfile.TemporaryFile() as log:
        exporter = subprocess.Popen(
            [PROGRAM, "-redis.addr", f"redis://127.0.0.1:{PORT}", "-web.listen-address", "127.0.0.1:0", *OPTIONS],
            stdout=log,
            stderr=log,
        )
        try:
            url = f"http://127.0.0.1:{port_of(exporter)}/metrics"
            first = scrape(url)
            subprocess.run(["redis-cli", "-p", PORT], input=COMMANDS, capture_output=True, check=True)
            second = scrape(url)
        finally:
            exporter.terminate()
            exporter.wait()
        log.seek(0)
        lines = log.read().decode().splitlines()
    check("values", lambda: values(first, second))
    check("clients", lambda: clients(second))
    check("log", lambda: is_without_complaint(lines))


def values(first, second):
    for name, value in SAME.items():
        assert (first.get(name), second.get(name)) == (value, value), f"{name}: {first.get(name)}, {second.get(name)}"
    for name, more in MORE.items():
        assert second.get(name, 0) - first.get(name, 0) == more, f"{name}: {first.get(name)}, {second.get(name)}"
    for name in SOME:
        assert second.get(name, 0) > 0, f"{name}: {second.get(name)}"
    for name in ANY:
        assert name in second, name


def clients(samples):
    own = [name for name in samples if name.startswith("redis_connected_clients_details{")]
    assert len(own) == 1 and 'name="redis_exporter"' in own[0], own


def is_without_complaint(lines):
    assert any("running command: INFO" in line for line in lines), lines
    complaints = [line for line in lines if not re.search(r" level=(info|debug) ", line) or "- err: " in line]
    assert not complaints, complaints


def scrape(url):
    """The samples: what stands before each value, and the value."""
    with urllib.request.urlopen(url, timeout=PATIENCE) as response:
        lines = response.read().decode().splitlines()
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines if line.startswith("redis_"))}


def port_of(process):
    """It does not say which port it has taken, but the system does."""
    deadline = time.monotonic() + PATIENCE
    while process.poll() is None and time.monotonic() < deadline:
        with open(f"/proc/{process.pid}/net/tcp") as table:
            sockets = [line.split() for line in table.readlines()[1:]]
        own = descriptors(process)
        for local, state, inode in ((socket[1], socket[3], socket[9]) for socket in sockets):
            if state == "0A" and f"socket:[{inode}]" in own:
                return int(local.split(":")[1], 16)
        time.sleep(0.02)
    raise AssertionError("it does not listen")


def descriptors(process):
    folder = f"/proc/{process.pid}/fd"
    # Some are closed in between.
    return {os.readlink(f"{folder}/{name}") for name in os.listdir(folder) if os.path.islink(f"{folder}/{name}")}


def check(name, steps):
    try:
        steps()
    except Exception as error:
        print(f"failed {name}: {error!r}".replace("\n", " "))
    else:
        print("ok", name)


main()
