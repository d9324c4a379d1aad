//! The decision of a middleware about a request.

use std::time::Duration;

use tracing::Span;

use crate::Error;

/// The decision of a [`Middleware`](super::Middleware) about a request.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Decision {
    /// The request goes on: to the next middleware, and then to its command.
    Run,
    /// The request goes on, and its command runs inside this span.
    ///
    /// The span ends after the [outcome](super::Middleware::after). The handler is inside of it, so spans and events of the handler are
    /// its children. A future is polled outside of it: use `in_current_span` of `tracing`. A built-in command and a proxy do
    /// not enter it.
    RunIn(Span),
    /// The request is answered with this error and does not run.
    Refuse(Error),
    /// The request waits for this time, and then goes on to the next middleware.
    ///
    /// Only its client waits, with its later requests. Earlier requests run, and their replies are sent. The client
    /// does not wait any longer when the server stops.
    Delay(Duration),
}

impl Decision {
    /// Returns the decision to answer a request with an error.
    pub fn refuse(error: impl Into<Error>) -> Self {
        Decision::Refuse(error.into())
    }
}
