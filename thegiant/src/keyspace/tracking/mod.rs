//! `CLIENT TRACKING`: sends invalidations to clients that cache keys.

mod prefixes;
mod table;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    mem,
};

use bytes::Bytes;

use crate::{
    Client, Error,
    client::{ClientFlag, ClientHost},
    command::Spec,
    resp::{Encoder, Protocol},
};
use table::TrackingTable;

/// The channel on which a RESP2 client receives invalidations.
const CHANNEL: &str = "__redis__:invalidate";

/// Maximum length of a key in the tracking table, in bytes.
///
/// The table limits the number of keys, so it needs a limit of their length. A client that reads a longer
/// key gets its invalidation at once.
const MAX_KEY_LEN: usize = 1024;

/// The tracking clients and their keys. As in Redis, all databases share one table.
#[derive(Default)]
pub(super) struct Tracking {
    /// The tracking clients, by client ID.
    trackers: HashMap<u64, Tracker>,
    /// The readers of each key.
    table: TrackingTable,
    /// The broadcast-mode clients of each prefix.
    prefixes: BTreeMap<Bytes, Prefix>,
}

struct Tracker {
    client: Client,
    options: Tracked,
}

/// The clients of one prefix in broadcast mode.
#[derive(Default)]
struct Prefix {
    trackers: BTreeSet<u64>,
    /// The keys that have changed since the last broadcast, each with the ID of the client that changed it.
    changed: BTreeMap<Bytes, Option<u64>>,
}

/// The tracking state of a client.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tracked {
    pub(crate) mode: TrackingMode,
    pub(crate) redirect: TrackingRedirect,
    /// The client gets no invalidations of its own changes.
    pub(crate) no_loop: bool,
    /// The client to which invalidations are redirected has disconnected.
    pub(crate) is_broken: bool,
    /// `CLIENT CACHING` inverts the mode's default for the next command.
    pub(crate) is_caching: bool,
    pub(crate) prefixes: BTreeMap<Bytes, ()>,
}

/// The keys of which a client gets invalidations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum TrackingMode {
    /// No keys: the client does not use tracking.
    #[default]
    Off,
    /// The keys that it reads.
    Reads,
    /// The keys that it reads right after `CLIENT CACHING YES`.
    OptIn,
    /// The keys that it reads, unless `CLIENT CACHING NO` came right before.
    OptOut,
    /// All keys with one of its prefixes, even if it has not read them.
    Broadcast,
}

/// The client that receives the invalidations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum TrackingRedirect {
    /// No client: tracking is off.
    #[default]
    Off,
    /// The tracking client.
    Itself,
    /// The client with this ID.
    To(u64),
}

/// The options of a `CLIENT TRACKING ON` command.
#[derive(Debug)]
pub(crate) struct TrackingOptions {
    pub(crate) mode: TrackingMode,
    pub(crate) redirect: TrackingRedirect,
    pub(crate) no_loop: bool,
    pub(crate) prefixes: Vec<Bytes>,
}

/// A change of a key.
#[derive(Clone, Copy)]
pub(super) struct Write<'a> {
    pub(super) key: &'a [u8],
    /// ID of the client that changed the key, if a command of a client did.
    pub(super) by: Option<u64>,
}

/// The tracking counters of `INFO`.
#[derive(Debug, Default)]
pub(crate) struct TrackingCounts {
    pub(crate) clients: usize,
    pub(crate) keys: usize,
    /// The pairs of a key and a client that has read it.
    pub(crate) items: usize,
    pub(crate) prefixes: usize,
}

impl TrackingRedirect {
    /// Returns the reply of `CLIENT GETREDIR`.
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

    /// Switches tracking off for a client.
    ///
    /// Its entries stay in the table until the keys change or the last client switches tracking off.
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

    /// Adds the keys that a client has read to the table.
    ///
    /// If the table then has more than `max_keys` keys, evicts keys and sends invalidations to their readers.
    pub(super) fn add_reads<'a>(
        &mut self,
        client: &Client,
        keys: impl Iterator<Item = &'a [u8]>,
        max_keys: usize,
    ) {
        let Some(tracker) = self.trackers.get(&client.id()) else { return };
        let is_cached = match tracker.options.mode {
            TrackingMode::Reads => true,
            TrackingMode::OptIn => tracker.options.is_caching,
            TrackingMode::OptOut => !tracker.options.is_caching,
            TrackingMode::Off | TrackingMode::Broadcast => false,
        };
        if !is_cached {
            return;
        }
        for key in keys {
            if key.len() <= MAX_KEY_LEN {
                self.table.add(key, client.id());
            } else {
                self.invalidate_readers(Write { key, by: None }, &[client.id()]);
            }
        }
        while max_keys > 0 && self.table.keys() > max_keys {
            let Some((key, readers)) = self.table.evict() else { return };
            self.invalidate_readers(Write { key: &key, by: None }, &readers);
        }
    }

    /// Ends the effect of `CLIENT CACHING`, which applies to the next command only.
    pub(super) fn command_ran(&mut self, client: &Client, command: &Spec) {
        // As in Redis, `CLIENT` commands do not count as the next command, and a transaction counts as one.
        let is_exempt = command.name.starts_with("CLIENT ") || command.name == "MULTI";
        if let Some(tracker) = self.trackers.get_mut(&client.id()).filter(|_| !is_exempt) {
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
            self.invalidate_readers(write, &readers);
        }
    }

    pub(super) fn all_modified(&mut self) {
        self.table = TrackingTable::default();
        for tracker in self.trackers.values_mut() {
            let protocol = tracker.client.protocol();
            tracker.invalidate(|out| {
                // As in Redis, the null has the tracking client's protocol, even if another client receives it.
                out.raw(if protocol == Protocol::Resp3 { b"_\r\n" } else { b"$-1\r\n" });
            });
        }
    }

    /// Sends the collected invalidations to the clients in broadcast mode.
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
                    tracker.invalidate(|out| {
                        out.array(keys.len());
                        keys.iter().for_each(|key| out.bulk(key));
                    });
                }
            }
        }
    }

    fn invalidate_readers(&mut self, write: Write<'_>, readers: &[u64]) {
        for id in readers {
            let Some(tracker) = self.trackers.get_mut(id) else { continue };
            let is_own = tracker.options.no_loop && write.by == Some(*id);
            if tracker.options.mode != TrackingMode::Broadcast && !is_own {
                tracker.invalidate(|out| {
                    out.array(1);
                    out.bulk(write.key);
                });
            }
        }
    }
}

impl Tracker {
    /// Sends an invalidation to the client, or to the client to which it redirects.
    ///
    /// `write` writes the keys.
    fn invalidate(&mut self, write: impl FnOnce(&mut Encoder)) {
        let Some(host) = self.client.host() else { return };
        let other = match self.options.redirect {
            TrackingRedirect::To(id) => match host.client(id) {
                None => return self.break_redirect(&*host, id),
                found => found,
            },
            TrackingRedirect::Off | TrackingRedirect::Itself => None,
        };
        let receiver = other.as_ref().unwrap_or(&self.client);
        let mut out = Encoder::new(receiver.protocol());
        match receiver.protocol() {
            Protocol::Resp3 => {
                out.push(2);
                out.bulk(b"invalidate");
            }
            // A RESP2 client receives invalidations as Pub/Sub messages, so it needs a subscription.
            Protocol::Resp2 if other.is_some() && receiver.is_subscriber() => {
                out.array(3);
                out.bulk(b"message");
                out.bulk(CHANNEL.as_bytes());
            }
            Protocol::Resp2 => return,
        }
        write(&mut out);
        // Ignores the error of a disconnected client: its cache no longer matters.
        let _ = host.push(receiver, out.into_vec().into());
    }

    /// Marks the redirect as broken, and tells a RESP3 client.
    fn break_redirect(&mut self, host: &dyn ClientHost, redirect: u64) {
        self.options.is_broken = true;
        if self.client.protocol() == Protocol::Resp3 {
            let mut out = Encoder::new(Protocol::Resp3);
            out.push(2);
            out.bulk(b"tracking-redir-broken");
            out.integer(i64::try_from(redirect).unwrap_or(i64::MAX));
            let _ = host.push(&self.client, out.into_vec().into());
        }
    }
}

/// Checks that a client may switch from one tracking mode to another.
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

/// Checks that a client's new prefixes overlap neither with each other nor with its existing ones.
fn check_prefixes(known: Option<&BTreeMap<Bytes, ()>>, prefixes: &[Bytes]) -> Result<(), Error> {
    let mut later = BTreeMap::new();
    let mut first = Ok(());
    for prefix in prefixes.iter().rev() {
        let existing = known.and_then(|known| prefixes::overlapping(known, prefix));
        let provided = prefixes::overlapping(&later, prefix);
        if let Some(other) = existing {
            first = Err(overlap(prefix, b"an existing", other));
        } else if let Some(other) = provided {
            first = Err(overlap(prefix, b"another provided", other));
        }
        later.insert(prefix.clone(), ());
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
