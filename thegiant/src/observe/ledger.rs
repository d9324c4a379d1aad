//! What is noted of a burst while it is run, wherever that is, and told when it is back.

use std::time::Duration;

/// Of single requests of a burst, by their index. A burst without errors that nobody times has none,
/// and takes no room for them.
#[derive(Debug, Default)]
pub(crate) struct Ledger(Option<Box<Notes>>);

#[derive(Debug, Default)]
struct Notes {
    failures: Vec<Failure>,
    times: Vec<(u32, Duration)>,
}

/// A request that was answered with an error.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) request: u32,
    /// The first word of the error.
    pub(crate) code: Box<str>,
    /// No row was run: it was refused beforehand.
    pub(crate) is_rejection: bool,
}

impl Ledger {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    pub(crate) fn clear(&mut self) {
        self.0 = None;
    }

    /// The requests that failed.
    pub(crate) fn failures(&self) -> &[Failure] {
        self.0.as_ref().map_or(&[], |notes| &notes.failures)
    }

    /// How long each request took, if they were timed.
    pub(crate) fn times(&self) -> &[(u32, Duration)] {
        self.0.as_ref().map_or(&[], |notes| &notes.times)
    }

    pub(crate) fn note_failure(&mut self, failure: Failure) {
        self.0.get_or_insert_default().failures.push(failure);
    }

    pub(crate) fn note_time(&mut self, request: u32, took: Duration) {
        self.0.get_or_insert_default().times.push((request, took));
    }
}
