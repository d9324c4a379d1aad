//! The commands.

use std::{
    cell::{Cell, LazyCell, RefCell},
    collections::HashMap,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use actix::ResponseFuture;
use bytes::Bytes;
use thegiant::{
    InfoFields, MaybeFuture,
    prelude::*,
    single_flight::{Flight, SingleFlight},
};

use crate::{
    cache::{Cache, Known, Writes},
    database::Database,
    failure::Failure,
};

/// Serves values from the cache, and reads the others from the database. Several share a database, and each has its
/// part of the keys.
pub(crate) struct Reader(Rc<Inner>);

struct Inner {
    database: Database,
    cache: RefCell<Cache>,
    now: Cell<Instant>,
    /// The keys that queries are reading.
    being_read: SingleFlight<Bytes, Result<Option<Bytes>, Failure>>,
    /// The running queries by number. Each is shared by the reads of its keys, and ends when none waits for it.
    queries: SingleFlight<u64, Result<Rc<HashMap<Bytes, Bytes>>, Failure>>,
    /// The number of the next query.
    next_number: Cell<u64>,
    stats: Arc<Stats>,
}

/// A query that has not started yet, and its keys.
struct NextQuery {
    number: u64,
    keys: RefCell<Vec<Bytes>>,
}

/// The counters of a reader, for `INFO readthrough`.
#[derive(Debug, Default)]
pub(crate) struct Stats {
    hits: AtomicU64,
    stale_hits: AtomicU64,
    misses: AtomicU64,
    coalesced: AtomicU64,
    queries: AtomicU64,
    failures: AtomicU64,
    query_usec: AtomicU64,
    keys: AtomicU64,
    bytes: AtomicU64,
}

/// The value of a key, when a query has read it.
type Read = Flight<Bytes, Result<Option<Bytes>, Failure>>;

/// Returns one of the counters.
type Counter = fn(&Stats) -> &AtomicU64;

/// A reply that is ready now, or when the database has answered.
type Answered<T> = MaybeFuture<Result<T, Error>>;

/// Interval between two readings of the clock. Reading it for every command would be a large part of its
/// cost.
const TICK: Duration = Duration::from_millis(100);

impl Actor for Reader {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        context.run_interval(TICK, |reader, _| {
            reader.0.now.set(Instant::now());
            reader.0.cache.borrow_mut().set_server(reader.0.database.servers.changes());
        });
    }
}

impl Reader {
    pub(crate) fn new(database: Database, cache: Cache, stats: Arc<Stats>) -> Self {
        Reader(Rc::new(Inner {
            database,
            cache: RefCell::new(cache),
            now: Cell::new(Instant::now()),
            being_read: SingleFlight::new(),
            queries: SingleFlight::new(),
            next_number: Cell::new(0),
            stats,
        }))
    }
}

#[commands]
impl Reader {
    /// Returns the value of a key from the cache or the database.
    #[command("GET", readonly, fast)]
    fn get(&self, key: Key<&[u8]>) -> Answered<Option<Bytes>> {
        let inner = &self.0;
        let known = inner.cache.borrow().get(&key, inner.now.get());
        match known {
            Known::Fresh(value) => {
                add(&inner.stats.hits, 1);
                MaybeFuture::Now(Ok(value))
            }
            Known::Stale(value) => {
                add(&inner.stats.stale_hits, 1);
                inner.refresh(Bytes::copy_from_slice(&key), &inner.new_query());
                MaybeFuture::Now(Ok(value))
            }
            Known::Nothing => {
                add(&inner.stats.misses, 1);
                let read = inner.read(Bytes::copy_from_slice(&key), &inner.new_query());
                MaybeFuture::later(async { read.await.map_err(failed) })
            }
        }
    }

    /// Returns the values of several keys. One query of each thread reads its keys that are neither cached nor being read.
    #[command("MGET", readonly, fast, split)]
    fn mget(&self, keys: Vec<Key<Bytes>>) -> Answered<Vec<Option<Bytes>>> {
        let now = self.0.now.get();
        let known: Vec<_> = {
            let cache = self.0.cache.borrow();
            keys.iter().map(|key| cache.get(key, now)).collect()
        };
        let (stats, query) = (&self.0.stats, LazyCell::new(|| self.0.new_query()));
        let mut missing: Vec<Bytes> = Vec::new();
        let values = known.into_iter().zip(&keys).map(|(known, key)| match known {
            Known::Fresh(value) => {
                add(&stats.hits, 1);
                Ok(value)
            }
            Known::Stale(value) => {
                add(&stats.stale_hits, 1);
                self.0.refresh(key.0.clone(), &query);
                Ok(value)
            }
            Known::Nothing => {
                add(&stats.misses, 1);
                missing.push(key.0.clone());
                Err(key.0.clone())
            }
        });
        let values: Vec<Result<Option<Bytes>, Bytes>> = values.collect();
        if missing.is_empty() {
            return MaybeFuture::Now(Ok(values.into_iter().map(Result::unwrap_or_default).collect()));
        }
        missing.sort_unstable();
        missing.dedup();
        let reads: Vec<_> = missing.into_iter().map(|key| (key.clone(), self.0.read(key, &query))).collect();
        MaybeFuture::later(async move {
            let mut read = HashMap::with_capacity(reads.len());
            for (key, value) in reads {
                read.insert(key, value.await.map_err(failed)?);
            }
            let value =
                |value: Result<_, Bytes>| value.unwrap_or_else(|key| read.get(&key).cloned().flatten());
            Ok(values.into_iter().map(value).collect())
        })
    }

    /// Sets the value of a key in the database.
    #[command("SET", write)]
    fn set(&self, key: Key<Bytes>, value: Bytes) -> ResponseFuture<Result<(), Error>> {
        let database = self.0.database.clone();
        let key = key.0;
        self.0.write(vec![key.clone()], async move { database.set(key, value).await })
    }

    /// Removes keys from the database, and returns how many existed.
    #[command("DEL", write, split = "agg_sum")]
    fn del(&self, keys: Vec<Key<Bytes>>) -> ResponseFuture<Result<u64, Error>> {
        let database = self.0.database.clone();
        let keys: Vec<Bytes> = keys.into_iter().map(|key| key.0).collect();
        self.0.write(keys.clone(), async move { database.delete(&keys).await })
    }
}

impl Inner {
    /// Returns a query that reads keys. It starts when this thread has no command to run.
    fn new_query(&self) -> Rc<NextQuery> {
        let number = self.next_number.get();
        self.next_number.set(number + 1);
        Rc::new(NextQuery { number, keys: RefCell::default() })
    }

    /// Reads a key by this query. If another query is reading the key already, it shares the result of that one.
    fn read(self: &Rc<Self>, key: Bytes, query: &Rc<NextQuery>) -> Read {
        let mut is_first = false;
        let read = self.being_read.run(&key, || {
            is_first = true;
            query.keys.borrow_mut().push(key.clone());
            let values = self.queries.run(&query.number, || Rc::clone(self).run(Rc::clone(query)));
            let key = key.clone();
            async move { Ok(values.await?.get(&key).cloned()) }
        });
        if !is_first {
            add(&self.stats.coalesced, 1);
        }
        read
    }

    /// Runs a query. The result contains the keys that exist.
    async fn run(self: Rc<Self>, query: Rc<NextQuery>) -> Result<Rc<HashMap<Bytes, Bytes>>, Failure> {
        // This task runs after the command that made the query, which has named all keys.
        let reading = Reading::begin(&self, query.keys.take());
        let read = self.timed(self.database.get(&reading.keys)).await?;
        let read: HashMap<Bytes, Bytes> = read.into_iter().collect();
        reading.end(|key| read.get(key).cloned());
        Ok(Rc::new(read))
    }

    /// Reads a stale key again in the background.
    fn refresh(self: &Rc<Self>, key: Bytes, query: &Rc<NextQuery>) {
        let read = self.read(key, query);
        actix::spawn(async move {
            // If the read fails, the next request for this key starts another one.
            drop(read.await);
        });
    }

    /// Runs a write to its end, even if the client disconnects, and removes the keys from the cache.
    ///
    /// It removes them even if the write fails, because a failed write may have changed the database.
    fn write<T: 'static>(
        self: &Rc<Self>,
        keys: Vec<Bytes>,
        write: impl Future<Output = Result<T, Failure>> + 'static,
    ) -> ResponseFuture<Result<T, Error>> {
        let inner = Rc::clone(self);
        let written = actix::spawn(async move {
            let written = inner.timed(write).await;
            for key in &keys {
                inner.cache.borrow_mut().forget(key);
                // A later request must not share a read that began before the write.
                inner.being_read.forget(key);
            }
            inner.count();
            written.map_err(failed)
        });
        Box::pin(async move { written.await.unwrap_or(Err(Error::INTERNAL)) })
    }

    async fn timed<T>(&self, query: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
        let begun = Instant::now();
        let answer = query.await;
        add(&self.stats.queries, 1);
        add(&self.stats.query_usec, u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX));
        if let Err(failure) = &answer {
            add(&self.stats.failures, 1);
            tracing::debug!(failure, "database query failed");
        }
        answer
    }

    fn count(&self) {
        let (keys, bytes) = self.cache.borrow().size();
        self.stats.keys.store(keys as u64, Relaxed);
        self.stats.bytes.store(bytes, Relaxed);
    }
}

/// Keys with a read in progress. Dropping it ends the read.
struct Reading {
    inner: Rc<Inner>,
    keys: Vec<Bytes>,
    since: Writes,
}

impl Reading {
    fn begin(inner: &Rc<Inner>, keys: Vec<Bytes>) -> Self {
        let since = inner.cache.borrow_mut().begin_read(&keys);
        Reading { inner: Rc::clone(inner), keys, since }
    }

    fn end(mut self, value: impl Fn(&Bytes) -> Option<Bytes>) {
        for key in std::mem::take(&mut self.keys) {
            let value = value(&key);
            self.inner.cache.borrow_mut().end_read(&key, self.since, Some(value));
        }
        self.inner.count();
    }
}

impl Drop for Reading {
    /// Ends the reads that failed or that no client waits for.
    fn drop(&mut self) {
        self.keys.iter().for_each(|key| self.inner.cache.borrow_mut().end_read(key, self.since, None));
    }
}

impl Stats {
    /// Writes the fields of `INFO`, with the sums of all readers.
    pub(crate) fn write_all(readers: &[Arc<Stats>], info: &mut InfoFields) {
        let fields: [(&str, Counter); 9] = [
            ("hits", |stats| &stats.hits),
            ("stale_hits", |stats| &stats.stale_hits),
            ("misses", |stats| &stats.misses),
            ("coalesced", |stats| &stats.coalesced),
            ("queries", |stats| &stats.queries),
            ("query_failures", |stats| &stats.failures),
            ("query_usec", |stats| &stats.query_usec),
            ("cached_keys", |stats| &stats.keys),
            ("cached_bytes", |stats| &stats.bytes),
        ];
        for (name, field) in fields {
            info.field(name, readers.iter().map(|stats| field(stats).load(Relaxed)).sum::<u64>());
        }
    }
}

/// Adds to a counter without an atomic read-modify-write, because only this thread writes it.
fn add(counter: &AtomicU64, more: u64) {
    counter.store(counter.load(Relaxed) + more, Relaxed);
}

fn failed(failure: Failure) -> Error {
    Error::new("DATABASE", failure)
}
