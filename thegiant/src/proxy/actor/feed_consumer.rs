//! The consumer of a feed.

use super::{feed_queue::FeedSender, subscription::ChannelEvent, tracking::Invalidation};
use crate::{Published, Value};

/// The consumer of the messages of a feed.
#[derive(Clone)]
pub(super) enum Consumer {
    /// A [`Subscription`](super::Subscription).
    Channels(FeedSender<ChannelEvent>),
    /// A [`Tracking`](super::Tracking).
    Keys(FeedSender<Invalidation>),
}

/// Approximate memory of an event besides its bytes.
const EVENT: usize = 64;

impl Consumer {
    /// Returns whether the feed has invalidations, and not the messages of channels.
    pub(super) fn is_tracking(&self) -> bool {
        matches!(self, Consumer::Keys(_))
    }

    pub(super) fn is_closed(&self) -> bool {
        match self {
            Consumer::Channels(sender) => sender.is_closed(),
            Consumer::Keys(sender) => sender.is_closed(),
        }
    }

    /// Waits until the consumer needs no more messages.
    pub(super) async fn closed(&self) {
        match self {
            Consumer::Channels(sender) => sender.closed().await,
            Consumer::Keys(sender) => sender.closed().await,
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
        if let Consumer::Keys(sender) = self {
            sender.replace(Invalidation::Lost);
        }
    }

    /// Handles that no connection is missing any more.
    pub(super) fn on_complete(&self) {
        if let Consumer::Keys(sender) = self {
            sender.replace(Invalidation::All);
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
            Consumer::Keys(_) if !is_complete => {}
            Consumer::Keys(sender) => match words.into_iter().nth(1).and_then(Value::into_vec) {
                Some(keys) => keys.into_iter().for_each(|key| {
                    if let Value::Bulk(key) = key {
                        let bytes = EVENT + key.len();
                        sender.send(Invalidation::Key(key), bytes, Invalidation::All);
                    }
                }),
                None => sender.replace(Invalidation::All),
            },
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
