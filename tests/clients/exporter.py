"""Checks the metrics of prometheus-redis-exporter: `exporter.py CLIENT PROTOCOL PORT`."""

import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.request

PATIENCE = 60
[PROGRAM, _, PORT, _] = sys.argv[1:]

# Enables all metrics except those of single keys, scripts and clusters.
OPTIONS = ["-debug", "-export-client-list", "-include-config-metrics", "-include-system-metrics"]

# Runs between two scrapes.
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

# Metrics with the increase from the first to the second scrape.
MORE = {
    'redis_commands_total{cmd="set"}': 1,
    'redis_commands_total{cmd="get"}': 3,
    'redis_commands_rejected_calls_total{cmd="get"}': 1,
    'redis_commands_failed_calls_total{cmd="incr"}': 1,
    'redis_latency_percentiles_usec_count{cmd="get"}': 3,
    'redis_errors_total{err="ERR"}': 2,
    "redis_exporter_scrapes_total": 1,
}

# Metrics with the same value in both scrapes.
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

# Metrics that are positive in the second scrape.
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

# Metrics that are present in the second scrape with any value.
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
    check("log", lambda: has_no_warnings(lines))


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


def has_no_warnings(lines):
    assert any("running command: INFO" in line for line in lines), lines
    warnings = [line for line in lines if not re.search(r" level=(info|debug) ", line) or "- err: " in line]
    assert not warnings, warnings


def scrape(url):
    """Returns the values of the metrics by name."""
    with urllib.request.urlopen(url, timeout=PATIENCE) as response:
        lines = response.read().decode().splitlines()
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines if line.startswith("redis_"))}


def port_of(process):
    """Finds the exporter's port in /proc, because the exporter does not print it."""
    deadline = time.monotonic() + PATIENCE
    while process.poll() is None and time.monotonic() < deadline:
        with open(f"/proc/{process.pid}/net/tcp") as table:
            sockets = [line.split() for line in table.readlines()[1:]]
        own = descriptors(process)
        for local, state, inode in ((socket[1], socket[3], socket[9]) for socket in sockets):
            if state == "0A" and f"socket:[{inode}]" in own:
                return int(local.split(":")[1], 16)
        time.sleep(0.02)
    raise AssertionError("the exporter does not listen")


def descriptors(process):
    folder = f"/proc/{process.pid}/fd"
    # Skips descriptors that are closed meanwhile.
    return {os.readlink(f"{folder}/{name}") for name in os.listdir(folder) if os.path.islink(f"{folder}/{name}")}


def check(name, steps):
    try:
        steps()
    except Exception as error:
        print(f"failed {name}: {error!r}".replace("\n", " "))
    else:
        print("ok", name)


main()
