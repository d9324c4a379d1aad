//! Messages to actors when clients connect and disconnect.

use actix::{Message, Recipient};

use super::Client;

/// A client has connected. [`App::on_connect`](crate::App::on_connect) names the receivers of this message.
///
/// The client may not have authenticated yet. Its first requests may run before this message arrives.
#[derive(Clone, Debug, Message)]
#[rtype(result = "()")]
pub struct Connected(pub Client);

/// A client has disconnected. [`App::on_disconnect`](crate::App::on_disconnect) names the receivers of this
/// message.
///
/// It arrives after all requests that the client has sent to the same actor.
#[derive(Clone, Debug, Message)]
#[rtype(result = "()")]
pub struct Disconnected(pub Client);

/// The actors that receive the messages.
#[derive(Default)]
pub(crate) struct ConnectionEvents {
    pub(crate) connected: Vec<Recipient<Connected>>,
    pub(crate) disconnected: Vec<Recipient<Disconnected>>,
    /// The actors that receive the messages about the clients of a worker, by worker.
    pub(crate) disconnected_of_worker: Vec<Recipient<Disconnected>>,
}

impl ConnectionEvents {
    /// Adds the receivers of another application.
    pub(crate) fn append(&mut self, other: ConnectionEvents) {
        self.connected.extend(other.connected);
        self.disconnected.extend(other.disconnected);
        self.disconnected_of_worker.extend(other.disconnected_of_worker);
    }

    pub(crate) fn send_connected(&self, client: &Client) {
        self.connected.iter().for_each(|actor| actor.do_send(Connected(client.clone())));
    }

    pub(crate) fn send_disconnected(&self, client: &Client, worker: u16) {
        let of_worker = self.disconnected_of_worker.get(usize::from(worker));
        self.disconnected
            .iter()
            .chain(of_worker)
            .for_each(|actor| actor.do_send(Disconnected(client.clone())));
    }
}
