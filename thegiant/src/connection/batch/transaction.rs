//! `MULTI` and `EXEC`: requests that are queued and then run as one batch.

use std::mem;

use super::{ActorId, Batch, CommandRef, Request, batch_pool};
use crate::{
    Client, Error,
    command::{Flags, Resolved, Spec},
    connection::{ClientFlag, Routes},
    resp::Span,
};

/// The state of a client's transaction.
///
/// Requests after `MULTI` are copied to a batch of their own. `EXEC` blocks until that batch has its replies.
/// The batch goes to its actor, which runs it as one transaction, and its replies form the reply to `EXEC`.
#[derive(Debug, Default)]
pub(crate) enum Transaction {
    /// No transaction.
    #[default]
    None,
    /// Requests are queued.
    Queued(Box<Queue>),
    /// The queued requests run. The batch contains the blocked `EXEC`.
    Running(Box<Batch>),
}

/// The requests that were queued since `MULTI`.
#[derive(Debug)]
pub(crate) struct Queue {
    requests: Box<Batch>,
    /// The actor that runs the transaction, and the first command for this actor.
    actor: Option<(ActorId, &'static Spec)>,
    /// The union of the flags of all commands.
    flags: Flags,
    /// A request could not be queued, so `EXEC` will fail.
    is_aborted: bool,
}

/// Built-in commands that run at once and are never queued.
const NEVER_QUEUED: [&str; 6] = ["MULTI", "EXEC", "DISCARD", "WATCH", "RESET", "QUIT"];

pub(crate) const NOT_ALLOWED: Error = Error::from_static("ERR Command not allowed inside a transaction");

impl Transaction {
    /// Returns whether this command has to be queued.
    pub(crate) fn must_queue(&self, target: CommandRef, command: &Spec) -> bool {
        let is_never_queued =
            || target.actor_id == ActorId::CONNECTION && NEVER_QUEUED.contains(&command.name);
        matches!(self, Transaction::Queued(_)) && !is_never_queued()
    }

    pub(crate) fn is_none(&self) -> bool {
        matches!(self, Transaction::None)
    }

    pub(crate) fn is_running(&self) -> bool {
        matches!(self, Transaction::Running(_))
    }

    /// Returns the queue, if a transaction is open.
    pub(crate) fn queue(&mut self) -> Option<&mut Queue> {
        match self {
            Transaction::Queued(queue) => Some(queue),
            _ => None,
        }
    }

    /// Returns the union of the flags of all queued commands.
    pub(crate) fn flags(&self) -> Flags {
        match self {
            Transaction::Queued(queue) => queue.flags,
            _ => Flags::NONE,
        }
    }
}

impl Queue {
    pub(crate) fn new() -> Self {
        Queue { requests: Batch::new(), actor: None, flags: Flags::NONE, is_aborted: false }
    }

    /// Returns the number of queued requests and their size in bytes.
    pub(crate) fn size(&self) -> (u32, usize) {
        (u32::try_from(self.requests.len()).unwrap_or(u32::MAX), self.requests.request_bytes())
    }

    /// Marks the transaction as failed, because a request was refused.
    pub(crate) fn abort(&mut self) {
        self.is_aborted = true;
    }

    pub(crate) fn is_aborted(&self) -> bool {
        self.is_aborted
    }

    /// Queues a copy of the next request of `batch`.
    ///
    /// # Errors
    /// If the request is not allowed in this transaction. The transaction is then aborted.
    pub(crate) fn push(&mut self, batch: &mut Batch, routes: &Routes) -> Result<(), Error> {
        if let Some(Resolved::Command(target)) = batch.next_target() {
            self.admit(target, routes.command(target.command)).inspect_err(|_| self.abort())?;
        }
        batch.copy_next(&mut self.requests);
        Ok(())
    }

    fn admit(&mut self, target: CommandRef, command: &'static Spec) -> Result<(), Error> {
        if command.flags.contains(Flags::NO_MULTI) {
            return Err(NOT_ALLOWED);
        }
        if target.actor_id != ActorId::CONNECTION {
            let (actor, first) = *self.actor.get_or_insert((target.actor_id, command));
            if actor != target.actor_id {
                let [command, first] = [command, first].map(Spec::full_name);
                return Err(Error::err(format_args!(
                    "'{command}' can't be in one transaction with '{first}': they belong to different actors"
                )));
            }
        }
        self.flags = self.flags.union(command.flags);
        Ok(())
    }

    /// Returns the queued requests as a batch, and the actor that starts it.
    pub(crate) fn into_batch(self, client: &Client) -> (Box<Batch>, Option<ActorId>) {
        let mut batch = self.requests;
        batch.set_client(client);
        batch.is_transaction = true;
        batch.room = usize::MAX;
        batch.out.encoder_mut().set_protocol(client.protocol());
        batch.out.encoder_mut().array(batch.requests.len());
        batch.mark = batch.out.encoder().position();
        (batch, self.actor.map(|(actor, _)| actor))
    }
}

impl Batch {
    /// Copies the next request to another batch, which will run it.
    fn copy_next(&mut self, other: &mut Batch) {
        let Some(request) = self.requests.get_mut(self.next) else { return };
        for span in &self.spans[self.next_span..request.end as usize] {
            let copy = match span {
                Span::Input { start, end } => {
                    let from = other.input.len();
                    other.input.extend_from_slice(&self.input[*start as usize..*end as usize]);
                    Span::Input { start: from as u32, end: other.input.len() as u32 }
                }
                Span::Large(index) => {
                    let index = other.push_large(self.large[*index as usize].clone());
                    Span::Large(index as u32)
                }
            };
            other.spans.push(copy);
        }
        let target = mem::replace(&mut request.target, Resolved::Queued);
        other.requests.push(Request { end: other.spans.len() as u32, target });
    }

    /// Returns whether the batch is a transaction, whose replies form one array.
    pub(crate) fn is_transaction(&self) -> bool {
        self.is_transaction
    }

    /// Returns whether the batch is a transaction with more requests for this actor, after built-in commands.
    pub(crate) fn returns_to(&self, actor_id: ActorId) -> bool {
        let is_for =
            |request: &Request| matches!(request.target, Resolved::Command(to) if to.actor_id == actor_id);
        self.is_transaction && !self.is_blocked() && self.requests[self.next..].iter().any(is_for)
    }

    /// Aborts the transaction if a key that its client watches has changed.
    #[cold]
    pub(super) fn abort_if_dirty(&mut self) {
        let is_dirty = |client: &Client| client.is(ClientFlag::Dirty);
        if self.next == 0 && self.client.as_ref().is_some_and(is_dirty) {
            self.requests.clear();
            self.out.clear(batch_pool::MAX_KEPT_BYTES);
            self.out.encoder_mut().null_array();
        }
    }

    /// Ends the wait of a command such as `BLPOP` as if its timeout had expired, since a transaction cannot
    /// block.
    ///
    /// Commands that are merely answered later are waited for.
    #[cold]
    pub(super) fn end_wait(&self, client: &Client) {
        let command = self.requests.get(self.next).and_then(Request::command);
        if let (Some(server), Some(command)) = (client.server(), command)
            && server.routes.command(command).flags.contains(Flags::BLOCKING)
        {
            client.unblock(None);
        }
    }
}
