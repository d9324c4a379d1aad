//! The changes that a command has made to its keys.

use std::ops::Range;

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
    ///
    /// No event of this class follows from a row. An application publishes it by
    /// [`Keyspace::notify`](crate::Keyspace::notify); `kv` does not.
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
    /// The classes of the events that the server publishes. `None`: nobody observes keys.
    published: Option<EventClasses>,
    events: Vec<NotedEvent>,
    /// The keys of the events.
    keys: Vec<u8>,
    /// Number of events that belong to a request. The command of the others has not ended.
    assigned: usize,
}

/// A set of classes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct EventClasses(u16);

/// A change that a request has made.
#[derive(Debug)]
struct NotedEvent {
    request: u32,
    change: Change,
}

#[derive(Debug)]
enum Change {
    Key { class: EventClass, event: &'static str, db: u16, key: Range<usize> },
    Cleared,
}

/// The changes that requests have made, in their order.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NotedEvents<'a> {
    events: &'a [NotedEvent],
    keys: &'a [u8],
}

/// A change that a command has made.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum KeyEvent<'a> {
    /// A change of one key.
    Key { class: EventClass, event: &'static str, db: u16, key: &'a [u8] },
    /// A database has lost all its keys.
    Cleared,
}

/// The request of a change before its command has ended: it is behind all others.
const UNASSIGNED: u32 = u32::MAX;

/// Maximum memory in bytes that is kept for the changes of the next batch.
const MAX_KEPT_BYTES: usize = 4096;

impl KeyEvents {
    /// Adds a change of a key of a database, and the name of its event, such as `set`.
    ///
    /// It costs a comparison while nobody observes keys.
    #[inline]
    pub fn add(&mut self, class: EventClass, event: &'static str, db: u16, key: impl AsRef<[u8]>) {
        if self.is_observed() {
            self.push(class, event, db, key.as_ref());
        }
    }

    #[inline(never)]
    fn push(&mut self, class: EventClass, event: &'static str, db: u16, key: &[u8]) {
        let start = self.keys.len();
        self.keys.extend_from_slice(key);
        let key = start..self.keys.len();
        self.events.push(NotedEvent { request: UNASSIGNED, change: Change::Key { class, event, db, key } });
    }

    /// Adds that a database has lost all its keys.
    pub(crate) fn add_cleared(&mut self) {
        let mut of_command = self.events.iter().skip(self.assigned);
        if !of_command.any(|event| matches!(event.change, Change::Cleared)) {
            self.events.push(NotedEvent { request: UNASSIGNED, change: Change::Cleared });
        }
    }

    /// Returns whether anybody observes keys, so that a command can skip what only its events need.
    ///
    /// See [`is_published`](Self::is_published) for what only the events of one class need.
    #[inline]
    #[must_use]
    pub fn is_observed(&self) -> bool {
        self.published.is_some()
    }

    /// Returns whether the server publishes events of a class, so that a command can skip what only these need.
    ///
    /// Without them, the change of a key still ends transactions that watch it, and the copies of client-side caches.
    ///
    /// ```
    /// # use std::collections::HashMap;
    /// # use thegiant::{EventClass, KeyEvents, prelude::*};
    /// # fn set(values: &mut HashMap<Bytes, Bytes>, key: Bytes, value: Bytes, events: &mut KeyEvents) {
    /// if events.is_published(EventClass::New) && !values.contains_key(&key) {
    ///     events.add(EventClass::New, "new", 0, &key);
    /// }
    /// events.add(EventClass::String, "set", 0, &key);
    /// values.insert(key, value);
    /// # }
    /// ```
    #[inline]
    #[must_use]
    pub fn is_published(&self, class: EventClass) -> bool {
        self.published.is_some_and(|published| published.has(class))
    }

    /// Sets which events the server publishes, while anybody observes keys.
    pub(crate) fn observe(&mut self, published: EventClasses) {
        self.published = Some(published);
    }

    /// Assigns the changes of the current command to its request.
    #[inline]
    pub(super) fn assign_to(&mut self, request: u32) {
        for event in &mut self.events[self.assigned..] {
            event.request = request;
        }
        self.assigned = self.events.len();
    }

    /// Returns the changes that have not been reported, in the order of their requests.
    pub(super) fn noted(&self) -> NotedEvents<'_> {
        NotedEvents { events: &self.events, keys: &self.keys }
    }

    /// Removes the changes of this request and of later ones, because they run again.
    pub(super) fn forget_from(&mut self, request: u32) {
        self.events.retain(|event| event.request < request);
        self.assigned = self.events.len();
    }

    /// Removes the changes of requests before this one, which have been reported.
    pub(super) fn clear_before(&mut self, request: u32) {
        if self.events.last().is_none_or(|last| last.request < request) {
            return self.clear();
        }
        self.events.retain(|event| event.request >= request);
        self.assigned = self.events.len();
    }

    fn clear(&mut self) {
        self.events.clear();
        self.keys.clear();
        self.assigned = 0;
    }

    /// Ends the observation of a batch. It keeps a little memory for the next one.
    #[inline]
    pub(super) fn recycle(&mut self) {
        if self.is_observed() {
            self.clear();
            self.shrink_to(MAX_KEPT_BYTES);
            self.published = None;
        }
    }

    /// Frees the memory of the changes if it is more than `max_capacity` bytes.
    pub(super) fn shrink_to(&mut self, max_capacity: usize) {
        if self.keys.capacity() + self.events.capacity() * size_of::<NotedEvent>() > max_capacity {
            self.keys.shrink_to_fit();
            self.events.shrink_to_fit();
        }
    }
}

impl EventClasses {
    /// Returns the classes whose bits are set. Bit 0 is the first class.
    pub(crate) fn from_bits(bits: u16) -> Self {
        EventClasses(bits)
    }

    #[inline]
    pub(crate) fn has(self, class: EventClass) -> bool {
        self.0 & 1 << class as u16 != 0
    }
}

impl<'a> NotedEvents<'a> {
    pub(crate) fn is_empty(self) -> bool {
        self.events.is_empty()
    }

    /// Takes the changes of the requests before this one.
    pub(crate) fn take_before(&mut self, request: u32) -> NotedEvents<'a> {
        let taken = self.events.partition_point(|event| event.request < request);
        let (taken, later) = self.events.split_at(taken);
        self.events = later;
        NotedEvents { events: taken, keys: self.keys }
    }

    /// Returns each change with its request.
    #[inline]
    pub(crate) fn iter(self) -> impl Iterator<Item = (u32, KeyEvent<'a>)> {
        self.events.iter().map(move |noted| match &noted.change {
            Change::Key { class, event, db, key } => {
                let key = &self.keys[key.clone()];
                (noted.request, KeyEvent::Key { class: *class, event, db: *db, key })
            }
            Change::Cleared => (noted.request, KeyEvent::Cleared),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events() -> KeyEvents {
        let mut events = KeyEvents::default();
        events.observe(EventClasses::default());
        events
    }

    fn add(events: &mut KeyEvents, key: &str) {
        events.add(EventClass::String, "set", 0, key);
    }

    /// Returns the changes of the requests before this one, each with its request.
    fn taken<'a>(noted: &mut NotedEvents<'a>, before: u32) -> Vec<(u32, &'a [u8])> {
        let taken = noted.take_before(before).iter();
        let key = |event| if let KeyEvent::Key { key, .. } = event { key } else { b"cleared" };
        taken.map(|(request, event)| (request, key(event))).collect()
    }

    #[test]
    fn changes_belong_to_the_request_that_ends_after_them() {
        let mut events = events();
        add(&mut events, "a");
        add(&mut events, "bb");
        events.add_cleared();
        events.add_cleared();
        events.assign_to(3);
        events.assign_to(4);
        add(&mut events, "ccc");
        events.assign_to(5);
        add(&mut events, "not yet ended");
        let mut noted = events.noted();
        assert_eq!(taken(&mut noted, 3), []);
        assert_eq!(taken(&mut noted, 4), [(3, &b"a"[..]), (3, b"bb"), (3, b"cleared")]);
        assert_eq!(taken(&mut noted, 1000), [(5, &b"ccc"[..])]);
        assert!(!noted.is_empty());
    }

    #[test]
    fn changes_of_later_requests_stay_when_earlier_ones_are_reported() {
        let mut events = events();
        for (request, key) in [(0, "a"), (1, "bb"), (2, "ccc")] {
            add(&mut events, key);
            events.assign_to(request);
        }
        events.clear_before(2);
        assert_eq!(taken(&mut events.noted(), 3), [(2, &b"ccc"[..])]);
        add(&mut events, "d");
        events.assign_to(3);
        assert_eq!(taken(&mut events.noted(), 4), [(2, &b"ccc"[..]), (3, b"d")]);
        events.clear_before(4);
        assert!(events.noted().is_empty());
    }

    #[test]
    fn changes_of_requests_that_run_again_are_removed() {
        let mut events = events();
        add(&mut events, "a");
        events.assign_to(0);
        add(&mut events, "b");
        events.assign_to(1);
        add(&mut events, "c");
        events.forget_from(1);
        add(&mut events, "d");
        events.assign_to(1);
        assert_eq!(taken(&mut events.noted(), 2), [(0, &b"a"[..]), (1, b"d")]);
    }

    #[test]
    fn a_batch_keeps_little_memory_for_the_next_one() {
        let mut events = events();
        (0..10_000).for_each(|number| add(&mut events, &format!("key:{number}")));
        events.recycle();
        assert_eq!((events.keys.capacity(), events.events.capacity()), (0, 0));
        add(&mut events, "not observed");
        assert!(events.events.is_empty());
        events.observe(EventClasses::default());
        add(&mut events, "few");
        events.recycle();
        assert!(events.keys.capacity() > 0 && events.events.is_empty());
    }
}
