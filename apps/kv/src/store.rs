//! The actor, and the commands for whole databases.

use std::{sync::Arc, thread, time::Duration};

use thegiant::{
    Commit, Expire, GroupCommit, InfoFields, KeyEvents, KeyPattern, Prefetch, prelude::*, resp::parse_integer,
};

use crate::databases::{Counts, DATABASES, Databases, Result, Time};

/// Interval between two searches for garbage.
const DROP_GARBAGE_EVERY: Duration = Duration::from_millis(100);
/// Maximum number of entries to remove at once. If there are more, the actor serves clients for
/// [`DROP_MORE_AFTER`] and continues.
const MAX_GARBAGE_PER_RUN: usize = 1000;
const DROP_MORE_AFTER: Duration = Duration::from_millis(1);

/// Keys and their values in several databases.
pub struct Store<D> {
    pub(crate) data: D,
    pub(crate) is_in_cluster: bool,
}

impl<D: Databases> Actor for Store<D> {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        if D::HAS_GARBAGE {
            self.drop_garbage(context);
        }
    }
}

impl<D: Databases> Store<D> {
    /// Returns an actor that serves these databases.
    pub fn new(data: D) -> Self {
        Store { data, is_in_cluster: false }
    }

    /// Sets whether the server is an instance of a cluster, which has only one database.
    #[must_use]
    pub fn in_cluster(self, is_in_cluster: bool) -> Self {
        Store { is_in_cluster, ..self }
    }

    /// Removes all keys of a database, and returns the data, which may take long to drop.
    fn clear(
        &mut self,
        client: &Client,
        db: u16,
        events: &mut KeyEvents,
    ) -> Result<Option<impl Send + 'static + use<D>>> {
        let (data, own) = (&self.data, KeyPattern::all(client));
        data.keyspace().clear(db, events, |key| own.matches(key) && data.contains(db, key).unwrap_or(true));
        if client.key_prefix().is_empty() {
            return self.data.clear(db).map(Some);
        }
        let keys = self.keys_like(db, &own).map(|key| Ok(key?.0.into_bytes()));
        for key in keys.collect::<Result<Vec<_>>>()? {
            self.data.remove(db, &key)?;
        }
        Ok(None)
    }

    /// Removes garbage and schedules the next search.
    fn drop_garbage(&mut self, context: &mut Context<Self>) {
        let dropped = self.data.drop_garbage(MAX_GARBAGE_PER_RUN);
        // If the store fails, the next search tries again.
        let has_more = dropped.is_ok_and(|dropped| dropped >= MAX_GARBAGE_PER_RUN);
        context.run_later(if has_more { DROP_MORE_AFTER } else { DROP_GARBAGE_EVERY }, Self::drop_garbage);
    }
}

impl<D: Databases> Expire for Store<D> {
    #[inline]
    fn first_deadline(&self) -> Option<Time> {
        self.data.first_deadline()
    }

    fn remove_expired(&mut self, limit: usize) -> usize {
        self.data.remove_expired(limit)
    }
}

impl<D: Databases> Prefetch for Store<D> {
    #[inline]
    fn prefetch<'a>(&self, client: &Client, keys: impl Iterator<Item = &'a [u8]>) {
        self.data.prefetch(client.db(), keys);
    }
}

/// Returns the function that writes the `INFO keyspace` section, with the sums of these shards.
pub fn keyspace_info(shards: Vec<Arc<[Counts; DATABASES]>>) -> impl Fn(&mut InfoFields) + Send + Sync {
    move |info| {
        for index in 0..DATABASES {
            let sum = |count: fn(&Counts) -> usize| shards.iter().map(|shard| count(&shard[index])).sum();
            let (keys, expires): (usize, usize) = (sum(Counts::keys), sum(Counts::deadlines));
            if keys > 0 {
                // The average time to live would require a look at every key.
                info.field(&format!("db{index}"), format_args!("keys={keys},expires={expires},avg_ttl=0"));
            }
        }
    }
}

/// Delegates to the store: replies wait for its commit if it uses group commit.
impl<D: Databases> GroupCommit for Store<D> {
    const USES_GROUP_COMMIT: bool = D::USES_GROUP_COMMIT;

    fn commit(&mut self, _: &mut Context<Self>) -> Commit {
        self.data.commit()
    }

    fn rollback(&mut self, _: &Error, context: &mut Context<Self>) {
        if let Err(error) = self.data.rollback() {
            tracing::error!(%error, "the rollback failed, so the store stops");
            context.stop();
        }
    }
}

/// Whether the client waits until the memory is freed.
#[derive(Args, PartialEq)]
enum Flush {
    Async,
    Sync,
}

#[commands(include(STRINGS, KEYS, EXPIRY, INSPECTION), group = "server", group_commit, expire, prefetch)]
impl<D: Databases> Store<D> {
    /// Returns the number of keys in the database.
    #[command("DBSIZE", readonly, fast, all = "agg_sum", tenant_safe, categories("keyspace"))]
    fn dbsize(&self, client: &Client) -> Result<usize> {
        if client.key_prefix().is_empty() {
            return Ok(self.data.len(client.db()));
        }
        let own = KeyPattern::all(client);
        self.keys_like(client.db(), &own).try_fold(0, |count, key| key.map(|_| count + 1))
    }

    /// Returns the number of replicas that have the writes of the client: 0, at once, because there are no replicas.
    #[command("WAIT", noscript, group = "generic", all = "agg_min", tenant_safe, categories("connection"))]
    fn wait(&self, numreplicas: i64, timeout: &[u8]) -> Result<i64> {
        let _ = numreplicas;
        match parse_integer::<i64>(timeout) {
            None => Err(NO_TIMEOUT),
            Some(..0) => Err(NEGATIVE_TIMEOUT),
            Some(_) => Ok(0),
        }
    }

    /// Removes all keys of the database.
    #[command("FLUSHDB", write, all = "all_succeeded", tenant_safe, categories("dangerous", "keyspace"))]
    fn flushdb(&mut self, client: &Client, mode: Option<Flush>, events: &mut KeyEvents) -> Result<()> {
        discard(self.clear(client, client.db(), events)?, mode);
        Ok(())
    }

    /// Removes all keys of all databases.
    #[command("FLUSHALL", write, all = "all_succeeded", tenant_safe, categories("dangerous", "keyspace"))]
    fn flushall(&mut self, client: &Client, mode: Option<Flush>, events: &mut KeyEvents) -> Result<()> {
        let cleared = (0..DATABASES as u16).map(|number| self.clear(client, number, events));
        discard(cleared.collect::<Result<Vec<_>>>()?, mode);
        Ok(())
    }
}

const NO_TIMEOUT: Error = Error::from_static("ERR timeout is not an integer or out of range");
const NEGATIVE_TIMEOUT: Error = Error::from_static("ERR timeout is negative");

/// Drops data that may take long to drop, in a new thread if the mode is `ASYNC`.
fn discard<T: Send + 'static>(data: T, mode: Option<Flush>) {
    if mode == Some(Flush::Async) {
        // If no thread can be started, the data is dropped here.
        let _ = thread::Builder::new().spawn(move || drop(data));
    }
}
