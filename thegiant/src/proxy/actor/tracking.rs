//! The invalidations that an application gets.

use std::{
    fmt,
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_core::Stream;

use super::feed_queue::FeedReceiver;

/// A stream of the keys that change on the upstreams; see [`UpstreamHandle::tracking`](crate::proxy::UpstreamHandle::tracking).
///
/// Dropping it closes its connections. It ends when the proxy stops.
#[must_use]
pub struct Tracking(pub(super) FeedReceiver<Invalidation>);

/// An event of [`Tracking`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Invalidation {
    /// A key that was changed or removed: by a command, because it has expired, or to free memory. It may be a key of any
    /// database.
    Key(Bytes),
    /// Any key may have changed. From now on, the stream has the changes of all upstreams that are up.
    ///
    /// It comes when all connections are open, after `FLUSHALL` and `FLUSHDB`, and in place of the keys if more than 4096 of them, or
    /// more than 1 MiB, wait for their consumer.
    All,
    /// Any key may have changed, and the changes of an upstream are unknown until the next [`All`](Self::All).
    ///
    /// It comes when a connection is lost, and when an upstream is added.
    Lost,
}

impl Tracking {
    /// Returns the next event. Returns `None` if the proxy has stopped.
    pub async fn next(&mut self) -> Option<Invalidation> {
        poll_fn(|cx| self.0.poll_next(cx)).await
    }
}

impl Stream for Tracking {
    type Item = Invalidation;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Invalidation>> {
        self.0.poll_next(cx)
    }
}

impl fmt::Debug for Tracking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tracking").finish_non_exhaustive()
    }
}
