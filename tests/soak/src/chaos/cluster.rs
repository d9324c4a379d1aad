//! A Redis Cluster of three masters and three replicas.

use std::{
    thread,
    time::{Duration, Instant},
};

use fastrand::Rng;
use thegiant_resp::Value;

use super::{
    course::{CLIENTS, Loss},
    redis::{Redis, arguments},
    replies::{is_ok, value_of},
    setting::{Fault, Setting, kill_clients, lossless, lossy, milliseconds_of, pause},
};
use crate::{Result, chaos::link::Link};

const MASTERS: usize = 3;
const NODES: usize = 2 * MASTERS;
const SLOTS: usize = 16_384;

/// A node that is silent for this time, in ms, is replaced by its replica.
const NODE_TIMEOUT: &str = "4000";

/// Time limit for the nodes to agree.
const PATIENCE: Duration = Duration::from_secs(60);

const FAULTS: &[Fault] = &[
    lossy(KILL_MASTER),
    lossy(RESTART_MASTER),
    lossy(FREEZE_MASTER),
    lossless(KILL_REPLICA),
    lossless(PAUSE),
    lossless(KILL_CLIENTS),
    lossless(MIGRATE),
    lossless(MIGRATE_AND_KILL_CLIENTS),
    lossless(FAILOVER),
];
const KILL_MASTER: &str = "a master is killed, and starts again when its replica has replaced it";
const RESTART_MASTER: &str = "a master is killed, and starts again at once";
const FREEZE_MASTER: &str = "a master is stopped until its replica has replaced it, and goes on";
const KILL_REPLICA: &str = "a replica is killed, and starts again";
const PAUSE: &str = "a node is stopped for a moment";
const KILL_CLIENTS: &str = "a node closes its connections";
const MIGRATE: &str = "slots move to another master";
const MIGRATE_AND_KILL_CLIENTS: &str = "slots move to another master, and both close their connections";
const FAILOVER: &str = "CLUSTER FAILOVER";

pub(crate) struct Cluster {
    nodes: Vec<Node>,
}

struct Node {
    redis: Redis,
    id: String,
}

impl Cluster {
    pub(crate) fn start() -> Result<Cluster> {
        let nodes = (0..NODES).map(|_| Node::start()).collect::<Result<Vec<_>>>()?;
        let cluster = Cluster { nodes };
        for (index, node) in cluster.nodes.iter().enumerate() {
            node.ok(&format!("CLUSTER SET-CONFIG-EPOCH {}", index + 1))?;
            if index < MASTERS {
                let [start, end] = [index, index + 1].map(|third| third * SLOTS / MASTERS);
                node.ok(&format!("CLUSTER ADDSLOTSRANGE {start} {}", end - 1))?;
            }
            for other in &cluster.nodes[..index] {
                node.ok(&format!("CLUSTER MEET {} {}", other.redis.address.replace(':', " "), other.bus()?))?;
            }
        }
        wait("the nodes do not meet", || {
            cluster.all(|node| Ok(node.lines()?.len() == NODES && node.sees_all()?))
        })?;
        for index in MASTERS..NODES {
            cluster.nodes[index].ok(&format!("CLUSTER REPLICATE {}", cluster.nodes[index - MASTERS].id))?;
        }
        wait("the replicas are not in sync", || cluster.is_settled())?;
        Ok(cluster)
    }

    fn all(&self, mut is_so: impl FnMut(&Node) -> Result<bool>) -> Result<bool> {
        for node in &self.nodes {
            if !is_so(node)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Returns a random master, or a random replica.
    fn any(&self, role: &str, rng: &mut Rng) -> Result<usize> {
        let mut found = Vec::new();
        for (index, node) in self.nodes.iter().enumerate() {
            if node.redis.replication("role")? == role {
                found.push(index);
            }
        }
        rng.choice(found).ok_or_else(|| format!("no node is a {role}").into())
    }

    /// Waits until another node has the slots of a node.
    fn is_replaced(&self, lost: usize) -> Result<()> {
        let id = &self.nodes[lost].id;
        let others = || self.nodes.iter().filter(|node| node.id != *id);
        wait("the master is not replaced", || {
            for node in others() {
                let has_slots = |line: &String| line.starts_with(id) && line.split(' ').count() > 8;
                if node.lines()?.iter().any(has_slots) {
                    return Ok(false);
                }
            }
            Ok(true)
        })
    }

    /// Moves the slots of some clients to another master.
    fn migrate(&self, rng: &mut Rng, kills_clients: bool) -> Result<()> {
        let source = self.any("master", rng)?;
        let target = std::iter::repeat_with(|| self.any("master", rng))
            .find(|found| !matches!(found, Ok(index) if *index == source));
        let target = &self.nodes[target.ok_or("another master")??];
        let source = &self.nodes[source];
        for _ in 0..200 {
            let slot = source.redis.call(&format!("CLUSTER KEYSLOT {{{}}}", rng.usize(..CLIENTS)))?;
            let slot = slot.as_int().ok_or("a slot")?;
            if source.redis.call(&format!("CLUSTER COUNTKEYSINSLOT {slot}"))? == Value::Integer(0) {
                continue;
            }
            self.move_slot(slot, source, target, rng, kills_clients)?;
            if rng.u8(..4) == 0 {
                break;
            }
        }
        Ok(())
    }

    fn move_slot(
        &self,
        slot: i64,
        source: &Node,
        target: &Node,
        rng: &mut Rng,
        kills_clients: bool,
    ) -> Result<()> {
        target.ok(&format!("CLUSTER SETSLOT {slot} IMPORTING {}", source.id))?;
        source.ok(&format!("CLUSTER SETSLOT {slot} MIGRATING {}", target.id))?;
        let address = target.redis.address.replace(':', " ");
        let (host, port) = address.split_once(' ').ok_or("a port")?;
        let mut link = source.redis.link()?;
        loop {
            pause(rng, 0..60);
            if kills_clients && rng.u8(..4) == 0 {
                let node = if rng.bool() { source } else { target };
                // It would also kill the connection of MIGRATE.
                node.redis.call("CLIENT KILL TYPE normal SKIPME yes")?;
                link = source.redis.link()?;
            }
            let Value::Array(keys) = link.call(&format!("CLUSTER GETKEYSINSLOT {slot} 1"))? else {
                return Err("no keys".into());
            };
            let keys: Vec<_> = keys.iter().filter_map(Value::as_str).collect();
            if keys.is_empty() {
                break;
            }
            let words = [&["MIGRATE", host, port, "", "0", "5000", "KEYS"], &keys[..]].concat();
            match link.ask(&words)? {
                // A client may have deleted the key, or the kept connection of MIGRATE was closed.
                Value::Simple(_) => {}
                Value::Error(error) if error.code() == "IOERR" => {}
                other => return Err(format!("MIGRATE replied {other:?}").into()),
            }
        }
        for node in [target, source] {
            node.ok(&format!("CLUSTER SETSLOT {slot} NODE {}", target.id))?;
        }
        Ok(())
    }
}

impl Setting for Cluster {
    fn options(&self) -> Vec<String> {
        // Any node names all others.
        vec!["--cluster".to_owned(), self.nodes[0].redis.address.clone(), self.nodes[4].redis.address.clone()]
    }

    fn loss(&self) -> Loss {
        Loss::Failover
    }

    fn faults(&self) -> &'static [Fault] {
        FAULTS
    }

    fn inflict(&mut self, fault: &'static str, rng: &mut Rng) -> Result<()> {
        match fault {
            KILL_MASTER => {
                let master = self.any("master", rng)?;
                self.nodes[master].redis.kill()?;
                self.is_replaced(master)?;
                pause(rng, 0..2000);
                self.nodes[master].redis.start()
            }
            RESTART_MASTER => {
                let master = self.any("master", rng)?;
                self.nodes[master].redis.kill()?;
                pause(rng, 0..500);
                self.nodes[master].redis.start()
            }
            FREEZE_MASTER => {
                let master = self.any("master", rng)?;
                self.nodes[master].redis.signal("STOP")?;
                let replaced = self.is_replaced(master);
                self.nodes[master].redis.signal("CONT")?;
                replaced
            }
            KILL_REPLICA => {
                let replica = self.any("slave", rng)?;
                self.nodes[replica].redis.kill()?;
                pause(rng, 0..2000);
                self.nodes[replica].redis.start()
            }
            PAUSE => {
                let time = milliseconds_of(rng, 20..1500);
                self.nodes[rng.usize(..NODES)].redis.freeze(time)
            }
            KILL_CLIENTS => kill_clients(&self.nodes[rng.usize(..NODES)].redis, rng),
            MIGRATE => self.migrate(rng, false),
            MIGRATE_AND_KILL_CLIENTS => self.migrate(rng, true),
            _ => {
                let replica = self.any("slave", rng)?;
                self.nodes[replica].ok("CLUSTER FAILOVER")?;
                wait("the replica does not take over", || {
                    Ok(self.nodes[replica].redis.replication("role")? == "master")
                })
            }
        }
    }

    fn is_settled(&self) -> Result<bool> {
        self.all(|node| {
            let is_ok = node.redis.report("CLUSTER INFO")?.starts_with("cluster_state:ok\r\n");
            let is_in_sync = match node.redis.replication("role")?.as_str() {
                "master" => node.redis.replication("slave0")?.contains("state=online"),
                _ => node.redis.replication("master_link_status")? == "up",
            };
            let lines = node.lines()?;
            let masters =
                lines.iter().filter(|line| line.contains("master") && line.split(' ').count() > 8).count();
            Ok(is_ok && is_in_sync && masters == MASTERS && node.sees_all()?)
        })
    }

    fn find(&self, key: &str) -> Result<Vec<Option<Vec<u8>>>> {
        let mut link = self.nodes[0].redis.link()?;
        for _ in 0..5 {
            match link.call(&format!("GET {key}"))? {
                Value::Error(error) if error.code() == "MOVED" => {
                    let text = String::from_utf8_lossy(error.as_bytes()).into_owned();
                    link = Link::open(text.rsplit(' ').next().unwrap_or_default())?;
                }
                reply => return Ok(vec![value_of(&reply)?.map(<[u8]>::to_vec)]),
            }
        }
        Err(format!("no node has {key}").into())
    }
}

impl Node {
    fn start() -> Result<Node> {
        let redis = Redis::on_port(|port, bus| {
            let cluster =
                ["--cluster-enabled", "yes", "--cluster-node-timeout", NODE_TIMEOUT, "--cluster-port", bus];
            let listening = ["--bind", "127.0.0.1", "--port", port];
            // The other masters serve their slots meanwhile. No replica moves to another master.
            let others = [
                "--cluster-require-full-coverage",
                "no",
                "--cluster-allow-replica-migration",
                "no",
                "--cluster-replica-validity-factor",
                "0",
            ];
            let all = [&listening[..], &cluster, &others, &arguments()].concat();
            all.into_iter().map(str::to_owned).collect()
        })?;
        let id = redis.report("CLUSTER MYID")?;
        Ok(Node { redis, id })
    }

    fn ok(&self, line: &str) -> Result<()> {
        is_ok(&self.redis.call(line)?).map_err(|error| format!("{line}: {error}").into())
    }

    fn bus(&self) -> Result<String> {
        match self.redis.call("CONFIG GET cluster-port")? {
            Value::Array(pair) if pair.len() == 2 => Ok(pair[1].as_str().unwrap_or_default().to_owned()),
            other => Err(format!("CONFIG GET replied {other:?}").into()),
        }
    }

    /// Returns the nodes that this one knows, one per line.
    fn lines(&self) -> Result<Vec<String>> {
        Ok(self.redis.report("CLUSTER NODES")?.lines().map(str::to_owned).collect())
    }

    /// Returns whether it is connected to all other nodes, and takes none of them for failed.
    fn sees_all(&self) -> Result<bool> {
        let is_bad = |line: &String| {
            line.contains("fail") || line.contains("handshake") || line.contains(" disconnected")
        };
        Ok(!self.lines()?.iter().any(is_bad))
    }
}

/// Waits until `is_so` returns true.
pub(crate) fn wait(problem: &str, mut is_so: impl FnMut() -> Result<bool>) -> Result<()> {
    let begun = Instant::now();
    while !is_so()? {
        if begun.elapsed() > PATIENCE {
            return Err(problem.into());
        }
        thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}
