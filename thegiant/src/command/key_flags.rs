//! How a command uses its keys.

use std::fmt;

use super::Flags;

/// How a command uses a key, with the words of Redis' key specifications.
///
/// One of `RO`, `RW`, `OW` and `RM` says what happens to the key: it is read, changed, overwritten or removed. The
/// others say what the command learns or does: `access` returns data of the key to the client, `insert` and `update`
/// write data of the client, `delete` deletes data. ACL rules for keys (`%R~`, `%W~`) depend on them.
///
/// `#[key(…)]` on a parameter sets them; see [`commands`](macro@crate::commands).
///
/// ```
/// use thegiant::command::KeyFlags;
///
/// let flags = KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::DELETE);
/// assert_eq!(flags.names().collect::<Vec<_>>(), ["RW", "access", "delete"]);
/// ```
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct KeyFlags(u16);

impl KeyFlags {
    /// None: the flags follow from the command.
    ///
    /// A `readonly` command has `RO access`, any other command `RW access update`.
    pub const NONE: KeyFlags = KeyFlags(0);
    /// `RO`: the key is only read.
    pub const RO: KeyFlags = KeyFlags(1);
    /// `RW`: the value is read and changed.
    pub const RW: KeyFlags = KeyFlags(1 << 1);
    /// `OW`: the value is overwritten, whatever it was.
    pub const OW: KeyFlags = KeyFlags(1 << 2);
    /// `RM`: the key is removed.
    pub const RM: KeyFlags = KeyFlags(1 << 3);
    /// `access`: data of the key is returned, copied, or compared.
    pub const ACCESS: KeyFlags = KeyFlags(1 << 4);
    /// `update`: data is written, and may replace other data.
    pub const UPDATE: KeyFlags = KeyFlags(1 << 5);
    /// `insert`: data is added, and replaces none.
    pub const INSERT: KeyFlags = KeyFlags(1 << 6);
    /// `delete`: data is deleted.
    pub const DELETE: KeyFlags = KeyFlags(1 << 7);
    /// `not_key`: the word is no key, but belongs to the slot of a key of this name, as a shard channel does.
    pub const NOT_KEY: KeyFlags = KeyFlags(1 << 9);
    /// `variable_flags`: the flags depend on the options of the request.
    pub(crate) const VARIABLE: KeyFlags = KeyFlags(1 << 8);

    const ALL: [(KeyFlags, &'static str); 10] = [
        (KeyFlags::RO, "RO"),
        (KeyFlags::RW, "RW"),
        (KeyFlags::OW, "OW"),
        (KeyFlags::RM, "RM"),
        (KeyFlags::ACCESS, "access"),
        (KeyFlags::UPDATE, "update"),
        (KeyFlags::INSERT, "insert"),
        (KeyFlags::DELETE, "delete"),
        (KeyFlags::NOT_KEY, "not_key"),
        (KeyFlags::VARIABLE, "variable_flags"),
    ];

    /// Returns the flags of both.
    #[must_use]
    pub const fn union(self, other: KeyFlags) -> KeyFlags {
        KeyFlags(self.0 | other.0)
    }

    /// Returns whether all flags of `other` are set.
    pub const fn contains(self, other: KeyFlags) -> bool {
        self.0 & other.0 == other.0
    }

    /// Returns the names of the flags that are set, in the order of `COMMAND INFO`.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Self::ALL.into_iter().filter(move |(flag, _)| self.contains(*flag)).map(|(_, name)| name)
    }

    /// Returns whether no flag is set.
    pub const fn is_none(self) -> bool {
        self.0 == 0
    }

    /// Returns these flags, or those that follow from the flags of the command.
    pub(crate) const fn or_derived(self, command: Flags) -> KeyFlags {
        if !self.is_none() {
            self
        } else if command.contains(Flags::READONLY) {
            KeyFlags::RO.union(KeyFlags::ACCESS)
        } else {
            KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::UPDATE)
        }
    }

    /// Returns the permissions that a user needs for the key.
    pub(crate) const fn access(self) -> KeyAccess {
        let written = KeyFlags::UPDATE.0 | KeyFlags::INSERT.0 | KeyFlags::DELETE.0;
        KeyAccess::new(self.contains(KeyFlags::ACCESS), self.0 & written != 0)
    }
}

impl fmt::Debug for KeyFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}

/// How a command uses the keys of one parameter.
///
/// ```
/// use thegiant::command::{KeyFlags, KeyUse};
///
/// // `SET` reads the key only with its option `GET`.
/// let writes = KeyUse::new(KeyFlags::OW.union(KeyFlags::UPDATE));
/// let set = writes.with("GET", KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::UPDATE));
/// assert_eq!(set.token, Some("GET"));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeyUse {
    /// The flags; [`KeyFlags::NONE`] if they follow from the flags of the command.
    pub flags: KeyFlags,
    /// The token of the option with which the key has other flags.
    pub token: Option<&'static str>,
    /// The flags with that option.
    pub flags_with_token: KeyFlags,
}

impl KeyUse {
    /// The use follows from the flags of the command.
    pub const DERIVED: KeyUse = KeyUse::new(KeyFlags::NONE);

    /// Returns a use that is the same in all requests.
    pub const fn new(flags: KeyFlags) -> Self {
        KeyUse { flags, token: None, flags_with_token: KeyFlags::NONE }
    }

    /// Sets the flags of requests with an option.
    #[must_use]
    pub const fn with(self, token: &'static str, flags: KeyFlags) -> Self {
        KeyUse { token: Some(token), flags_with_token: flags, ..self }
    }

    pub(super) const fn is_same(self, other: KeyUse) -> bool {
        self.flags.0 == other.flags.0 && self.token.is_none() && other.token.is_none()
    }
}

/// The permissions that a user needs for a key.
///
/// A command that only asks whether a key exists needs neither, but some pattern has to match the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KeyAccess(u8);

impl KeyAccess {
    pub(crate) const READ: KeyAccess = KeyAccess(1);
    pub(crate) const WRITE: KeyAccess = KeyAccess(2);
    pub(crate) const BOTH: KeyAccess = KeyAccess(3);

    /// Returns read access, write access, both or none.
    pub(crate) const fn new(read: bool, write: bool) -> Self {
        KeyAccess(read as u8 | (write as u8) << 1)
    }

    pub(crate) const fn union(self, other: KeyAccess) -> Self {
        KeyAccess(self.0 | other.0)
    }

    #[inline]
    pub(crate) const fn contains(self, other: KeyAccess) -> bool {
        other.0 & !self.0 == 0
    }
}
