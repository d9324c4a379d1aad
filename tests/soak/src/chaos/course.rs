//! The state that the clients and the trouble maker share.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use thegiant_resp::Error;

/// Number of the clients that must be served again after each fault.
pub(crate) const CLIENTS: usize = 500;

/// Asynchronous replication is never later than this, so an older write is never lost in a failover.
const REPLICATION_LAG: Duration = Duration::from_secs(5);

/// Which acknowledged writes the servers themselves may lose.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Loss {
    /// None: a killed server has all its data when it starts again.
    Never,
    /// Those that the replica did not have yet when it replaced its master.
    Failover,
    /// All: the keys of a server that is down go to other servers, and come back as they were.
    Ejection,
}

/// A moment: the fault that may explain an error.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Moment {
    /// Number of faults that are over: everyone is served again.
    pub(crate) epoch: u64,
    pub(crate) is_troubled: bool,
}

pub(crate) struct Course {
    /// The address of the balancer.
    pub(crate) address: String,
    pub(crate) loss: Loss,
    start: Instant,
    is_over: AtomicBool,
    state: Mutex<State>,
    pub(crate) commands: AtomicU64,
    /// For each client, when its last batch without an error began, and when it ended. In ms since the start.
    served: Vec<[AtomicU64; 2]>,
}

#[derive(Default)]
struct State {
    failures: Vec<String>,
    epoch: u64,
    fault: Option<&'static str>,
    /// Begin and end of the faults in which servers may lose writes.
    lossy: Vec<(Instant, Option<Instant>)>,
    /// Numbers of errors for each fault and each code.
    errors: BTreeMap<&'static str, BTreeMap<String, u64>>,
    /// Numbers of other observations.
    notes: BTreeMap<&'static str, u64>,
    /// The longest time without a served batch of a client.
    longest: Duration,
}

impl Course {
    pub(crate) fn new(address: String, loss: Loss) -> Course {
        Course {
            address,
            loss,
            start: Instant::now(),
            is_over: AtomicBool::new(false),
            state: Mutex::default(),
            commands: AtomicU64::new(0),
            served: (0..CLIENTS).map(|_| [const { AtomicU64::new(0) }; 2]).collect(),
        }
    }

    pub(crate) fn is_over(&self) -> bool {
        self.is_over.load(SeqCst)
    }

    pub(crate) fn end(&self) {
        self.is_over.store(true, SeqCst);
    }

    pub(crate) fn fail(&self, failure: String) {
        let mut state = self.state();
        let during = state.fault.unwrap_or("no fault");
        let at = self.start.elapsed().as_secs_f64();
        // After the first failure, the fault goes on, and what follows says nothing.
        if state.failures.is_empty() {
            state.failures.push(format!("{at:.3} s, {during}: {failure}"));
        }
        self.end();
    }

    pub(crate) fn failures(&self) -> Vec<String> {
        self.state().failures.clone()
    }

    pub(crate) fn moment(&self) -> Moment {
        let state = self.state();
        Moment { epoch: state.epoch, is_troubled: state.fault.is_some() }
    }

    /// Returns whether no fault has happened since then.
    pub(crate) fn is_quiet_since(&self, then: Moment) -> bool {
        !then.is_troubled && self.moment() == then
    }

    pub(crate) fn begin_fault(&self, name: &'static str, is_lossy: bool) {
        let mut state = self.state();
        state.fault = Some(name);
        if is_lossy {
            state.lossy.push((Instant::now(), None));
        }
    }

    /// Ends a fault: from now on, errors are failures.
    pub(crate) fn end_fault(&self) {
        let mut state = self.state();
        state.fault = None;
        state.epoch += 1;
        if let Some((_, end)) = state.lossy.last_mut() {
            end.get_or_insert(Instant::now());
        }
    }

    /// Returns whether the servers may have lost a write that was acknowledged at this time.
    pub(crate) fn may_be_lost(&self, acknowledged: Instant) -> bool {
        let margin = match self.loss {
            Loss::Never => return false,
            Loss::Failover => REPLICATION_LAG,
            // An old value can come back from any server at any time after the write.
            Loss::Ejection => Duration::from_secs(86_400),
        };
        self.state()
            .lossy
            .iter()
            .any(|(begin, end)| acknowledged + margin >= *begin && end.is_none_or(|end| end >= acknowledged))
    }

    pub(crate) fn count_error(&self, error: &Error) {
        let mut state = self.state();
        let fault = state.fault.unwrap_or("no fault");
        *state.errors.entry(fault).or_default().entry(kind_of(error)).or_default() += 1;
    }

    /// Counts an observation for the report.
    pub(crate) fn note(&self, what: &'static str) {
        *self.state().notes.entry(what).or_default() += 1;
    }

    /// Notes that a client got a batch of right replies without an error.
    pub(crate) fn served(&self, client: usize, begun: Instant) {
        let [last_begin, last_end] = &self.served[client];
        let end = self.start.elapsed();
        let before = Duration::from_millis(last_end.swap(end.as_millis() as u64, SeqCst));
        last_begin.store((begun - self.start).as_millis() as u64, SeqCst);
        let gap = end.saturating_sub(before);
        // The first batch of each client waits for the connections of all of them.
        if !before.is_zero() && gap > Duration::from_millis(1500) {
            let mut state = self.state();
            state.longest = state.longest.max(gap);
        }
    }

    /// Returns the clients that have not been served since this time.
    pub(crate) fn unserved(&self, since: Instant) -> Vec<usize> {
        let since = (since - self.start).as_millis() as u64;
        let is_unserved = |client: &usize| self.served[*client][0].load(SeqCst) <= since;
        (0..CLIENTS).filter(is_unserved).collect()
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    pub(crate) fn number_of_errors(&self) -> u64 {
        self.state().errors.values().flat_map(BTreeMap::values).sum()
    }

    /// Prints errors by fault and kind, and the other observations.
    pub(crate) fn report(&self) {
        let state = self.state();
        println!("longest time without service for a client   {:.1} s", state.longest.as_secs_f64());
        for (note, count) in &state.notes {
            println!("{note}   {count}");
        }
        for (fault, errors) in &state.errors {
            let errors: Vec<_> = errors.iter().map(|(kind, count)| format!("{kind} {count}")).collect();
            println!("errors, {fault}   {}", errors.join(", "));
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A poisoned lock holds valid data, because no code panics while it holds the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the code of an error, with the text of those whose code says little.
fn kind_of(error: &Error) -> String {
    match error.code() {
        "ERR" => String::from_utf8_lossy(error.as_bytes()).into_owned(),
        code => code.to_owned(),
    }
}

/// The effect of a request that got an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// The request was not run.
    None,
    /// The request may have been run, or may be run later.
    Doubtful,
}

impl Effect {
    /// Returns `None` for an error that is wrong at any time.
    pub(crate) fn of(error: &Error) -> Option<Effect> {
        match error.code() {
            "UPSTREAM" => Some(Effect::Doubtful),
            "UPSTREAMDOWN" | "CLUSTERDOWN" | "MASTERDOWN" | "TRYAGAIN" | "LOADING" | "READONLY"
            | "EXECABORT" | "NOSCRIPT" | "UNBLOCKED" => Some(Effect::None),
            _ => None,
        }
    }
}
