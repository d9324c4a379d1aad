//! Who listens to one channel or pattern, and how a message reaches them.

use actix::Recipient;
use bytes::Bytes;

use super::Published;
use crate::{
    Client,
    resp::{Encoder, Protocol},
};

/// Who has subscribed to the same.
#[derive(Default)]
pub(super) struct Listeners {
    /// In the order of their numbers.
    clients: Vec<Client>,
    actors: Vec<Recipient<Published>>,
}

impl Listeners {
    /// Actors that have ended do not listen any more.
    pub(super) fn len(&self) -> usize {
        self.clients.len() + self.actors.iter().filter(|actor| actor.connected()).count()
    }

    pub(super) fn add_client(&mut self, client: &Client) {
        if let Err(place) = self.place_of(client) {
            self.clients.insert(place, client.clone());
        }
    }

    /// Returns whether it was there.
    pub(super) fn remove_client(&mut self, client: &Client) -> bool {
        let place = self.place_of(client);
        place.map(|place| self.clients.remove(place)).is_ok()
    }

    fn place_of(&self, client: &Client) -> Result<usize, usize> {
        self.clients.binary_search_by_key(&client.id(), Client::id)
    }

    pub(super) fn add_actor(&mut self, actor: Recipient<Published>) {
        // Those that have ended are told nothing, and may be many by now.
        self.actors.retain(|known| known.connected() && *known != actor);
        self.actors.push(actor);
    }

    /// Returns whether it was there.
    pub(super) fn remove_actor(&mut self, actor: &Recipient<Published>) -> bool {
        let before = self.actors.len();
        self.actors.retain(|known| known != actor);
        self.actors.len() < before
    }
}

/// A message on its way.
pub(super) struct Delivery<'a> {
    channel: &'a [u8],
    message: &'a [u8],
}

impl<'a> Delivery<'a> {
    pub(super) fn new(channel: &'a [u8], message: &'a [u8]) -> Self {
        Delivery { channel, message }
    }

    /// Tells all these. It is encoded once for all that speak the same protocol. Returns how many were told.
    pub(super) fn send(&self, what: &str, pattern: Option<&Bytes>, listeners: &Listeners) -> usize {
        let told = listeners.actors.iter().filter(|actor| self.tell(actor, pattern)).count();
        // All clients are of the server that has these channels.
        let Some(server) = listeners.clients.first().and_then(Client::server) else { return told };
        let first = listeners.clients[0].protocol();
        let usual = self.encode(first, what, pattern);
        let mut other = None;
        // Of the same length, whatever the protocol: it is another letter at the beginning.
        let len = usual.len();
        told + server.push_to_all(&listeners.clients, len, |protocol| {
            let encoded = if protocol == first {
                &usual
            } else {
                other.get_or_insert_with(|| self.encode(protocol, what, pattern))
            };
            encoded.clone()
        })
    }

    fn encode(&self, protocol: Protocol, what: &str, pattern: Option<&Bytes>) -> Bytes {
        let mut out = Encoder::new(protocol);
        out.push(if pattern.is_some() { 4 } else { 3 });
        out.bulk(what.as_bytes());
        pattern.inspect(|pattern| out.bulk(pattern));
        out.bulk(self.channel);
        out.bulk(self.message);
        out.into_vec().into()
    }

    /// Returns whether the actor is there to be told.
    fn tell(&self, actor: &Recipient<Published>, pattern: Option<&Bytes>) -> bool {
        if !actor.connected() {
            return false;
        }
        let [channel, message] = [self.channel, self.message].map(Bytes::copy_from_slice);
        actor.do_send(Published { channel, message, pattern: pattern.cloned() });
        true
    }
}
