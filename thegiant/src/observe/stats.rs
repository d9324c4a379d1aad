//! The counters and latencies of a server.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
};

use hdrhistogram::Histogram;

use super::LocalCounter;
#[cfg(feature = "metrics")]
use super::metrics::{self, Metrics};
use crate::{
    batch::Resolved,
    batch::{Batch, CommandId, Failure},
    command::Spec,
};

/// Maximum number of error codes with a counter. Without it, clients could create codes without limit.
const MAX_CODES: usize = 128;

/// The latencies of a command, if they were tracked.
type Latencies = Option<Box<Histogram<u64>>>;

/// The counters of a server.
#[derive(Debug)]
pub(crate) struct Stats {
    /// Accepted connections.
    pub(crate) connections: LocalCounter,
    /// Rejected connections.
    pub(crate) rejected: LocalCounter,
    /// Commands that ran in the last full second.
    rate: AtomicU64,
    /// Total number of commands at the last update of `rate`.
    calls_at_tick: AtomicU64,
    /// Indexed by worker.
    workers: Box<[WorkerStats]>,
    /// Latencies in nanoseconds by command ID. `None` until the first tracked call.
    latencies: Box<[Mutex<Latencies>]>,
    errors: Mutex<BTreeMap<Box<str>, ErrorStats>>,
    #[cfg(feature = "metrics")]
    metrics: Metrics,
}

/// The counters that one worker adds to.
///
/// The alignment keeps the counters of two workers out of one cache line.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct WorkerStats {
    /// Number of connected clients.
    clients: AtomicUsize,
    /// Bytes received.
    input: LocalCounter,
    /// Bytes sent.
    output: LocalCounter,
    /// Indexed by command ID.
    commands: Box<[CommandStats]>,
}

/// The counters of one error code.
#[derive(Debug)]
struct ErrorStats {
    count: u64,
    #[cfg(feature = "metrics")]
    metric: ::metrics::Counter,
}

/// The counters of one command.
#[derive(Debug, Default)]
struct CommandStats {
    calls: LocalCounter,
    nanoseconds: LocalCounter,
    rejected: LocalCounter,
    failed: LocalCounter,
}

/// The counts of one command.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct CommandCounts {
    pub(crate) calls: u64,
    pub(crate) nanoseconds: u64,
    /// Calls rejected before they ran: wrong number of arguments, or not allowed.
    pub(crate) rejected: u64,
    /// Calls that replied with an error.
    pub(crate) failed: u64,
}

impl Stats {
    /// Creates the counters for the commands of a server with this number of workers.
    pub(crate) fn new(commands: &[&'static Spec], workers: usize) -> Self {
        Stats {
            connections: LocalCounter::default(),
            rejected: LocalCounter::default(),
            rate: AtomicU64::new(0),
            calls_at_tick: AtomicU64::new(0),
            workers: (0..workers).map(|_| WorkerStats::new(commands.len())).collect(),
            latencies: commands.iter().map(|_| Mutex::default()).collect(),
            errors: Mutex::default(),
            #[cfg(feature = "metrics")]
            metrics: Metrics::new(commands),
        }
    }

    /// Returns the counters of all workers.
    pub(crate) fn workers(&self) -> &[WorkerStats] {
        &self.workers
    }

    /// Returns the counts of all commands, in the order of their IDs.
    pub(crate) fn commands(&self) -> impl Iterator<Item = CommandCounts> {
        (0..self.latencies.len()).map(|command| {
            self.workers.iter().map(|worker| &worker.commands[command]).fold(
                CommandCounts::default(),
                |sum, stats| CommandCounts {
                    calls: sum.calls + stats.calls.get(),
                    nanoseconds: sum.nanoseconds + stats.nanoseconds.get(),
                    rejected: sum.rejected + stats.rejected.get(),
                    failed: sum.failed + stats.failed.get(),
                },
            )
        })
    }

    /// Returns the latencies of each command, in the order of their IDs, if they were tracked.
    pub(crate) fn latencies(&self) -> impl Iterator<Item = Latencies> {
        self.latencies.iter().map(|latencies| lock(latencies).clone())
    }

    /// Returns the number of commands that have run.
    pub(crate) fn calls(&self) -> u64 {
        self.workers.iter().map(WorkerStats::calls).sum()
    }

    /// Returns the number of commands that ran in the last full second.
    pub(crate) fn rate(&self) -> u64 {
        self.rate.load(Relaxed)
    }

    /// Returns the number of received bytes.
    pub(crate) fn input(&self) -> u64 {
        self.workers.iter().map(|worker| worker.input.get()).sum()
    }

    /// Returns the number of sent bytes.
    pub(crate) fn output(&self) -> u64 {
        self.workers.iter().map(|worker| worker.output.get()).sum()
    }

    /// Returns the number of error replies of each error code.
    pub(crate) fn errors(&self) -> BTreeMap<Box<str>, u64> {
        lock(&self.errors).iter().map(|(code, errors)| (code.clone(), errors.count)).collect()
    }

    /// Returns the worker with the fewest clients.
    pub(crate) fn least_loaded(&self) -> usize {
        let clients = |worker: &usize| self.workers[*worker].clients();
        (0..self.workers.len()).min_by_key(clients).unwrap_or_default()
    }

    /// Counts an accepted connection, which this worker serves.
    pub(crate) fn accepted(&self, worker: usize) {
        self.connections.add(1);
        self.workers[worker].clients.fetch_add(1, Relaxed);
        #[cfg(feature = "metrics")]
        {
            self.metrics.accepted.increment(1);
            self.metrics.connections.increment(1.0);
        }
    }

    /// Counts the end of an accepted connection.
    pub(crate) fn closed(&self, worker: usize) {
        self.workers[worker].clients.fetch_sub(1, Relaxed);
        #[cfg(feature = "metrics")]
        self.metrics.connections.decrement(1.0);
    }

    /// Counts a rejected connection.
    pub(crate) fn rejected(&self) {
        self.rejected.add(1);
        #[cfg(feature = "metrics")]
        self.metrics.rejected.increment(1);
    }

    /// Counts received bytes.
    pub(crate) fn received(&self, worker: usize, bytes: usize) {
        self.workers[worker].input.add(bytes as u64);
        #[cfg(feature = "metrics")]
        self.metrics.received.increment(bytes as u64);
    }

    /// Counts sent bytes.
    pub(crate) fn sent(&self, worker: usize, bytes: usize) {
        self.workers[worker].output.add(bytes as u64);
        #[cfg(feature = "metrics")]
        self.metrics.sent.increment(bytes as u64);
    }

    /// Updates the rate of commands. The server calls it once a second.
    pub(crate) fn tick(&self) {
        let calls = self.calls();
        let before = self.calls_at_tick.swap(calls, Relaxed);
        self.rate.store(calls.saturating_sub(before), Relaxed);
    }

    /// Resets all counters to zero.
    pub(crate) fn reset(&self) {
        [&self.connections, &self.rejected].into_iter().for_each(LocalCounter::reset);
        self.calls_at_tick.store(0, Relaxed);
        self.workers.iter().for_each(WorkerStats::reset);
        self.latencies.iter().for_each(|latencies| *lock(latencies) = None);
        lock(&self.errors).clear();
    }

    /// Counts the requests of a batch that has run, with their errors and durations.
    ///
    /// `tracked` is `false` if commands are timed for the slow log alone: then latencies are not recorded.
    pub(crate) fn tally(&self, worker: usize, batch: &Batch, tracked: bool) {
        let worker = &self.workers[worker];
        batch.count_calls(|command, calls| {
            worker.command(command).calls.add(calls);
            #[cfg(feature = "metrics")]
            self.metrics.calls(command, calls);
        });
        #[cfg(feature = "metrics")]
        self.metrics.batch(batch.requests.len());
        if !batch.stats.is_empty() {
            self.tally_requests(worker, batch, tracked);
        }
    }

    fn tally_requests(&self, worker: &WorkerStats, batch: &Batch, tracked: bool) {
        batch.stats.failures().iter().for_each(|failure| self.count_failure(worker, batch, failure));
        for (request, took) in batch.stats.times() {
            if let Some(Resolved::Command(target)) = batch.requests.target(*request) {
                let nanoseconds = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
                worker.command(target.command).nanoseconds.add(nanoseconds);
                if tracked {
                    self.track(target.command, nanoseconds);
                }
                #[cfg(feature = "metrics")]
                self.metrics.time(target.command, *took);
            }
        }
    }

    fn count_failure(&self, worker: &WorkerStats, batch: &Batch, failure: &Failure) {
        match batch.requests.target(failure.request) {
            Some(Resolved::Command(target)) if !failure.is_rejection => {
                worker.command(target.command).failed.add(1);
            }
            Some(Resolved::Command(target) | Resolved::WrongArity(target, _)) => {
                worker.command(target.command).rejected.add(1);
            }
            _ => {}
        }
        self.count_error(&failure.code);
    }

    fn track(&self, command: CommandId, nanoseconds: u64) {
        let mut latencies = lock(&self.latencies[usize::from(command.0)]);
        latencies.get_or_insert_with(|| Box::new(histogram())).saturating_record(nanoseconds);
    }

    /// Counts an error reply.
    pub(crate) fn count_error(&self, code: &str) {
        let mut errors = lock(&self.errors);
        if let Some(errors) = errors.get_mut(code) {
            errors.add();
        } else if errors.len() < MAX_CODES {
            let mut new = ErrorStats {
                count: 0,
                #[cfg(feature = "metrics")]
                metric: metrics::errors(code),
            };
            new.add();
            errors.insert(code.into(), new);
        }
    }
}

impl ErrorStats {
    fn add(&mut self) {
        self.count += 1;
        #[cfg(feature = "metrics")]
        self.metric.increment(1);
    }
}

impl WorkerStats {
    fn new(commands: usize) -> Self {
        WorkerStats {
            clients: AtomicUsize::new(0),
            input: LocalCounter::default(),
            output: LocalCounter::default(),
            commands: (0..commands).map(|_| CommandStats::default()).collect(),
        }
    }

    /// Returns the number of connected clients.
    pub(crate) fn clients(&self) -> usize {
        self.clients.load(Relaxed)
    }

    /// Returns the number of commands that have run.
    pub(crate) fn calls(&self) -> u64 {
        self.commands.iter().map(|command| command.calls.get()).sum()
    }

    fn command(&self, id: CommandId) -> &CommandStats {
        &self.commands[usize::from(id.0)]
    }

    fn reset(&self) {
        [&self.input, &self.output].into_iter().for_each(LocalCounter::reset);
        for CommandStats { calls, nanoseconds, rejected, failed } in &self.commands {
            [calls, nanoseconds, rejected, failed].into_iter().for_each(LocalCounter::reset);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A poisoned lock holds valid data, because no code panics while it holds the lock.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Creates a histogram from one nanosecond to one second with two significant digits, as in Redis.
fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 1_000_000_000, 2).expect("the bounds are valid")
}
