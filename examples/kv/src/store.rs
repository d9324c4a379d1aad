//! The actor: its databases, the timer that clears them of expired keys, and the commands for
//! whole databases.

use std::{thread, time::Duration};

use thegiant::{EventClass, InfoFields, Keyspace, prelude::*};

use crate::db::Db;

/// As many as a server has unless it is told otherwise.
pub(crate) const DATABASES: usize = 16;

/// How often expired keys are looked for.
const EXPIRE_EVERY: Duration = Duration::from_millis(100);
/// How many of a database are dropped before clients have their turn again, and how soon the next
/// are.
const EXPIRE_AT_ONCE: usize = 1000;
const EXPIRE_MORE_AFTER: Duration = Duration::from_millis(1);

/// What a command returns that can fail.
pub(crate) type Result<T> = std::result::Result<T, Error>;

/// Keys with their values, in several databases.
#[derive(Default)]
pub(crate) struct Store {
    pub(crate) databases: [Db; DATABASES],
    /// Is told of keys that expire.
    keyspace: Keyspace,
}

impl Actor for Store {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        self.drop_expired(context);
    }
}

impl Store {
    pub(crate) fn new(keyspace: Keyspace) -> Self {
        Store { keyspace, ..Store::default() }
    }

    /// The database that a client has chosen.
    pub(crate) fn db(&self, client: &Client) -> &Db {
        &self.databases[usize::from(client.db())]
    }

    pub(crate) fn db_mut(&mut self, client: &Client) -> &mut Db {
        &mut self.databases[usize::from(client.db())]
    }

    /// What `INFO keyspace` tells: the databases that have keys, and how many.
    pub(crate) fn info(&self) -> impl Fn(&mut InfoFields) + Send + Sync + use<> {
        let counts = self.databases.each_ref().map(Db::counts);
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
        let mut dropped = 0;
        for (db, number) in self.databases.iter_mut().zip(0..) {
            dropped += db.drop_expired(EXPIRE_AT_ONCE, |key| {
                self.keyspace.modified(number, key);
                self.keyspace.notify(EventClass::Expired, "expired", number, key);
            });
        }
        let pause = if dropped < EXPIRE_AT_ONCE { EXPIRE_EVERY } else { EXPIRE_MORE_AFTER };
        context.run_later(pause, Self::drop_expired);
    }
}

/// Whether the client waits until the memory is free.
#[derive(Args, PartialEq)]
enum Flush {
    Async,
    Sync,
}

#[commands(include(STRINGS, KEYS, EXPIRY), group = "server")]
impl Store {
    /// Returns the number of keys in the database.
    #[command("DBSIZE", readonly, fast)]
    fn dbsize(&self, client: &Client) -> usize {
        self.db(client).len()
    }

    /// Removes all keys of the database.
    #[command("FLUSHDB", write)]
    fn flushdb(&mut self, client: &Client, mode: Option<Flush>) {
        discard(self.db_mut(client).take(), mode);
    }

    /// Removes all keys of all databases.
    #[command("FLUSHALL", write)]
    fn flushall(&mut self, mode: Option<Flush>) {
        discard(self.databases.each_mut().map(Db::take), mode);
    }
}

/// Drops what may take a while, in a thread of its own if that is asked for.
fn discard<T: Send + 'static>(data: T, mode: Option<Flush>) {
    if mode == Some(Flush::Async) {
        // Without a thread to be had, it is dropped here.
        let _ = thread::Builder::new().spawn(move || drop(data));
    }
}
