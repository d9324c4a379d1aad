//! The actor: its databases, the timer that clears them of expired keys, and the commands for
//! whole databases.

use std::{thread, time::Duration};

use thegiant::{Commit, EventClass, GroupCommit, InfoFields, Keyspace, prelude::*};

use crate::databases::{DATABASES, Databases, Result};

/// How often expired keys are looked for.
const EXPIRE_EVERY: Duration = Duration::from_millis(100);
/// How many are dropped before clients have their turn again, and how soon the next
/// are.
const EXPIRE_AT_ONCE: usize = 1000;
const EXPIRE_MORE_AFTER: Duration = Duration::from_millis(1);

/// Keys with their values, in several databases.
pub struct Store<D> {
    pub(crate) data: D,
    /// Is told of keys that expire.
    keyspace: Keyspace,
}

impl<D: Databases> Actor for Store<D> {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        self.drop_expired(context);
    }
}

impl<D: Databases> Store<D> {
    /// Commands for these databases.
    pub fn new(data: D, keyspace: Keyspace) -> Self {
        Store { data, keyspace }
    }

    /// What `INFO keyspace` tells: the databases that have keys, and how many.
    pub fn info(&self) -> impl Fn(&mut InfoFields) + Send + Sync + use<D> {
        let counts = self.data.counts();
        move |info| {
            for (index, counts) in counts.iter().enumerate().filter(|(_, counts)| counts.keys() > 0) {
                let (keys, expires) = (counts.keys(), counts.deadlines());
                // How long they still have on average would take a look at each.
                info.field(&format!("db{index}"), format_args!("keys={keys},expires={expires},avg_ttl=0"));
            }
        }
    }

    /// Drops keys whose time has come, then sees to it that it is called again.
    fn drop_expired(&mut self, context: &mut Context<Self>) {
        let dropped = self.data.drop_expired(EXPIRE_AT_ONCE, |number, key| {
            self.keyspace.modified(number, key);
            self.keyspace.notify(EventClass::Expired, "expired", number, key);
        });
        // What cannot be dropped now is tried again.
        let is_more = dropped.is_ok_and(|dropped| dropped >= EXPIRE_AT_ONCE);
        context.run_later(if is_more { EXPIRE_MORE_AFTER } else { EXPIRE_EVERY }, Self::drop_expired);
    }
}

/// Where changes hold only when they are committed, replies wait for that.
impl<D: Databases> GroupCommit for Store<D> {
    const USES_GROUP_COMMIT: bool = D::USES_GROUP_COMMIT;

    fn commit(&mut self, _: &mut Context<Self>) -> Commit {
        self.data.commit()
    }

    fn rollback(&mut self, _: &Error, context: &mut Context<Self>) {
        if let Err(error) = self.data.rollback() {
            tracing::error!(%error, "what was not committed cannot be taken back either");
            context.stop();
        }
    }
}

/// Whether the client waits until the memory is free.
#[derive(Args, PartialEq)]
enum Flush {
    Async,
    Sync,
}

#[commands(include(STRINGS, KEYS, EXPIRY), group = "server", group_commit)]
impl<D: Databases> Store<D> {
    /// Returns the number of keys in the database.
    #[command("DBSIZE", readonly, fast)]
    fn dbsize(&self, client: &Client) -> usize {
        self.data.len(client.db())
    }

    /// Removes all keys of the database.
    #[command("FLUSHDB", write)]
    fn flushdb(&mut self, client: &Client, mode: Option<Flush>) -> Result<()> {
        discard(self.data.clear(client.db())?, mode);
        Ok(())
    }

    /// Removes all keys of all databases.
    #[command("FLUSHALL", write)]
    fn flushall(&mut self, mode: Option<Flush>) -> Result<()> {
        let cleared = (0..DATABASES as u16).map(|number| self.data.clear(number));
        discard(cleared.collect::<Result<Vec<_>>>()?, mode);
        Ok(())
    }
}

/// Drops what may take a while, in a thread of its own if that is asked for.
fn discard<T: Send + 'static>(data: T, mode: Option<Flush>) {
    if mode == Some(Flush::Async) {
        // Without a thread to be had, it is dropped here.
        let _ = thread::Builder::new().spawn(move || drop(data));
    }
}
