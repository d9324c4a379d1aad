//! A client that follows redirects, and tries again while an instance is lost.

use std::{
    collections::HashMap,
    thread,
    time::{Duration, Instant},
};

use thegiant::Bytes;

use crate::support::{PATIENCE, RawClient, Reply, line};

/// A client of all instances.
pub(super) struct ClusterClient {
    /// The addresses that it knows from the start.
    seeds: Vec<String>,
    connections: HashMap<String, RawClient>,
    /// The owner of each key, as far as the client knows.
    owners: HashMap<String, String>,
}

impl ClusterClient {
    pub(super) fn new(seeds: Vec<String>) -> Self {
        ClusterClient { seeds, connections: HashMap::new(), owners: HashMap::new() }
    }

    /// Sends a request for a key, until an instance replies that serves it. Returns the reply, and whether the client has sent the request
    /// again after an instance was lost, which may have run it.
    pub(super) fn ask(&mut self, key: &str, request: &str) -> (Bytes, bool) {
        let (mut was_lost, end) = (false, Instant::now() + PATIENCE);
        for attempt in 0.. {
            let address = self.owner(key, attempt);
            let reply = match self.connections.get_mut(&address) {
                Some(connection) => connection.try_send(line(request)).and_then(|()| connection.try_reply()),
                None => match RawClient::try_connect(&address) {
                    Ok(connection) => {
                        self.connections.insert(address, connection);
                        continue;
                    }
                    Err(error) => Err(error),
                },
            };
            match reply.map(|reply| (Reply::only(&reply), reply)) {
                Ok((Some(Reply::Error(error)), reply)) => {
                    let error = String::from_utf8_lossy(&error).into_owned();
                    match &error.split(' ').collect::<Vec<_>>()[..] {
                        ["MOVED", _, address] => {
                            drop(self.owners.insert(key.to_owned(), (*address).to_owned()))
                        }
                        ["CLUSTERDOWN", ..] => drop(self.owners.remove(key)),
                        // The instance ends: whether it has run the request is not known.
                        ["MISCONF" | "UNBLOCKED" | "ACTORDOWN", ..] => {
                            was_lost = true;
                            self.owners.remove(key);
                        }
                        _ => return (reply, was_lost),
                    }
                }
                Ok((_, reply)) if !reply.is_empty() => return (reply, was_lost),
                Ok(_) | Err(_) => {
                    was_lost |= self.connections.remove(&address).is_some();
                    self.owners.remove(key);
                }
            }
            assert!(Instant::now() < end, "no instance serves {key}");
            thread::sleep(Duration::from_millis(5));
        }
        unreachable!("the attempts do not end")
    }

    fn owner(&self, key: &str, attempt: usize) -> String {
        let known = self.owners.get(key);
        known.unwrap_or_else(|| &self.seeds[attempt % self.seeds.len()]).clone()
    }
}
