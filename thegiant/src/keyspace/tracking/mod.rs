//! `CLIENT TRACKING`: clients that keep what they have read are told when it has changed.

mod prefixes;
mod table;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    mem,
};

use bytes::Bytes;

use crate::{
    Client, Error,
    command::Spec,
    connection::{ClientFlag, ServerState},
    resp::{Encoder, Protocol},
};
use table::TrackingTable;

/// The channel by which a client of RESP2 is told.
const CHANNEL: &str = "__redis__:invalidate";

/// Keys of more bytes are not remembered, since the table is bounded by their number: who reads one is told at once that it
/// may have changed.
const MAX_KEY: usize = 1024;

/// Who is to be told of which keys. Databases are not told apart, as in Redis.
#[derive(Default)]
pub(super) struct Tracking {
    /// By their numbers.
    trackers: HashMap<u64, Tracker>,
    /// Who has read what.
    table: TrackingTable,
    /// Who is told of all keys that begin so.
    prefixes: BTreeMap<Bytes, Prefix>,
}

struct Tracker {
    client: Client,
    options: Tracked,
}

/// Those who are told of some keys, whoever has read them.
#[derive(Default)]
struct Prefix {
    trackers: BTreeSet<u64>,
    /// What has changed since they were last told, and by whom.
    changed: BTreeMap<Bytes, Option<u64>>,
}

/// How a client is told of changes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tracked {
    pub(crate) mode: TrackingMode,
    pub(crate) redirect: TrackingRedirect,
    /// It is not told of its own changes.
    pub(crate) no_loop: bool,
    /// Whoever was to be told in its place has gone.
    pub(crate) is_broken: bool,
    /// The next command is an exception from what is usual for it (`CLIENT CACHING`).
    pub(crate) is_caching: bool,
    pub(crate) prefixes: BTreeMap<Bytes, ()>,
}

/// Of which keys a client is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum TrackingMode {
    #[default]
    Off,
    /// Those it has read.
    Reads,
    /// Those it has read after it has said that it keeps them.
    OptIn,
    /// Those it has read, unless it has said that it does not keep them.
    OptOut,
    /// All.
    Broadcast,
}

/// Who is told in place of a client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum TrackingRedirect {
    /// It does not matter: the client is not told.
    #[default]
    Off,
    /// It is told itself.
    Itself,
    To(u64),
}

/// What a client asks for.
#[derive(Debug)]
pub(crate) struct TrackingOptions {
    pub(crate) mode: TrackingMode,
    pub(crate) redirect: TrackingRedirect,
    pub(crate) no_loop: bool,
    pub(crate) prefixes: Vec<Bytes>,
}

/// A key has changed.
#[derive(Clone, Copy)]
pub(super) struct Write<'a> {
    pub(super) key: &'a [u8],
    /// The client that has changed it.
    pub(super) by: Option<u64>,
}

/// How much there is to be told.
#[derive(Debug, Default)]
pub(crate) struct TrackingCounts {
    pub(crate) clients: usize,
    pub(crate) keys: usize,
    /// Keys, counted for each client that has read them.
    pub(crate) items: usize,
    pub(crate) prefixes: usize,
}

impl TrackingRedirect {
    /// As `CLIENT GETREDIR` has it.
    pub(crate) fn as_i64(self) -> i64 {
        match self {
            TrackingRedirect::Off => -1,
            TrackingRedirect::Itself => 0,
            TrackingRedirect::To(id) => i64::try_from(id).unwrap_or(i64::MAX),
        }
    }
}

impl Tracked {
    pub(crate) fn is_on(&self) -> bool {
        self.mode != TrackingMode::Off
    }
}

impl Tracking {
    pub(super) fn is_empty(&self) -> bool {
        self.trackers.is_empty()
    }

    pub(super) fn counts(&self) -> TrackingCounts {
        TrackingCounts {
            clients: self.trackers.len(),
            keys: self.table.keys(),
            items: self.table.items(),
            prefixes: self.prefixes.len(),
        }
    }

    pub(super) fn tracked(&self, client: &Client) -> Tracked {
        self.trackers.get(&client.id()).map(|tracker| tracker.options.clone()).unwrap_or_default()
    }

    pub(super) fn add(&mut self, client: &Client, options: TrackingOptions) -> Result<(), Error> {
        let TrackingOptions { mode, redirect, no_loop, mut prefixes } = options;
        let before = self.trackers.get(&client.id()).map(|tracker| &tracker.options);
        if let Some(before) = before {
            check_change(before.mode, mode)?;
        }
        check_prefixes(before.map(|before| &before.prefixes), &prefixes)?;
        if mode == TrackingMode::Broadcast && prefixes.is_empty() {
            prefixes.push(Bytes::new());
        }
        client.set(ClientFlag::Tracking, true);
        let tracker = Tracker { client: client.clone(), options: Tracked::default() };
        let options = &mut self.trackers.entry(client.id()).or_insert(tracker).options;
        (options.mode, options.redirect, options.no_loop) = (mode, redirect, no_loop);
        options.is_broken = false;
        for prefix in prefixes {
            self.prefixes.entry(prefix.clone()).or_default().trackers.insert(client.id());
            options.prefixes.insert(prefix, ());
        }
        Ok(())
    }

    /// What it has read stays in the table until it changes, as long as there are others.
    pub(super) fn remove(&mut self, client: &Client) {
        client.set(ClientFlag::Tracking, false);
        let Some(tracker) = self.trackers.remove(&client.id()) else { return };
        for name in tracker.options.prefixes.into_keys() {
            if let Some(prefix) = self.prefixes.get_mut(&name) {
                prefix.trackers.remove(&client.id());
                if prefix.trackers.is_empty() {
                    self.prefixes.remove(&name);
                }
            }
        }
        if self.trackers.is_empty() {
            self.table = TrackingTable::default();
        }
    }

    pub(super) fn set_caching(&mut self, client: &Client, answer: &[u8]) -> Result<(), Error> {
        let tracker = self.trackers.get_mut(&client.id()).ok_or(CACHING_WITHOUT_TRACKING)?;
        match (answer.to_ascii_lowercase().as_slice(), tracker.options.mode) {
            (b"yes", TrackingMode::OptIn) | (b"no", TrackingMode::OptOut) => {
                tracker.options.is_caching = true
            }
            (b"yes", _) => return Err(CACHING_WITHOUT_OPTIN),
            (b"no", _) => return Err(NO_CACHING_WITHOUT_OPTOUT),
            _ => return Err(Error::SYNTAX),
        }
        Ok(())
    }

    /// A client has read keys. If these are too many by now, those who have read others are told to forget them.
    pub(super) fn remember<'a>(
        &mut self,
        client: &Client,
        keys: impl Iterator<Item = &'a [u8]>,
        most: usize,
    ) {
        let Some(tracker) = self.trackers.get(&client.id()) else { return };
        let is_held = match tracker.options.mode {
            TrackingMode::Reads => true,
            TrackingMode::OptIn => tracker.options.is_caching,
            TrackingMode::OptOut => !tracker.options.is_caching,
            TrackingMode::Off | TrackingMode::Broadcast => false,
        };
        if !is_held {
            return;
        }
        for key in keys {
            if key.len() <= MAX_KEY {
                self.table.add(key, client.id());
            } else {
                self.tell_readers(Write { key, by: None }, &[client.id()]);
            }
        }
        while most > 0 && self.table.keys() > most {
            let Some((key, readers)) = self.table.take_any() else { return };
            self.tell_readers(Write { key: &key, by: None }, &readers);
        }
    }

    /// What was said of the next command alone has had its use.
    pub(super) fn command_ran(&mut self, client: &Client, command: &Spec) {
        let is_of_client = command.name.starts_with("CLIENT ") || command.name == "MULTI";
        if let Some(tracker) = self.trackers.get_mut(&client.id()).filter(|_| !is_of_client) {
            tracker.options.is_caching = false;
        }
    }

    pub(super) fn modified(&mut self, write: Write<'_>) {
        let names: Vec<_> = prefixes::of(&self.prefixes, write.key).cloned().collect();
        for name in names {
            if let Some(prefix) = self.prefixes.get_mut(&name) {
                prefix.changed.insert(Bytes::copy_from_slice(write.key), write.by);
            }
        }
        if let Some(readers) = self.table.take(write.key) {
            self.tell_readers(write, &readers);
        }
    }

    pub(super) fn all_modified(&mut self) {
        self.table = TrackingTable::default();
        for tracker in self.trackers.values_mut() {
            let protocol = tracker.client.protocol();
            tracker.tell(|out| {
                // It is the client's own nothing, whoever is told.
                out.raw(if protocol == Protocol::Resp3 { b"_\r\n" } else { b"$-1\r\n" });
            });
        }
    }

    /// Tells those of all that has changed who have not asked for single keys.
    pub(super) fn broadcast(&mut self) {
        for prefix in self.prefixes.values_mut() {
            let changed = mem::take(&mut prefix.changed);
            if changed.is_empty() {
                continue;
            }
            for id in &prefix.trackers {
                let Some(tracker) = self.trackers.get_mut(id) else { continue };
                let is_own = |by: Option<u64>| tracker.options.no_loop && by == Some(*id);
                let keys: Vec<_> =
                    changed.iter().filter(|(_, by)| !is_own(**by)).map(|(key, _)| key).collect();
                if !keys.is_empty() {
                    tracker.tell(|out| {
                        out.array(keys.len());
                        keys.iter().for_each(|key| out.bulk(key));
                    });
                }
            }
        }
    }

    fn tell_readers(&mut self, write: Write<'_>, readers: &[u64]) {
        for id in readers {
            let Some(tracker) = self.trackers.get_mut(id) else { continue };
            let is_own = tracker.options.no_loop && write.by == Some(*id);
            if tracker.options.mode != TrackingMode::Broadcast && !is_own {
                tracker.tell(|out| {
                    out.array(1);
                    out.bulk(write.key);
                });
            }
        }
    }
}

impl Tracker {
    /// Tells it what it may not keep any longer, or whoever is told in its place.
    fn tell(&mut self, write: impl FnOnce(&mut Encoder)) {
        let Some(server) = self.client.server() else { return };
        let other = match self.options.redirect {
            TrackingRedirect::To(id) => match server.clients.get(id) {
                None => return self.tell_that_it_is_broken(&server, id),
                found => found,
            },
            TrackingRedirect::Off | TrackingRedirect::Itself => None,
        };
        let told = other.as_ref().unwrap_or(&self.client);
        let mut out = Encoder::new(told.protocol());
        match told.protocol() {
            Protocol::Resp3 => {
                out.push(2);
                out.bulk(b"invalidate");
            }
            // It takes this for a message, and so it must have asked for messages.
            Protocol::Resp2 if other.is_some() && told.is_subscriber() => {
                out.array(3);
                out.bulk(b"message");
                out.bulk(CHANNEL.as_bytes());
            }
            Protocol::Resp2 => return,
        }
        write(&mut out);
        // Who has gone keeps nothing.
        let _ = server.push(told, out.into_vec().into());
    }

    fn tell_that_it_is_broken(&mut self, server: &ServerState, gone: u64) {
        self.options.is_broken = true;
        if self.client.protocol() == Protocol::Resp3 {
            let mut out = Encoder::new(Protocol::Resp3);
            out.push(2);
            out.bulk(b"tracking-redir-broken");
            out.integer(i64::try_from(gone).unwrap_or(i64::MAX));
            let _ = server.push(&self.client, out.into_vec().into());
        }
    }
}

/// Whether a client that is told of some keys may be told of others.
fn check_change(before: TrackingMode, after: TrackingMode) -> Result<(), Error> {
    if (before == TrackingMode::Broadcast) != (after == TrackingMode::Broadcast) {
        return Err(NO_SWITCH_OF_BCAST);
    }
    match (before, after) {
        (TrackingMode::OptIn, TrackingMode::OptOut) | (TrackingMode::OptOut, TrackingMode::OptIn) => {
            Err(NO_SWITCH_OF_OPTIN)
        }
        _ => Ok(()),
    }
}

/// Whether the prefixes that a client asks for are apart from each other, and from those that it has.
fn check_prefixes(known: Option<&BTreeMap<Bytes, ()>>, prefixes: &[Bytes]) -> Result<(), Error> {
    let mut behind = BTreeMap::new();
    let mut first = Ok(());
    for prefix in prefixes.iter().rev() {
        let existing = known.and_then(|known| prefixes::overlapping(known, prefix));
        let provided = prefixes::overlapping(&behind, prefix);
        if let Some(other) = existing {
            first = Err(overlap(prefix, b"an existing", other));
        } else if let Some(other) = provided {
            first = Err(overlap(prefix, b"another provided", other));
        }
        behind.insert(prefix.clone(), ());
    }
    first
}

fn overlap(prefix: &[u8], what: &[u8], other: &[u8]) -> Error {
    const END: &[u8] = b"'. Prefixes for a single client must not overlap.";
    Error::from_bytes([b"ERR Prefix '", prefix, b"' overlaps with ", what, b" prefix '", other, END].concat())
}

const CACHING_WITHOUT_TRACKING: Error = Error::from_static(
    "ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or OPTOUT mode enabled",
);
const CACHING_WITHOUT_OPTIN: Error =
    Error::from_static("ERR CLIENT CACHING YES is only valid when tracking is enabled in OPTIN mode.");
const NO_CACHING_WITHOUT_OPTOUT: Error =
    Error::from_static("ERR CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode.");
const NO_SWITCH_OF_BCAST: Error = Error::from_static(
    "ERR You can't switch BCAST mode on/off before disabling tracking for this client, and then re-enabling it with a \
     different mode.",
);
const NO_SWITCH_OF_OPTIN: Error = Error::from_static(
    "ERR You can't switch OPTIN/OPTOUT mode before disabling tracking for this client, and then re-enabling it with a \
     different mode.",
);
