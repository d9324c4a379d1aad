//! The state that the threads of a soak test share.

use std::{
    net::SocketAddr,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use fastrand::Rng;
use hdrhistogram::Histogram;

use crate::{Result, connection::Connection, load, trouble};

/// The concurrent tasks, each with its number of threads.
const WORK: &[(&str, usize, Work)] = &[
    ("load", 100, load::run),
    ("slow readers", 8, trouble::slow_readers::run),
    ("half requests", 1, trouble::half_requests::run),
    ("declared giants", 1, trouble::giants::run),
    ("storms", 2, trouble::storms::run),
    ("killed in a reply", 2, trouble::killed::run),
    ("garbage", 2, trouble::garbage::run),
    ("pauses", 1, trouble::pauses::run),
];

type Work = fn(&Soak, Rng) -> Result<()>;

pub(crate) struct Soak {
    address: SocketAddr,
    /// The keys of the server are divided among several shards.
    pub(crate) has_shards: bool,
    over: AtomicBool,
    failures: Mutex<Vec<String>>,
    latency: Mutex<Histogram<u64>>,
    /// Commands whose replies were compared.
    pub(crate) commands: AtomicU64,
    pub(crate) connections: AtomicU64,
}

impl Soak {
    pub(crate) fn new(address: SocketAddr, has_shards: bool) -> Soak {
        Soak {
            address,
            has_shards,
            over: AtomicBool::new(false),
            failures: Mutex::default(),
            latency: Mutex::new(histogram()),
            commands: AtomicU64::new(0),
            connections: AtomicU64::new(0),
        }
    }

    /// Starts the tasks. The end of `scope` waits for them.
    pub(crate) fn start<'s>(&'s self, scope: &'s thread::Scope<'s, '_>, seed: u64) {
        let mut seeds = Rng::with_seed(seed);
        for (name, work) in WORK.iter().flat_map(|(name, count, work)| vec![(name, work); *count]) {
            let rng = seeds.fork();
            scope.spawn(move || {
                if let Err(error) = work(self, rng) {
                    self.fail(format!("{name}: {error}"));
                }
            });
        }
    }

    pub(crate) fn connect(&self) -> Result<Connection> {
        self.connections.fetch_add(1, Ordering::Relaxed);
        Connection::open(self.address)
    }

    pub(crate) fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// Tells all tasks to finish.
    pub(crate) fn end(&self) {
        self.over.store(true, Ordering::Relaxed);
    }

    pub(crate) fn fail(&self, failure: String) {
        lock(&self.failures).push(failure);
        self.end();
    }

    /// Returns all failures. The first one is the cause.
    pub(crate) fn failures(&self) -> Vec<String> {
        lock(&self.failures).clone()
    }

    /// Counts correct replies.
    pub(crate) fn checked(&self, replies: usize) {
        self.commands.fetch_add(replies as u64, Ordering::Relaxed);
    }

    /// Records the latency of a batch, from the sending of its last byte.
    pub(crate) fn record_latency(&self, time: Duration) {
        lock(&self.latency).saturating_record(time.as_micros() as u64);
    }

    /// Returns the latencies since the last call.
    pub(crate) fn take_latency(&self) -> Histogram<u64> {
        std::mem::replace(&mut lock(&self.latency), histogram())
    }
}

/// Creates a histogram of microseconds up to a minute, with three significant digits.
pub(crate) fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 60_000_000, 3).expect("the bounds are valid")
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A poisoned lock holds valid data, because no code panics while it holds the lock.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
