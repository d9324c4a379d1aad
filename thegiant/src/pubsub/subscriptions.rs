//! What one client has subscribed to.

use std::collections::HashSet;

use bytes::Bytes;

use super::{Kind, PubSub};
use crate::Client;

/// What one client has subscribed to. It ends with this.
#[derive(Debug)]
pub(crate) struct Subscriptions {
    pubsub: PubSub,
    client: Client,
    names: [HashSet<Bytes>; 3],
}

impl Subscriptions {
    pub(crate) fn new(pubsub: PubSub, client: Client) -> Self {
        Subscriptions { pubsub, client, names: Default::default() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.names.iter().all(HashSet::is_empty)
    }

    /// What it is told of how many it has: shards are counted apart.
    pub(crate) fn count(&self, kind: Kind) -> usize {
        let [channels, patterns, shards] = &self.names;
        if kind == Kind::Shard { shards.len() } else { channels.len() + patterns.len() }
    }

    pub(crate) fn add(&mut self, kind: Kind, name: &[u8]) {
        let names = &mut self.names[kind as usize];
        if !names.contains(name) {
            let name = Bytes::copy_from_slice(name);
            names.insert(name.clone());
            self.pubsub.add_client(kind, name, &self.client);
            self.tell();
        }
    }

    pub(crate) fn remove(&mut self, kind: Kind, name: &[u8]) {
        if self.names[kind as usize].remove(name) {
            self.pubsub.remove_client(kind, name, &self.client);
            self.tell();
        }
    }

    /// All of a kind.
    pub(crate) fn names(&self, kind: Kind) -> Vec<Bytes> {
        self.names[kind as usize].iter().cloned().collect()
    }

    /// Lets others see how many these are.
    fn tell(&self) {
        self.client.set_subscribed(self.names.each_ref().map(HashSet::len));
    }
}

impl Drop for Subscriptions {
    fn drop(&mut self) {
        for kind in Kind::ALL {
            for name in std::mem::take(&mut self.names[kind as usize]) {
                self.pubsub.remove_client(kind, &name, &self.client);
            }
        }
        self.tell();
    }
}
