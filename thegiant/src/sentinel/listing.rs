//! The replies that describe servers.

use super::master::{Endpoint, Master};
use crate::{Reply, cluster::id_of, resp::Encoder};

/// The description of a server: names and values.
pub(super) struct Listing(Vec<(&'static str, String)>);

/// The address of a master, or null.
pub(super) struct EndpointReply(pub(super) Option<Endpoint>);

/// The settings of a Sentinel that no one has changed, in ms.
const DOWN_AFTER: &str = "30000";
const FAILOVER_TIMEOUT: &str = "180000";

impl Listing {
    pub(super) fn of_master(master: &Master, other_sentinels: usize) -> Self {
        let Master { name, endpoint, replicas, epoch, is_down, .. } = master;
        let flags = if *is_down { "s_down,o_down,master" } else { "master" };
        let mut listing = Self::begin(name.clone(), endpoint, id(endpoint), flags);
        if *is_down {
            listing.add([("s-down-time", "0"), ("o-down-time", "0")]);
        }
        listing.add([
            ("down-after-milliseconds", DOWN_AFTER),
            ("info-refresh", "0"),
            ("role-reported", "master"),
            ("role-reported-time", "0"),
        ]);
        listing.add([
            ("config-epoch", epoch.to_string()),
            ("num-slaves", replicas.len().to_string()),
            ("num-other-sentinels", other_sentinels.to_string()),
            ("quorum", quorum(other_sentinels).to_string()),
        ]);
        listing.add([("failover-timeout", FAILOVER_TIMEOUT), ("parallel-syncs", "1")]);
        listing
    }

    pub(super) fn of_replica(replica: &Endpoint, master: &Master) -> Self {
        let mut listing = Self::begin(address(replica), replica, id(replica), "slave");
        let (host, port) = &master.endpoint;
        listing.add([
            ("down-after-milliseconds", DOWN_AFTER),
            ("info-refresh", "0"),
            ("role-reported", "slave"),
            ("role-reported-time", "0"),
            // The toolkit copies no data, and `INFO replication` says so.
            ("master-link-down-time", "0"),
            ("master-link-status", "err"),
        ]);
        listing.add([("master-host", host.clone()), ("master-port", port.to_string())]);
        listing.add([("slave-priority", "100"), ("slave-repl-offset", "0"), ("replica-announced", "1")]);
        listing
    }

    pub(super) fn of_sentinel(sentinel: &Endpoint) -> Self {
        let mut listing = Self::begin(id(sentinel), sentinel, id(sentinel), "sentinel");
        listing.add([
            ("down-after-milliseconds", DOWN_AFTER),
            ("last-hello-message", "0"),
            ("voted-leader", "?"),
            ("voted-leader-epoch", "0"),
        ]);
        listing
    }

    /// Begins a description with the fields that all servers have.
    fn begin(name: String, (host, port): &Endpoint, run_id: String, flags: &str) -> Self {
        let mut listing = Listing(Vec::new());
        listing.add([("name", name), ("ip", host.clone()), ("port", port.to_string()), ("runid", run_id)]);
        listing.add([
            ("flags", flags),
            ("link-pending-commands", "0"),
            ("link-refcount", "1"),
            ("last-ping-sent", "0"),
            ("last-ok-ping-reply", "0"),
            ("last-ping-reply", "0"),
        ]);
        listing
    }

    fn add<V: Into<String>>(&mut self, fields: impl IntoIterator<Item = (&'static str, V)>) {
        self.0.extend(fields.into_iter().map(|(name, value)| (name, value.into())));
    }
}

impl Reply for Listing {
    fn write_to(self, out: &mut Encoder) {
        out.map(self.0.len());
        for (name, value) in self.0 {
            name.write_to(out);
            value.write_to(out);
        }
    }
}

impl Reply for EndpointReply {
    fn write_to(self, out: &mut Encoder) {
        match self.0 {
            Some((host, port)) => [host, port.to_string()].write_to(out),
            None => out.null_array(),
        }
    }
}

/// Returns the number of servers that is a majority.
fn quorum(other_sentinels: usize) -> usize {
    let all = other_sentinels + 1;
    all / 2 + 1
}

/// Returns the ID of the server at this address.
pub(super) fn id(endpoint: &Endpoint) -> String {
    id_of(&address(endpoint))
}

/// Returns `HOST:PORT`. As in Redis, an IPv6 address has no brackets.
pub(super) fn address((host, port): &Endpoint) -> String {
    format!("{host}:{port}")
}
