//! What is noted of a batch while it is run, wherever that is, and told when it is back.

use std::{
    mem,
    time::{Duration, Instant},
};

/// Of single requests of a batch, by their index. A batch without errors that nobody times has none,
/// and takes no room for them.
#[derive(Debug, Default)]
pub(crate) struct BatchStats(Option<Box<Notes>>);

#[derive(Debug, Default)]
struct Notes {
    failures: Vec<Failure>,
    times: Vec<(u32, Duration)>,
    /// When the one began that runs, if that is timed.
    begun: Option<Instant>,
    /// Requests before this one have been shown to those who want to see all.
    shown: u32,
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

impl BatchStats {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    pub(crate) fn clear(&mut self) {
        self.0 = None;
    }

    /// The requests that failed, in their order.
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

    /// This request and those behind it are answered again.
    pub(crate) fn forget_from(&mut self, request: u32) {
        if let Some(notes) = &mut self.0 {
            notes.failures.retain(|failure| failure.request < request);
            notes.times.retain(|(index, _)| *index < request);
        }
    }

    /// Requests begin to run, and are timed.
    pub(crate) fn begin(&mut self) {
        self.0.get_or_insert_default().begun = Some(Instant::now());
    }

    /// They do not run any more.
    pub(crate) fn stop(&mut self) {
        if let Some(notes) = &mut self.0 {
            notes.begun = None;
        }
    }

    /// A request has run, or was refused, and what ends here begins the next one: one look at the clock for each.
    pub(crate) fn note_end(&mut self, request: u32, is_rejection: bool) {
        let Some(notes) = &mut self.0 else { return };
        let Some(begun) = &mut notes.begun else { return };
        let now = Instant::now();
        let took = now - mem::replace(begun, now);
        if !is_rejection {
            notes.times.push((request, took));
        }
    }

    /// The first request that has not been shown.
    pub(crate) fn shown(&self) -> u32 {
        self.0.as_ref().map_or(0, |notes| notes.shown)
    }

    pub(crate) fn note_shown(&mut self, shown: u32) {
        self.0.get_or_insert_default().shown = shown;
    }
}
