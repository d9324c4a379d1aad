//! The handle to the channels of an application.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap},
    fmt,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
};

use actix::{Message, Recipient};
use bytes::Bytes;

use super::subscribers::{Delivery, Subscribers};
use crate::{Client, prefixes, resp::glob, shrink::shrink_sparse};

/// A handle with which actors publish messages and subscribe to channels.
///
/// The handle is cheap to clone. Every application has one: [`App::pubsub`](crate::App::pubsub). Clients can
/// use `SUBSCRIBE` and `PUBLISH` without it.
///
/// All subscribers of a channel receive its messages in the same order. A client receives a message between
/// two replies, like every [push](Client::push), and under the same limits. A message that a handler publishes
/// follows the reply to its command if the client of the command has subscribed to the channel.
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
///     /// Sells a thing, and publishes it on the channel `sales`.
///     #[command("SELL", write)]
///     fn sell(&mut self, thing: &str) -> u64 {
///         self.sold += 1;
///         self.pubsub.publish("sales", thing);
///         self.sold
///     }
/// }
///
/// # #[thegiant::main]
/// # async fn main() {
/// let app = App::new();
/// let shop = Shop { sold: 0, pubsub: app.pubsub() };
/// let app = app.mount(shop.start());
/// # }
/// ```
#[derive(Clone, Default)]
pub struct PubSub(Arc<PubSubInner>);

#[derive(Default)]
struct PubSubInner {
    topics: Mutex<Topics>,
    readers: OnceLock<Arc<dyn KeyReaders>>,
    /// Sends the messages on to the other instances of a cluster.
    forward: OnceLock<Forward>,
    /// The key prefixes of the clients with subscriptions, each with the number of these clients.
    tenants: Mutex<BTreeMap<Bytes, usize>>,
    /// The handle of the application of which this one has become a part.
    merged: OnceLock<PubSub>,
}

/// Sends a message of a channel on to the other instances of a cluster.
type Forward = Box<dyn Fn(&[u8], &[u8]) + Send + Sync>;

/// Says which clients may learn that a key has changed.
pub(crate) trait KeyReaders: Send + Sync {
    /// Returns whether some clients may not learn of all keys.
    fn are_limited(&self) -> bool;

    fn may_read(&self, client: &Client, key: &[u8]) -> bool;
}

/// The message that an actor receives from a channel to which it has [subscribed](PubSub::subscribe).
#[derive(Clone, Debug, Message)]
#[rtype(result = "()")]
#[non_exhaustive]
pub struct Published {
    /// The channel of the message.
    pub channel: Bytes,
    /// The published message.
    pub message: Bytes,
    /// The pattern of the subscription, if the actor has subscribed to a pattern.
    pub pattern: Option<Bytes>,
}

/// The kinds of subscriptions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ChannelKind {
    /// A channel.
    Channel,
    /// All channels that match a glob pattern.
    Pattern,
    /// A shard channel. Shard channels are separate from other channels.
    Shard,
}

/// The subscribers, by kind and name.
type Topics = [HashMap<Bytes, Subscribers>; 3];

impl ChannelKind {
    pub(crate) const ALL: [ChannelKind; 3] = [ChannelKind::Channel, ChannelKind::Pattern, ChannelKind::Shard];

    /// Returns the first word of the message that confirms a subscription.
    pub(crate) fn subscribed(self) -> &'static str {
        ["subscribe", "psubscribe", "ssubscribe"][self as usize]
    }

    /// Returns the first word of the message that confirms the end of a subscription.
    pub(crate) fn unsubscribed(self) -> &'static str {
        ["unsubscribe", "punsubscribe", "sunsubscribe"][self as usize]
    }
}

/// Returns the name of a channel or pattern with the key prefix of its client.
pub(crate) fn with_prefix<'a>(kind: ChannelKind, name: &'a [u8], prefix: &[u8]) -> Cow<'a, [u8]> {
    match kind {
        _ if prefix.is_empty() => Cow::Borrowed(name),
        ChannelKind::Pattern => Cow::Owned([&glob::escape(prefix)[..], name].concat()),
        ChannelKind::Channel | ChannelKind::Shard => Cow::Owned([prefix, name].concat()),
    }
}

/// Returns the name of a channel or pattern without the key prefix of its client.
pub(crate) fn without_prefix<'a>(kind: ChannelKind, name: &'a [u8], prefix: &[u8]) -> &'a [u8] {
    let len = match kind {
        _ if prefix.is_empty() => 0,
        ChannelKind::Pattern => glob::escape(prefix).len(),
        ChannelKind::Channel | ChannelKind::Shard => prefix.len(),
    };
    name.get(len..).unwrap_or_default()
}

impl PubSub {
    /// Sends a message to all subscribers of the channel and of the patterns that match it (`PUBLISH`).
    ///
    /// Returns the number of subscriptions that received the message. An instance of a [cluster](crate::cluster) sends the message on to the
    /// others, whose subscriptions do not count.
    pub fn publish(&self, channel: impl AsRef<[u8]>, message: impl AsRef<[u8]>) -> usize {
        let (channel, message) = (channel.as_ref(), message.as_ref());
        if let Some(forward) = self.merged().0.forward.get() {
            forward(channel, message);
        }
        self.publish_here(channel, message)
    }

    /// Sends a message to all subscribers of the channel that this instance of a cluster has.
    pub(crate) fn publish_here(&self, channel: &[u8], message: &[u8]) -> usize {
        self.deliver(&Delivery::new(channel, message))
    }

    /// Sets the function that sends messages on to the other instances of a cluster, once.
    pub(crate) fn set_forward(&self, forward: impl Fn(&[u8], &[u8]) + Send + Sync + 'static) {
        // A handle belongs to one server.
        let _ = self.merged().0.forward.set(Box::new(forward));
    }

    /// Sends a message about a key to those subscribers that may read the key.
    ///
    /// `message_of` returns the channel and the message for a name of the key. Clients with a key prefix know the key by another
    /// name.
    pub(crate) fn publish_about(&self, key: &[u8], message_of: impl Fn(&[u8]) -> (Vec<u8>, Vec<u8>)) {
        let readers = self.merged().0.readers.get().filter(|readers| readers.are_limited());
        let may_read = |client: &Client| readers.is_none_or(|readers| readers.may_read(client, key));
        let may_receive = readers.is_some().then_some(&may_read as &dyn Fn(&Client) -> bool);
        let (channel, message) = message_of(key);
        self.deliver(&Delivery::new(&channel, &message).to(b"", may_receive));
        let tenants: Vec<Bytes> = prefixes::of(&self.tenants(), key).cloned().collect();
        for prefix in tenants {
            let (channel, message) = message_of(&key[prefix.len()..]);
            let channel = [&prefix[..], &channel].concat();
            self.deliver(&Delivery::new(&channel, &message).to(&prefix, may_receive));
        }
    }

    /// Adds a client with subscriptions and this key prefix.
    pub(super) fn add_tenant(&self, prefix: &Bytes) {
        if !prefix.is_empty() {
            *self.tenants().entry(prefix.clone()).or_default() += 1;
        }
    }

    /// Removes a client with subscriptions and this key prefix.
    pub(super) fn remove_tenant(&self, prefix: &Bytes) {
        let mut tenants = self.tenants();
        if let Some(count) = tenants.get_mut(prefix) {
            *count -= 1;
            if *count == 0 {
                tenants.remove(prefix);
            }
        }
    }

    fn tenants(&self) -> MutexGuard<'_, BTreeMap<Bytes, usize>> {
        // No code panics while it holds the lock.
        self.merged().0.tenants.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets the check of the clients that may learn of changed keys, once.
    pub(crate) fn set_readers(&self, readers: Arc<dyn KeyReaders>) {
        // A handle belongs to one server.
        let _ = self.merged().0.readers.set(readers);
    }

    fn deliver(&self, delivery: &Delivery<'_>) -> usize {
        let channel = delivery.channel;
        let topics = self.lock();
        let subscribers = topics[ChannelKind::Channel as usize].get(channel);
        let received = subscribers.map_or(0, |subscribers| delivery.send("message", None, subscribers));
        let patterns = topics[ChannelKind::Pattern as usize].iter();
        let matching = patterns.filter(|(pattern, _)| glob::matches(pattern, channel));
        let send = |(pattern, subscribers)| delivery.send("pmessage", Some(pattern), subscribers);
        received + matching.map(send).sum::<usize>()
    }

    /// Sends a message to all subscribers of a shard channel (`SPUBLISH`).
    ///
    /// Shard channels have a separate namespace and no patterns. Returns the number of subscriptions that
    /// received the message.
    pub fn spublish(&self, channel: impl AsRef<[u8]>, message: impl AsRef<[u8]>) -> usize {
        let (channel, message) = (channel.as_ref(), message.as_ref());
        let topics = self.lock();
        let subscribers = topics[ChannelKind::Shard as usize].get(channel);
        subscribers
            .map_or(0, |subscribers| Delivery::new(channel, message).send("smessage", None, subscribers))
    }

    /// Sends an actor a [`Published`] message for each message on a channel.
    ///
    /// The subscription ends when the actor stops or [unsubscribes](Self::unsubscribe).
    pub fn subscribe(&self, channel: impl Into<Bytes>, actor: impl Into<Recipient<Published>>) {
        self.topic(ChannelKind::Channel, channel.into(), |subscribers| subscribers.add_actor(actor.into()));
    }

    /// Subscribes an actor to all channels that match a [glob](crate::resp::glob) pattern (`PSUBSCRIBE`).
    ///
    /// See [`subscribe`](Self::subscribe).
    pub fn psubscribe(&self, pattern: impl Into<Bytes>, actor: impl Into<Recipient<Published>>) {
        self.topic(ChannelKind::Pattern, pattern.into(), |subscribers| subscribers.add_actor(actor.into()));
    }

    /// Ends an actor's subscription to a channel. Returns `false` if there was none.
    pub fn unsubscribe(&self, channel: impl AsRef<[u8]>, actor: &Recipient<Published>) -> bool {
        self.leave(ChannelKind::Channel, channel.as_ref(), |subscribers| subscribers.remove_actor(actor))
    }

    /// Ends an actor's subscription to a pattern. Returns `false` if there was none.
    pub fn punsubscribe(&self, pattern: impl AsRef<[u8]>, actor: &Recipient<Published>) -> bool {
        self.leave(ChannelKind::Pattern, pattern.as_ref(), |subscribers| subscribers.remove_actor(actor))
    }

    /// Returns the number of subscribers of a channel, without those of patterns (`PUBSUB NUMSUB`).
    pub fn subscribers(&self, channel: impl AsRef<[u8]>) -> usize {
        self.subscribers_of(ChannelKind::Channel, channel.as_ref())
    }

    /// Returns the number of subscribers of a channel or pattern.
    pub(crate) fn subscribers_of(&self, kind: ChannelKind, name: &[u8]) -> usize {
        self.lock()[kind as usize].get(name).map_or(0, Subscribers::len)
    }

    /// Returns the names of a kind that begin with `prefix`, have subscribers and match the pattern behind the prefix.
    pub(crate) fn names(&self, kind: ChannelKind, prefix: &[u8], pattern: Option<&[u8]>) -> Vec<Bytes> {
        let topics = &self.lock()[kind as usize];
        let active =
            topics.iter().filter(|(name, subscribers)| name.starts_with(prefix) && subscribers.len() > 0);
        let names = active.map(|(name, _)| name.slice(prefix.len()..));
        names.filter(|name| pattern.is_none_or(|pattern| glob::matches(pattern, name))).collect()
    }

    /// Returns the number of names of a kind that begin with `prefix` and have subscribers.
    pub(crate) fn count(&self, kind: ChannelKind, prefix: &[u8]) -> usize {
        let topics = &self.lock()[kind as usize];
        topics.iter().filter(|(name, subscribers)| name.starts_with(prefix) && subscribers.len() > 0).count()
    }

    /// Returns the clients with a subscription for which `is_wanted` is true, by id.
    pub(crate) fn clients(
        &self,
        is_wanted: impl Fn(&Client, ChannelKind, &[u8]) -> bool,
    ) -> BTreeMap<u64, Client> {
        let topics = self.lock();
        let mut found = BTreeMap::new();
        for (kind, topics) in ChannelKind::ALL.into_iter().zip(topics.iter()) {
            for (name, subscribers) in topics {
                let wanted = subscribers.clients().filter(|client| is_wanted(client, kind, name));
                found.extend(wanted.map(|client| (client.id(), client.clone())));
            }
        }
        found
    }

    /// Ends the subscriptions to those shard channels for which `is_left` returns true.
    ///
    /// Their clients get the same message as for `SUNSUBSCRIBE`.
    pub(crate) fn end_shard_channels(&self, is_left: impl Fn(&[u8]) -> bool) {
        let topics = &mut self.lock()[ChannelKind::Shard as usize];
        topics.retain(|name, subscribers| {
            let is_left = is_left(name);
            if is_left {
                subscribers.clients().for_each(|client| client.end_shard_channel(name));
            }
            !is_left
        });
        shrink_sparse(topics);
    }

    /// Returns whether a client has a subscription.
    pub(super) fn has_client(&self, kind: ChannelKind, name: &[u8], client: &Client) -> bool {
        self.lock()[kind as usize].get(name).is_some_and(|subscribers| subscribers.has_client(client))
    }

    pub(super) fn add_client(&self, kind: ChannelKind, name: Bytes, client: &Client) {
        self.topic(kind, name, |subscribers| subscribers.add_client(client));
    }

    pub(super) fn remove_client(&self, kind: ChannelKind, name: &[u8], client: &Client) {
        self.leave(kind, name, |subscribers| subscribers.remove_client(client));
    }

    fn topic(&self, kind: ChannelKind, name: Bytes, join: impl FnOnce(&mut Subscribers)) {
        join(self.lock()[kind as usize].entry(name).or_default());
    }

    /// Removes a subscriber, and the name with its last subscriber.
    fn leave(&self, kind: ChannelKind, name: &[u8], leave: impl FnOnce(&mut Subscribers) -> bool) -> bool {
        let topics = &mut self.lock()[kind as usize];
        let Some(subscribers) = topics.get_mut(name) else { return false };
        let has_left = leave(subscribers);
        if subscribers.len() == 0 {
            topics.remove(name);
            shrink_sparse(topics);
        }
        has_left
    }

    /// Makes all clones of this handle handles of another application, with the subscribers so far.
    pub(crate) fn merge_into(&self, other: &PubSub) {
        let mut topics = self.lock();
        let mut others = other.lock();
        for (topics, others) in topics.iter_mut().zip(others.iter_mut()) {
            for (name, subscribers) in topics.drain() {
                others.entry(name).or_default().append(subscribers);
            }
        }
        // Still under the lock: a thread that waits for it finds the other handle.
        drop(others);
        // An application is merged once.
        let _ = self.0.merged.set(other.clone());
    }

    /// Returns the handle of the application of which this one has become a part, or this one.
    fn merged(&self) -> &PubSub {
        self.0.merged.get().map_or(self, PubSub::merged)
    }

    fn lock(&self) -> MutexGuard<'_, Topics> {
        if let Some(merged) = self.0.merged.get() {
            return merged.lock();
        }
        // A poisoned lock holds valid data, because no code panics while it holds the lock.
        let topics = self.0.topics.lock().unwrap_or_else(PoisonError::into_inner);
        match self.0.merged.get() {
            Some(merged) => merged.lock(),
            None => topics,
        }
    }
}

impl fmt::Debug for PubSub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [channels, patterns, shards] = ChannelKind::ALL.map(|kind| self.count(kind, b""));
        f.debug_struct("PubSub")
            .field("channels", &channels)
            .field("patterns", &patterns)
            .field("shards", &shards)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_shrink_with_their_subscribers() {
        let (pubsub, client) = (PubSub::default(), Client::unconnected(1));
        let capacity = || pubsub.lock()[ChannelKind::Channel as usize].capacity();
        (0..10_000).for_each(|name| {
            pubsub.add_client(ChannelKind::Channel, name.to_string().into(), &client);
        });
        assert!(capacity() >= 10_000);
        (1..10_000).for_each(|name| {
            pubsub.remove_client(ChannelKind::Channel, name.to_string().as_bytes(), &client);
        });
        assert!(capacity() < 200, "{}", capacity());
        assert_eq!(pubsub.subscribers("0"), 1);
    }
}
