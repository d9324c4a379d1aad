//! The TLS handshake of a connection, and the user that the certificate of the client names.

use std::{
    io,
    task::{Context as TaskContext, Poll},
};

use super::{
    Connection, ConnectionState,
    connection::{Next, Stage},
};
use crate::{acl::LogReason, stream::Stream};

impl Connection {
    pub(super) fn shake_hands(&mut self, cx: &mut TaskContext<'_>) -> io::Result<Next> {
        let Stream::Tls(tls) = &mut self.stream else { return Ok(Stage::Reading.into()) };
        match tls.poll_handshake(cx)? {
            Poll::Pending => Ok(Next::Wait(Stage::Handshake)),
            Poll::Ready(names) => {
                if let Some(names) = names {
                    self.state.log_in_by_certificate(&names);
                }
                Ok(Stage::Reading.into())
            }
        }
    }
}

impl ConnectionState {
    /// Makes the client one of the first of these users that is on.
    ///
    /// If there is none, the client stays what it is without a certificate.
    fn log_in_by_certificate(&mut self, names: &[Box<[u8]>]) {
        if let Some(user) = names.iter().find_map(|name| self.server.acl.enabled_user(name)) {
            self.set_user(Some(user));
            self.set_authenticated(true);
            return;
        }
        let names = names.join(&b", "[..]);
        tracing::info!(
            id = self.client.id(), client = %self.client.addr(), names = %names.escape_ascii(),
            "the certificate of the client names no user that is on"
        );
        self.log_refusal(LogReason::TlsCertificate, b"", &names);
    }
}
