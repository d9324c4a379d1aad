//! One tracking client, and the invalidations that it gets.

use std::{collections::BTreeMap, mem};

use bytes::Bytes;

use super::{Tracked, TrackingRedirect, broadcasts::ChangedKeys};
use crate::{
    Client,
    client::ClientHost,
    resp::{Encoder, Protocol},
};

/// The channel on which a RESP2 client receives invalidations.
const CHANNEL: &str = "__redis__:invalidate";

/// Approximate memory of a prefix besides its bytes, in bytes.
const ENTRY: usize = 300;

/// A tracking client.
pub(super) struct Tracker {
    pub(super) client: Client,
    /// The key prefix of the client.
    key_prefix: Bytes,
    /// The worker that serves the client.
    pub(super) worker: u16,
    pub(super) tracked: Tracked,
    /// The prefixes of broadcast mode.
    pub(super) prefixes: BTreeMap<Bytes, ()>,
    /// Memory of the prefixes, in bytes.
    memory: usize,
}

impl Tracker {
    pub(super) fn new(client: Client, worker: u16) -> Self {
        Tracker {
            key_prefix: client.key_prefix(),
            client,
            worker,
            tracked: Tracked::default(),
            prefixes: BTreeMap::new(),
            memory: 0,
        }
    }

    /// Adds prefixes, of which none overlaps with an existing one.
    pub(super) fn add_prefixes(&mut self, prefixes: Vec<Bytes>) {
        let mut memory = self.memory;
        for prefix in prefixes {
            let len = prefix.len();
            if self.prefixes.insert(prefix, ()).is_none() {
                memory += ENTRY + len;
            }
        }
        self.account(memory);
    }

    fn account(&mut self, memory: usize) {
        self.client.account(mem::replace(&mut self.memory, memory), memory);
    }

    /// Sends an invalidation of one key, which the client with the ID `by` has changed.
    pub(super) fn invalidate(&mut self, key: &[u8], by: Option<u64>) {
        if !self.ignores(by) {
            self.send(|out| {
                out.array(1);
                out.key(key);
            });
        }
    }

    /// Sends one invalidation of all changed keys.
    pub(super) fn invalidate_changed(&mut self, changed: &ChangedKeys) {
        let changed = changed.iter().filter(|(_, by)| !self.ignores(**by));
        let keys: Vec<_> = changed.map(|(key, _)| key).collect();
        if !keys.is_empty() {
            self.invalidate_keys(&keys);
        }
    }

    /// Sends one invalidation of these keys.
    pub(super) fn invalidate_keys(&mut self, keys: &[impl AsRef<[u8]>]) {
        self.send(|out| {
            out.array(keys.len());
            keys.iter().for_each(|key| out.key(key.as_ref()));
        });
    }

    /// Sends an invalidation of every key.
    pub(super) fn invalidate_all(&mut self) {
        let protocol = self.client.protocol();
        self.send(|out| {
            // As in Redis, the null has the tracking client's protocol, even if another client receives it.
            out.raw(if protocol == Protocol::Resp3 { b"_\r\n" } else { b"$-1\r\n" });
        });
    }

    /// Returns whether the client may know keys that begin with `prefix`.
    pub(super) fn may_know(&self, prefix: &[u8]) -> bool {
        self.key_prefix.starts_with(prefix) || prefix.starts_with(&self.key_prefix)
    }

    /// Returns whether the client gets no invalidations of the changes of the client with this ID.
    fn ignores(&self, by: Option<u64>) -> bool {
        self.tracked.no_loop && by == Some(self.client.id())
    }

    /// Sends an invalidation to the client, or to the client to which it redirects.
    ///
    /// `write` writes the keys.
    fn send(&mut self, write: impl FnOnce(&mut Encoder)) {
        let Some(host) = self.client.host() else { return };
        let other = match self.tracked.redirect {
            TrackingRedirect::To(id) => match host.client(id) {
                Some(other) if other.key_prefix() == self.key_prefix => Some(other),
                _ => return self.break_redirect(&*host, id),
            },
            TrackingRedirect::Off | TrackingRedirect::Itself => None,
        };
        let receiver = other.as_ref().unwrap_or(&self.client);
        let mut out = receiver.encoder();
        match receiver.protocol() {
            Protocol::Resp3 => {
                out.push(2);
                out.bulk(b"invalidate");
            }
            // A RESP2 client receives invalidations as Pub/Sub messages, so it needs a subscription.
            Protocol::Resp2 if other.is_some() && receiver.is_subscriber() => {
                out.array(3);
                out.bulk(b"message");
                out.bulk(CHANNEL.as_bytes());
            }
            Protocol::Resp2 => return,
        }
        write(&mut out);
        // Ignores the error of a disconnected client: its cache no longer matters.
        let _ = host.push(receiver, out.into_vec().into());
    }

    /// Marks the redirect as broken, and tells a RESP3 client.
    fn break_redirect(&mut self, host: &dyn ClientHost, redirect: u64) {
        self.tracked.is_broken = true;
        if self.client.protocol() == Protocol::Resp3 {
            let mut out = Encoder::new(Protocol::Resp3);
            out.push(2);
            out.bulk(b"tracking-redir-broken");
            out.integer(i64::try_from(redirect).unwrap_or(i64::MAX));
            let _ = host.push(&self.client, out.into_vec().into());
        }
    }
}

impl Drop for Tracker {
    fn drop(&mut self) {
        self.account(0);
    }
}
