//! Statistics of one batch, collected on the thread that runs it and counted when it returns.

use std::{
    mem,
    time::{Duration, Instant},
};

use tracing::Span;

use crate::Error;

/// Statistics of the requests of a batch, by request index.
///
/// A batch without errors and without timing allocates none.
#[derive(Debug, Default)]
pub(crate) struct BatchStats(Option<Box<RequestStats>>);

#[derive(Debug, Default)]
struct RequestStats {
    failures: Vec<Failure>,
    /// Internal errors that have not been logged, each with its command.
    internal: Vec<(String, Error)>,
    times: Vec<(u32, Duration)>,
    /// Start of the running request, while requests are timed.
    started: Option<Instant>,
    /// Number of requests that `MONITOR` clients have seen.
    shown: u32,
    /// The tracing spans in which requests run, and the middleware that has opened each.
    spans: Vec<RequestSpan>,
}

/// A tracing span in which a request runs.
#[derive(Clone, Debug)]
struct RequestSpan {
    request: u32,
    /// The index of the middleware that has opened the span.
    middleware: usize,
    span: Span,
}

/// A request that was answered with an error.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) request: u32,
    /// The first word of the error.
    pub(crate) code: Box<str>,
    /// The server rejected the request before running a row.
    pub(crate) is_rejection: bool,
}

impl BatchStats {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    pub(crate) fn clear(&mut self) {
        self.0 = None;
    }

    /// Returns the failed requests in order.
    pub(crate) fn failures(&self) -> &[Failure] {
        self.0.as_ref().map_or(&[], |stats| &stats.failures)
    }

    /// Returns the duration of each timed request, with its index.
    pub(crate) fn times(&self) -> &[(u32, Duration)] {
        self.0.as_ref().map_or(&[], |stats| &stats.times)
    }

    pub(crate) fn note_failure(&mut self, failure: Failure) {
        self.0.get_or_insert_default().failures.push(failure);
    }

    /// Discards the statistics of `request` and all later requests, because they run again.
    pub(crate) fn forget_from(&mut self, request: u32) {
        if let Some(stats) = &mut self.0 {
            stats.failures.retain(|failure| failure.request < request);
            stats.times.retain(|(index, _)| *index < request);
        }
    }

    /// Records an internal error of a command, to be logged.
    pub(super) fn note_internal(&mut self, command: String, error: Error) {
        self.0.get_or_insert_default().internal.push((command, error));
    }

    /// Adds internal errors of a part of the batch.
    pub(super) fn add_internal(&mut self, mut errors: Vec<(String, Error)>) {
        if !errors.is_empty() {
            self.0.get_or_insert_default().internal.append(&mut errors);
        }
    }

    /// Takes the internal errors that have not been logged, each with its command.
    pub(crate) fn take_internal(&mut self) -> Vec<(String, Error)> {
        self.0.as_mut().map(|stats| mem::take(&mut stats.internal)).unwrap_or_default()
    }

    /// Starts timing requests.
    pub(crate) fn begin(&mut self) {
        self.0.get_or_insert_default().started = Some(Instant::now());
    }

    /// Stops timing requests.
    pub(crate) fn stop(&mut self) {
        if let Some(stats) = &mut self.0 {
            stats.started = None;
        }
    }

    /// Records the duration of a request that has run.
    ///
    /// The end of one request is the start of the next, so each request reads the clock once. A rejected
    /// request gets no duration.
    pub(crate) fn note_end(&mut self, request: u32, is_rejection: bool) {
        let Some(stats) = &mut self.0 else { return };
        let Some(started) = &mut stats.started else { return };
        let now = Instant::now();
        let took = now - mem::replace(started, now);
        if !is_rejection {
            stats.times.push((request, took));
        }
    }

    /// Adds the duration of a request that ran in a part of the batch.
    pub(crate) fn note_time(&mut self, request: u32, took: Duration) {
        self.0.get_or_insert_default().times.push((request, took));
    }

    /// Returns the duration of a request, if it was timed.
    pub(crate) fn time_of(&self, request: u32) -> Option<Duration> {
        let times = self.times();
        let found = times.binary_search_by_key(&request, |(timed, _)| *timed).ok()?;
        Some(times[found].1)
    }

    /// Returns whether the server rejected a request before running a row.
    pub(crate) fn is_rejected(&self, request: u32) -> bool {
        let failures = self.failures();
        let found = failures.binary_search_by_key(&request, |failure| failure.request);
        found.is_ok_and(|found| failures[found].is_rejection)
    }

    /// Makes a request run in a span of this middleware.
    pub(crate) fn open_span(&mut self, request: u32, middleware: usize, span: Span) {
        self.0.get_or_insert_default().spans.push(RequestSpan { request, middleware, span });
    }

    /// Returns whether any request runs in a span.
    #[inline]
    pub(crate) fn has_spans(&self) -> bool {
        self.0.as_ref().is_some_and(|stats| !stats.spans.is_empty())
    }

    /// Returns the spans in which a request runs, the outermost first.
    pub(crate) fn spans(&self, request: u32) -> Vec<Span> {
        let spans = self.0.iter().flat_map(|stats| &stats.spans);
        spans.filter(|span| span.request == request).map(|span| span.span.clone()).collect()
    }

    /// Returns the span that a middleware has opened for a request.
    pub(crate) fn span(&self, request: u32, middleware: usize) -> Option<&Span> {
        let mut spans = self.0.iter().flat_map(|stats| &stats.spans);
        spans.find(|span| span.request == request && span.middleware == middleware).map(|span| &span.span)
    }

    /// Gives the spans of a request to its copy in another batch.
    pub(crate) fn copy_spans(&self, request: u32, other: &mut BatchStats, copy: u32) {
        let spans = self.0.iter().flat_map(|stats| &stats.spans).filter(|span| span.request == request);
        for RequestSpan { middleware, span, .. } in spans {
            other.open_span(copy, *middleware, span.clone());
        }
    }

    /// Closes the spans of the requests before this one.
    pub(crate) fn close_spans_before(&mut self, request: u32) {
        if let Some(stats) = &mut self.0 {
            stats.spans.retain(|span| span.request >= request);
        }
    }

    /// Returns the first request that `MONITOR` clients have not seen.
    pub(crate) fn shown(&self) -> u32 {
        self.0.as_ref().map_or(0, |stats| stats.shown)
    }

    pub(crate) fn note_shown(&mut self, shown: u32) {
        self.0.get_or_insert_default().shown = shown;
    }
}
