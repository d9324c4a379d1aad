//! The TLS handshake of a connection, and the user that the certificate of the client names.

use std::{
    io,
    task::{Context as TaskContext, Poll},
};

use thegiant_tls::{CertificateUser, ClientCertificate};

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
            Poll::Ready(identity) => {
                if let Some((certificate, user_from)) = identity {
                    self.state.set_certificate(certificate, user_from);
                }
                Ok(Stage::Reading.into())
            }
        }
    }
}

impl ConnectionState {
    fn set_certificate(&mut self, certificate: ClientCertificate, user_from: Option<CertificateUser>) {
        if let Some(field) = user_from {
            self.log_in_by_certificate(&certificate, field);
        }
        self.client.set_certificate(certificate);
    }

    /// Makes the client one of the first user that is on, among the names in this field of the certificate.
    ///
    /// If there is none, the client stays what it is without a certificate.
    fn log_in_by_certificate(&mut self, certificate: &ClientCertificate, field: CertificateUser) {
        let acl = &self.server.acl;
        let user_named =
            |name: &str| Some((acl.enabled_user(name.as_bytes())?, self.server.tenants.prefix_of_name(name)));
        if let Some((user, key_prefix)) = certificate.names(field).find_map(user_named) {
            self.set_user(Some(user), key_prefix);
            return self.set_authenticated(true);
        }
        let names = certificate.names(field).collect::<Vec<_>>().join(", ");
        tracing::info!(
            id = self.client.id(), client = %self.client.addr(), names = %names.as_bytes().escape_ascii(),
            "the certificate of the client names no user that is on"
        );
        self.log_refusal(LogReason::TlsCertificate, b"", names.as_bytes());
    }
}
