//! Counters, and how long commands take.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use hdrhistogram::Histogram;

#[cfg(feature = "metrics")]
use super::metrics::{self, Metrics};
use super::{Counter, Failure};
use crate::{
    command::{Resolved, Spec},
    connection::{Batch, CommandId},
};

/// Codes of errors are counted one by one up to so many; clients may be able to make them up.
const MAX_CODES: usize = 128;

/// The counters of a server.
#[derive(Debug)]
pub(crate) struct Stats {
    /// Connections taken, and turned away.
    pub(crate) connections: Counter,
    pub(crate) rejected: Counter,
    /// Clients closed since they took too much memory: whoever pushes may be the one that counts.
    pub(crate) evicted: AtomicU64,
    /// Bytes received and sent.
    pub(crate) input: Counter,
    pub(crate) output: Counter,
    /// Commands that ran in the last whole second.
    pub(crate) rate: Counter,
    /// When `rate` was last told, so many had run.
    before: Counter,
    /// By the number of the command.
    commands: Box<[CommandStats]>,
    errors: Mutex<BTreeMap<Box<str>, ErrorStats>>,
    #[cfg(feature = "metrics")]
    metrics: Metrics,
}

/// The counters of one code of errors.
#[derive(Debug)]
struct ErrorStats {
    count: u64,
    #[cfg(feature = "metrics")]
    metric: ::metrics::Counter,
}

/// The counters of one command.
#[derive(Debug, Default)]
pub(crate) struct CommandStats {
    pub(crate) calls: Counter,
    pub(crate) nanoseconds: Counter,
    /// Not run: it had the wrong number of arguments, or was not allowed.
    pub(crate) rejected: Counter,
    /// Answered with an error.
    pub(crate) failed: Counter,
    /// In nanoseconds; none while nobody times it.
    latencies: Mutex<Option<Box<Histogram<u64>>>>,
}

impl Stats {
    /// For these commands.
    pub(crate) fn new(commands: &[&'static Spec]) -> Self {
        Stats {
            connections: Counter::default(),
            rejected: Counter::default(),
            evicted: AtomicU64::new(0),
            input: Counter::default(),
            output: Counter::default(),
            rate: Counter::default(),
            before: Counter::default(),
            commands: commands.iter().map(|_| CommandStats::default()).collect(),
            errors: Mutex::default(),
            #[cfg(feature = "metrics")]
            metrics: Metrics::new(commands),
        }
    }

    /// The counters of this command.
    pub(crate) fn command(&self, id: CommandId) -> &CommandStats {
        &self.commands[usize::from(id.0)]
    }

    /// The counters of all commands, by their numbers.
    pub(crate) fn commands(&self) -> &[CommandStats] {
        &self.commands
    }

    /// Commands that have run.
    pub(crate) fn calls(&self) -> u64 {
        self.commands.iter().map(|command| command.calls.get()).sum()
    }

    /// Errors answered, by their codes.
    pub(crate) fn errors(&self) -> BTreeMap<Box<str>, u64> {
        self.lock_errors().iter().map(|(code, errors)| (code.clone(), errors.count)).collect()
    }

    /// A connection is served.
    pub(crate) fn accepted(&self) {
        self.connections.add(1);
        #[cfg(feature = "metrics")]
        {
            self.metrics.accepted.increment(1);
            self.metrics.connections.increment(1.0);
        }
    }

    /// A connection that was served is over.
    pub(crate) fn closed(&self) {
        #[cfg(feature = "metrics")]
        self.metrics.connections.decrement(1.0);
    }

    /// A connection has been turned away.
    pub(crate) fn rejected(&self) {
        self.rejected.add(1);
        #[cfg(feature = "metrics")]
        self.metrics.rejected.increment(1);
    }

    /// So many bytes have come.
    pub(crate) fn received(&self, bytes: usize) {
        self.input.add(bytes as u64);
        #[cfg(feature = "metrics")]
        self.metrics.received.increment(bytes as u64);
    }

    /// So many bytes have gone.
    pub(crate) fn sent(&self, bytes: usize) {
        self.output.add(bytes as u64);
        #[cfg(feature = "metrics")]
        self.metrics.sent.increment(bytes as u64);
    }

    /// A second has gone by.
    pub(crate) fn tick(&self) {
        let calls = self.calls();
        self.rate.set(calls.saturating_sub(self.before.get()));
        self.before.set(calls);
    }

    /// Forgets all counts.
    pub(crate) fn reset(&self) {
        let totals = [&self.connections, &self.rejected, &self.input, &self.output, &self.before];
        totals.into_iter().for_each(|total| total.set(0));
        self.evicted.store(0, Relaxed);
        self.commands.iter().for_each(CommandStats::reset);
        self.lock_errors().clear();
    }

    /// Counts the requests of a batch that has been run, and what was noted of them.
    ///
    /// Commands may have been timed for the slow log alone: then their latencies are not `tracked`.
    pub(crate) fn tally(&self, batch: &Batch, tracked: bool) {
        batch.count_calls(|command, calls| {
            self.command(command).calls.add(calls);
            #[cfg(feature = "metrics")]
            self.metrics.calls(command, calls);
        });
        #[cfg(feature = "metrics")]
        self.metrics.batch(batch.len());
        if !batch.stats.is_empty() {
            self.tally_ledger(batch, tracked);
        }
    }

    fn tally_ledger(&self, batch: &Batch, tracked: bool) {
        batch.stats.failures().iter().for_each(|failure| self.count_failure(batch, failure));
        for (request, took) in batch.stats.times() {
            if let Some(Resolved::Command(target)) = batch.target(*request) {
                self.command(target.command).time(*took, tracked);
                #[cfg(feature = "metrics")]
                self.metrics.time(target.command, *took);
            }
        }
    }

    fn count_failure(&self, batch: &Batch, failure: &Failure) {
        match batch.target(failure.request) {
            Some(Resolved::Command(target)) if !failure.is_rejection => {
                self.command(target.command).failed.add(1);
            }
            Some(Resolved::Command(target) | Resolved::WrongArity(target, _)) => {
                self.command(target.command).rejected.add(1);
            }
            _ => {}
        }
        self.count_error(&failure.code);
    }

    /// Counts an error that was answered.
    pub(crate) fn count_error(&self, code: &str) {
        let mut errors = self.lock_errors();
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

    fn lock_errors(&self) -> MutexGuard<'_, BTreeMap<Box<str>, ErrorStats>> {
        // Nothing panics while it is held.
        self.errors.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ErrorStats {
    fn add(&mut self) {
        self.count += 1;
        #[cfg(feature = "metrics")]
        self.metric.increment(1);
    }
}

impl CommandStats {
    /// How long its calls took, if they were timed.
    pub(crate) fn latencies(&self) -> Option<Box<Histogram<u64>>> {
        self.lock_latencies().clone()
    }

    /// Forgets how long its calls took. Returns whether anything was known.
    pub(crate) fn reset_latencies(&self) -> bool {
        self.lock_latencies().take().is_some()
    }

    fn time(&self, took: Duration, tracked: bool) {
        let nanoseconds = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.nanoseconds.add(nanoseconds);
        if tracked {
            let mut latencies = self.lock_latencies();
            latencies.get_or_insert_with(|| Box::new(histogram())).saturating_record(nanoseconds);
        }
    }

    fn reset(&self) {
        let counts = [&self.calls, &self.nanoseconds, &self.rejected, &self.failed];
        counts.into_iter().for_each(|count| count.set(0));
        self.reset_latencies();
    }

    fn lock_latencies(&self) -> MutexGuard<'_, Option<Box<Histogram<u64>>>> {
        // Nothing panics while it is held.
        self.latencies.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// From a nanosecond to a second, to two digits: as in Redis.
fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 1_000_000_000, 2).expect("the bounds are right")
}
