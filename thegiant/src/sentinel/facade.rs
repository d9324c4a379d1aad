//! The state of a facade, which its handles and its actors share.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::{
    listing::address,
    master::{Endpoint, Master},
};
use crate::PubSub;

/// The masters that a facade knows, and the subscribers that hear of changes.
pub(super) struct Facade {
    own: Endpoint,
    /// The channels of the applications that have the facade.
    pubsubs: Mutex<Vec<PubSub>>,
    masters: Mutex<BTreeMap<String, Master>>,
}

impl Facade {
    pub(super) fn new(own: Endpoint) -> Self {
        Facade { own, pubsubs: Mutex::default(), masters: Mutex::default() }
    }

    /// Adds the channels of an application.
    pub(super) fn add_pubsub(&self, pubsub: PubSub) {
        self.pubsubs().push(pubsub);
    }

    /// Takes a change of a master, and tells the subscribers.
    pub(super) fn update(&self, master: Master) {
        // Held to the end, so that subscribers see the changes in their order.
        let mut masters = self.masters();
        let before = masters.get(&master.name);
        if before.is_some_and(|before| before.epoch > master.epoch || *before == master) {
            return;
        }
        let Master { name, endpoint: (host, port), .. } = &master;
        if let Some(Master { endpoint: (old_host, old_port), .. }) =
            before.filter(|before| before.endpoint != master.endpoint)
        {
            tracing::info!(name, host, port, "the master has changed");
            self.publish("+switch-master", &format!("{name} {old_host} {old_port} {host} {port}"));
        }
        let is_new = |replica: &&Endpoint| before.is_none_or(|before| !before.replicas.contains(replica));
        for replica in master.replicas.iter().filter(is_new) {
            let address = address(replica);
            let (replica_host, replica_port) = replica;
            let text = format!("slave {address} {replica_host} {replica_port} @ {name} {host} {port}");
            self.publish("+slave", &text);
        }
        masters.insert(master.name.clone(), master);
    }

    /// Publishes a message here: in a cluster, each instance has a facade.
    fn publish(&self, channel: &str, message: &str) {
        for pubsub in self.pubsubs().iter() {
            pubsub.publish_here(channel.as_bytes(), message.as_bytes());
        }
    }

    fn pubsubs(&self) -> MutexGuard<'_, Vec<PubSub>> {
        // A panic leaves the list as it is.
        self.pubsubs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn masters(&self) -> MutexGuard<'_, BTreeMap<String, Master>> {
        // A panic leaves the map as it is.
        self.masters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the address at which clients reach the facade.
    pub(super) fn own(&self) -> &Endpoint {
        &self.own
    }
}
