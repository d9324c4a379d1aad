//! The outcome of a request.

use std::time::{Duration, Instant};

use tracing::Span;

use crate::batch::Failure;

/// The outcome of a request, for [`Middleware::after`](super::Middleware::after).
#[derive(Clone, Copy, Debug)]
pub struct Outcome<'a> {
    pub(super) failure: Option<&'a Failure>,
    pub(super) started: Instant,
    pub(super) span: Option<&'a Span>,
}

impl<'a> Outcome<'a> {
    /// Returns whether the reply is not an error.
    pub fn is_ok(&self) -> bool {
        self.failure.is_none()
    }

    /// Returns the code of the error that was the reply: its first word, such as `ERR` or `WRONGTYPE`.
    pub fn error_code(&self) -> Option<&'a str> {
        self.failure.map(|failure| &*failure.code)
    }

    /// Returns whether the request was refused before it ran, by the server or by another middleware.
    pub fn is_refused(&self) -> bool {
        self.failure.is_some_and(|failure| failure.is_rejection)
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
        self.span
    }
}
