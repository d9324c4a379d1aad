"""The processes under test: PostgreSQL with a synchronous standby, etcd, instances of `jobs`, and what cuts them off."""

import asyncio
import os
import subprocess
import threading
import time

from servers import Postgres, free_ports, is_open, wait_until

SETTINGS = ["max_connections=200"]


class Replicated:
    """A primary that waits for its standby with each commit."""

    def __init__(self, folder):
        self.ports = free_ports(2)
        self.primary, self.standby = (Postgres(folder / name, port) for name, port in zip(["primary", "standby"], self.ports))
        self.primary.create()
        self.primary.start(*SETTINGS)
        self.standby.create_standby(self.primary)
        self.standby.start(*SETTINGS)
        self.primary.sql("ALTER SYSTEM SET synchronous_standby_names = '*'")
        self.primary.sql("SELECT pg_reload_conf()")
        wait_until(lambda: self.primary.sql("SELECT sync_state FROM pg_stat_replication") == "sync")

    def url(self, ports=None):
        hosts = ",".join(f"127.0.0.1:{port}" for port in ports or self.ports)
        return f"postgres://test@{hosts}/postgres?target_session_attrs=read-write&connect_timeout=2"

    def kill_primary(self):
        self.primary.kill()

    def promote(self):
        # The new primary has no standby.
        (self.standby.data / "postgresql.auto.conf").open("a").write("synchronous_standby_names = ''\n")
        self.standby.promote()
        self.standby.sql("SELECT pg_reload_conf()")

    def stop(self):
        self.primary.stop()
        self.standby.stop()


class Etcd:
    """Three nodes of etcd."""

    def __init__(self, folder):
        self.folder = folder
        self.ports, self.peers = free_ports(3), free_ports(3)
        self.nodes = [self.start(number) for number in range(3)]
        for port in self.ports:
            wait_until(lambda: is_open(port))

    def start(self, number):
        client, peer = (f"http://127.0.0.1:{ports[number]}" for ports in (self.ports, self.peers))
        cluster = ",".join(f"n{n}=http://127.0.0.1:{port}" for n, port in enumerate(self.peers))
        with open(self.folder / f"etcd{number}.log", "ab") as log:
            return subprocess.Popen(
                ["etcd", "--name", f"n{number}", "--data-dir", self.folder / f"etcd{number}", "--listen-client-urls", client,
                 "--advertise-client-urls", client, "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
                 "--initial-cluster", cluster],
                stdout=log, stderr=log,
            )  # fmt: skip

    def url(self, ports=None):
        return "etcd://" + ",".join(f"127.0.0.1:{port}" for port in ports or self.ports)

    def kill(self, number):
        self.nodes[number].kill()
        self.nodes[number].wait()

    def restart(self, number):
        self.nodes[number] = self.start(number)

    def stop(self):
        for node in self.nodes:
            node.kill()
            node.wait()


class Cable:
    """Leads from one instance to the servers of its store. A cut cable swallows all bytes, as a firewall does."""

    def __init__(self, targets):
        self.ports = []
        self.loop = asyncio.new_event_loop()
        self.is_whole = asyncio.Event()
        self.is_whole.set()
        ready = threading.Event()
        threading.Thread(target=self.run, args=(targets, ready), daemon=True).start()
        ready.wait()

    def run(self, targets, ready):
        asyncio.set_event_loop(self.loop)
        self.loop.run_until_complete(self.listen(targets))
        ready.set()
        self.loop.run_forever()

    async def listen(self, targets):
        for target in targets:
            server = await asyncio.start_server(lambda *ends, target=target: self.forward(target, *ends), "127.0.0.1", 0)
            self.ports.append(server.sockets[0].getsockname()[1])

    async def forward(self, target, reader, writer):
        await self.is_whole.wait()
        try:
            there, here = await asyncio.open_connection("127.0.0.1", target)
        except OSError:
            writer.close()
            return
        await asyncio.gather(self.copy(reader, here), self.copy(there, writer))

    async def copy(self, source, target):
        try:
            while data := await source.read(1 << 16):
                await self.is_whole.wait()
                target.write(data)
                await target.drain()
        except OSError:
            pass
        target.close()

    def cut(self):
        self.loop.call_soon_threadsafe(self.is_whole.clear)

    def mend(self):
        self.loop.call_soon_threadsafe(self.is_whole.set)


class Instance:
    """An instance of `jobs`, which starts again when it ends, as systemd would start it."""

    def __init__(self, name, folder, database, store, options):
        self.name, self.log = name, folder / f"{name}.log"
        self.cable = Cable(store.ports)
        [self.port] = free_ports(1)
        self.command = [
            os.environ["JOBS"], "--bind", f"127.0.0.1:{self.port}", "--database", database,
            "--cluster-node", name, "--cluster-address", f"127.0.0.1:{self.port}",
            "--cluster-store", store.url(self.cable.ports), "--cluster-partitions", str(options.partitions),
            "--cluster-lease", str(options.lease),
        ]  # fmt: skip
        self.starts = 0
        # Not before this time, in seconds of the monotonic clock.
        self.start_at = 0.0
        self.process = None
        self.is_wanted = True
        self.supervisor = threading.Thread(target=self.supervise)
        self.supervisor.start()

    def supervise(self):
        while self.is_wanted:
            if time.monotonic() < self.start_at:
                time.sleep(0.05)
                continue
            with open(self.log, "ab") as log:
                self.process = subprocess.Popen(self.command, stdout=log, stderr=log)
            self.starts += 1
            code = self.process.wait()
            self.start_at = max(self.start_at, time.monotonic() + 1)
            with open(self.log, "a") as log:
                log.write(f"--- ended with {code}\n")

    def kill(self, pause):
        self.start_at = time.monotonic() + pause
        self.process.kill()

    def terminate(self, pause):
        self.start_at = time.monotonic() + pause
        self.process.terminate()

    def signal(self, number):
        self.process.send_signal(number)

    def end(self):
        self.is_wanted = False
        self.process.kill()
        self.supervisor.join()
