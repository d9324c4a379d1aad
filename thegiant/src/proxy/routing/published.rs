//! The commands of the upstreams, as the connections of clients see them.

use std::sync::{Arc, PoisonError, RwLock};

use super::key_table::KeyTable;
use crate::{
    acl::{Categories, UpstreamCommand, UpstreamCommands},
    client::UpstreamKeys,
    proxy::wire::Words,
};

/// The commands of the upstreams of an application, for the threads of all its connections.
///
/// If each worker has a proxy of its own, they all have the same upstreams, and the last one that has learned the
/// commands publishes them.
#[derive(Debug, Default)]
pub(crate) struct PublishedCommands(RwLock<Option<Arc<KeyTable>>>);

impl PublishedCommands {
    fn table(&self) -> Option<Arc<KeyTable>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn publish(&self, commands: Option<Arc<KeyTable>>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = commands;
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
}

impl UpstreamKeys for PublishedCommands {
    fn key_positions(&self, words: &[&[u8]]) -> Vec<usize> {
        let words = Words::Slices(words);
        let table = self.table();
        let known = table.as_deref().and_then(|table| table.find(words));
        known.into_iter().flat_map(|known| known.key_accesses(words)).map(|(position, _)| position).collect()
    }
}
