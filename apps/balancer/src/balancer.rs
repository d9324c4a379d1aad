//! The router, which chooses the servers for each request.

use std::collections::HashMap;

use thegiant::{
    Error,
    command::ResponsePolicy,
    proxy::{ErrorReply, Redirect, Refresh, Route, Router, Servers, Split, UpstreamRequest, cross_slot},
};

use crate::{
    pubsub::pubsub,
    scan::{Cursors, scan},
    spread::Spread,
};

/// Sends requests to the servers that hold their keys.
///
/// A request with keys on several servers is split if its command allows it. A request without keys goes to
/// one server or to all servers.
#[derive(Clone, Debug)]
pub struct Balancer<S> {
    spread: S,
    cursors: Cursors,
}

/// Commands with several keys that can be split: name, number of arguments per key, and the policy that merges the
/// replies.
const OF_KEYS: &[(&str, usize, ResponsePolicy)] = &[
    ("DEL", 1, ResponsePolicy::AggSum),
    ("UNLINK", 1, ResponsePolicy::AggSum),
    ("EXISTS", 1, ResponsePolicy::AggSum),
    ("TOUCH", 1, ResponsePolicy::AggSum),
    ("MGET", 1, ResponsePolicy::Array),
    ("MSET", 2, ResponsePolicy::AllSucceeded),
];

/// Commands without keys that go to all servers. All other commands without keys go to any server.
const OF_ALL: &[(&str, ResponsePolicy)] = &[
    ("DBSIZE", ResponsePolicy::AggSum),
    ("KEYS", ResponsePolicy::Array),
    ("RANDOMKEY", ResponsePolicy::Random),
    ("SCRIPT EXISTS", ResponsePolicy::AggLogicalAnd),
    ("SCRIPT LOAD", ResponsePolicy::AllSucceeded),
    ("SCRIPT FLUSH", ResponsePolicy::AllSucceeded),
    ("FUNCTION LOAD", ResponsePolicy::AllSucceeded),
    ("FUNCTION DELETE", ResponsePolicy::AllSucceeded),
    ("FUNCTION FLUSH", ResponsePolicy::AllSucceeded),
    ("FUNCTION RESTORE", ResponsePolicy::AllSucceeded),
    ("FLUSHALL", ResponsePolicy::AllSucceeded),
    ("FLUSHDB", ResponsePolicy::AllSucceeded),
    ("SWAPDB", ResponsePolicy::AllSucceeded),
    ("SAVE", ResponsePolicy::AllSucceeded),
    ("BGSAVE", ResponsePolicy::AllSucceeded),
    ("BGREWRITEAOF", ResponsePolicy::AllSucceeded),
];

const WRONG_PAIRS: Error = Error::from_static("ERR wrong number of arguments for 'mset' command");

const NONE_UP: Error = Error::from_static("UPSTREAMDOWN no server can be reached: the command was not sent");

impl<S: Spread> Balancer<S> {
    /// Creates a router that sends requests to the servers that `spread` chooses.
    pub fn new(spread: S) -> Self {
        Balancer { spread, cursors: Cursors::default() }
    }

    /// Shares the cursors of scans with the balancers of other threads.
    pub fn sharing(self, cursors: &Cursors) -> Self {
        Balancer { cursors: cursors.clone(), ..self }
    }

    /// Routes a request with several keys. It is split, or all keys must be in one group.
    fn route_keys(&mut self, request: &UpstreamRequest<'_>, servers: &mut Servers) -> Route {
        let is_read = is_read(request);
        // The groups of keys: the server, and the positions of the keys among all keys. `order` has the group of each key.
        let mut groups: Vec<(usize, Vec<usize>)> = Vec::new();
        let (mut known, mut order) = (HashMap::new(), Vec::new());
        for (index, key) in request.keys().enumerate() {
            let server = self.spread.server_of(key, false, servers);
            let group = *known.entry((server, self.spread.group_of(key))).or_insert_with(|| {
                groups.push((server, Vec::new()));
                groups.len() - 1
            });
            groups[group].1.push(index);
            order.push(group);
        }
        let first = request.keys().next().unwrap_or_default();
        if groups.len() == 1 {
            return Route::To(self.spread.server_of(first, is_read, servers));
        }
        let split = OF_KEYS.iter().find(|(name, ..)| request.is(name) && !request.is_in_transaction());
        let Some((_, words, policy)) = split else {
            let second = groups.get(1).and_then(|(_, keys)| request.keys().nth(*keys.first()?));
            return cross_slot(first, second.unwrap_or_default()).into();
        };
        // Without this check, the complete parts of the request would be executed.
        if !(request.len() - 1).is_multiple_of(*words) {
            return WRONG_PAIRS.into();
        }
        let at: Vec<usize> = request.key_positions().collect();
        let parts = groups.into_iter().map(|(server, keys)| {
            let of_key = |key: &usize| (at[*key]..at[*key] + words).filter_map(|index| request.get(index));
            (server, [request.name()].into_iter().chain(keys.iter().flat_map(of_key)).collect::<Vec<_>>())
        });
        let policy = *policy;
        Route::Split(Split::new(parts, move |replies| policy.merge_by_key(replies, &order)))
    }

    fn route_keyless(&mut self, request: &UpstreamRequest<'_>, servers: &mut Servers) -> Route {
        if let Some(route) = pubsub(request, &mut self.spread, servers) {
            return route;
        }
        let of_all = OF_ALL.iter().find(|(name, _)| request.is(name));
        let is_scan = request.is("SCAN");
        if of_all.is_none() && !is_scan {
            return self.spread.any(request, servers);
        }
        let all = self.spread.all(servers);
        if all.is_empty() {
            return NONE_UP.into();
        }
        let Some((_, policy)) = of_all else { return scan(request, &all, servers, &self.cursors) };
        let parts = all.into_iter().map(|server| (server, request.words()));
        let policy = *policy;
        Route::Split(Split::new(parts, move |replies| policy.merge(replies)))
    }
}

/// Returns whether a replica may answer the request.
fn is_read(request: &UpstreamRequest<'_>) -> bool {
    request.is_readonly() && !request.is_in_transaction()
}

impl<S: Spread> Router for Balancer<S> {
    fn route(&mut self, request: &UpstreamRequest<'_>, servers: &mut Servers) -> Route {
        if let Some(error) = self.spread.refuse(request) {
            return error.into();
        }
        let mut keys = request.keys();
        match (keys.next(), keys.next()) {
            (Some(key), None) => Route::To(self.spread.server_of(key, is_read(request), servers)),
            (Some(_), Some(_)) => self.route_keys(request, servers),
            (None, _) => self.route_keyless(request, servers),
        }
    }

    fn publishers(&mut self, servers: &mut Servers) -> Vec<usize> {
        self.spread.publishers(servers)
    }

    fn redirect(&mut self, error: &ErrorReply<'_>, servers: &mut Servers) -> Option<Redirect> {
        self.spread.redirect(error, servers)
    }

    fn refresh(&mut self, error: &ErrorReply<'_>) -> Option<Refresh> {
        self.spread.refresh(error)
    }
}
