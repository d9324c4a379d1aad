//! `SUBSCRIBE`, `PUBLISH` and their kin.

use std::borrow::Cow;

use super::Ahead;
use crate::{
    Error, IntoReply, Key,
    command::{Answer, Call, ReplyBuffer, Spec},
    commands,
    connection::ConnectionState,
    pubsub::ChannelKind,
    resp::Encoder,
};

#[commands(rows = PUBSUB, group = "pubsub")]
impl ConnectionState {
    /// Listens to channels.
    #[command("SUBSCRIBE", pubsub, noscript, loading, stale)]
    fn subscribe<'a>(&mut self, channel: Vec<&'a [u8]>) -> Confirmed<'a> {
        self.add_subscriptions(ChannelKind::Channel, channel)
    }

    /// Listens to all channels that match patterns.
    #[command("PSUBSCRIBE", pubsub, noscript, loading, stale)]
    fn psubscribe<'a>(&mut self, pattern: Vec<&'a [u8]>) -> Confirmed<'a> {
        self.add_subscriptions(ChannelKind::Pattern, pattern)
    }

    /// Listens to channels of shards.
    #[command("SSUBSCRIBE", pubsub, noscript, loading, stale)]
    fn ssubscribe<'a>(&mut self, shardchannel: Vec<Key<&'a [u8]>>) -> Confirmed<'a> {
        self.add_subscriptions(ChannelKind::Shard, names(shardchannel))
    }

    /// Stops listening to channels, or to all.
    #[command("UNSUBSCRIBE", pubsub, noscript, loading, stale)]
    fn unsubscribe<'a>(&mut self, channel: Option<Vec<&'a [u8]>>) -> Ahead<'_, Confirmed<'a>> {
        self.remove_subscriptions(ChannelKind::Channel, channel)
    }

    /// Stops listening to channels that match patterns, or to all of those.
    #[command("PUNSUBSCRIBE", pubsub, noscript, loading, stale)]
    fn punsubscribe<'a>(&mut self, pattern: Option<Vec<&'a [u8]>>) -> Ahead<'_, Confirmed<'a>> {
        self.remove_subscriptions(ChannelKind::Pattern, pattern)
    }

    /// Stops listening to channels of shards, or to all of those.
    #[command("SUNSUBSCRIBE", pubsub, noscript, loading, stale)]
    fn sunsubscribe<'a>(&mut self, shardchannel: Option<Vec<Key<&'a [u8]>>>) -> Ahead<'_, Confirmed<'a>> {
        self.remove_subscriptions(ChannelKind::Shard, shardchannel.map(names))
    }

    /// Sends a message to all that listen to a channel; returns how many do.
    #[command("PUBLISH", pubsub, loading, stale, fast, may_replicate)]
    fn publish(&self, channel: &[u8], message: &[u8]) -> Ahead<'_, usize> {
        self.ahead(self.server.pubsub.publish(channel, message))
    }

    /// Sends a message to all that listen to a channel of shards; returns how many do.
    #[command("SPUBLISH", pubsub, loading, stale, fast, may_replicate)]
    fn spublish(&self, shardchannel: Key<&[u8]>, message: &[u8]) -> Ahead<'_, usize> {
        self.ahead(self.server.pubsub.spublish(shardchannel.0, message))
    }

    /// Returns the channels that somebody listens to.
    #[command("PUBSUB CHANNELS", pubsub, loading, stale)]
    fn pubsub_channels(&self, pattern: Option<&[u8]>) -> Vec<crate::Bytes> {
        self.server.pubsub.names(ChannelKind::Channel, pattern)
    }

    /// Returns how many listen to channels.
    #[command("PUBSUB NUMSUB", pubsub, loading, stale)]
    fn pubsub_numsub<'a>(&self, channel: Option<Vec<&'a [u8]>>) -> Listened<'a> {
        self.listened(ChannelKind::Channel, channel)
    }

    /// Returns the number of patterns that somebody listens to.
    #[command("PUBSUB NUMPAT", pubsub, loading, stale)]
    fn pubsub_numpat(&self) -> usize {
        self.server.pubsub.count(ChannelKind::Pattern)
    }

    /// Returns the channels of shards that somebody listens to.
    #[command("PUBSUB SHARDCHANNELS", pubsub, loading, stale)]
    fn pubsub_shardchannels(&self, pattern: Option<&[u8]>) -> Vec<crate::Bytes> {
        self.server.pubsub.names(ChannelKind::Shard, pattern)
    }

    /// Returns how many listen to channels of shards.
    #[command("PUBSUB SHARDNUMSUB", pubsub, loading, stale)]
    fn pubsub_shardnumsub<'a>(&self, shardchannel: Option<Vec<&'a [u8]>>) -> Listened<'a> {
        self.listened(ChannelKind::Shard, shardchannel)
    }
}

impl ConnectionState {
    fn add_subscriptions<'a>(&mut self, kind: ChannelKind, names: Vec<&'a [u8]>) -> Confirmed<'a> {
        let subscriptions = self.subscriptions();
        let added = names.into_iter().map(|name| {
            subscriptions.add(kind, name);
            (Some(Cow::Borrowed(name)), subscriptions.count(kind))
        });
        Confirmed { what: kind.subscribed(), counts: added.collect() }
    }

    fn remove_subscriptions<'a>(
        &mut self,
        kind: ChannelKind,
        names: Option<Vec<&'a [u8]>>,
    ) -> Ahead<'_, Confirmed<'a>> {
        let names: Vec<Cow<'a, [u8]>> = match (names, &self.subscriptions) {
            (Some(names), _) => names.into_iter().map(Cow::Borrowed).collect(),
            (None, Some(all)) => all.names(kind).into_iter().map(|name| Cow::Owned(name.into())).collect(),
            (None, None) => Vec::new(),
        };
        let mut remove = |name: &[u8]| {
            let Some(subscriptions) = &mut self.subscriptions else { return 0 };
            subscriptions.remove(kind, name);
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
        self.ahead(Confirmed { what: kind.unsubscribed(), counts })
    }

    fn listened<'a>(&self, kind: ChannelKind, names: Option<Vec<&'a [u8]>>) -> Listened<'a> {
        let count = |name: &'a [u8]| (name, self.server.pubsub.listeners(kind, name));
        Listened(names.unwrap_or_default().into_iter().map(count).collect())
    }
}

/// In a cluster, the channels of shards belong to slots as keys do.
fn names(keys: Vec<Key<&[u8]>>) -> Vec<&[u8]> {
    keys.into_iter().map(|Key(name)| name).collect()
}

/// What a client of RESP2 that listens may still ask for.
pub(crate) const FOR_LISTENERS: [&str; 9] = [
    "SUBSCRIBE",
    "PSUBSCRIBE",
    "SSUBSCRIBE",
    "UNSUBSCRIBE",
    "PUNSUBSCRIBE",
    "SUNSUBSCRIBE",
    "PING",
    "QUIT",
    "RESET",
];

/// Why a client that listens is not answered.
pub(crate) fn not_for_listeners(command: &Spec) -> Error {
    Error::err(format_args!(
        "Can't execute '{}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context",
        command.full_name()
    ))
}

/// What the client listens to now, one thing after the other: each is a message of its own, and comes even where replies
/// do not.
struct Confirmed<'a> {
    what: &'static str,
    /// The name, if any, and how many there are then.
    counts: Vec<(Option<Cow<'a, [u8]>>, usize)>,
}

#[diagnostic::do_not_recommend]
impl Answer<ConnectionState> for Confirmed<'_> {
    fn answer(self, _: &Call<'_>, _: &mut (), out: &mut ReplyBuffer) {
        let encoder = out.encoder_mut();
        for (name, count) in self.counts {
            encoder.push(3);
            self.what.into_reply(encoder);
            name.as_deref().into_reply(encoder);
            count.into_reply(encoder);
        }
        out.keep();
    }
}

/// Names, and how many listen to them, as a flat array in either protocol.
struct Listened<'a>(Vec<(&'a [u8], usize)>);

impl IntoReply for Listened<'_> {
    fn into_reply(self, out: &mut Encoder) {
        out.array(2 * self.0.len());
        for (name, count) in self.0 {
            name.into_reply(out);
            count.into_reply(out);
        }
    }
}
