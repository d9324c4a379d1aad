//! Keys that expire.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::Keyspace;
use crate::clock::now;

/// Keys that expire, in a field of an actor or in the actor.
///
/// `#[commands(expire(field))]` names the field. `#[commands(expire)]` requires that the actor itself implements the trait.
///
/// Before the actor runs a batch, it removes the keys whose time is over, so a command finds none. It also does
/// so ten times a second without any command. While an actor runs a batch, time stands still: [`now`] returns the
/// same time for all its commands. So a transaction never sees a key expire between two of its commands, and
/// `EXEC` fails if a watched key has expired. During `CLIENT PAUSE`, and after
/// `DEBUG SET-ACTIVE-EXPIRE 0`, keys are not removed.
///
/// An [`ExpiringMap`](crate::ExpiringMap) implements this trait:
///
/// ```
/// use thegiant::{ExpiringMap, Milliseconds, prelude::*};
///
/// struct Store {
///     values: ExpiringMap<Bytes, Bytes>,
/// }
///
/// impl Actor for Store {
///     type Context = Context<Self>;
/// }
///
/// #[commands(expire(values))]
/// impl Store {
///     /// Sets the value of a key for some time.
///     #[command("LEASE", write)]
///     fn lease(&mut self, key: Key, value: Bytes, time: Milliseconds) {
///         self.values.insert_for(key.into(), value, time.0);
///     }
///
///     /// Returns the value of a key.
///     #[command("GET", readonly)]
///     fn get(&self, key: Key<&[u8]>) -> Option<&Bytes> {
///         self.values.get(*key)
///     }
/// }
/// ```
///
/// An actor with a store of another kind, such as a database, implements it itself, and `#[commands(expire)]` names no field:
///
/// ```
/// use std::collections::BTreeSet;
/// use thegiant::{Expire, now, prelude::*};
///
/// struct Leases {
///     deadlines: BTreeSet<(i64, Bytes)>,
///     keyspace: Keyspace,
/// }
///
/// impl Actor for Leases {
///     type Context = Context<Self>;
/// }
///
/// #[commands(expire)]
/// impl Leases {
///     /// Returns the number of leases.
///     #[command("LEASES", readonly)]
///     fn count(&self) -> usize {
///         self.deadlines.len()
///     }
/// }
///
/// impl Expire for Leases {
///     fn first_deadline(&self) -> Option<i64> {
///         self.deadlines.first().map(|(deadline, _)| *deadline)
///     }
///
///     fn remove_expired(&mut self, limit: usize) -> usize {
///         let mut removed = 0;
///         while removed < limit && self.first_deadline().is_some_and(|deadline| deadline < now()) {
///             if let Some((deadline, key)) = self.deadlines.pop_first() {
///                 self.keyspace.expired(0, key, deadline);
///             }
///             removed += 1;
///         }
///         removed
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not implement `Expire`",
    label = "`#[commands(expire)]` needs `impl Expire for {Self}`",
    note = "keep the keys in a field that is an `ExpiringMap`, and name it: `#[commands(expire(values))]`"
)]
pub trait Expire {
    /// Returns the deadline of the key that expires first, or an earlier time, or `None` if no key expires.
    ///
    /// It is called before each batch, so it must be cheap.
    fn first_deadline(&self) -> Option<i64>;

    /// Removes at most `limit` keys whose deadlines are before [`now`], and reports each with [`Keyspace::expired`].
    ///
    /// Returns the number of removed keys. If it is `limit`, the actor runs the next batch nevertheless, and goes on
    /// soon: a million keys that expire at once do not hold up its clients. So commands must treat a key whose deadline
    /// is over as missing, and a command that replaces or removes such a key has to report it first.
    fn remove_expired(&mut self, limit: usize) -> usize;
}

/// Maximum number of keys that are removed before one batch.
const LIMIT: usize = 1000;

/// Removes expired keys. Returns whether there may be more of them. `#[commands(expire)]` calls this.
pub fn remove_expired<T: Expire>(keys: &mut T, keyspace: &Keyspace) -> bool {
    if keys.first_deadline().is_none_or(|deadline| deadline >= now()) || keyspace.keeps_expired() {
        return false;
    }
    match catch_unwind(AssertUnwindSafe(|| keys.remove_expired(LIMIT))) {
        Ok(removed) => removed >= LIMIT,
        Err(_) => {
            tracing::error!("an actor panicked while it removed expired keys");
            false
        }
    }
}
