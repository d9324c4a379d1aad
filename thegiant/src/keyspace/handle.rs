//! The handle with which the toolkit and an application report changes of keys.

use super::Events;
use super::events::class_of;
use super::tracking::{Reads, Trackers, Write};
use super::watch::Watchers;
use super::{Tracked, TrackingCounts, TrackingOptions};
use crate::{
    Client, Error, EventClass, PubSub,
    batch::{Batch, EventClasses, KeyEvent, NotedEvents},
    client::ClientFlag,
    command::{Flags, Spec},
    observe::{Hook, Hooks},
};
use bytes::Bytes;
use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
};
use tokio::sync::{Notify, futures::Notified};

/// A handle with which an actor reports keys that it changes by itself.
///
/// The reports reach clients that use `WATCH` or `CLIENT TRACKING`. The handle is cheap to clone.
///
/// An actor does not report the changes of its commands, because the toolkit derives them from the rows:
///
/// - A row with the flag `write` changes all its [`Key`](crate::Key) parameters, unless it replies with an error.
///   Without such a parameter, it may change every key; see [`clear`](Self::clear).
/// - A row with the flag `readonly` reads its [`Key`](crate::Key) parameters.
///
/// A `write` command can leave its key as it was, for example `DEL` of a missing key. A transaction that
/// watches the key then fails, and its client tries again, unless the command says which keys it changes with
/// [`KeyEvents`](crate::KeyEvents). A [fallback](crate::App::fallback) has no row, so the toolkit does not see its changes.
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
///     /// Removes a key to free memory.
///     fn evict(&mut self, key: &[u8]) {
///         self.keyspace.modified(0, key);
///     }
/// }
///
/// # #[thegiant::main]
/// # async fn main() {
/// let app = App::new();
/// let cache = Cache { keyspace: app.keyspace() };
/// # }
/// ```
#[derive(Clone, Default)]
pub struct Keyspace(Arc<KeyspaceInner>);

#[derive(Default)]
struct KeyspaceInner {
    hooks: Arc<Hooks>,
    pubsub: PubSub,
    /// The setting `tracking-table-max-keys`.
    max_tracked_keys: AtomicUsize,
    /// The setting `notify-keyspace-events`.
    events: AtomicU64,
    expired_keys: AtomicU64,
    /// `DEBUG SET-ACTIVE-EXPIRE 0`: keys whose time is over stay, as if clients were paused.
    keeps_expired: AtomicBool,
    observers: Mutex<Observers>,
    /// Tells the proxies that a client has switched `CLIENT TRACKING`.
    trackers_changed: Notify,
    /// The handle of the application of which this one has become a part.
    merged: OnceLock<Keyspace>,
}

/// The observers of keys.
#[derive(Default)]
pub(super) struct Observers {
    pub(super) watchers: Watchers,
    trackers: Trackers,
}

/// A request that has run.
pub(crate) struct Ran {
    pub(crate) command: &'static Spec,
    /// The index of the request.
    pub(crate) request: u32,
    /// Whether the command, if it is a `write` command, has succeeded.
    pub(crate) has_written: bool,
    pub(crate) scope: RanScope,
}

/// A whole request that has run, or one that several shards run in parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RanScope {
    Whole,
    /// A shard has run its part. Clients that watch a key must know before the shard goes on.
    Part,
    /// All shards have run their parts. Other clients see one change.
    AllParts,
}

impl Keyspace {
    /// Reports that an actor has changed or removed a key without a command.
    pub fn modified(&self, db: u16, key: impl AsRef<[u8]>) {
        if self.is_observed() {
            let mut observers = self.lock();
            observers.modified(db, key.as_ref(), None);
            observers.trackers.broadcast();
        }
    }

    /// Reports that an actor may have changed every key of every database.
    pub fn all_modified(&self) {
        if self.is_observed() {
            self.lock().all_modified();
        }
    }

    /// Reports that another instance may change the keys for which `is_left` returns true.
    ///
    /// Transactions fail whose clients watch such a key. Client-side caches drop all keys.
    pub(crate) fn leave(&self, is_left: impl Fn(&[u8]) -> bool) {
        if self.is_observed() {
            let mut observers = self.lock();
            observers.watchers.modified_if(is_left);
            observers.trackers.all_modified(b"");
            observers.trackers.broadcast();
        }
    }

    /// Reports that a key has expired, at this deadline in milliseconds since 1970, and that the actor has removed it.
    ///
    /// It publishes the event `expired`. The transactions of clients that watch the key fail, unless the key had
    /// already expired when they began to watch it. See [`Expire`](crate::Expire).
    pub fn expired(&self, db: u16, key: impl AsRef<[u8]>, deadline: i64) {
        let key = key.as_ref();
        self.inner().expired_keys.fetch_add(1, Relaxed);
        if self.is_observed() {
            let mut observers = self.lock();
            observers.watchers.expired(db, key, deadline);
            observers.trackers.modified(Write { key, by: None });
            observers.trackers.broadcast();
            // Publishing runs without the lock, because a subscribed actor may call this handle.
            drop(observers);
            self.events().publish(&self.inner().pubsub, EventClass::Expired, "expired", db, key);
        }
    }

    /// Returns the number of keys that have [expired](Self::expired).
    pub(crate) fn expired_keys(&self) -> u64 {
        self.inner().expired_keys.load(Relaxed)
    }

    /// Returns whether keys whose time is over stay, because clients are paused or for a test.
    pub(super) fn keeps_expired(&self) -> bool {
        self.inner().hooks.is(Hook::Pause) || self.inner().keeps_expired.load(Relaxed)
    }

    /// Sets whether actors remove the keys whose time is over (`DEBUG SET-ACTIVE-EXPIRE`).
    pub(crate) fn set_active_expire(&self, is_active: bool) {
        self.inner().keeps_expired.store(!is_active, Relaxed);
    }

    /// Publishes a keyspace event that no command has caused.
    ///
    /// The setting [`notify-keyspace-events`](crate::Server::notify_keyspace_events) selects the events that
    /// the server publishes. If the event has changed the key, also call [`modified`](Self::modified).
    ///
    /// ```
    /// # use thegiant::{EventClass, Keyspace};
    /// # fn evict(keyspace: &Keyspace, key: &[u8]) {
    /// keyspace.modified(0, key);
    /// keyspace.notify(EventClass::Evicted, "evicted", 0, key);
    /// # }
    /// ```
    pub fn notify(&self, class: EventClass, event: &str, db: u16, key: impl AsRef<[u8]>) {
        if self.is_published(class) {
            self.events().publish(&self.inner().pubsub, class, event, db, key.as_ref());
        }
    }

    /// Returns whether the server publishes events of a class, so that an actor can skip what only these need.
    ///
    /// ```
    /// # use thegiant::{EventClass, Keyspace};
    /// # fn get(values: &std::collections::HashMap<Vec<u8>, Vec<u8>>, keyspace: &Keyspace, key: &[u8]) {
    /// if keyspace.is_published(EventClass::KeyMiss) && !values.contains_key(key) {
    ///     keyspace.notify(EventClass::KeyMiss, "keymiss", 0, key);
    /// }
    /// # }
    /// ```
    #[must_use]
    pub fn is_published(&self, class: EventClass) -> bool {
        self.is_observed() && self.published().has(class)
    }

    /// Returns the classes of the events that the server publishes.
    pub(crate) fn published(&self) -> EventClasses {
        self.events().classes()
    }

    fn events(&self) -> Events {
        Events::from_bits(self.inner().events.load(Relaxed))
    }

    /// Returns the handle that publishes the events.
    pub(crate) fn pubsub(&self) -> PubSub {
        self.inner().pubsub.clone()
    }

    /// Sets the events that are published.
    pub(crate) fn set_events(&self, events: Events) {
        self.change(|_| self.inner().events.store(events.bits(), Relaxed));
    }

    /// Sets the maximum number of keys that clients track.
    pub(crate) fn set_max_tracked_keys(&self, max_keys: usize) {
        self.inner().max_tracked_keys.store(max_keys, Relaxed);
        if self.is_observed() {
            self.lock().trackers.evict(max_keys);
        }
    }

    /// Returns the hooks, whose [`Hook::Keys`] is set while keys are observed.
    pub(crate) fn hooks(&self) -> Arc<Hooks> {
        Arc::clone(&self.inner().hooks)
    }

    /// Records the keys that a client's commands have read and changed.
    ///
    /// `are_by_themselves` is `false` for the commands of a transaction. `CLIENT CACHING` then applies to all of
    /// them. Without `broadcasts`, broadcast invalidations wait for [`broadcast`](Self::broadcast).
    pub(crate) fn ran(
        &self,
        client: &Client,
        batch: &Batch,
        commands: impl Iterator<Item = Ran>,
        are_by_themselves: bool,
        broadcasts: bool,
    ) {
        let is_tracking = client.is(ClientFlag::Tracking);
        let published = self.events();
        let mut events = batch.key_events();
        let mut observers = None;
        for Ran { command, request, has_written, scope } in commands {
            // The proxy reports these itself.
            if command.flags.contains(Flags::FORWARDED) {
                continue;
            }
            let has_written = has_written && command.flags.contains(Flags::WRITE);
            let writes = has_written && !command.reports_keys;
            // The events of the parts do not reach the whole request.
            let clears =
                scope == RanScope::AllParts && has_written && command.reports_keys && command.keys.is_none();
            if !writes && !is_tracking && !clears {
                continue;
            }
            let observers = observers.get_or_insert_with(|| self.lock());
            self.report_events(observers, client, batch, events.take_before(request));
            let keys = || {
                let keys = command.keys.zip(batch.requests.words(request));
                keys.into_iter().flat_map(|(keys, words)| keys.in_request(words))
            };
            if is_tracking
                && scope != RanScope::AllParts
                && command.flags.contains(Flags::READONLY)
                && !command.flags.contains(Flags::PUBSUB)
            {
                let max_keys = self.inner().max_tracked_keys.load(Relaxed);
                observers.trackers.add_reads(client, keys(), max_keys);
            }
            if writes && scope != RanScope::AllParts {
                observers.watchers.ran(command, client, keys());
            }
            if writes && scope != RanScope::Part {
                observers.trackers.ran(command, client, keys());
                if published.is_enabled() {
                    self.publish(published, command, client.db(), keys());
                }
            }
            if clears {
                observers.trackers.all_modified(&client.key_prefix());
            }
            if is_tracking && are_by_themselves && scope != RanScope::Part {
                observers.trackers.command_ran(client, command);
            }
        }
        let events = events.take_before(batch.next_request());
        if !events.is_empty() {
            let observers = observers.get_or_insert_with(|| self.lock());
            self.report_events(observers, client, batch, events);
        }
        if let Some(mut observers) = observers.filter(|_| broadcasts) {
            observers.trackers.broadcast();
        }
    }

    /// Records the changes that commands have reported themselves.
    fn report_events(
        &self,
        observers: &mut Observers,
        client: &Client,
        batch: &Batch,
        events: NotedEvents<'_>,
    ) {
        let (published, by) = (self.events(), Some(client.id()));
        for (request, event) in events.iter() {
            match event {
                KeyEvent::Key { class, event, db, key } => {
                    observers.modified(db, key, by);
                    published.publish(&self.inner().pubsub, class, event, db, key);
                }
                KeyEvent::Cleared if batch.is_split_part(request) => {}
                KeyEvent::Cleared => observers.trackers.all_modified(&client.key_prefix()),
            }
        }
    }

    /// Sends the broadcast invalidations of the commands that [have run](Self::ran).
    pub(crate) fn broadcast(&self) {
        if self.is_observed() {
            self.lock().trackers.broadcast();
        }
    }

    /// Switches `CLIENT TRACKING` on for a client.
    ///
    /// # Errors
    /// If the options conflict with each other or with the client's current tracking mode.
    pub(crate) fn track(&self, client: &Client, options: TrackingOptions, worker: u16) -> Result<(), Error> {
        let tracked = self.change(|observers| observers.trackers.add(client, options, worker));
        self.inner().trackers_changed.notify_waiters();
        tracked
    }

    /// Switches `CLIENT TRACKING` off for a client.
    pub(crate) fn untrack(&self, client: &Client) {
        if client.is(ClientFlag::Tracking) {
            self.change(|observers| observers.trackers.remove(client));
        }
    }

    /// Sets whether the keys of the client's next command are tracked (`CLIENT CACHING`): `yes` or `no`.
    ///
    /// # Errors
    /// If the answer does not fit the client's tracking mode.
    pub(crate) fn set_caching(&self, client: &Client, answer: &[u8]) -> Result<(), Error> {
        self.lock().trackers.set_caching(client, answer)
    }

    /// Returns the tracking state of a client, without its prefixes.
    pub(crate) fn tracked(&self, client: &Client) -> Tracked {
        if !client.is(ClientFlag::Tracking) {
            return Tracked::default();
        }
        self.lock().trackers.tracked(client)
    }

    /// Returns the prefixes that a client tracks in broadcast mode.
    pub(crate) fn tracked_prefixes(&self, client: &Client) -> Vec<Bytes> {
        self.lock().trackers.prefixes(client)
    }

    /// Waits until a client switches `CLIENT TRACKING` on.
    pub(crate) fn trackers_changed(&self) -> Notified<'_> {
        self.inner().trackers_changed.notified()
    }

    /// Returns whether clients of a worker track keys, or clients of any worker.
    pub(crate) fn has_trackers(&self, worker: Option<u16>) -> bool {
        self.lock().trackers.has_any(worker)
    }

    /// Returns whether both handles are of the same server.
    pub(crate) fn is_same(&self, other: &Keyspace) -> bool {
        std::ptr::eq(self.inner(), other.inner())
    }

    /// Records that a proxy sends a request of a client to an upstream.
    ///
    /// `ends_caching`: the effect of `CLIENT CACHING` ends with the request.
    pub(crate) fn forwarded(&self, client: &Client, reads: Reads<'_>, ends_caching: bool) {
        let max_keys = self.inner().max_tracked_keys.load(Relaxed);
        self.lock().trackers.forwarded(client, reads, max_keys, ends_caching);
    }

    /// Sends the clients of a worker the invalidations of keys that an upstream has reported.
    pub(crate) fn invalidated<'a>(&self, keys: impl Iterator<Item = &'a [u8]>, worker: Option<u16>) {
        self.lock().trackers.invalidated(keys, worker);
    }

    /// Sends the clients of a worker an invalidation of every key.
    pub(crate) fn all_invalidated(&self, worker: Option<u16>) {
        self.lock().trackers.all_invalidated(worker);
    }

    /// Sends an invalidation of every key to those clients of a worker that may have keys which the proxy has not seen.
    pub(crate) fn unseen_invalidated(&self, worker: Option<u16>) {
        self.lock().trackers.unseen_invalidated(worker);
    }

    pub(crate) fn tracking_counts(&self) -> TrackingCounts {
        self.lock().trackers.counts()
    }

    /// Publishes the event of a command for each of its keys.
    fn publish<'a>(&self, events: Events, command: &Spec, db: u16, keys: impl Iterator<Item = &'a [u8]>) {
        let event = command.event.map_or_else(|| command.full_name(), str::to_owned);
        for key in keys {
            events.publish(&self.inner().pubsub, class_of(command), &event, db, key);
        }
    }

    /// Returns whether anything observes keys, so that an actor can skip what only its reports need.
    #[must_use]
    pub fn is_observed(&self) -> bool {
        self.inner().hooks.is(Hook::Keys)
    }

    /// Changes the observers, and sets the hook if any are left.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut Observers) -> T) -> T {
        let mut observers = self.lock();
        let changed = change(&mut observers);
        self.inner().hooks.set(Hook::Keys, !observers.is_empty() || self.events().is_enabled());
        changed
    }

    /// Makes all clones of this handle handles of another application.
    ///
    /// No server has used it yet, so it has no observers.
    pub(crate) fn merge_into(&self, other: &Keyspace) {
        self.pubsub().merge_into(&other.pubsub());
        let before = Arc::clone(&self.0);
        // An application is merged once.
        let _ = before.merged.set(other.clone());
        // A proxy that waits here has to wait there.
        before.trackers_changed.notify_waiters();
    }

    #[inline]
    fn inner(&self) -> &KeyspaceInner {
        let mut keyspace = self;
        while let Some(merged) = keyspace.0.merged.get() {
            keyspace = merged;
        }
        &keyspace.0
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Observers> {
        // A poisoned lock holds valid data, because no code panics while it holds the lock.
        self.inner().observers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Observers {
    fn is_empty(&self) -> bool {
        self.watchers.is_empty() && self.trackers.is_empty()
    }

    #[inline]
    fn modified(&mut self, db: u16, key: &[u8], by: Option<u64>) {
        if !self.watchers.is_empty() {
            self.watchers.modified(db, key);
        }
        if !self.trackers.is_empty() {
            self.trackers.modified(Write { key, by });
        }
    }

    fn all_modified(&mut self) {
        self.watchers.all_modified(b"");
        self.trackers.all_modified(b"");
    }
}

impl fmt::Debug for Keyspace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyspace").field("observed", &self.is_observed()).finish_non_exhaustive()
    }
}
