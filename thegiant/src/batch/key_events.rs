//! The changes that a command has made to its keys.

use std::vec;

use bytes::Bytes;

/// Class of a keyspace event.
///
/// Each class has a letter. The setting
/// [`notify-keyspace-events`](crate::Server::notify_keyspace_events) lists the letters of the classes that
/// the server publishes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EventClass {
    /// `g`: events of all types of keys, such as `del` and `expire`.
    Generic,
    /// `$`: events of strings.
    String,
    /// `l`: events of lists.
    List,
    /// `s`: events of sets.
    Set,
    /// `h`: events of hashes.
    Hash,
    /// `z`: events of sorted sets.
    SortedSet,
    /// `x`: a key has expired.
    Expired,
    /// `e`: a key was evicted to free memory.
    Evicted,
    /// `t`: events of streams.
    Stream,
    /// `d`: events of the application's own types.
    Module,
    /// `n`: a key was created. `A` (all classes) does not include it.
    New,
    /// `m`: a command read a key that does not exist. `A` (all classes) does not include it.
    KeyMiss,
}

/// The keys that a command has changed, and how: a parameter of `write` commands.
///
/// Without this parameter, a `write` command that succeeds has changed all its keys, and its row names the event. With it,
/// only the keys count that the command [adds](Self::add): for `WATCH`, for client-side caches, and for keyspace events
/// ([`notify-keyspace-events`](crate::Server::notify_keyspace_events)). So a command that changes nothing disturbs
/// nobody, and a command can have several events.
///
/// ```
/// use std::collections::HashMap;
/// use thegiant::{EventClass, KeyEvents, prelude::*};
///
/// struct Store(HashMap<Bytes, Bytes>);
///
/// impl Actor for Store {
///     type Context = Context<Self>;
/// }
///
/// #[commands]
/// impl Store {
///     /// Removes keys, and returns how many existed.
///     #[command("DEL", write)]
///     fn del(&mut self, client: &Client, keys: Vec<Key<&[u8]>>, events: &mut KeyEvents) -> usize {
///         let mut removed = 0;
///         for key in keys {
///             if self.0.remove(*key).is_some() {
///                 events.add(EventClass::Generic, "del", client.db(), key);
///                 removed += 1;
///             }
///         }
///         removed
///     }
/// }
/// ```
#[derive(Debug, Default)]
pub struct KeyEvents {
    /// Whether anybody observes keys.
    is_observed: bool,
    added: Vec<KeyEvent>,
}

/// A change that a command has made.
#[derive(Debug)]
pub(crate) enum KeyEvent {
    /// A change of one key.
    Key { class: EventClass, event: &'static str, db: u16, key: Bytes },
    /// A database has lost all its keys.
    Cleared,
}

impl KeyEvents {
    /// Adds a change of a key of a database, and the name of its event, such as `set`.
    ///
    /// It costs a comparison while nobody observes keys.
    #[inline]
    pub fn add(&mut self, class: EventClass, event: &'static str, db: u16, key: impl AsRef<[u8]>) {
        if self.is_observed {
            let key = Bytes::copy_from_slice(key.as_ref());
            self.added.push(KeyEvent::Key { class, event, db, key });
        }
    }

    /// Adds that a database has lost all its keys.
    pub(crate) fn add_cleared(&mut self) {
        if !self.added.iter().any(|added| matches!(added, KeyEvent::Cleared)) {
            self.added.push(KeyEvent::Cleared);
        }
    }

    /// Returns whether anybody observes keys, so that a command can skip what only its events need.
    ///
    /// ```
    /// # use std::collections::HashMap;
    /// # use thegiant::{EventClass, KeyEvents, prelude::*};
    /// # fn set(values: &mut HashMap<Bytes, Bytes>, key: Bytes, value: Bytes, events: &mut KeyEvents) {
    /// if events.is_observed() && !values.contains_key(&key) {
    ///     events.add(EventClass::New, "new", 0, &key);
    /// }
    /// values.insert(key, value);
    /// # }
    /// ```
    #[inline]
    #[must_use]
    pub fn is_observed(&self) -> bool {
        self.is_observed
    }

    /// Sets whether anybody observes keys. If nobody does any longer, it frees the memory of the changes.
    pub(crate) fn set_observed(&mut self, is_observed: bool) {
        if self.is_observed && !is_observed {
            self.added = Vec::new();
        }
        self.is_observed = is_observed;
    }

    /// Takes the changes. Their memory is for those of the next command.
    pub(crate) fn drain(&mut self) -> vec::Drain<'_, KeyEvent> {
        self.added.drain(..)
    }
}
