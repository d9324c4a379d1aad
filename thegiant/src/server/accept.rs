//! Accepts connections, or refuses them.

use std::{rc::Rc, sync::Arc};

use crate::{
    Error,
    client::Address,
    listener::{Acceptor, tune},
    server_state::ServerState,
    settings::Setting,
    stream::Stream,
    workers::Workers,
};

/// Accepts connections in an endless loop.
pub(super) async fn accept(acceptor: Acceptor, server: Arc<ServerState>, workers: Rc<Workers>) {
    loop {
        let (stream, endpoints) = acceptor.accept(&server.accept_warning).await;
        if is_protected_from(&endpoints.peer, &server) {
            server.stats.rejected();
            acceptor.refuse(&stream, &PROTECTED);
            continue;
        }
        let Some(client) = server.admit(endpoints) else {
            server.stats.rejected();
            acceptor.refuse(&stream, &FULL);
            continue;
        };
        if let Stream::Tcp(stream) = &stream
            && let Err(error) = tune(stream, &server.settings)
        {
            tracing::debug!(
                id = client.id(), client = %client.addr(), %error,
                "cannot set the socket options"
            );
        }
        tracing::debug!(id = client.id(), client = %client.addr(), "connection opened");
        workers.serve(stream, client, acceptor.security(server.settings.time(Setting::AuthTimeout)));
    }
}

const FULL: Error = Error::from_static("ERR max number of clients reached");

/// The first two sentences are from Redis.
///
/// The advice differs, because a toolkit has no configuration file.
const PROTECTED: Error = Error::from_static(
    "DENIED Redis is running in protected mode because protected mode is enabled and no password is set for the \
     default user. In this mode connections are only accepted from the loopback interface. If you want to connect \
     from external computers, you may adopt one of the following solutions: 1) Disable protected mode by sending \
     the command 'CONFIG SET protected-mode no' from the loopback interface, by connecting from the same host the \
     server is running. 2) Have the program switch protected mode off. 3) Have the program set a password.",
);

/// Returns whether protected mode refuses this peer.
fn is_protected_from(peer: &Address, server: &ServerState) -> bool {
    let is_protected = server.settings.flag(Setting::ProtectedMode) && server.acl.is_open();
    is_protected && !peer.is_local()
}
