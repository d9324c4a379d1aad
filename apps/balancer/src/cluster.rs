//! The nodes of a Redis Cluster.

use std::{
    cell::RefCell,
    collections::{HashMap, HashSet},
    mem,
    rc::Rc,
    time::{Duration, Instant},
};

use thegiant::{
    Error, SLOTS, UpstreamHandle, Value,
    proxy::{ErrorReply, Redirect, Refresh, Request, Route, Servers},
    slot,
};
use tokio::{
    sync::{Notify, oneshot},
    time,
};

use crate::spread::Spread;

/// The router for a Redis Cluster. The nodes of the cluster say which slots they own, and redirected requests are sent again.
///
/// The seeds, and the nodes that they name in `CLUSTER SLOTS` and `CLUSTER NODES`, are the only servers that the balancer
/// connects to. The text of a redirect decides nothing, because a client's script can choose it: a redirect to an unknown
/// address makes the balancer ask the known nodes again.
#[derive(Debug)]
pub struct Cluster {
    /// The server of each slot.
    slots: Vec<Option<usize>>,
    /// The servers that have slots.
    masters: Vec<usize>,
    /// The addresses that known nodes have named, each with the time at which they last did.
    nodes: HashMap<String, Instant>,
    /// Number of the balancer's own commands that any server can answer.
    asked: u64,
    state: Rc<ClusterState>,
}

/// The state that the router shares with the task that asks the cluster for its slots.
#[derive(Debug, Default)]
struct ClusterState {
    /// The last answer, until the router has taken it.
    answer: RefCell<Option<Answer>>,
    /// The slots may have moved.
    changed: Notify,
    /// Redirects to unknown addresses wait for the end of these, which is the next answer.
    hints: RefCell<Vec<oneshot::Sender<()>>>,
}

/// The slots and nodes of the cluster, as one of its known nodes describes them.
#[derive(Debug)]
struct Answer {
    ranges: Vec<Range>,
    /// The addresses of all nodes.
    nodes: HashSet<String>,
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
pub struct Watch(Rc<ClusterState>);

/// Interval between two questions for the slots.
const EVERY: Duration = Duration::from_secs(2);
/// Minimum interval between two questions after a redirect or a lost server.
const AT_MOST_EVERY: Duration = Duration::from_millis(100);

/// A server is forgotten when no node has named it for this time. New nodes become known to all others by gossip, which takes
/// a few seconds.
const FORGET_AFTER: Duration = Duration::from_secs(5);

/// Number of attempts to get the slots before clients are served.
const ATTEMPTS: usize = 10;

const NO_CLUSTER: Error = Error::from_static("ERR This instance has cluster support disabled");

impl Cluster {
    /// Creates a router without slots, and the task that must [run](Watch::run) to learn them.
    pub fn new() -> (Self, Watch) {
        let state = Rc::new(ClusterState::default());
        (
            Cluster {
                slots: vec![None; usize::from(SLOTS)],
                masters: Vec::new(),
                nodes: HashMap::new(),
                asked: 0,
                state: Rc::clone(&state),
            },
            Watch(state),
        )
    }

    /// Applies the last answer of the cluster, if there is a new one.
    fn update(&mut self, servers: &mut Servers) {
        let Some(Answer { ranges, nodes }) = self.state.answer.take() else { return };
        let now = Instant::now();
        self.nodes.extend(nodes.into_iter().map(|address| (address, now)));
        self.nodes.retain(|_, named| now.duration_since(*named) < FORGET_AFTER);
        servers.retain(|address| self.nodes.contains_key(address));
        self.slots.fill(None);
        for Range { first, last, address } in ranges {
            let server = servers.find_or_add(&address);
            self.slots[first..=last].fill(Some(server));
        }
        self.masters = self.slots.iter().flatten().copied().collect();
        self.masters.sort_unstable();
        self.masters.dedup();
    }

    /// Returns the server at this address if it is a seed or known nodes have named it.
    fn known(&mut self, address: &str, servers: &mut Servers) -> Option<usize> {
        self.update(servers);
        if self.nodes.contains_key(address) {
            return Some(servers.find_or_add(address));
        }
        (0..servers.len()).find(|server| servers.address(*server) == address)
    }
}

impl Watch {
    /// Asks for the slots until there is an answer, at most ten times.
    pub async fn begin(&self, nodes: &UpstreamHandle) {
        for _ in 0..ATTEMPTS {
            match self.ask(nodes).await {
                Ok(()) => return,
                Err(error) => tracing::warn!(%error, "the cluster does not say where its slots are"),
            }
            time::sleep(AT_MOST_EVERY).await;
        }
    }

    /// Asks for the slots periodically, and after each redirect. It never returns.
    pub async fn run(self, nodes: UpstreamHandle) {
        loop {
            time::sleep(AT_MOST_EVERY).await;
            let _ = time::timeout(EVERY, self.0.changed.notified()).await;
            if let Err(error) = self.ask(&nodes).await {
                tracing::debug!(%error, "the cluster does not say where its slots are");
            }
        }
    }

    async fn ask(&self, nodes: &UpstreamHandle) -> Result<(), Error> {
        // Wakes the waiting requests at the end. A hint that arrives meanwhile needs a newer answer.
        let _hints = mem::take(&mut *self.0.hints.borrow_mut());
        let mut answer = Answer::of_slots(&nodes.call(["CLUSTER", "SLOTS"]).await?);
        if answer.ranges.is_empty() {
            return Err(Error::new("CLUSTERDOWN", "no slot is served"));
        }
        // CLUSTER SLOTS leaves out nodes that have no slots, such as one that has just joined.
        if let Ok(Value::Bulk(list)) = nodes.call(["CLUSTER", "NODES"]).await {
            answer.add_nodes(&String::from_utf8_lossy(&list));
        }
        *self.0.answer.borrow_mut() = Some(answer);
        Ok(())
    }
}

impl Range {
    fn new(first: i64, last: i64, address: String) -> Option<Self> {
        let (first, last) = (usize::try_from(first).ok()?, usize::try_from(last).ok()?);
        (first <= last && last < usize::from(SLOTS)).then_some(Range { first, last, address })
    }
}

impl Answer {
    /// Reads a reply to `CLUSTER SLOTS`: for each range its first and last slot, then its nodes, the master first.
    fn of_slots(slots: &Value) -> Self {
        let mut answer = Answer { ranges: Vec::new(), nodes: HashSet::new() };
        for range in slots.as_array().unwrap_or_default() {
            let Some([first, last, nodes @ ..]) = range.as_array() else { continue };
            let (Some(first), Some(last)) = (first.as_int(), last.as_int()) else { continue };
            answer.nodes.extend(nodes.iter().filter_map(node_address));
            let master = nodes.first().and_then(node_address);
            answer.ranges.extend(master.and_then(|master| Range::new(first, last, master)));
        }
        answer
    }

    /// Adds the nodes of a reply to `CLUSTER NODES`: lines of ID, HOST:PORT@BUS,NAME, flags and more.
    fn add_nodes(&mut self, list: &str) {
        for line in list.lines() {
            let mut words = line.split(' ').skip(1);
            let (Some(node), Some(flags)) = (words.next(), words.next()) else { continue };
            // A client that may run CLUSTER MEET can name a node in handshake. Such a node has not joined yet.
            if flags.split(',').any(|flag| flag == "handshake" || flag == "noaddr") {
                continue;
            }
            let (ends, names) = node.split_once(',').unwrap_or((node, ""));
            let Some((host, port)) = ends.split('@').next().unwrap_or_default().rsplit_once(':') else {
                continue;
            };
            let name = names.split(',').next().filter(|name| !name.contains('='));
            let hosts = [Some(host), name].into_iter().flatten();
            self.nodes.extend(hosts.filter_map(|host| address(host, port)));
        }
    }
}

/// Returns the address of a node in a reply to `CLUSTER SLOTS`.
fn node_address(node: &Value) -> Option<String> {
    let [host, port, ..] = node.as_array()? else { return None };
    address(host.as_str()?, &port.as_int()?.to_string())
}

/// Returns the kind of a redirect, `MOVED` or `ASK`, and the address that it names.
fn parse_redirect(error: &str) -> Option<(&str, String)> {
    let mut words = error.split(' ');
    let kind = words.next().filter(|kind| ["MOVED", "ASK"].contains(kind))?;
    let (host, port) = words.nth(1)?.rsplit_once(':')?;
    Some((kind, address(host.trim_matches(['[', ']']), port)?))
}

/// Returns an address as HOST:PORT, or `None` if the node does not know its own host.
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
        match self.slots[usize::from(slot(key))] {
            Some(server) => {
                if !servers.is_up(server) {
                    self.state.changed.notify_one();
                }
                server
            }
            // Any server redirects the request to the right one.
            None => (0..servers.len()).find(|server| servers.is_up(*server)).unwrap_or(0),
        }
    }

    fn group_of(&self, key: &[u8]) -> u16 {
        slot(key)
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

    fn redirect(&mut self, error: &ErrorReply<'_>, servers: &mut Servers) -> Option<Redirect> {
        if error.text().starts_with("MOVED ") || error.text().starts_with("CLUSTERDOWN ") {
            self.state.changed.notify_one();
        }
        let (kind, address) = parse_redirect(error.text())?;
        let server = self.known(&address, servers)?;
        Some(Redirect { server, asking: kind == "ASK" })
    }

    fn refresh(&mut self, error: &ErrorReply<'_>) -> Option<Refresh> {
        parse_redirect(error.text())?;
        let (hint, answered) = oneshot::channel();
        self.state.hints.borrow_mut().push(hint);
        self.state.changed.notify_one();
        // The end of the hint is the answer, and there may be nobody who asks.
        Some(Box::pin(async { drop(time::timeout(EVERY, answered).await) }))
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
            // Unknown addresses and invalid ranges are skipped.
            Value::Array(vec![Value::Integer(101), Value::Integer(102), node("")]),
            Value::Array(vec![Value::Integer(5), Value::Integer(16384), node("10.0.0.3")]),
        ]);
        let range = |first, last, address: &str| Range { first, last, address: address.to_owned() };
        let answer = Answer::of_slots(&slots);
        assert_eq!(answer.ranges, [range(0, 99, "10.0.0.1:7000"), range(100, 100, "[::1]:7000")]);
        let nodes = ["10.0.0.1:7000", "10.0.0.2:7000", "[::1]:7000", "10.0.0.3:7000"];
        assert_eq!(answer.nodes, nodes.map(str::to_owned).into());
    }

    #[test]
    fn nodes_are_read() {
        let mut answer = Answer { ranges: Vec::new(), nodes: HashSet::new() };
        answer.add_nodes(
            "id 10.0.0.1:7000@17000 myself,master - 0 0 1 connected 0-99\n\
             id 10.0.0.2:7000@17000,redis.internal,shard-id=5 slave id 0 0 1 connected\n\
             id ::1:7000@17000,,tls-port=0 master - 0 0 1 connected\n\
             id 10.0.0.4:7000 master - 0 0 1 connected\n\
             id 10.0.0.5:7000@17000 handshake - 0 0 0 connected\n\
             id :0@0 slave,noaddr id 0 0 1 disconnected\n\
             id\n",
        );
        let nodes = ["10.0.0.1:7000", "10.0.0.2:7000", "redis.internal:7000", "[::1]:7000", "10.0.0.4:7000"];
        assert_eq!(answer.nodes, nodes.map(str::to_owned).into());
    }

    #[test]
    fn redirects_are_read() {
        let of = |kind, address: &str| Some((kind, address.to_owned()));
        assert_eq!(parse_redirect("MOVED 5 10.0.0.1:7000"), of("MOVED", "10.0.0.1:7000"));
        assert_eq!(parse_redirect("ASK 5 ::1:7000"), of("ASK", "[::1]:7000"));
        for wrong in
            ["MOVED", "MOVED 5", "ASK 5 here", "MOVED 5 :7000", "MOVED 5 ?:7000", "ERR 5 10.0.0.1:7000"]
        {
            assert_eq!(parse_redirect(wrong), None, "{wrong}");
        }
    }
}
