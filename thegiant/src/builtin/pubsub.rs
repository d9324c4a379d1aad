//! The commands of publish/subscribe.

use std::borrow::Cow;

use super::AfterPushes;
use crate::{
    Key, Reply,
    batch::ReplyBuffer,
    command::{Answer, Request},
    commands,
    conn::ConnectionState,
    pubsub::{ChannelKind, with_prefix, without_prefix},
    resp::Encoder,
};

#[commands(rows = PUBSUB, group = "pubsub")]
impl ConnectionState {
    /// Listens for messages published to channels.
    #[command("SUBSCRIBE", pubsub, noscript, loading, stale, pubsub_mode, channels)]
    fn subscribe<'a>(&mut self, channel: Vec<&'a [u8]>) -> Confirmations<'a> {
        self.add_subscriptions(ChannelKind::Channel, channel)
    }

    /// Listens for messages published to channels that match one or more patterns.
    #[command("PSUBSCRIBE", pubsub, noscript, loading, stale, pubsub_mode, patterns)]
    fn psubscribe<'a>(&mut self, pattern: Vec<&'a [u8]>) -> Confirmations<'a> {
        self.add_subscriptions(ChannelKind::Pattern, pattern)
    }

    /// Listens for messages published to shard channels.
    #[command("SSUBSCRIBE", pubsub, noscript, loading, stale, pubsub_mode, channels)]
    fn ssubscribe<'a>(&mut self, #[key(not_key)] shardchannel: Vec<Key<&'a [u8]>>) -> Confirmations<'a> {
        self.add_subscriptions(ChannelKind::Shard, names(shardchannel))
    }

    /// Stops listening to messages posted to channels.
    #[command("UNSUBSCRIBE", pubsub, noscript, loading, stale, pubsub_mode, tenant_safe)]
    fn unsubscribe<'a>(&mut self, channel: Option<Vec<&'a [u8]>>) -> AfterPushes<'_, Confirmations<'a>> {
        self.remove_subscriptions(ChannelKind::Channel, channel)
    }

    /// Stops listening to messages published to channels that match one or more patterns.
    #[command("PUNSUBSCRIBE", pubsub, noscript, loading, stale, pubsub_mode, tenant_safe)]
    fn punsubscribe<'a>(&mut self, pattern: Option<Vec<&'a [u8]>>) -> AfterPushes<'_, Confirmations<'a>> {
        self.remove_subscriptions(ChannelKind::Pattern, pattern)
    }

    /// Stops listening to messages posted to shard channels.
    #[command("SUNSUBSCRIBE", pubsub, noscript, loading, stale, pubsub_mode, tenant_safe)]
    fn sunsubscribe<'a>(
        &mut self,
        #[key(not_key)] shardchannel: Option<Vec<Key<&'a [u8]>>>,
    ) -> AfterPushes<'_, Confirmations<'a>> {
        self.remove_subscriptions(ChannelKind::Shard, shardchannel.map(names))
    }

    /// Posts a message to a channel.
    #[command("PUBLISH", pubsub, loading, stale, fast, may_replicate, channels)]
    fn publish(&self, channel: &[u8], message: &[u8]) -> usize {
        self.server.pubsub.publish(channel, message)
    }

    /// Posts a message to a shard channel.
    #[command("SPUBLISH", pubsub, loading, stale, fast, may_replicate, channels)]
    fn spublish(&self, #[key(not_key)] shardchannel: Key<&[u8]>, message: &[u8]) -> usize {
        self.server.pubsub.spublish(shardchannel.0, message)
    }

    /// Returns the active channels.
    #[command("PUBSUB CHANNELS", pubsub, loading, stale, tenant_safe)]
    fn pubsub_channels(&self, pattern: Option<&[u8]>) -> Vec<crate::Bytes> {
        self.server.pubsub.names(ChannelKind::Channel, &self.key_prefix, pattern)
    }

    /// Returns a count of subscribers to channels.
    #[command("PUBSUB NUMSUB", pubsub, loading, stale, tenant_safe)]
    fn pubsub_numsub<'a>(&self, channel: Option<Vec<&'a [u8]>>) -> SubscriberCounts<'a> {
        self.subscriber_counts(ChannelKind::Channel, channel)
    }

    /// Returns a count of unique pattern subscriptions.
    #[command("PUBSUB NUMPAT", pubsub, loading, stale, tenant_safe)]
    fn pubsub_numpat(&self) -> usize {
        self.server
            .pubsub
            .count(ChannelKind::Pattern, &with_prefix(ChannelKind::Pattern, b"", &self.key_prefix))
    }

    /// Returns the active shard channels.
    #[command("PUBSUB SHARDCHANNELS", pubsub, loading, stale, tenant_safe)]
    fn pubsub_shardchannels(&self, pattern: Option<&[u8]>) -> Vec<crate::Bytes> {
        self.server.pubsub.names(ChannelKind::Shard, &self.key_prefix, pattern)
    }

    /// Returns the count of subscribers of shard channels.
    #[command("PUBSUB SHARDNUMSUB", pubsub, loading, stale, tenant_safe)]
    fn pubsub_shardnumsub<'a>(&self, shardchannel: Option<Vec<&'a [u8]>>) -> SubscriberCounts<'a> {
        self.subscriber_counts(ChannelKind::Shard, shardchannel)
    }
}

impl ConnectionState {
    fn add_subscriptions<'a>(&mut self, kind: ChannelKind, names: Vec<&'a [u8]>) -> Confirmations<'a> {
        let prefix = self.key_prefix.clone();
        let subscriptions = self.subscriptions();
        let added = names.into_iter().map(|name| {
            subscriptions.add(kind, name);
            (Some(Cow::Borrowed(without_prefix(kind, name, &prefix))), subscriptions.count(kind))
        });
        Confirmations { event: kind.subscribed(), counts: added.collect() }
    }

    fn remove_subscriptions<'a>(
        &mut self,
        kind: ChannelKind,
        names: Option<Vec<&'a [u8]>>,
    ) -> AfterPushes<'_, Confirmations<'a>> {
        let prefix = &self.key_prefix;
        let names: Vec<Cow<'a, [u8]>> = match (names, &self.subscriptions) {
            (Some(names), _) => names.into_iter().map(Cow::Borrowed).collect(),
            (None, Some(all)) => {
                let names = all.names(kind);
                names.iter().map(|name| Cow::Owned(without_prefix(kind, name, prefix).into())).collect()
            }
            (None, None) => Vec::new(),
        };
        let mut remove = |name: &[u8]| {
            let Some(subscriptions) = &mut self.subscriptions else { return 0 };
            subscriptions.remove(kind, &with_prefix(kind, name, prefix));
            subscriptions.count(kind)
        };
        let mut counts = Vec::new();
        for name in names {
            let left = remove(&name);
            counts.push((Some(name), left));
        }
        if counts.is_empty() {
            counts.push((None, remove(b"")));
        }
        self.subscriptions.take_if(|subscriptions| subscriptions.is_empty());
        self.after_pushes(Confirmations { event: kind.unsubscribed(), counts })
    }

    fn subscriber_counts<'a>(&self, kind: ChannelKind, names: Option<Vec<&'a [u8]>>) -> SubscriberCounts<'a> {
        let count_of =
            |name: &[u8]| self.server.pubsub.subscribers_of(kind, &with_prefix(kind, name, &self.key_prefix));
        let count = |name: &'a [u8]| (name, count_of(name));
        SubscriberCounts(names.unwrap_or_default().into_iter().map(count).collect())
    }
}

/// Returns the channel names. They are typed as keys, because a cluster maps shard channels to hash slots.
fn names(keys: Vec<Key<&[u8]>>) -> Vec<&[u8]> {
    keys.into_iter().map(|Key(name)| name).collect()
}

/// Confirms subscriptions with one message for each.
///
/// They are pushes, so the client gets them even after `CLIENT REPLY OFF`.
struct Confirmations<'a> {
    event: &'static str,
    /// The name, if any, and the number of remaining subscriptions.
    counts: Vec<(Option<Cow<'a, [u8]>>, usize)>,
}

#[diagnostic::do_not_recommend]
impl Answer<ConnectionState> for Confirmations<'_> {
    fn answer(self, _: &Request<'_>, _: &mut (), out: &mut ReplyBuffer) {
        let encoder = out.encoder_mut();
        for (name, count) in self.counts {
            encoder.push(3);
            self.event.write_to(encoder);
            name.as_deref().write_to(encoder);
            count.write_to(encoder);
        }
        out.keep();
    }
}

/// Names and their numbers of subscribers, as a flat array in both protocols.
struct SubscriberCounts<'a>(Vec<(&'a [u8], usize)>);

impl Reply for SubscriberCounts<'_> {
    fn write_to(self, out: &mut Encoder) {
        out.array(2 * self.0.len());
        for (name, count) in self.0 {
            name.write_to(out);
            count.write_to(out);
        }
    }
}
