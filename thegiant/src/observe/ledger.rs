//! What is noted of a burst while it is run, wherever that is, and told when it is back.

use std::time::Duration;

/// Of single requests of a burst, by their index. A burst without errors that nobody times has none.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    pub(crate) failures: Vec<Failure>,
    pub(crate) times: Vec<(u32, Duration)>,
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
        self.failures.is_empty() && self.times.is_empty()
    }

    pub(crate) fn clear(&mut self) {
        if !self.is_empty() {
            *self = Ledger::default();
        }
    }
}
