//! The subscribers of one channel or pattern, and the delivery of messages to them.

use std::borrow::Cow;

use actix::Recipient;
use bytes::Bytes;

use super::Published;
use crate::{
    Client,
    resp::{Encoder, Protocol},
};

/// The subscribers of one channel or pattern.
#[derive(Default)]
pub(super) struct Listeners {
    /// Sorted by client ID.
    clients: Vec<Client>,
    actors: Vec<Recipient<Published>>,
}

impl Listeners {
    /// Returns the number of subscribers, without actors that have stopped.
    pub(super) fn len(&self) -> usize {
        self.clients.len() + self.actors.iter().filter(|actor| actor.connected()).count()
    }

    /// Adds the subscribers of an application that becomes a part of this one. It has no clients yet.
    pub(super) fn append(&mut self, mut other: Listeners) {
        self.actors.append(&mut other.actors);
    }

    pub(super) fn clients(&self) -> impl Iterator<Item = &Client> {
        self.clients.iter()
    }

    pub(super) fn add_client(&mut self, client: &Client) {
        if let Err(index) = self.index_of(client) {
            self.clients.insert(index, client.clone());
        }
    }

    /// Returns whether the client was a subscriber.
    pub(super) fn remove_client(&mut self, client: &Client) -> bool {
        self.index_of(client).map(|index| self.clients.remove(index)).is_ok()
    }

    pub(super) fn has_client(&self, client: &Client) -> bool {
        self.index_of(client).is_ok()
    }

    fn index_of(&self, client: &Client) -> Result<usize, usize> {
        self.clients.binary_search_by_key(&client.id(), Client::id)
    }

    pub(super) fn add_actor(&mut self, actor: Recipient<Published>) {
        // Removes stopped actors here, so that they do not pile up.
        self.actors.retain(|known| known.connected() && *known != actor);
        self.actors.push(actor);
    }

    /// Returns whether the actor was a subscriber.
    pub(super) fn remove_actor(&mut self, actor: &Recipient<Published>) -> bool {
        let before = self.actors.len();
        self.actors.retain(|known| known != actor);
        self.actors.len() < before
    }
}

/// A message to deliver.
pub(super) struct Delivery<'a> {
    pub(super) channel: &'a [u8],
    message: &'a [u8],
    /// The clients that may receive it; `None` for all.
    may_receive: Option<&'a dyn Fn(&Client) -> bool>,
}

impl<'a> Delivery<'a> {
    pub(super) fn new(channel: &'a [u8], message: &'a [u8]) -> Self {
        Delivery { channel, message, may_receive: None }
    }

    /// Limits the clients that receive the message.
    pub(super) fn to(self, may_receive: &'a dyn Fn(&Client) -> bool) -> Self {
        Delivery { may_receive: Some(may_receive), ..self }
    }

    /// Sends the message to all subscribers. Returns the number of subscribers that received it.
    ///
    /// The message is encoded once per protocol.
    pub(super) fn send(&self, event: &str, pattern: Option<&Bytes>, listeners: &Listeners) -> usize {
        let actors = listeners.actors.iter().filter(|actor| self.send_to_actor(actor, pattern)).count();
        let clients: Cow<'_, [Client]> = match self.may_receive {
            None => Cow::Borrowed(&listeners.clients),
            Some(may_receive) => listeners.clients().filter(|client| may_receive(client)).cloned().collect(),
        };
        // All clients belong to the one server that has these channels.
        let Some(host) = clients.first().and_then(Client::host) else { return actors };
        let first_protocol = clients[0].protocol();
        let first = self.encode(first_protocol, event, pattern);
        let mut other = None;
        // The encodings differ only in their first byte, so their length is the same.
        let len = first.len();
        actors
            + host.push_to_all(&clients, len, &mut |protocol| {
                let encoded = if protocol == first_protocol {
                    &first
                } else {
                    other.get_or_insert_with(|| self.encode(protocol, event, pattern))
                };
                encoded.clone()
            })
    }

    fn encode(&self, protocol: Protocol, event: &str, pattern: Option<&Bytes>) -> Bytes {
        let mut out = Encoder::new(protocol);
        out.push(if pattern.is_some() { 4 } else { 3 });
        out.bulk(event.as_bytes());
        pattern.inspect(|pattern| out.bulk(pattern));
        out.bulk(self.channel);
        out.bulk(self.message);
        out.into_vec().into()
    }

    /// Returns `false` if the actor has stopped.
    fn send_to_actor(&self, actor: &Recipient<Published>, pattern: Option<&Bytes>) -> bool {
        if !actor.connected() {
            return false;
        }
        let [channel, message] = [self.channel, self.message].map(Bytes::copy_from_slice);
        actor.do_send(Published { channel, message, pattern: pattern.cloned() });
        true
    }
}
