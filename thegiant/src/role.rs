//! Whether a server is a master or a replica.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::{Error, command::Flags};

/// Whether a server is a master or a replica, as clients see it.
///
/// A server is a master, unless [`ServerHandle::set_role`](crate::ServerHandle::set_role) makes it a replica. Of several
/// servers that share their data, or that take over from each other, one is the master. The others wait as replicas: they refuse commands, and
/// clients that know [Sentinel](crate::sentinel) look for the master.
///
/// The toolkit copies no data. A replica replies as a replica of Redis does whose link to its master is down, with
/// `replica-serve-stale-data no`:
///
/// | request | reply |
/// | --- | --- |
/// | a command with the flag `write` | `-READONLY You can't write against a read only replica.` |
/// | a command with the flag `stale`, such as `INFO`, `CLIENT`, `SUBSCRIBE` or `PUBLISH` | as from a master; for channels of a proxy, that of the upstream |
/// | a command of a [proxy](crate::App::proxy) or a [fallback](crate::App::fallback), unless Redis 8 has the command and it does not write, as `GET` | `-READONLY …` |
/// | `MULTI`, `EXEC`, `DISCARD`, `WATCH` or `UNWATCH` of a proxy | that of the upstream; `EXEC` of a transaction that has queued something runs nothing, and replies `-EXECABORT …` |
/// | any other command, such as `PING` | `-MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.` |
/// | `EXEC` | `-EXECABORT …`, if it is not for all queued commands that they may run |
/// | `ROLE` | `slave`, the address of the master, `connect`, -1 |
/// | `INFO replication` | `role:slave`, `master_host`, `master_port`, `master_link_status:down` |
/// | `HELLO` | has the role `replica` |
///
/// ```
/// use thegiant::{Role, ServerHandle};
///
/// /// Waits while the server at this address is the master.
/// fn stand_by(handle: &ServerHandle, master: &str) {
///     handle.set_role(Role::replica_of(master, 6380));
/// }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Role {
    /// The server runs all commands.
    #[default]
    Master,
    /// The server refuses commands, because another one is the master.
    Replica {
        /// The host of the master. An IPv6 address has no brackets.
        host: String,
        /// The port of the master.
        port: u16,
    },
}

impl Role {
    /// Returns the role of a replica of this master.
    ///
    /// ```
    /// use thegiant::Role;
    ///
    /// assert_eq!(Role::replica_of("10.0.0.1", 6380), Role::Replica { host: "10.0.0.1".into(), port: 6380 });
    /// ```
    pub fn replica_of(host: impl Into<String>, port: u16) -> Self {
        Role::Replica { host: host.into(), port }
    }

    /// Returns whether this is the role of a replica.
    ///
    /// ```
    /// use thegiant::Role;
    ///
    /// assert!(!Role::Master.is_replica());
    /// ```
    #[must_use]
    pub fn is_replica(&self) -> bool {
        matches!(self, Role::Replica { .. })
    }
}

/// The current role of a server.
#[derive(Debug, Default)]
pub(crate) struct CurrentRole(Mutex<Role>);

impl CurrentRole {
    pub(crate) fn get(&self) -> Role {
        self.lock().clone()
    }

    /// Sets the role. Returns the role before.
    pub(crate) fn replace(&self, role: Role) -> Role {
        std::mem::replace(&mut self.lock(), role)
    }

    /// Calls a function with the role, which does not change meanwhile.
    pub(crate) fn with<T>(&self, use_it: impl FnOnce(&Role) -> T) -> T {
        use_it(&self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Role> {
        // A panic leaves the role as it is.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The reason why a replica does not run a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotMaster {
    /// The request may change data.
    ReadOnly,
    /// The replica has no data.
    NoData,
}

impl NotMaster {
    /// Checks whether a replica runs commands with these flags, for example those of a transaction.
    #[inline]
    pub(crate) fn check(commands: impl IntoIterator<Item = Flags>) -> Result<(), NotMaster> {
        let mut result = Ok(());
        for flags in commands {
            if flags.contains(Flags::WRITE) {
                return Err(NotMaster::ReadOnly);
            }
            if !flags.contains(Flags::STALE) {
                result = Err(NotMaster::NoData);
            }
        }
        result
    }

    /// Returns the error for the client.
    pub(crate) fn error(self) -> Error {
        match self {
            NotMaster::ReadOnly => Error::READ_ONLY,
            NotMaster::NoData => MASTER_DOWN,
        }
    }
}

const MASTER_DOWN: Error =
    Error::from_static("MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.");

/// The reply to a command that waits when its server becomes a replica. The connection is closed after it.
pub(crate) const FORCED_UNBLOCK: Error = Error::from_static(
    "UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)",
);
