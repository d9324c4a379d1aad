//! Handles the loss of a client's dedicated connection.

use super::dedicated::{DedicatedTask, OK};
use crate::{
    Error,
    proxy::{
        conn::PendingRequest,
        wire::{CommandKind, LossReason},
    },
};

impl DedicatedTask {
    /// Fails the pending request, or else the next one, because the connection could not be opened.
    pub(super) async fn refuse(&mut self, reason: &LossReason) {
        if !self.connection.is_waiting() {
            let Some((request, requester)) = self.requests.recv().await else { return };
            self.start(request, requester, self.route.get().server);
        }
        let (Some(pending), Some(target)) = (self.connection.take_pending(), self.binding.target()) else {
            return;
        };
        let error = target.stats.unsent(reason, 1);
        self.end_request(pending, error.into());
        self.fail(reason).await;
    }

    /// Handles the loss of the connection.
    ///
    /// Closes a subscribed client, which would not notice the loss otherwise. Fails all requests until the
    /// client ends its transaction.
    pub(super) async fn fail(&mut self, reason: &LossReason) {
        self.connection.disconnect();
        if self.connection.session.is_subscribed() {
            let client = self.connection.client();
            tracing::info!(id = client.id(), client = %client.addr(), %reason, "closed: the upstream of its subscriptions was lost");
            return client.kill();
        }
        if let (Some(pending), Some(target)) = (self.connection.take_pending(), self.binding.target()) {
            let error = target.stats.lost(reason, 1);
            self.end_request(pending, error.into());
        }
        // Commands of a lost transaction must not run outside of it, so the client has to end it first.
        while self.connection.session.is_needed()
            && let Some((request, requester)) = self.requests.recv().await
        {
            let is_over = self.connection.session.is_ended_by(request.kind);
            if is_over {
                self.end(None);
            }
            let is_begun = self.begin_lost_transaction(request.kind);
            let is_done = is_begun || is_over && request.kind != CommandKind::Exec;
            self.answer(requester, if is_done { Ok(OK.to_vec()) } else { Err(self.binding.loss_error()) });
            if is_over {
                return;
            }
        }
    }

    /// Begins a transaction that fails, if this is `MULTI`. Returns whether it is.
    ///
    /// After an error in reply to `MULTI`, the next commands of the client would run at once.
    fn begin_lost_transaction(&mut self, kind: CommandKind) -> bool {
        let is_begun = kind == CommandKind::Multi && !self.connection.session.is_in_transaction();
        if is_begun {
            self.connection.session.begin_transaction();
            self.connection.session.abort();
            self.publish();
        }
        is_begun
    }

    /// Replies with an error to a request that gets no reply from the upstream.
    fn end_request(&mut self, pending: PendingRequest, error: Error) {
        if self.begin_lost_transaction(pending.kind) {
            return self.answer(pending.requester, Ok(OK.to_vec()));
        }
        self.connection.session.end(pending.kind);
        if self.connection.session.is_needed() {
            self.publish();
        } else {
            // The handle must be gone before the client can send its next request.
            self.end(None);
        }
        self.answer(pending.requester, Err(error));
    }
}
