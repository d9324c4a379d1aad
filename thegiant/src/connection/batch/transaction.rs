//! `MULTI` and `EXEC`: requests that are kept, and then run as one.

use std::mem;

use super::{ActorId, Batch, CommandRef, Request, batch_pool};
use crate::{
    Client, Error,
    command::{Flags, Resolved, Spec},
    connection::{ClientFlag, Routes},
    resp::Span,
};

/// How far a client is with its transaction.
///
/// What comes behind `MULTI` is copied to a batch of its own. `EXEC` waits for that batch as for any reply that is given
/// later: it is sent to its actor, which runs it as one, and what it has answered is the reply.
#[derive(Debug, Default)]
pub(crate) enum Transaction {
    /// There is none.
    #[default]
    None,
    /// Requests are queued.
    Queued(Box<Queue>),
    /// They are run. This is the batch whose `EXEC` waits.
    Running(Box<Batch>),
}

/// What has been asked for since `MULTI`.
#[derive(Debug)]
pub(crate) struct Queue {
    requests: Box<Batch>,
    /// Who answers it, and the first command for which that is so.
    actor: Option<(ActorId, &'static Spec)>,
    /// The flags of all commands.
    flags: Flags,
    /// Something could not be queued: nothing is going to be run.
    is_aborted: bool,
}

/// Built-in commands that are not queued.
const AT_ONCE: [&str; 6] = ["MULTI", "EXEC", "DISCARD", "WATCH", "RESET", "QUIT"];

pub(crate) const NOT_ALLOWED: Error = Error::from_static("ERR Command not allowed inside a transaction");

impl Transaction {
    /// Whether this command is to be queued.
    pub(crate) fn takes(&self, target: CommandRef, command: &Spec) -> bool {
        let is_at_once = || target.actor_id == ActorId::CONNECTION && AT_ONCE.contains(&command.name);
        matches!(self, Transaction::Queued(_)) && !is_at_once()
    }

    pub(crate) fn is_none(&self) -> bool {
        matches!(self, Transaction::None)
    }

    pub(crate) fn is_running(&self) -> bool {
        matches!(self, Transaction::Running(_))
    }

    /// What is queued.
    pub(crate) fn queue(&mut self) -> Option<&mut Queue> {
        match self {
            Transaction::Queued(queue) => Some(queue),
            _ => None,
        }
    }

    /// The flags of all commands that are queued.
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

    /// How many requests these are, and the bytes that they take.
    pub(crate) fn size(&self) -> (u32, usize) {
        (u32::try_from(self.requests.len()).unwrap_or(u32::MAX), self.requests.unread_len())
    }

    /// A request has been refused.
    pub(crate) fn abort(&mut self) {
        self.is_aborted = true;
    }

    pub(crate) fn is_aborted(&self) -> bool {
        self.is_aborted
    }

    /// Copies the next request of a batch.
    ///
    /// # Errors
    /// If it may not be part of this transaction, which is spoilt then.
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
                    "'{command}' can't be in one transaction with '{first}': another actor answers it"
                )));
            }
        }
        self.flags = self.flags.union(command.flags);
        Ok(())
    }

    /// The requests as a batch that can be run, and the actor that has to begin it.
    pub(crate) fn into_batch(self, client: &Client) -> (Box<Batch>, Option<ActorId>) {
        let mut batch = self.requests;
        batch.belong_to(client);
        batch.is_transaction = true;
        batch.room = usize::MAX;
        batch.out.encoder_mut().set_protocol(client.protocol());
        batch.out.encoder_mut().array(batch.requests.len());
        batch.mark = batch.out.encoder().position();
        (batch, self.actor.map(|(actor, _)| actor))
    }
}

impl Batch {
    /// Copies its next request to another batch, where it is going to be run.
    fn copy_next(&mut self, other: &mut Batch) {
        let Some(request) = self.requests.get_mut(self.next) else { return };
        for word in &self.spans[self.next_span..request.end as usize] {
            let copy = match word {
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

    /// Whether it is a transaction, whose replies are one array.
    pub(crate) fn is_transaction(&self) -> bool {
        self.is_transaction
    }

    /// Whether it is a transaction that goes on with this actor, after what the connection has to do.
    pub(crate) fn returns_to(&self, actor_id: ActorId) -> bool {
        let is_for =
            |request: &Request| matches!(request.target, Resolved::Command(to) if to.actor_id == actor_id);
        self.is_transaction && !self.is_waiting() && self.requests[self.next..].iter().any(is_for)
    }

    /// If what its client has read for it has been changed since, nothing of it is run.
    #[cold]
    pub(super) fn give_up_if_dirty(&mut self) {
        let is_dirty = |client: &Client| client.is(ClientFlag::Dirty);
        if self.next == 0 && self.client.as_ref().is_some_and(is_dirty) {
            self.requests.clear();
            self.out.clear(batch_pool::KEPT_BYTES);
            self.out.encoder_mut().null_array();
        }
    }

    /// A command that waits for something to happen does not do so in a transaction: it ends as if its time were
    /// over. One that is merely answered later is waited for.
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
