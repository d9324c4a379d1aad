//! The nodes of a Redis Cluster.

use std::{cell::RefCell, rc::Rc, time::Duration};

use thegiant::{
    Error, UpstreamHandle, Value,
    upstream::{Redirect, Request, Route, Servers},
};
use tokio::{sync::Notify, time};

use crate::{
    hash::{SLOTS, slot_of},
    spread::Spread,
};

/// A Redis Cluster, which says itself where its keys are. What it redirects is sent again.
#[derive(Debug)]
pub struct Cluster {
    /// The server of each slot.
    slots: Vec<Option<usize>>,
    /// All that have slots.
    masters: Vec<usize>,
    /// How often the program has asked what any of them can answer.
    asked: u64,
    told: Rc<Told>,
}

/// What the cluster has said of itself: the router, which runs for each request, is told of it by who asks.
#[derive(Debug, Default)]
struct Told {
    /// The slots of addresses, when they have been told anew.
    ranges: RefCell<Option<Vec<Range>>>,
    /// They are not true any more.
    changed: Notify,
}

/// The slots from the first to the last, and the address of their master.
#[derive(Debug, PartialEq, Eq)]
struct Range {
    first: usize,
    last: usize,
    address: String,
}

/// Asks a cluster for its slots periodically.
#[derive(Debug)]
pub struct Watch(Rc<Told>);

/// So often it is asked, and at most so often if it is known to have changed.
const EVERY: Duration = Duration::from_secs(2);
const AT_MOST_EVERY: Duration = Duration::from_millis(100);

/// Number of attempts to get the slots before clients are served.
const ATTEMPTS: usize = 10;

const NO_CLUSTER: Error = Error::from_static("ERR This instance has cluster support disabled");

impl Cluster {
    /// A cluster of which nothing is known yet, and what has to [run](Watch::run) for it to be known.
    pub fn new() -> (Self, Watch) {
        let told = Rc::new(Told::default());
        (
            Cluster { slots: vec![None; SLOTS], masters: Vec::new(), asked: 0, told: Rc::clone(&told) },
            Watch(told),
        )
    }

    /// Takes note of what has been told.
    fn update(&mut self, servers: &mut Servers) {
        let Some(ranges) = self.told.ranges.take() else { return };
        self.slots.fill(None);
        for Range { first, last, address } in ranges {
            let server = servers.find_or_add(&address);
            self.slots[first..=last].fill(Some(server));
        }
        self.masters = self.slots.iter().flatten().copied().collect();
        self.masters.sort_unstable();
        self.masters.dedup();
    }
}

impl Watch {
    /// Asks until it is told, or gives up for now.
    pub async fn begin(&self, nodes: &UpstreamHandle) {
        for _ in 0..ATTEMPTS {
            match self.ask(nodes).await {
                Ok(()) => return,
                Err(error) => tracing::warn!(%error, "the cluster does not say where its slots are"),
            }
            time::sleep(AT_MOST_EVERY).await;
        }
    }

    /// Runs for ever.
    pub async fn run(self, nodes: UpstreamHandle) {
        loop {
            time::sleep(AT_MOST_EVERY).await;
            // It is told that it has to, or it is time.
            let _ = time::timeout(EVERY, self.0.changed.notified()).await;
            if let Err(error) = self.ask(&nodes).await {
                tracing::debug!(%error, "the cluster does not say where its slots are");
            }
        }
    }

    async fn ask(&self, nodes: &UpstreamHandle) -> Result<(), Error> {
        let ranges = ranges(nodes.call(["CLUSTER", "SLOTS"]).await?);
        if ranges.is_empty() {
            return Err(Error::new("CLUSTERDOWN", "no slot is served"));
        }
        *self.0.ranges.borrow_mut() = Some(ranges);
        Ok(())
    }
}

/// What a reply to `CLUSTER SLOTS` says: of each range the first and the last slot, then its nodes, the master first.
fn ranges(slots: Value) -> Vec<Range> {
    let range = |value: Value| {
        let Value::Array(fields) = value else { return None };
        let [Value::Integer(first), Value::Integer(last), Value::Array(master), ..] = &fields[..] else {
            return None;
        };
        let [Value::Bulk(host), Value::Integer(port), ..] = &master[..] else { return None };
        let (first, last) = (usize::try_from(*first).ok()?, usize::try_from(*last).ok()?);
        let address = address(std::str::from_utf8(host).ok()?, &port.to_string())?;
        (first <= last && last < SLOTS).then_some(Range { first, last, address })
    };
    let Value::Array(slots) = slots else { return Vec::new() };
    slots.into_iter().filter_map(range).collect()
}

/// A node that does not know its own address says nothing of it.
fn address(host: &str, port: &str) -> Option<String> {
    match host {
        "" | "?" => None,
        host if host.contains(':') => Some(format!("[{host}]:{port}")),
        host => Some(format!("{host}:{port}")),
    }
}

impl Spread for Cluster {
    fn server_of(&mut self, key: &[u8], _is_read: bool, servers: &mut Servers) -> usize {
        self.update(servers);
        match self.slots[usize::from(slot_of(key))] {
            Some(server) => {
                if !servers.is_up(server) {
                    self.told.changed.notify_one();
                }
                server
            }
            // Whoever it is says where it has to go.
            None => (0..servers.len()).find(|server| servers.is_up(*server)).unwrap_or(0),
        }
    }

    fn group_of(&self, key: &[u8]) -> u16 {
        slot_of(key)
    }

    fn all(&mut self, servers: &mut Servers) -> Vec<usize> {
        self.update(servers);
        self.masters.clone()
    }

    /// Chooses a master, because other nodes may have left the cluster.
    ///
    /// One client always gets the same master, so that its published messages stay in order.
    fn any(&mut self, request: &Request<'_>, servers: &mut Servers) -> Route {
        if request.is_in_transaction() {
            return Route::Any;
        }
        self.update(servers);
        self.asked = self.asked.wrapping_add(1);
        let number = request.client().map_or(self.asked, |client| client.id());
        let up: Vec<usize> = self.masters.iter().copied().filter(|server| servers.is_up(*server)).collect();
        match up.len() {
            0 => Route::Any,
            len => Route::To(up[(number % len as u64) as usize]),
        }
    }

    /// Sends the request to any node, because the nodes of a cluster forward published messages to each
    /// other.
    fn channels(&mut self, request: &Request<'_>, servers: &mut Servers) -> Route {
        self.any(request, servers)
    }

    /// Rejects `CLUSTER`, because clients must not connect to the nodes directly.
    fn refuse(&self, request: &Request<'_>) -> Option<Error> {
        (request.client().is_some() && request.is("CLUSTER")).then_some(NO_CLUSTER)
    }

    fn redirect(&mut self, error: &str, servers: &mut Servers) -> Option<Redirect> {
        let mut words = error.split(' ');
        let (kind, slot, address) = (words.next()?, words.next(), words.next());
        let asking = match kind {
            "MOVED" => false,
            "ASK" => true,
            "CLUSTERDOWN" => {
                self.told.changed.notify_one();
                return None;
            }
            _ => return None,
        };
        let (slot, (host, port)) = (slot?.parse::<usize>().ok()?, address?.rsplit_once(':')?);
        // A node that does not know its own address may know those of others.
        let Some(address) = self::address(host, port) else {
            self.told.changed.notify_one();
            return None;
        };
        let server = servers.find_or_add(&address);
        if !asking {
            *self.slots.get_mut(slot)? = Some(server);
            self.told.changed.notify_one();
        }
        Some(Redirect { server, asking })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cluster_slots_replies_are_parsed() {
        let node = |host: &str| {
            Value::Array(vec![Value::bulk(host.to_owned()), Value::Integer(7000), Value::bulk("id")])
        };
        let slots = Value::Array(vec![
            Value::Array(vec![Value::Integer(0), Value::Integer(99), node("10.0.0.1"), node("10.0.0.2")]),
            Value::Array(vec![Value::Integer(100), Value::Integer(100), node("::1")]),
            // What is not known, or is no range, is passed over.
            Value::Array(vec![Value::Integer(101), Value::Integer(102), node("")]),
            Value::Array(vec![Value::Integer(5), Value::Integer(16384), node("10.0.0.3")]),
        ]);
        let range = |first, last, address: &str| Range { first, last, address: address.to_owned() };
        assert_eq!(ranges(slots), [range(0, 99, "10.0.0.1:7000"), range(100, 100, "[::1]:7000")]);
    }
}
