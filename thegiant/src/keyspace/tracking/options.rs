//! The tracking options of a client, and the checks that they are compatible.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::{Error, prefixes};

/// The tracking state of a client, without its prefixes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tracked {
    pub(crate) mode: TrackingMode,
    pub(crate) redirect: TrackingRedirect,
    /// The client gets no invalidations of its own changes.
    pub(crate) no_loop: bool,
    /// The client to which invalidations are redirected has disconnected.
    pub(crate) is_broken: bool,
    /// `CLIENT CACHING` inverts the mode's default for the next command.
    pub(crate) is_caching: bool,
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

impl TrackingOptions {
    /// Puts the key prefix of the client before the prefixes.
    pub(crate) fn with_key_prefix(mut self, key_prefix: &Bytes) -> Self {
        self.prefixes.iter_mut().for_each(|prefix| *prefix = [&key_prefix[..], prefix].concat().into());
        self
    }
}

impl Tracked {
    pub(crate) fn is_on(&self) -> bool {
        self.mode != TrackingMode::Off
    }

    /// Returns whether the client gets invalidations of the keys that its next command reads.
    pub(super) fn tracks_reads(&self) -> bool {
        match self.mode {
            TrackingMode::Reads => true,
            TrackingMode::OptIn => self.is_caching,
            TrackingMode::OptOut => !self.is_caching,
            TrackingMode::Off | TrackingMode::Broadcast => false,
        }
    }

    /// Applies the argument of `CLIENT CACHING`.
    pub(super) fn set_caching(&mut self, answer: &[u8]) -> Result<(), Error> {
        match (answer.to_ascii_lowercase().as_slice(), self.mode) {
            (b"yes", TrackingMode::OptIn) | (b"no", TrackingMode::OptOut) => {
                self.is_caching = true;
                Ok(())
            }
            (b"yes", _) => Err(CACHING_WITHOUT_OPTIN),
            (b"no", _) => Err(NO_CACHING_WITHOUT_OPTOUT),
            _ => Err(Error::SYNTAX),
        }
    }
}

impl TrackingMode {
    /// Checks that a client may switch from this mode to another.
    pub(super) fn check_change(self, after: TrackingMode) -> Result<(), Error> {
        if (self == TrackingMode::Broadcast) != (after == TrackingMode::Broadcast) {
            return Err(NO_SWITCH_OF_BCAST);
        }
        match (self, after) {
            (TrackingMode::OptIn, TrackingMode::OptOut) | (TrackingMode::OptOut, TrackingMode::OptIn) => {
                Err(NO_SWITCH_OF_OPTIN)
            }
            _ => Ok(()),
        }
    }
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

/// Checks that a client's new prefixes overlap neither with each other nor with its existing ones.
///
/// Errors show them without their first `hidden` bytes, the key prefix of the client.
pub(super) fn check_prefixes(
    known: Option<&BTreeMap<Bytes, ()>>,
    prefixes: &[Bytes],
    hidden: usize,
) -> Result<(), Error> {
    let mut later = BTreeMap::new();
    let mut first = Ok(());
    for prefix in prefixes.iter().rev() {
        let existing = known.and_then(|known| prefixes::overlapping(known, prefix));
        let provided = prefixes::overlapping(&later, prefix);
        if let Some(other) = existing {
            first = Err(overlap(&prefix[hidden..], b"an existing", &other[hidden..]));
        } else if let Some(other) = provided {
            first = Err(overlap(&prefix[hidden..], b"another provided", &other[hidden..]));
        }
        later.insert(prefix.clone(), ());
    }
    first
}

fn overlap(prefix: &[u8], what: &[u8], other: &[u8]) -> Error {
    const END: &[u8] = b"'. Prefixes for a single client must not overlap.";
    Error::from_bytes([b"ERR Prefix '", prefix, b"' overlaps with ", what, b" prefix '", other, END].concat())
}

pub(super) const CACHING_WITHOUT_TRACKING: Error = Error::from_static(
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
