//! The subscribers of one channel or pattern, and the delivery of messages to them.

use std::borrow::Cow;

use actix::Recipient;
use bytes::Bytes;

use super::{ChannelKind, Published, without_prefix};
use crate::{
    Client,
    resp::{Encoder, Protocol},
};

/// The subscribers of one channel or pattern.
#[derive(Default)]
pub(super) struct Subscribers {
    /// Most channels have one group.
    groups: Vec<Group>,
    actors: Vec<Recipient<Published>>,
}

/// The clients with the same key prefix.
struct Group {
    /// The prefix. The name of the channel or pattern begins with it.
    prefix: Bytes,
    /// Sorted by client ID.
    clients: Vec<Client>,
}

impl Subscribers {
    /// Returns the number of subscribers, without actors that have stopped.
    pub(super) fn len(&self) -> usize {
        let clients = self.groups.iter().map(|group| group.clients.len()).sum::<usize>();
        clients + self.actors.iter().filter(|actor| actor.connected()).count()
    }

    /// Adds the subscribers of an application that becomes a part of this one. It has no clients yet.
    pub(super) fn append(&mut self, mut other: Subscribers) {
        self.actors.append(&mut other.actors);
    }

    pub(super) fn clients(&self) -> impl Iterator<Item = &Client> {
        self.groups.iter().flat_map(|group| &group.clients)
    }

    pub(super) fn add_client(&mut self, client: &Client) {
        let prefix = client.key_prefix();
        let Some(group) = self.groups.iter_mut().find(|group| group.prefix == prefix) else {
            // Most channels have no other group, and a push would allocate space for four.
            self.groups.reserve_exact(1);
            return self.groups.push(Group { prefix, clients: vec![client.clone()] });
        };
        if let Err(index) = group.index_of(client) {
            group.clients.insert(index, client.clone());
        }
    }

    /// Returns whether the client was a subscriber.
    pub(super) fn remove_client(&mut self, client: &Client) -> bool {
        let mut groups = self.groups.iter_mut();
        let has_left =
            groups.any(|group| group.index_of(client).map(|index| group.clients.remove(index)).is_ok());
        self.groups.retain(|group| !group.clients.is_empty());
        has_left
    }

    pub(super) fn has_client(&self, client: &Client) -> bool {
        self.groups.iter().any(|group| group.index_of(client).is_ok())
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

impl Group {
    fn index_of(&self, client: &Client) -> Result<usize, usize> {
        self.clients.binary_search_by_key(&client.id(), Client::id)
    }
}

/// A message to deliver.
pub(super) struct Delivery<'a> {
    pub(super) channel: &'a [u8],
    message: &'a [u8],
    audience: Audience<'a>,
}

/// The subscribers that may receive a message.
enum Audience<'a> {
    All,
    /// The clients with this key prefix for which the function is true, and actors if the prefix is empty.
    Readers {
        prefix: &'a [u8],
        may_receive: Option<&'a dyn Fn(&Client) -> bool>,
    },
}

impl<'a> Delivery<'a> {
    pub(super) fn new(channel: &'a [u8], message: &'a [u8]) -> Self {
        Delivery { channel, message, audience: Audience::All }
    }

    /// Limits the subscribers to the clients with a key prefix that may receive the message, and to actors if it is empty.
    pub(super) fn to(self, prefix: &'a [u8], may_receive: Option<&'a dyn Fn(&Client) -> bool>) -> Self {
        Delivery { audience: Audience::Readers { prefix, may_receive }, ..self }
    }

    /// Sends the message to all subscribers. Returns the number of subscribers that received it.
    pub(super) fn send(&self, event: &str, pattern: Option<&Bytes>, subscribers: &Subscribers) -> usize {
        let actors: &[Recipient<Published>] = match self.audience {
            Audience::Readers { prefix: [_, ..], .. } => &[],
            _ => &subscribers.actors,
        };
        let actors = actors.iter().filter(|actor| self.send_to_actor(actor, pattern)).count();
        actors
            + subscribers.groups.iter().map(|group| self.send_to_group(event, pattern, group)).sum::<usize>()
    }

    /// Sends the message to the clients with a key prefix.
    fn send_to_group(&self, event: &str, pattern: Option<&Bytes>, group: &Group) -> usize {
        let clients: Cow<'_, [Client]> = match self.audience {
            Audience::Readers { prefix, .. } if prefix != group.prefix => return 0,
            Audience::All | Audience::Readers { may_receive: None, .. } => Cow::Borrowed(&group.clients),
            Audience::Readers { may_receive: Some(may_receive), .. } => {
                group.clients.iter().filter(|client| may_receive(client)).cloned().collect()
            }
        };
        // All clients belong to the one server that has these channels.
        let Some(host) = clients.first().and_then(Client::host) else { return 0 };
        host.push_to_all(&clients, &|protocol| self.encode(protocol, event, pattern, &group.prefix))
    }

    fn encode(&self, protocol: Protocol, event: &str, pattern: Option<&Bytes>, prefix: &Bytes) -> Bytes {
        let mut out = Encoder::new(protocol);
        out.set_key_prefix(prefix);
        out.push(if pattern.is_some() { 4 } else { 3 });
        out.bulk(event.as_bytes());
        pattern.inspect(|pattern| out.bulk(without_prefix(ChannelKind::Pattern, pattern, prefix)));
        out.key(self.channel);
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
