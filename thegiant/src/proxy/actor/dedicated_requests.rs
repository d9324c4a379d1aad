//! Sends the requests of clients over their dedicated connections.

use std::rc::Weak;

use super::{dedicated::start, state::ProxyState};
use crate::{
    Error, Raw, Responder,
    batch::ActorId,
    client::ClientFlag,
    command::Spec,
    dispatch::ClientBatch,
    proxy::{
        conn::{DedicatedRequest, DedicatedRequester, DedicatedTarget},
        wire::{CommandKind, Words},
    },
};

impl ProxyState {
    /// Sends the next request of a batch over the client's dedicated connection. Opens it if necessary.
    pub(super) fn send_dedicated(
        &mut self,
        mut batch: ClientBatch,
        actor_id: ActorId,
        kind: CommandKind,
        to: Result<DedicatedTarget, Error>,
    ) -> Option<ClientBatch> {
        let client = batch.client.clone();
        if self.dedicated_route(&client).is_none() {
            client.set(ClientFlag::WasReset, false);
            let server = to.as_ref().ok().and_then(|to| to.server);
            self.dedicated.insert(client.identity(), start(Weak::clone(&self.me), &client, server));
        }
        let reads = self.record_dedicated(&batch, kind);
        let a_key = batch
            .request(batch.next_request())
            .and_then(|request| self.routing.a_key(Words::Client(&request)));
        let handle = self.dedicated.get(&client.identity())?;
        if kind == CommandKind::Blocks {
            // The batch goes back to the connection, so that it notices when the blocked client disconnects.
            batch.step(&Spec::FALLBACK, |request, out| {
                let sent = DedicatedRequest { reads, ..DedicatedRequest::new(request, kind, to, a_key) };
                handle.send(sent, DedicatedRequester::Client(Responder::<Raw>::new(request, out)));
            });
            return batch.return_to_client();
        }
        if matches!(kind, CommandKind::Unsubscribe(_)) && client.has_pending_pushes() {
            // In RESP2, the client would take messages behind the reply for other replies.
            batch.append_pushes(|out| client.move_pushes(out));
        }
        batch.stop_timing();
        let request = batch
            .request(batch.next_request())
            .map(|request| DedicatedRequest::new(&request, kind, to, a_key));
        if let Some(request) = request {
            handle.send(request, DedicatedRequester::Batch(batch, actor_id));
        }
        None
    }
}
