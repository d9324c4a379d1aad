"""Three servers that are a cluster: instances of `kv` (the variable KV names its binary), or a Redis Cluster."""

import os
import subprocess
import tempfile

import redis
from redis.crc import key_slot
from servers import free_ports, wait_until

KEYS = 200
NAMES = [f"key-{number}" for number in range(KEYS)]
# The slots that move from the first server to the second one, and back. redis-benchmark uses the first slot of each server.
MOVING = range(0, 5361)
OWNED = [[range(0, 5461)], [range(5461, 10923)], [range(10923, 16384)]]
# The difference between the port of a node and that of its cluster bus.
BUS = 10_000


class System:
    """Three servers that are ready when the `with` block begins, and end with it."""

    def __enter__(self):
        # Another program may take a port meanwhile.
        while not self.have_started():
            self.__exit__()
        self.prepare()
        return self

    def have_started(self):
        self.folder = tempfile.TemporaryDirectory()
        self.ports = free_ports(3, beside=BUS)
        self.processes = [self.start(number, port) for number, port in enumerate(self.ports)]
        self.clients = [redis.Redis(port=port, decode_responses=True) for port in self.ports]
        for client, process in zip(self.clients, self.processes):
            wait_until(lambda: answers(client) or process.poll() is not None)
        return all(process.poll() is None for process in self.processes)

    def __exit__(self, *_):
        for client in self.clients:
            client.close()
        for process in self.processes:
            process.kill()
            process.wait()
        self.folder.cleanup()

    def spawn(self, *command):
        return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=self.folder.name)

    def prepare(self):
        pass

    def increments(self):
        """Returns how many increments have succeeded so far."""
        stats = [client.info("commandstats") for client in self.clients]
        # Some clients send INCRBY.
        counts = [one.get(f"cmdstat_{name}", {}) for one in stats for name in ("incr", "incrby")]
        return sum(count.get("calls", 0) for count in counts)

    def errors(self, code):
        """Returns how many errors of this code all servers have replied."""
        return sum(client.info("errorstats").get(f"errorstat_{code}", {}).get("count", 0) for client in self.clients)


class Instances(System):
    """They move no data, so the sum of their counters is the number of increments."""

    label = "kv"

    def start(self, number, port):
        file = f"{self.folder.name}/topology"
        if number == 0:
            with open(file, "w") as topology:
                topology.write(self.topology(1, OWNED))
        return self.spawn(
            os.environ["KV"], "--bind", f"127.0.0.1:{port}", "--cluster-topology", file, "--cluster-node", "abc"[number]
        )

    def topology(self, version, owned):
        ranges = [" ".join(f"{slots[0]}-{slots[-1]}" for slots in own) for own in owned]
        lines = [f"{name} 127.0.0.1:{port} {own}\n" for name, port, own in zip("abc", self.ports, ranges)]
        return f"version {version}\n{''.join(lines)}"

    def set_slots(self, version, owned, receiver):
        """Tells all instances, the receiver of slots first: it serves them when the others send their clients to it."""
        for client in sorted(self.clients, key=lambda client: client is not self.clients[receiver]):
            client.execute_command("CLUSTER", "SETTOPOLOGY", self.topology(version, owned))

    def move_away(self):
        self.set_slots(2, [[range(MOVING[-1] + 1, 5461)], [MOVING, *OWNED[1]], OWNED[2]], receiver=1)
        return slots_in_use()

    def move_back(self):
        self.set_slots(3, OWNED, receiver=0)
        return slots_in_use()

    def total(self):
        total = 0
        for number, client in enumerate(self.clients):
            owned = [[range(0, 16384)] if other == number else [] for other in range(3)]
            self.set_slots(4 + number, owned, receiver=number)
            total += sum_of(client)
        return total


class RedisCluster(System):
    """Its slots move with their keys, as redis-cli moves them."""

    label = "redis-server"

    def start(self, number, port):
        return self.spawn(
            "redis-server", "--port", str(port), "--cluster-enabled", "yes", "--cluster-config-file", f"{number}.conf",
            "--save", "", "--dbfilename", f"{number}.rdb",
        )  # fmt: skip

    def prepare(self):
        for number, (client, [slots]) in enumerate(zip(self.clients, OWNED), start=1):
            client.execute_command("CLUSTER", "SET-CONFIG-EPOCH", number)
            client.execute_command("CLUSTER", "ADDSLOTSRANGE", slots[0], slots[-1])
            client.execute_command("CLUSTER", "MEET", "127.0.0.1", self.ports[0])
        self.wait_for_agreement()
        self.ids = [client.execute_command("CLUSTER", "MYID") for client in self.clients]

    def wait_for_agreement(self):
        def agree():
            infos = [client.execute_command("CLUSTER", "INFO") for client in self.clients]
            fields = [info if isinstance(info, dict) else dict(line.split(":") for line in info.split()) for info in infos]
            return all(info["cluster_state"] == "ok" and info["cluster_known_nodes"] == "3" for info in fields)

        wait_until(agree)

    def move_away(self):
        return self.move(0, 1)

    def move_back(self):
        return self.move(1, 0)

    def move(self, source, target):
        clients, ids = self.clients, self.ids
        for slot in MOVING:
            clients[target].execute_command("CLUSTER", "SETSLOT", slot, "IMPORTING", ids[source])
            clients[source].execute_command("CLUSTER", "SETSLOT", slot, "MIGRATING", ids[target])
            while keys := clients[source].execute_command("CLUSTER", "GETKEYSINSLOT", slot, 100):
                clients[source].execute_command("MIGRATE", "127.0.0.1", self.ports[target], "", 0, 10_000, "KEYS", *keys)
            for number in (target, source, 2):
                clients[number].execute_command("CLUSTER", "SETSLOT", slot, "NODE", ids[target])
        return slots_in_use()

    def total(self):
        return sum(sum_of(client) for client in self.clients)


def slots_in_use():
    """Returns how many of the moving slots have keys of the counting clients."""
    return len({slot for name in NAMES if (slot := key_slot(name.encode())) in MOVING})


def sum_of(client):
    return sum(int(client.get(key) or 0) for key in all_keys(client))


def all_keys(client):
    return list(client.scan_iter(count=10_000))


def answers(client):
    try:
        return client.ping()
    except redis.ConnectionError:
        return False
