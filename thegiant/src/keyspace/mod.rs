//! Keys: who wants to know that they have changed.

mod watch;

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

pub(crate) use watch::Watch;
use watch::Watchers;

use crate::{
    Call,
    command::{Flags, Spec},
    observe::{Attention, Look},
};

/// The keys of an application, as those see them who want to know that they have changed (`WATCH`): a handle that is
/// cheap to clone, for actors that change keys by themselves.
///
/// What a command changes need not be told. A row with the flag `write` that has been run, and has not answered with an
/// error, has changed all [`Key`](crate::Key)s among its parameters, and if it has none, any. Who watches a key on which
/// nothing has been changed, by `DEL` of one that is not there for example, has to try again, and loses nothing.
///
/// ```
/// use thegiant::{Keyspace, prelude::*};
///
/// struct Cache {
///     keyspace: Keyspace,
/// }
///
/// impl Actor for Cache {
///     type Context = Context<Self>;
/// }
///
/// impl Cache {
///     /// It is time for this one to go.
///     fn expire(&mut self, key: &[u8]) {
///         self.keyspace.modified(0, key);
///     }
/// }
///
/// # #[actix::main]
/// # async fn main() {
/// let app = App::new();
/// let cache = Cache { keyspace: app.keyspace() };
/// # }
/// ```
#[derive(Clone, Default)]
pub struct Keyspace(Arc<Inner>);

#[derive(Default)]
struct Inner {
    attention: Arc<Attention>,
    watchers: Mutex<Watchers>,
}

impl Keyspace {
    /// An actor has changed a key, or removed it, and no command has told it to.
    pub fn modified(&self, db: u16, key: impl AsRef<[u8]>) {
        if self.is_observed() {
            self.watchers().modified(db, key.as_ref());
        }
    }

    /// As [`modified`](Self::modified), for all keys of all databases.
    pub fn all_modified(&self) {
        if self.is_observed() {
            self.watchers().all_modified();
        }
    }

    /// Where it is said that somebody wants to know which commands are run.
    pub(crate) fn attention(&self) -> Arc<Attention> {
        Arc::clone(&self.0.attention)
    }

    /// A command has been run, and has not failed.
    pub(crate) fn ran(&self, command: &Spec, call: &Call<'_>) {
        if !command.flags.contains(Flags::WRITE) {
            return;
        }
        let Some(keys) = &command.keys else { return self.all_modified() };
        let db = call.client().db();
        for key in keys.positions(call.len()).filter_map(|position| call.get(position)) {
            self.modified(db, key);
        }
    }

    fn is_observed(&self) -> bool {
        self.0.attention.is(Look::Keys)
    }

    /// Changes who watches what.
    fn rewatch(&self, change: impl FnOnce(&mut Watchers)) {
        let mut watchers = self.watchers();
        change(&mut watchers);
        self.0.attention.set(Look::Keys, !watchers.is_empty());
    }

    fn watchers(&self) -> MutexGuard<'_, Watchers> {
        // Nothing panics while it is held.
        self.0.watchers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Keyspace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyspace").field("observed", &self.is_observed()).finish_non_exhaustive()
    }
}
