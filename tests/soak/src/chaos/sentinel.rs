//! A master with two replicas, and three sentinels.

use std::time::{Duration, Instant};

use fastrand::Rng;
use thegiant_resp::Value;

use super::{
    cluster::wait,
    course::Loss,
    redis::{Redis, arguments},
    replies::value_of,
    setting::{Fault, Setting, kill_clients, lossless, lossy, milliseconds_of, pause},
};
use crate::Result;

const FAULTS: &[Fault] = &[
    lossy(KILL_MASTER),
    lossy(RESTART_MASTER),
    lossy(FREEZE_MASTER),
    lossy(FAILOVER),
    lossless(KILL_REPLICA),
    lossless(KILL_SENTINEL),
    lossless(PAUSE),
    lossless(KILL_CLIENTS),
];
const KILL_MASTER: &str = "the master is killed, and starts again when a replica has replaced it";
const RESTART_MASTER: &str = "the master is killed, and starts again at once";
const FREEZE_MASTER: &str = "the master is stopped until a replica has replaced it, and goes on";
const FAILOVER: &str = "SENTINEL FAILOVER";
const KILL_REPLICA: &str = "a replica is killed, and starts again";
const KILL_SENTINEL: &str = "a sentinel is killed, and starts again";
const PAUSE: &str = "the master is stopped for a moment";
const KILL_CLIENTS: &str = "the master closes its connections";

const SENTINELS: usize = 3;

/// A sentinel gives up a failover after a part of this time.
const FAILOVER_TIMEOUT: Duration = Duration::from_secs(15);

pub(crate) struct Sentinel {
    servers: Vec<Redis>,
    sentinels: Vec<Redis>,
}

impl Sentinel {
    pub(crate) fn start() -> Result<Sentinel> {
        let mut servers = vec![server("")?];
        let master = servers[0].address.replace(':', " ");
        for _ in 0..2 {
            servers.push(server(&format!("replicaof {master}\n"))?);
        }
        let sentinels = (0..SENTINELS).map(|_| {
            Redis::with_file(|port, _| {
                let settings = format!(
                    "port {port}\nbind 127.0.0.1\nsentinel monitor mymaster {master} 2\n\
                     sentinel down-after-milliseconds mymaster 2000\nsentinel failover-timeout mymaster 6000\n"
                );
                (["sentinel.conf", "--sentinel"].map(str::to_owned).to_vec(), Some(("sentinel.conf", settings)))
            })
        });
        let setting = Sentinel { sentinels: sentinels.collect::<Result<_>>()?, servers };
        wait("the servers are not in sync", || setting.is_settled())?;
        Ok(setting)
    }

    /// Returns the address of the master that a sentinel names.
    fn named(&self, sentinel: usize) -> Result<String> {
        let reply = self.sentinels[sentinel].call("SENTINEL GET-MASTER-ADDR-BY-NAME mymaster")?;
        match reply.as_array() {
            Some([host, port]) => {
                Ok(format!("{}:{}", host.as_str().unwrap_or_default(), port.as_str().unwrap_or_default()))
            }
            _ => Err(format!("unexpected reply {reply:?}").into()),
        }
    }

    fn master(&self) -> Result<usize> {
        let named = self.named(0)?;
        let found = self.servers.iter().position(|server| server.address == named);
        found.ok_or_else(|| format!("the master is {named}").into())
    }

    /// Waits until a sentinel names another master than this one.
    fn is_replaced(&self, master: usize) -> Result<()> {
        wait("the master is not replaced", || Ok(self.master()? != master))
    }
}

impl Setting for Sentinel {
    fn options(&self) -> Vec<String> {
        let sentinels: Vec<_> = self.sentinels.iter().map(|sentinel| &sentinel.address[..]).collect();
        vec!["--sentinel".to_owned(), format!("mymaster@{}", sentinels.join(","))]
    }

    fn loss(&self) -> Loss {
        Loss::Failover
    }

    fn faults(&self) -> &'static [Fault] {
        FAULTS
    }

    fn inflict(&mut self, fault: &'static str, rng: &mut Rng) -> Result<()> {
        let master = self.master()?;
        match fault {
            KILL_MASTER => {
                self.servers[master].kill()?;
                self.is_replaced(master)?;
                pause(rng, 0..2000);
                self.servers[master].start()
            }
            RESTART_MASTER => {
                self.servers[master].kill()?;
                pause(rng, 0..500);
                self.servers[master].start()
            }
            FREEZE_MASTER => {
                self.servers[master].signal("STOP")?;
                let replaced = self.is_replaced(master);
                self.servers[master].signal("CONT")?;
                replaced
            }
            FAILOVER => {
                // A sentinel refuses while it does not know the replicas well enough, and may give up.
                let mut asked: Option<Instant> = None;
                wait("the master is not replaced", || {
                    let is_replaced = self.master()? != master;
                    if !is_replaced && asked.is_none_or(|asked| asked.elapsed() > FAILOVER_TIMEOUT) {
                        asked = Some(Instant::now());
                        self.sentinels[0].call("SENTINEL FAILOVER mymaster")?;
                    }
                    Ok(is_replaced)
                })
            }
            KILL_REPLICA => {
                let replica = (master + rng.usize(1..3)) % 3;
                self.servers[replica].kill()?;
                pause(rng, 0..2000);
                self.servers[replica].start()
            }
            KILL_SENTINEL => {
                let sentinel = &mut self.sentinels[rng.usize(..SENTINELS)];
                sentinel.kill()?;
                pause(rng, 0..2000);
                sentinel.start()
            }
            PAUSE => {
                let time = milliseconds_of(rng, 20..700);
                self.servers[master].freeze(time)
            }
            _ => kill_clients(&self.servers[master], rng),
        }
    }

    fn is_settled(&self) -> Result<bool> {
        let master = self.master()?;
        for sentinel in 0..SENTINELS {
            if self.named(sentinel)? != self.servers[master].address {
                return Ok(false);
            }
            let state = self.sentinels[sentinel].call("SENTINEL MASTER mymaster")?;
            let words: Vec<_> =
                state.as_array().unwrap_or_default().iter().filter_map(Value::as_str).collect();
            let field =
                |name| words.iter().position(|word| *word == name).and_then(|at| words.get(at + 1).copied());
            let others = (SENTINELS - 1).to_string();
            if field("flags") != Some("master") || field("num-other-sentinels") != Some(&others[..]) {
                return Ok(false);
            }
        }
        for (index, server) in self.servers.iter().enumerate() {
            let role = server.replication("role")?;
            let is_right = if index == master {
                role == "master" && server.replication("connected_slaves")? == "2"
            } else {
                let port = server.replication("master_port")?;
                let is_up = server.replication("master_link_status")? == "up";
                is_up && role == "slave" && self.servers[master].address.ends_with(&format!(":{port}"))
            };
            if !is_right {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn find(&self, key: &str) -> Result<Vec<Option<Vec<u8>>>> {
        let reply = self.servers[self.master()?].call(&format!("GET {key}"))?;
        Ok(vec![value_of(&reply)?.map(<[u8]>::to_vec)])
    }
}

/// Starts a server on a free port. Sentinel rewrites its file.
fn server(settings: &str) -> Result<Redis> {
    Redis::with_file(|port, _| {
        let all = [&["redis.conf", "--bind", "127.0.0.1", "--port", port], &arguments()[..]].concat();
        (all.into_iter().map(str::to_owned).collect(), Some(("redis.conf", settings.to_owned())))
    })
}
