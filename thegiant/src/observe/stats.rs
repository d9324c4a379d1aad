//! The counters and latencies of a server.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use hdrhistogram::Histogram;

use super::Counter;
#[cfg(feature = "metrics")]
use super::metrics::{self, Metrics};
use crate::{
    batch::Resolved,
    batch::{Batch, CommandId, Failure},
    command::Spec,
};

/// Maximum number of error codes with a counter. Without it, clients could create codes without limit.
const MAX_CODES: usize = 128;

/// The counters of a server.
#[derive(Debug)]
pub(crate) struct Stats {
    /// Accepted connections.
    pub(crate) connections: Counter,
    /// Rejected connections.
    pub(crate) rejected: Counter,
    /// Bytes received.
    pub(crate) input: Counter,
    /// Bytes sent.
    pub(crate) output: Counter,
    /// Commands that ran in the last full second.
    pub(crate) rate: Counter,
    /// Total number of commands at the last update of `rate`.
    calls_at_tick: Counter,
    /// Indexed by command ID.
    commands: Box<[CommandStats]>,
    errors: Mutex<BTreeMap<Box<str>, ErrorStats>>,
    #[cfg(feature = "metrics")]
    metrics: Metrics,
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
pub(crate) struct CommandStats {
    pub(crate) calls: Counter,
    pub(crate) nanoseconds: Counter,
    /// Calls rejected before they ran: wrong number of arguments, or not allowed.
    pub(crate) rejected: Counter,
    /// Calls that replied with an error.
    pub(crate) failed: Counter,
    /// Latencies in nanoseconds. `None` until the first tracked call.
    latencies: Mutex<Option<Box<Histogram<u64>>>>,
}

impl Stats {
    /// Creates the counters for the commands of a server.
    pub(crate) fn new(commands: &[&'static Spec]) -> Self {
        Stats {
            connections: Counter::default(),
            rejected: Counter::default(),
            input: Counter::default(),
            output: Counter::default(),
            rate: Counter::default(),
            calls_at_tick: Counter::default(),
            commands: commands.iter().map(|_| CommandStats::default()).collect(),
            errors: Mutex::default(),
            #[cfg(feature = "metrics")]
            metrics: Metrics::new(commands),
        }
    }

    /// Returns the counters of one command.
    pub(crate) fn command(&self, id: CommandId) -> &CommandStats {
        &self.commands[usize::from(id.0)]
    }

    /// Returns the counters of all commands, in the order of their IDs.
    pub(crate) fn commands(&self) -> &[CommandStats] {
        &self.commands
    }

    /// Returns the number of commands that have run.
    pub(crate) fn calls(&self) -> u64 {
        self.commands.iter().map(|command| command.calls.get()).sum()
    }

    /// Returns the number of error replies of each error code.
    pub(crate) fn errors(&self) -> BTreeMap<Box<str>, u64> {
        self.lock_errors().iter().map(|(code, errors)| (code.clone(), errors.count)).collect()
    }

    /// Counts an accepted connection.
    pub(crate) fn accepted(&self) {
        self.connections.add(1);
        #[cfg(feature = "metrics")]
        {
            self.metrics.accepted.increment(1);
            self.metrics.connections.increment(1.0);
        }
    }

    /// Counts the end of an accepted connection.
    pub(crate) fn closed(&self) {
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
    pub(crate) fn received(&self, bytes: usize) {
        self.input.add(bytes as u64);
        #[cfg(feature = "metrics")]
        self.metrics.received.increment(bytes as u64);
    }

    /// Counts sent bytes.
    pub(crate) fn sent(&self, bytes: usize) {
        self.output.add(bytes as u64);
        #[cfg(feature = "metrics")]
        self.metrics.sent.increment(bytes as u64);
    }

    /// Updates the rate of commands. The server calls it once a second.
    pub(crate) fn tick(&self) {
        let calls = self.calls();
        self.rate.set(calls.saturating_sub(self.calls_at_tick.get()));
        self.calls_at_tick.set(calls);
    }

    /// Resets all counters to zero.
    pub(crate) fn reset(&self) {
        let totals = [&self.connections, &self.rejected, &self.input, &self.output, &self.calls_at_tick];
        totals.into_iter().for_each(|total| total.set(0));
        self.commands.iter().for_each(CommandStats::reset);
        self.lock_errors().clear();
    }

    /// Counts the requests of a batch that has run, with their errors and durations.
    ///
    /// `tracked` is `false` if commands are timed for the slow log alone: then latencies are not recorded.
    pub(crate) fn tally(&self, batch: &Batch, tracked: bool) {
        batch.count_calls(|command, calls| {
            self.command(command).calls.add(calls);
            #[cfg(feature = "metrics")]
            self.metrics.calls(command, calls);
        });
        #[cfg(feature = "metrics")]
        self.metrics.batch(batch.requests.len());
        if !batch.stats.is_empty() {
            self.tally_requests(batch, tracked);
        }
    }

    fn tally_requests(&self, batch: &Batch, tracked: bool) {
        batch.stats.failures().iter().for_each(|failure| self.count_failure(batch, failure));
        for (request, took) in batch.stats.times() {
            if let Some(Resolved::Command(target)) = batch.requests.target(*request) {
                self.command(target.command).time(*took, tracked);
                #[cfg(feature = "metrics")]
                self.metrics.time(target.command, *took);
            }
        }
    }

    fn count_failure(&self, batch: &Batch, failure: &Failure) {
        match batch.requests.target(failure.request) {
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

    /// Counts an error reply.
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
        // A poisoned lock holds valid data, because no code panics while it holds the lock.
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
    /// Returns the latencies of the calls, if they were tracked.
    pub(crate) fn latencies(&self) -> Option<Box<Histogram<u64>>> {
        self.lock_latencies().clone()
    }

    /// Discards the latencies. Returns whether there were any.
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
        // A poisoned lock holds valid data, because no code panics while it holds the lock.
        self.latencies.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Creates a histogram from one nanosecond to one second with two significant digits, as in Redis.
fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 1_000_000_000, 2).expect("the bounds are valid")
}
