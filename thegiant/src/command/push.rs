//! Messages that are not replies.

use super::IntoPush;
use crate::{
    Client,
    resp::{Encoder, Protocol},
};

impl Client {
    /// Sends a message that is not a reply: a push in RESP3, an array in RESP2.
    ///
    /// By convention the first element names the kind of the message.
    ///
    /// Returns the number of this push on its connection, from 1, or `None` if the client has disconnected.
    /// Pushes keep their order. The connection sends them between two replies, or while a command is blocked,
    /// but not while an actor runs a batch of this client.
    ///
    /// [`Server::output_limit`](crate::Server::output_limit) bounds the bytes of unsent pushes.
    /// [`Server::slow_consumers`](crate::Server::slow_consumers) chooses between disconnecting a client that
    /// exceeds the limit and dropping its oldest pushes.
    ///
    /// A RESP2 client takes a push for the reply to its next command. Push to such a client only after it has
    /// subscribed to something, as with `SUBSCRIBE`, and expects no other replies.
    pub fn push(&self, message: impl IntoPush) -> Option<u64> {
        if !self.is_connected() {
            return None;
        }
        let mut out = Encoder::new(self.protocol());
        message.into_reply(&mut out);
        let protocol = out.protocol();
        let mut push = out.into_vec();
        if protocol == Protocol::Resp3
            && let Some(kind) = push.first_mut()
        {
            // The message is encoded as an array.
            *kind = b'>';
        }
        self.host()?.push(self, push.into())
    }
}
