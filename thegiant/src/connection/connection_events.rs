//! Who wants to know when clients come and leave.

use actix::{Message, Recipient};

use super::Client;

/// A client has connected: a message to those that [`App::connected`](crate::App::connected) names.
///
/// It has not said who it is yet, if a password is asked for. Its first requests may be run before this message
/// arrives.
#[derive(Clone, Debug, Message)]
#[rtype(result = "()")]
pub struct Connected(pub Client);

/// A client has gone: a message to those that [`App::disconnected`](crate::App::disconnected) names.
///
/// It arrives after all requests that the client had sent to the same actor.
#[derive(Clone, Debug, Message)]
#[rtype(result = "()")]
pub struct Disconnected(pub Client);

/// The actors that are told.
#[derive(Default)]
pub(crate) struct ConnectionEvents {
    pub(crate) connected: Vec<Recipient<Connected>>,
    pub(crate) disconnected: Vec<Recipient<Disconnected>>,
}

impl ConnectionEvents {
    pub(crate) fn send_connected(&self, client: &Client) {
        self.connected.iter().for_each(|actor| actor.do_send(Connected(client.clone())));
    }

    pub(crate) fn send_disconnected(&self, client: &Client) {
        self.disconnected.iter().for_each(|actor| actor.do_send(Disconnected(client.clone())));
    }
}
