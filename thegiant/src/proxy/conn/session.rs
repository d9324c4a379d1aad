//! The state that an upstream keeps for a client between its requests.

use bytes::Bytes;

use crate::{Value, client::UpstreamNames, proxy::wire::CommandKind, pubsub::ChannelKind, resp::Incoming};

/// The transaction, the watched keys and the subscriptions of a client on an upstream.
#[derive(Debug, Default)]
pub(crate) struct Session {
    transaction: TransactionState,
    is_watching: bool,
    /// The subscribed names, by [`ChannelKind`].
    subscribed: UpstreamNames,
    /// Their number.
    subscriptions: usize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum TransactionState {
    #[default]
    None,
    Open,
    /// A request of the transaction failed, so `EXEC` must fail, too.
    Aborted,
}

/// A message of pub/sub.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PubSubMessage {
    /// A published message, or a notice that is not a reply to a request.
    Message,
    /// A reply to a request such as `SUBSCRIBE`.
    Confirmation,
}

impl Session {
    /// Returns whether the client still needs the connection.
    pub(crate) fn is_needed(&self) -> bool {
        self.is_in_transaction() || self.is_watching || self.is_subscribed()
    }

    pub(crate) fn is_in_transaction(&self) -> bool {
        self.transaction != TransactionState::None
    }

    pub(crate) fn begin_transaction(&mut self) {
        self.transaction = TransactionState::Open;
    }

    /// Makes `EXEC` fail, if a transaction is open.
    pub(crate) fn abort(&mut self) {
        if self.is_in_transaction() {
            self.transaction = TransactionState::Aborted;
        }
    }

    pub(super) fn is_aborted(&self) -> bool {
        self.transaction == TransactionState::Aborted
    }

    pub(crate) fn is_subscribed(&self) -> bool {
        self.subscriptions > 0
    }

    /// Returns the number of subscriptions.
    pub(super) fn subscriptions(&self) -> usize {
        self.subscriptions
    }

    /// Returns the subscribed names.
    pub(super) fn subscribed(&self) -> &UpstreamNames {
        &self.subscribed
    }

    /// Returns the names of the subscribed channels and patterns, each kind with the command that subscribes them.
    pub(crate) fn subscriptions_to_channels(&self) -> [(&'static str, Vec<Bytes>); 2] {
        [("SUBSCRIBE", ChannelKind::Channel), ("PSUBSCRIBE", ChannelKind::Pattern)]
            .map(|(command, kind)| (command, self.subscribed.of_kind(kind as usize)))
    }

    /// Returns the number of replies to a request.
    pub(super) fn replies_to(&self, kind: CommandKind, args: usize) -> usize {
        match kind {
            CommandKind::Subscribe(_) => args.max(1),
            CommandKind::Unsubscribe(kind) if args == 0 => self.subscribed.counts()[kind as usize].max(1),
            CommandKind::Unsubscribe(_) => args,
            _ => 1,
        }
    }

    /// Returns whether a command ends what makes the client need the connection.
    pub(crate) fn is_ended_by(&self, kind: CommandKind) -> bool {
        match kind {
            CommandKind::Exec | CommandKind::Discard => true,
            CommandKind::Unwatch => !self.is_in_transaction(),
            _ => false,
        }
    }

    /// Ends the transaction and the watched keys that a command ends, whether it succeeds or not.
    ///
    /// An error also ends the transaction for the client, which does not send `EXEC` again.
    pub(crate) fn end(&mut self, kind: CommandKind) {
        match kind {
            CommandKind::Exec | CommandKind::Discard if self.is_in_transaction() => {
                self.transaction = TransactionState::None;
                self.is_watching = false;
            }
            CommandKind::Unwatch if !self.is_in_transaction() => self.is_watching = false,
            _ => {}
        }
    }

    /// Updates the state after the reply to a command.
    pub(super) fn update(&mut self, kind: CommandKind, reply: &[u8]) {
        let is_ok = reply == b"+OK\r\n";
        match kind {
            CommandKind::Multi if is_ok => self.begin_transaction(),
            CommandKind::Watch if is_ok => self.is_watching = true,
            CommandKind::Exec | CommandKind::Discard => self.end(kind),
            CommandKind::Unwatch if is_ok => self.end(kind),
            _ => {}
        }
    }

    /// Updates the subscriptions after a push or reply of pub/sub. Returns `None` for other replies.
    ///
    /// `requested`: the command whose replies the client waits for, and the encoded request.
    pub(super) fn update_subscriptions(
        &mut self,
        reply: &[u8],
        requested: Option<(CommandKind, &[u8])>,
    ) -> Option<PubSubMessage> {
        let mut words = match Incoming::parse(reply) {
            Ok(Some((Incoming::Push(words) | Incoming::Reply(Value::Array(words)), _))) => words.into_iter(),
            _ => return None,
        };
        let (Some(Value::Bulk(word)), name) = (words.next(), words.next()) else { return None };
        let (kind, is_subscribe) = match &word[..] {
            b"subscribe" => (ChannelKind::Channel, true),
            b"psubscribe" => (ChannelKind::Pattern, true),
            b"ssubscribe" => (ChannelKind::Shard, true),
            b"unsubscribe" => (ChannelKind::Channel, false),
            b"punsubscribe" => (ChannelKind::Pattern, false),
            b"sunsubscribe" => (ChannelKind::Shard, false),
            b"message" | b"pmessage" | b"smessage" => return Some(PubSubMessage::Message),
            _ => return None,
        };
        let command =
            if is_subscribe { CommandKind::Subscribe(kind) } else { CommandKind::Unsubscribe(kind) };
        let is_requested = requested
            .is_some_and(|(requested, request)| requested == command && may_confirm(request, name.as_ref()));
        if let Some(Value::Bulk(name)) = name {
            if is_subscribe {
                self.subscriptions += usize::from(self.subscribed.insert(kind as usize, name));
            } else {
                self.subscriptions -= usize::from(self.subscribed.remove(kind as usize, &name));
            }
        }
        Some(if is_requested { PubSubMessage::Confirmation } else { PubSubMessage::Message })
    }
}

/// Returns whether a push, or a reply in RESP2, is a published message.
pub(super) fn is_published(reply: &[u8]) -> bool {
    let words = match Incoming::parse(reply) {
        Ok(Some((Incoming::Push(words) | Incoming::Reply(Value::Array(words)), _))) => words,
        _ => return false,
    };
    matches!(words.first(), Some(Value::Bulk(word)) if matches!(&word[..], b"message" | b"pmessage"))
}

/// Returns whether an upstream sends this name in reply to a request.
///
/// A cluster that moves the slot of a shard channel sends a `sunsubscribe` that nobody has requested.
fn may_confirm(request: &[u8], name: Option<&Value>) -> bool {
    let Ok(Some((Value::Array(words), _))) = Value::parse(request) else { return true };
    // Without names, `UNSUBSCRIBE` is about all of them.
    words.len() < 2 || name.is_some_and(|name| words[1..].contains(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sunsubscribe(name: &str) -> String {
        format!(">3\r\n$12\r\nsunsubscribe\r\n${}\r\n{name}\r\n:0\r\n", name.len())
    }

    /// Returns what a `sunsubscribe` of a channel is while this request waits for its replies.
    fn message_beside(kind: CommandKind, request: &str, name: &str) -> Option<PubSubMessage> {
        let words: Vec<_> = request.split(' ').map(|word| format!("${}\r\n{word}\r\n", word.len())).collect();
        let request = format!("*{}\r\n{}", words.len(), words.concat());
        let requested = Some((kind, request.as_bytes()));
        Session::default().update_subscriptions(sunsubscribe(name).as_bytes(), requested)
    }

    #[test]
    fn a_notice_that_nobody_has_requested_confirms_nothing() {
        const SHARD: ChannelKind = ChannelKind::Shard;
        let [subscribe, unsubscribe] = [CommandKind::Subscribe(SHARD), CommandKind::Unsubscribe(SHARD)];
        assert_eq!(message_beside(subscribe, "SSUBSCRIBE b", "a"), Some(PubSubMessage::Message));
        assert_eq!(message_beside(unsubscribe, "SUNSUBSCRIBE b c", "a"), Some(PubSubMessage::Message));
        assert_eq!(message_beside(unsubscribe, "SUNSUBSCRIBE b a", "a"), Some(PubSubMessage::Confirmation));
        assert_eq!(message_beside(unsubscribe, "SUNSUBSCRIBE", "a"), Some(PubSubMessage::Confirmation));
        let push = sunsubscribe("a");
        assert_eq!(
            Session::default().update_subscriptions(push.as_bytes(), None),
            Some(PubSubMessage::Message)
        );
    }
}
