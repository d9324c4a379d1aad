//! Three servers that do not know each other.

use fastrand::Rng;

use super::{
    course::Loss,
    redis::{Redis, arguments},
    replies::value_of,
    setting::{Fault, Setting, kill_clients, lossless, lossy, milliseconds_of, pause},
};
use crate::Result;

/// With `--no-eject`, no fault loses a write. Without it, each of those that the balancer takes for a server that is down
/// may bring back old values.
const FAULTS: &[Fault] = &[
    lossy(KILL),
    lossy(KILL_TWO),
    lossy(KILL_FROZEN),
    lossy(FREEZE),
    lossless(PAUSE),
    lossless(KILL_CLIENTS),
    lossless(KILL_CLIENTS_OF_ALL),
];
const KILL: &str = "a server is killed, and starts again";
const KILL_TWO: &str = "two servers are killed, and start again";
const KILL_FROZEN: &str = "a server is stopped, then killed, and starts again";
const FREEZE: &str = "a server is stopped, and goes on";
const PAUSE: &str = "a server is stopped for a moment";
const KILL_CLIENTS: &str = "a server closes its connections";
const KILL_CLIENTS_OF_ALL: &str = "all servers close their connections";

pub(crate) struct Servers {
    servers: Vec<Redis>,
    is_ejecting: bool,
}

impl Servers {
    pub(crate) fn start(is_ejecting: bool) -> Result<Servers> {
        let servers = (0..3).map(|_| Redis::on_socket(&[&["--port", "0"], &arguments()[..]].concat()));
        Ok(Servers { servers: servers.collect::<Result<_>>()?, is_ejecting })
    }

    fn any(&mut self, rng: &mut Rng) -> &mut Redis {
        let index = rng.usize(..self.servers.len());
        &mut self.servers[index]
    }
}

impl Setting for Servers {
    fn options(&self) -> Vec<String> {
        let options = if self.is_ejecting { None } else { Some("--no-eject".to_owned()) };
        options.into_iter().chain(self.servers.iter().map(|server| server.address.clone())).collect()
    }

    fn loss(&self) -> Loss {
        if self.is_ejecting { Loss::Ejection } else { Loss::Never }
    }

    fn faults(&self) -> &'static [Fault] {
        FAULTS
    }

    fn inflict(&mut self, fault: &'static str, rng: &mut Rng) -> Result<()> {
        match fault {
            KILL => {
                let server = self.any(rng);
                server.kill()?;
                pause(rng, 0..3000);
                server.start()
            }
            KILL_TWO => {
                rng.shuffle(&mut self.servers[1..]);
                let [_, first, second] = &mut self.servers[..] else { return Err("three servers".into()) };
                first.kill()?;
                pause(rng, 0..2000);
                second.kill()?;
                pause(rng, 0..2000);
                first.start()?;
                second.start()
            }
            KILL_FROZEN => {
                let server = self.any(rng);
                server.signal("STOP")?;
                pause(rng, 0..4000);
                server.kill()?;
                pause(rng, 0..1000);
                server.start()
            }
            FREEZE => {
                let time = milliseconds_of(rng, 500..8000);
                self.any(rng).freeze(time)
            }
            PAUSE => {
                let time = milliseconds_of(rng, 20..300);
                self.any(rng).freeze(time)
            }
            KILL_CLIENTS => {
                let index = rng.usize(..self.servers.len());
                kill_clients(&self.servers[index], rng)
            }
            _ => self.servers.iter().try_for_each(|server| kill_clients(server, rng)),
        }
    }

    fn is_settled(&self) -> Result<bool> {
        Ok(self.servers.iter().all(|server| server.is_running() && server.call("PING").is_ok()))
    }

    fn find(&self, key: &str) -> Result<Vec<Option<Vec<u8>>>> {
        let values = self.servers.iter().map(|server| {
            let reply = server.call(&format!("GET {key}"))?;
            Ok(value_of(&reply)?.map(<[u8]>::to_vec))
        });
        let values: Vec<_> = values.collect::<Result<_>>()?;
        let found: Vec<_> = values.into_iter().filter(Option::is_some).collect();
        if found.len() > 1 && !self.is_ejecting {
            return Err(format!("{key} is on {} servers", found.len()).into());
        }
        Ok(if found.is_empty() { vec![None] } else { found })
    }
}
