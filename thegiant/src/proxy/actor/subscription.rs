//! The messages of channels that an application gets.

use std::{
    fmt,
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll},
};

use futures_core::Stream;

use super::feed_queue::FeedReceiver;
use crate::Published;

/// A stream of the messages on channels of an upstream; see [`UpstreamHandle::subscribe`](crate::proxy::UpstreamHandle::subscribe).
///
/// Dropping it ends the subscription. It ends when the proxy stops.
#[must_use]
pub struct Subscription(pub(super) FeedReceiver<ChannelEvent>);

/// An event of a [`Subscription`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ChannelEvent {
    /// A message.
    Published(Published),
    /// Messages may be missing here.
    ///
    /// It comes when the upstream has confirmed the subscription, at the start and after each lost connection. And it comes in
    /// place of the messages if more than 4096 of them, or more than 1 MiB, wait for their consumer.
    Gap,
}

impl Subscription {
    /// Returns the next event. Returns `None` if the proxy has stopped.
    pub async fn next(&mut self) -> Option<ChannelEvent> {
        poll_fn(|cx| self.0.poll_next(cx)).await
    }
}

impl Stream for Subscription {
    type Item = ChannelEvent;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<ChannelEvent>> {
        self.0.poll_next(cx)
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription").finish_non_exhaustive()
    }
}
