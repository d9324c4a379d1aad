//! The subscriptions of one client.

use std::collections::HashSet;

use bytes::Bytes;

use super::{ChannelKind, PubSub};
use crate::Client;

/// Approximate memory of a subscription besides its name, in bytes.
///
/// It is that of the first subscriber of a channel: the entries of two hash maps, which may be half empty, the name, its
/// group and its list of clients.
const ENTRY: usize = 320;

/// The subscriptions of one client. Dropping it ends them.
#[derive(Debug)]
pub(crate) struct Subscriptions {
    pubsub: PubSub,
    client: Client,
    /// The key prefix of the client, with which all names begin.
    prefix: Bytes,
    names: [HashSet<Bytes>; 3],
    /// Memory of the subscriptions, in bytes.
    memory: usize,
}

impl Subscriptions {
    pub(crate) fn new(pubsub: PubSub, client: Client) -> Self {
        let prefix = client.key_prefix();
        pubsub.add_tenant(&prefix);
        Subscriptions { pubsub, client, prefix, names: Default::default(), memory: 0 }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.names.iter().all(HashSet::is_empty)
    }

    /// Returns the number of subscriptions that Redis reports for a kind.
    ///
    /// Channels and patterns count together, and shard channels separately.
    pub(crate) fn count(&self, kind: ChannelKind) -> usize {
        let [channels, patterns, shards] = &self.names;
        if kind == ChannelKind::Shard { shards.len() } else { channels.len() + patterns.len() }
    }

    pub(crate) fn add(&mut self, kind: ChannelKind, name: &[u8]) {
        let names = &mut self.names[kind as usize];
        if !names.contains(name) {
            let name = Bytes::copy_from_slice(name);
            names.insert(name.clone());
            self.pubsub.add_client(kind, name.clone(), &self.client);
            self.account(self.memory + ENTRY + name.len());
        }
    }

    pub(crate) fn remove(&mut self, kind: ChannelKind, name: &[u8]) {
        if self.names[kind as usize].remove(name) {
            self.pubsub.remove_client(kind, name, &self.client);
            self.account(self.memory - ENTRY - name.len());
        }
    }

    /// Forgets the shard channels whose subscriptions the server [has ended](PubSub::end_shard_channels).
    pub(crate) fn forget_ended(&mut self) {
        let shards = self.names[ChannelKind::Shard as usize].iter();
        let is_ended = |name: &&Bytes| !self.pubsub.has_client(ChannelKind::Shard, name, &self.client);
        let ended: Vec<Bytes> = shards.filter(is_ended).cloned().collect();
        ended.iter().for_each(|name| self.remove(ChannelKind::Shard, name));
    }

    /// Returns all names of a kind.
    pub(crate) fn names(&self, kind: ChannelKind) -> Vec<Bytes> {
        self.names[kind as usize].iter().cloned().collect()
    }

    /// Publishes the number of subscriptions and their memory to the client's statistics.
    fn account(&mut self, memory: usize) {
        self.client.set_subscribed(self.names.each_ref().map(HashSet::len));
        self.client.account(std::mem::replace(&mut self.memory, memory), memory);
    }
}

impl Drop for Subscriptions {
    fn drop(&mut self) {
        for kind in ChannelKind::ALL {
            for name in std::mem::take(&mut self.names[kind as usize]) {
                self.pubsub.remove_client(kind, &name, &self.client);
            }
        }
        self.pubsub.remove_tenant(&self.prefix);
        self.account(0);
    }
}
