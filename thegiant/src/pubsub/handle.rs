//! The handle to the channels of a server.

use super::listeners::{Delivery, Listeners};
use crate::{Client, resp::glob};
use actix::{Message, Recipient};
use bytes::Bytes;
use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// The channels of an application (`SUBSCRIBE`, `PUBLISH`): a handle that is cheap to clone, for actors that publish, or
/// want to be told.
///
/// An application has one from the start, [`App::pubsub`](crate::App::pubsub), and clients need nothing else to
/// subscribe and to publish.
///
/// All that is published on a channel reaches all of its subscribers in the same order. A client gets it between two
/// replies, as all that is [pushed](Client::push), and what waits for it is bounded in the same way.
///
/// ```
/// use thegiant::{PubSub, prelude::*};
///
/// struct Shop {
///     sold: u64,
///     pubsub: PubSub,
/// }
///
/// impl Actor for Shop {
///     type Context = Context<Self>;
/// }
///
/// #[commands]
/// impl Shop {
///     /// Sells a thing, and tells everybody who listens to `sales`.
///     #[command("SELL", write)]
///     fn sell(&mut self, thing: &str) -> u64 {
///         self.sold += 1;
///         self.pubsub.publish("sales", thing);
///         self.sold
///     }
/// }
///
/// # #[actix::main]
/// # async fn main() {
/// let app = App::new();
/// let shop = Shop { sold: 0, pubsub: app.pubsub() };
/// let app = app.mount(shop.start());
/// # }
/// ```
#[derive(Clone, Default)]
pub struct PubSub(Arc<Mutex<Topics>>);

/// Something has been published: the message to an actor that has
/// [subscribed](PubSub::subscribe).
#[derive(Clone, Debug, Message)]
#[rtype(result = "()")]
#[non_exhaustive]
pub struct Published {
    /// Where.
    pub channel: Bytes,
    /// What.
    pub message: Bytes,
    /// The pattern that the channel matches, if the subscription is to that.
    pub pattern: Option<Bytes>,
}

/// What can be subscribed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ChannelKind {
    /// A channel.
    Channel,
    /// All channels that match a glob pattern.
    Pattern,
    /// A channel of a cluster's shard: these are apart from other channels.
    Shard,
}

/// Who listens, by kind and name.
type Topics = [HashMap<Bytes, Listeners>; 3];

impl ChannelKind {
    pub(crate) const ALL: [ChannelKind; 3] = [ChannelKind::Channel, ChannelKind::Pattern, ChannelKind::Shard];

    /// What a subscriber is told first.
    pub(crate) fn subscribed(self) -> &'static str {
        ["subscribe", "psubscribe", "ssubscribe"][self as usize]
    }

    /// What a subscriber is told last.
    pub(crate) fn unsubscribed(self) -> &'static str {
        ["unsubscribe", "punsubscribe", "sunsubscribe"][self as usize]
    }
}

impl PubSub {
    /// Sends a message to all that have subscribed to the channel, or to a pattern that it matches (`PUBLISH`).
    /// Returns how many subscriptions that is.
    pub fn publish(&self, channel: impl AsRef<[u8]>, message: impl AsRef<[u8]>) -> usize {
        let (channel, message) = (channel.as_ref(), message.as_ref());
        let topics = self.lock();
        let listeners = topics[ChannelKind::Channel as usize].get(channel);
        let delivery = Delivery::new(channel, message);
        let told = listeners.map_or(0, |listeners| delivery.send("message", None, listeners));
        let patterns = topics[ChannelKind::Pattern as usize].iter();
        let matching = patterns.filter(|(pattern, _)| glob::matches(pattern, channel));
        told + matching.map(|(pattern, them)| delivery.send("pmessage", Some(pattern), them)).sum::<usize>()
    }

    /// As [`publish`](Self::publish), for the channels of shards (`SPUBLISH`). They have names of their own, and no
    /// patterns.
    pub fn spublish(&self, channel: impl AsRef<[u8]>, message: impl AsRef<[u8]>) -> usize {
        let (channel, message) = (channel.as_ref(), message.as_ref());
        let topics = self.lock();
        let listeners = topics[ChannelKind::Shard as usize].get(channel);
        listeners.map_or(0, |listeners| Delivery::new(channel, message).send("smessage", None, listeners))
    }

    /// Has an actor told what is published on a channel, by the message [`Published`], until it ends or
    /// [unsubscribes](Self::unsubscribe).
    pub fn subscribe(&self, channel: impl Into<Bytes>, actor: impl Into<Recipient<Published>>) {
        self.topic(ChannelKind::Channel, channel.into(), |listeners| listeners.add_actor(actor.into()));
    }

    /// As [`subscribe`](Self::subscribe), for all channels that match a [glob](crate::resp::glob) pattern (`PSUBSCRIBE`).
    pub fn psubscribe(&self, pattern: impl Into<Bytes>, actor: impl Into<Recipient<Published>>) {
        self.topic(ChannelKind::Pattern, pattern.into(), |listeners| listeners.add_actor(actor.into()));
    }

    /// An actor is not told any more what is published on a channel; `false` if it was not.
    pub fn unsubscribe(&self, channel: impl AsRef<[u8]>, actor: &Recipient<Published>) -> bool {
        self.leave(ChannelKind::Channel, channel.as_ref(), |listeners| listeners.remove_actor(actor))
    }

    /// An actor is not told any more what is published on channels that match a pattern; `false` if it was not.
    pub fn punsubscribe(&self, pattern: impl AsRef<[u8]>, actor: &Recipient<Published>) -> bool {
        self.leave(ChannelKind::Pattern, pattern.as_ref(), |listeners| listeners.remove_actor(actor))
    }

    /// How many have subscribed to the channel, patterns aside (`PUBSUB NUMSUB`).
    pub fn subscribers(&self, channel: impl AsRef<[u8]>) -> usize {
        self.listeners(ChannelKind::Channel, channel.as_ref())
    }

    /// How many have subscribed to this.
    pub(crate) fn listeners(&self, kind: ChannelKind, name: &[u8]) -> usize {
        self.lock()[kind as usize].get(name).map_or(0, Listeners::len)
    }

    /// What somebody has subscribed to, if it matches the pattern.
    pub(crate) fn names(&self, kind: ChannelKind, pattern: Option<&[u8]>) -> Vec<Bytes> {
        let topics = &self.lock()[kind as usize];
        let heard = topics.iter().filter(|(_, listeners)| listeners.len() > 0).map(|(name, _)| name);
        heard.filter(|name| pattern.is_none_or(|pattern| glob::matches(pattern, name))).cloned().collect()
    }

    /// To how much of this kind somebody has subscribed.
    pub(crate) fn count(&self, kind: ChannelKind) -> usize {
        self.lock()[kind as usize].values().filter(|listeners| listeners.len() > 0).count()
    }

    pub(super) fn add_client(&self, kind: ChannelKind, name: Bytes, client: &Client) {
        self.topic(kind, name, |listeners| listeners.add_client(client));
    }

    pub(super) fn remove_client(&self, kind: ChannelKind, name: &[u8], client: &Client) {
        self.leave(kind, name, |listeners| listeners.remove_client(client));
    }

    fn topic(&self, kind: ChannelKind, name: Bytes, join: impl FnOnce(&mut Listeners)) {
        join(self.lock()[kind as usize].entry(name).or_default());
    }

    /// What nobody listens to is forgotten.
    fn leave(&self, kind: ChannelKind, name: &[u8], leave: impl FnOnce(&mut Listeners) -> bool) -> bool {
        let topics = &mut self.lock()[kind as usize];
        let Some(listeners) = topics.get_mut(name) else { return false };
        let has_left = leave(listeners);
        if listeners.len() == 0 {
            topics.remove(name);
        }
        has_left
    }

    fn lock(&self) -> MutexGuard<'_, Topics> {
        // Nothing panics while it is held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for PubSub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [channels, patterns, shards] = ChannelKind::ALL.map(|kind| self.count(kind));
        f.debug_struct("PubSub")
            .field("channels", &channels)
            .field("patterns", &patterns)
            .field("shards", &shards)
            .finish()
    }
}
