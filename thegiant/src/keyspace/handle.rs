//! The handle by which the toolkit and an application report changes of keys.

use super::EventClass;
use super::Events;
use super::tracking::{Tracking, Write};
use super::watch::Watchers;
use super::{Tracked, TrackingCounts, TrackingOptions};
use crate::{
    Call, Client, Error, PubSub,
    command::{Flags, Spec},
    connection::{ClientFlag, ServerState},
    observe::{Hook, Hooks},
    settings::Setting,
};
use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// The keys of an application, as those see them who want to know that they have changed (`WATCH`, `CLIENT TRACKING`): a
/// handle that is cheap to clone, for actors that change keys by themselves.
///
/// What a command changes need not be told. A row with the flag `write` that has been run, and has not answered with an
/// error, has changed all [`Key`](crate::Key)s among its parameters, and if it has none, any. A row with the flag
/// `readonly` has read them. Who watches a key on which nothing has been changed, by `DEL` of one that is not there for
/// example, has to try again, and loses nothing. What a [fallback](crate::App::fallback) does is not known: it has no row
/// that could say so.
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
pub struct Keyspace(Arc<KeyspaceInner>);

#[derive(Default)]
struct KeyspaceInner {
    hooks: Arc<Hooks>,
    pubsub: PubSub,
    observers: Mutex<Observers>,
}

/// Who wants to know.
#[derive(Default)]
pub(super) struct Observers {
    pub(super) watchers: Watchers,
    tracking: Tracking,
    events: Events,
}

/// A request that has been run.
pub(crate) struct Ran<'a> {
    pub(crate) command: &'static Spec,
    pub(crate) call: Call<'a>,
    /// If it writes, it has done so.
    pub(crate) has_written: bool,
}

impl Keyspace {
    /// An actor has changed a key, or removed it, and no command has told it to.
    pub fn modified(&self, db: u16, key: impl AsRef<[u8]>) {
        if self.is_observed() {
            let mut observers = self.lock();
            observers.modified(db, key.as_ref(), None);
            observers.tracking.broadcast();
        }
    }

    /// As [`modified`](Self::modified), for all keys of all databases.
    pub fn all_modified(&self) {
        if self.is_observed() {
            self.lock().all_modified();
        }
    }

    /// Something has happened to a key, and no command has done it: publishes that, if operators want to know
    /// ([`notify-keyspace-events`](crate::Server::notify_keyspace_events)). If it has changed the key, that is
    /// [said](Self::modified) as well.
    ///
    /// ```
    /// # use thegiant::{EventClass, Keyspace};
    /// # fn expire(keyspace: &Keyspace, key: &[u8]) {
    /// keyspace.modified(0, key);
    /// keyspace.notify(EventClass::Expired, "expired", 0, key);
    /// # }
    /// ```
    pub fn notify(&self, class: EventClass, event: &str, db: u16, key: impl AsRef<[u8]>) {
        if self.is_observed() {
            // What is published may reach an actor that has something to say here.
            let events = self.lock().events;
            events.publish(&self.0.pubsub, class, event, db, key.as_ref());
        }
    }

    /// Where it is published.
    pub(crate) fn pubsub(&self) -> PubSub {
        self.0.pubsub.clone()
    }

    /// Which events are published.
    pub(crate) fn set_events(&self, events: Events) {
        self.change(|observers| observers.events = events);
    }

    /// Where it is said that somebody wants to know which commands are run.
    pub(crate) fn hooks(&self) -> Arc<Hooks> {
        Arc::clone(&self.0.hooks)
    }

    /// A client's commands have been run, one after the other. While they are part of something greater, what it has
    /// said of the next one alone (`CLIENT CACHING`) holds for all of them, and what is told of prefixes waits for the
    /// [end](Self::broadcast).
    pub(crate) fn ran<'a>(
        &self,
        server: &ServerState,
        client: &Client,
        commands: impl Iterator<Item = Ran<'a>>,
        are_by_themselves: bool,
    ) {
        let is_tracking = client.is(ClientFlag::Tracking);
        let mut observers = None;
        for Ran { command, call, has_written } in commands {
            let writes = command.flags.contains(Flags::WRITE) && has_written;
            if !writes && !is_tracking {
                continue;
            }
            let observers = observers.get_or_insert_with(|| self.lock());
            let positions = command.keys.map(|keys| keys.positions(call.len()));
            let mut keys = positions.into_iter().flatten().filter_map(|position| call.get(position));
            if is_tracking
                && command.flags.contains(Flags::READONLY)
                && !command.flags.contains(Flags::PUBSUB)
            {
                let most = server.settings.size(Setting::TrackingTableMaxKeys);
                observers.tracking.remember(client, keys.by_ref(), most);
            }
            if writes && command.keys.is_none() {
                observers.all_modified();
            } else if writes {
                let db = client.db();
                keys.clone().for_each(|key| observers.modified(db, key, Some(client.id())));
                if observers.events.is_any() {
                    self.publish(observers.events, command, db, keys);
                }
            }
            if is_tracking && are_by_themselves {
                observers.tracking.command_ran(client, command);
            }
        }
        if let Some(mut observers) = observers.filter(|_| are_by_themselves) {
            observers.tracking.broadcast();
        }
    }

    /// A transaction has been run.
    pub(crate) fn broadcast(&self) {
        self.lock().tracking.broadcast();
    }

    /// Has a client told when what it has read has changed.
    ///
    /// # Errors
    /// If that does not go together with what it has asked for before.
    pub(crate) fn track(&self, client: &Client, options: TrackingOptions) -> Result<(), Error> {
        self.change(|observers| observers.tracking.add(client, options))
    }

    /// A client is not told any more.
    pub(crate) fn untrack(&self, client: &Client) {
        if client.is(ClientFlag::Tracking) {
            self.change(|observers| observers.tracking.remove(client));
        }
    }

    /// What it reads next is to be remembered, or not, other than usual: `yes` or `no`.
    ///
    /// # Errors
    /// If that is not what it has agreed on.
    pub(crate) fn set_caching(&self, client: &Client, answer: &[u8]) -> Result<(), Error> {
        self.lock().tracking.set_caching(client, answer)
    }

    /// How a client is told.
    pub(crate) fn tracked(&self, client: &Client) -> Tracked {
        if !client.is(ClientFlag::Tracking) {
            return Tracked::default();
        }
        self.lock().tracking.tracked(client)
    }

    pub(crate) fn tracking_counts(&self) -> TrackingCounts {
        self.lock().tracking.counts()
    }

    /// Publishes what a command has done to its keys. What the row says is of one key after the other, and the last
    /// word of all that follow.
    fn publish<'a>(&self, events: Events, command: &Spec, db: u16, keys: impl Iterator<Item = &'a [u8]>) {
        let said = command.event.map_or_else(|| command.full_name(), str::to_owned);
        let mut said = said.split(' ');
        let mut event = "";
        for key in keys {
            event = said.next().unwrap_or(event);
            events.publish(&self.0.pubsub, EventClass::of(command), event, db, key);
        }
    }

    fn is_observed(&self) -> bool {
        self.0.hooks.is(Hook::Keys)
    }

    /// Changes who wants to know.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut Observers) -> T) -> T {
        let mut observers = self.lock();
        let changed = change(&mut observers);
        self.0.hooks.set(Hook::Keys, observers.is_any());
        changed
    }

    fn lock(&self) -> MutexGuard<'_, Observers> {
        // Nothing panics while it is held.
        self.0.observers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Observers {
    fn is_any(&self) -> bool {
        !self.watchers.is_empty() || !self.tracking.is_empty() || self.events.is_any()
    }

    fn modified(&mut self, db: u16, key: &[u8], by: Option<u64>) {
        self.watchers.modified(db, key);
        self.tracking.modified(Write { key, by });
    }

    fn all_modified(&mut self) {
        self.watchers.all_modified();
        self.tracking.all_modified();
    }
}

impl fmt::Debug for Keyspace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyspace").field("observed", &self.is_observed()).finish_non_exhaustive()
    }
}
