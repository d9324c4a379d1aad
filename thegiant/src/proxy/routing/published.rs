//! The commands of the upstreams, as the connections of clients see them.

use std::{
    collections::HashMap,
    mem,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use super::key_table::KeyTable;
use crate::{
    Client,
    acl::{Categories, Described, UpstreamCommand, UpstreamCommands},
    client::UpstreamKeys,
    proxy::wire::Words,
};

/// The commands of the upstreams of an application, for the threads of all its connections.
///
/// If each worker has a proxy of its own, they all have the same upstreams, and the last one that has learned the
/// commands publishes them.
#[derive(Debug, Default)]
pub(crate) struct PublishedCommands(RwLock<State>);

#[derive(Debug, Default)]
struct State {
    described: Described,
    table: Option<Arc<KeyTable>>,
    /// The clients that wait for the commands, by their identities.
    waiting: HashMap<usize, Client>,
}

impl PublishedCommands {
    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn table(&self) -> Option<Arc<KeyTable>> {
        self.read().table.clone()
    }

    /// Publishes what a proxy knows. A proxy that knows no commands leaves those of another worker's proxy.
    pub(super) fn publish(&self, described: Described, table: Option<&Arc<KeyTable>>) {
        let mut state = self.write();
        if table.is_none() && state.table.is_some() {
            return;
        }
        (state.described, state.table) = (described, table.cloned());
        if described != Described::Soon {
            mem::take(&mut state.waiting).into_values().for_each(|client| client.wake());
        }
    }
}

impl UpstreamCommands for PublishedCommands {
    fn describe(&self, words: &[&[u8]]) -> UpstreamCommand {
        let words = Words::Slices(words);
        let table = self.table();
        let known = table.as_deref().and_then(|table| table.find(words));
        // A command that no upstream has is in no category, as those of modules in Redis 7.0.
        let categories = known.map_or(Categories::NONE, |known| known.categories);
        UpstreamCommand {
            categories: table.is_some().then_some(categories),
            keys: known
                .filter(|known| !known.has_unknown_keys)
                .map(|known| known.key_accesses(words).collect()),
        }
    }

    fn is_unknown(&self, words: &[&[u8]]) -> bool {
        self.table().is_some_and(|table| table.find(Words::Slices(words)).is_none())
    }

    fn is_subcommand(&self, words: &[&[u8]]) -> bool {
        self.table().is_some_and(|table| table.is_subcommand(Words::Slices(words)))
    }

    fn await_description(&self, client: &Client) -> Described {
        let mut state = self.write();
        if state.described == Described::Soon {
            state.waiting.insert(client.identity(), client.clone());
        }
        state.described
    }
}

impl UpstreamKeys for PublishedCommands {
    fn key_positions(&self, words: &[&[u8]]) -> Vec<usize> {
        let words = Words::Slices(words);
        let table = self.table();
        let known = table.as_deref().and_then(|table| table.find(words));
        known.into_iter().flat_map(|known| known.key_accesses(words)).map(|(position, _)| position).collect()
    }
}
