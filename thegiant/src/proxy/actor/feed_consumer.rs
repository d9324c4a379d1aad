//! The consumer of a feed.

use std::convert::Infallible;

use super::{feed_queue::FeedSender, subscription::ChannelEvent, tracking::Invalidation};
use crate::{Keyspace, Published, Value, proxy::routing::Prefix};

/// The consumer of the messages of a feed.
#[derive(Clone)]
pub(super) enum Consumer {
    /// A [`Subscription`](super::Subscription).
    Channels(FeedSender<ChannelEvent>),
    /// A [`Tracking`](super::Tracking).
    Keys(FeedSender<Invalidation>),
    /// Clients that track keys.
    Clients(TrackedClients),
}

/// The tracking clients of a server, or of one of its workers.
#[derive(Clone)]
pub(super) struct TrackedClients {
    pub(super) keyspace: Keyspace,
    /// The worker that the proxy belongs to. A proxy of all workers has none.
    pub(super) worker: Option<u16>,
    /// The prefix that their keys have on the upstreams.
    pub(super) prefix: Option<Prefix>,
    /// Is closed when the feed is not needed.
    pub(super) alive: FeedSender<Infallible>,
}

/// Approximate memory of an event besides its bytes.
const EVENT: usize = 64;

impl Consumer {
    /// Returns whether the feed has invalidations, and not the messages of channels.
    pub(super) fn is_tracking(&self) -> bool {
        !matches!(self, Consumer::Channels(_))
    }

    pub(super) fn is_closed(&self) -> bool {
        match self {
            Consumer::Channels(sender) => sender.is_closed(),
            Consumer::Keys(sender) => sender.is_closed(),
            Consumer::Clients(clients) => clients.alive.is_closed(),
        }
    }

    /// Waits until the consumer needs no more messages.
    pub(super) async fn closed(&self) {
        match self {
            Consumer::Channels(sender) => sender.closed().await,
            Consumer::Keys(sender) => sender.closed().await,
            Consumer::Clients(clients) => clients.alive.closed().await,
        }
    }

    /// Handles a connection that an upstream has confirmed.
    pub(super) fn on_confirmed(&self) {
        if let Consumer::Channels(sender) = self {
            sender.send(ChannelEvent::Gap, EVENT, ChannelEvent::Gap);
        }
    }

    /// Handles that a connection is missing.
    pub(super) fn on_incomplete(&self) {
        match self {
            Consumer::Channels(_) => {}
            Consumer::Keys(sender) => sender.replace(Invalidation::Lost),
            Consumer::Clients(TrackedClients { keyspace, worker, .. }) => keyspace.all_invalidated(*worker),
        }
    }

    /// Handles that no connection is missing any more.
    pub(super) fn on_complete(&self) {
        match self {
            Consumer::Channels(_) => {}
            Consumer::Keys(sender) => sender.replace(Invalidation::All),
            // The others have got the invalidation of each key that they have read meanwhile.
            Consumer::Clients(TrackedClients { keyspace, worker, .. }) => {
                keyspace.unseen_invalidated(*worker)
            }
        }
    }

    /// Handles a message.
    pub(super) fn on_message(&self, words: Vec<Value>, is_complete: bool) {
        match self {
            Consumer::Channels(sender) => {
                if let Some(published) = published(words) {
                    let bytes = EVENT + published.message.len() + published.channel.len();
                    sender.send(ChannelEvent::Published(published), bytes, ChannelEvent::Gap);
                }
            }
            // The consumer already knows that any key may have changed.
            Consumer::Keys(_) | Consumer::Clients(_) if !is_complete => {}
            Consumer::Keys(sender) => match words.into_iter().nth(1).and_then(Value::into_vec) {
                Some(keys) => keys.into_iter().for_each(|key| {
                    if let Value::Bulk(key) = key {
                        let bytes = EVENT + key.len();
                        sender.send(Invalidation::Key(key), bytes, Invalidation::All);
                    }
                }),
                None => sender.replace(Invalidation::All),
            },
            Consumer::Clients(TrackedClients { keyspace, worker, prefix, .. }) => {
                let of_client = |key| prefix.as_ref().map_or(Some(key), |prefix| prefix.strip(key));
                match words.get(1).and_then(Value::as_array) {
                    Some(keys) => keyspace
                        .invalidated(keys.iter().filter_map(Value::as_bytes).filter_map(of_client), *worker),
                    None => keyspace.all_invalidated(*worker),
                }
            }
        }
    }
}

/// Reads `message`, channel, message or `pmessage`, pattern, channel, message.
fn published(words: Vec<Value>) -> Option<Published> {
    let mut words = words.into_iter().skip(1).rev();
    let mut next = || match words.next() {
        Some(Value::Bulk(word)) => Some(word),
        _ => None,
    };
    let (message, channel) = (next()?, next()?);
    Some(Published { channel, message, pattern: next() })
}
