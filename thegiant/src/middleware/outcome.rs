//! The outcome of a request.

use std::{
    fmt,
    time::{Duration, Instant},
};

use tracing::Span;

use crate::batch::{Batch, Failure};

/// The outcome of a request, for [`Middleware::after`](super::Middleware::after).
#[derive(Clone, Copy)]
pub struct Outcome<'a> {
    pub(super) batch: &'a Batch,
    pub(super) request: u32,
    /// The index of the middleware.
    pub(super) middleware: usize,
    pub(super) started: Instant,
}

impl<'a> Outcome<'a> {
    /// Returns whether the reply is not an error.
    pub fn is_ok(&self) -> bool {
        self.failure().is_none()
    }

    /// Returns the code of the error that was the reply: its first word, such as `ERR` or `WRONGTYPE`.
    pub fn error_code(&self) -> Option<&'a str> {
        self.failure().map(|failure| &*failure.code)
    }

    /// Returns whether the request was refused before it ran, by the server or by another middleware.
    ///
    /// The server refuses an unknown command, and a wrong number of arguments. A malformed argument, such as a word in place
    /// of a number, is an error of the command itself: this method returns `false`, and `INFO commandstats` counts it as
    /// failed, not as rejected.
    pub fn is_refused(&self) -> bool {
        self.failure().is_some_and(|failure| failure.is_rejection)
    }

    /// Returns the time from the [decision](super::Decision) of the last middleware to the reply.
    ///
    /// It includes the time in the queue of the actor, and the wait of a blocked command. Commands of one pipeline that one actor
    /// runs come back together, so their times are those of the whole run.
    pub fn took(&self) -> Duration {
        self.started.elapsed()
    }

    /// Returns the span that this middleware has opened with [`Decision::RunIn`](super::Decision::RunIn).
    pub fn span(&self) -> Option<&'a Span> {
        let stats = &self.batch.stats;
        if stats.has_spans() { stats.span(self.request, self.middleware) } else { None }
    }

    fn failure(&self) -> Option<&'a Failure> {
        let failures = self.batch.stats.failures();
        let found = failures.binary_search_by_key(&self.request, |failure| failure.request);
        found.ok().map(|found| &failures[found])
    }
}

impl fmt::Debug for Outcome<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outcome").field("error_code", &self.error_code()).field("took", &self.took()).finish()
    }
}
