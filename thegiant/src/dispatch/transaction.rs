//! `MULTI` and `EXEC`: requests that are queued and then run as one batch.

use std::collections::BTreeSet;

use super::Routes;
use crate::{
    Error,
    batch::{ActorId, Actors, Batch, CommandRef, Resolved},
    command::{Flags, Spec},
    resp::Protocol,
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
    Queued(Box<TransactionQueue>),
    /// The queued requests run. The batch contains the blocked `EXEC`.
    Running(Box<Batch>),
    /// An upstream has the transaction. The proxy sends its requests on one by one.
    Proxied,
}

/// The requests that were queued since `MULTI`.
#[derive(Debug)]
pub(crate) struct TransactionQueue {
    requests: Box<Batch>,
    /// The actor that runs the transaction with its shards, and the first command for this actor.
    actor: Option<(Actors, &'static Spec)>,
    /// The shards with keys of the transaction, or the actor itself if it has no shards.
    owners: BTreeSet<ActorId>,
    /// The union of the flags of all commands.
    flags: Flags,
    /// A request could not be queued, so `EXEC` will fail.
    is_aborted: bool,
}

pub(crate) const NOT_ALLOWED: Error = Error::from_static("ERR Command not allowed inside a transaction");

impl Transaction {
    /// Returns whether this command has to be queued.
    pub(crate) fn must_queue(&self, command: &Spec) -> bool {
        matches!(self, Transaction::Queued(_)) && !command.flags.contains(Flags::NEVER_QUEUED)
    }

    pub(crate) fn is_none(&self) -> bool {
        matches!(self, Transaction::None)
    }

    pub(crate) fn is_running(&self) -> bool {
        matches!(self, Transaction::Running(_))
    }

    /// Returns the queue, if a transaction is open.
    pub(crate) fn queue(&mut self) -> Option<&mut TransactionQueue> {
        match self {
            Transaction::Queued(queue) => Some(queue),
            _ => None,
        }
    }

    /// Returns the number of queued requests and their size in bytes, if a transaction is open.
    pub(crate) fn size(&self) -> Option<(u32, usize)> {
        match self {
            Transaction::Queued(queue) => Some(queue.size()),
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

impl TransactionQueue {
    pub(crate) fn new() -> Self {
        TransactionQueue {
            requests: Batch::new(),
            actor: None,
            owners: BTreeSet::new(),
            flags: Flags::NONE,
            is_aborted: false,
        }
    }

    /// Returns the number of queued requests and their size in bytes.
    pub(crate) fn size(&self) -> (u32, usize) {
        (u32::try_from(self.requests.requests.len()).unwrap_or(u32::MAX), self.requests.requests.bytes())
    }

    /// Marks the transaction as failed, because a request was refused.
    pub(crate) fn abort(&mut self) {
        self.is_aborted = true;
    }

    pub(crate) fn is_aborted(&self) -> bool {
        self.is_aborted
    }

    /// Returns the keys of all queued requests.
    pub(crate) fn keys<'a>(&'a self, routes: &'a Routes) -> impl Iterator<Item = &'a [u8]> {
        self.requests.requests.from(0).flat_map(|(_, words, resolved)| {
            let keys = resolved.target().and_then(|target| routes.command(target.command).keys);
            keys.map(|keys| keys.in_request(words)).into_iter().flatten()
        })
    }

    /// Returns the commands of all queued requests, and their names as the client wrote them.
    pub(crate) fn commands<'a>(
        &'a self,
        routes: &'a Routes,
    ) -> impl Iterator<Item = (&'static Spec, &'a [u8])> {
        let requests = self.requests.requests.from(0);
        requests.filter_map(|(_, words, resolved)| {
            Some((routes.command(resolved.target()?.command), words.name()))
        })
    }

    /// Queues a copy of the next request of `batch`.
    ///
    /// # Errors
    /// If the request is not allowed in this transaction. The transaction is then aborted.
    pub(crate) fn push(&mut self, batch: &mut Batch, routes: &Routes) -> Result<(), Error> {
        if let Some(resolved) = batch.next_target()
            && let Some(target) = resolved.target()
        {
            let command = routes.command(target.command);
            self.admit(resolved, target, command, routes).inspect_err(|_| self.abort())?;
        }
        batch.copy_next(&mut self.requests);
        Ok(())
    }

    fn admit(
        &mut self,
        resolved: Resolved<CommandRef>,
        target: CommandRef,
        command: &'static Spec,
        routes: &Routes,
    ) -> Result<(), Error> {
        if command.flags.contains(Flags::NO_MULTI) {
            return Err(NOT_ALLOWED);
        }
        if target.actor_id != ActorId::CONNECTION {
            let shards = routes.with_shards(target.actor_id);
            let (actor, first) = *self.actor.get_or_insert((shards, command));
            if !actor.has(target.actor_id) {
                let [command, first] = [command, first].map(Spec::full_name);
                return Err(Error::err(format_args!(
                    "'{command}' can't be in one transaction with '{first}': they belong to different actors"
                )));
            }
            match resolved {
                Resolved::Split(_) if command.keys.is_none() && !routes.is_atomic() => {
                    return Err(needs_all_shards(command));
                }
                Resolved::Split(_) => self.owners.extend(shards.ids()),
                // Any shard can run a command without keys.
                _ if command.keys.is_none() && shards.first != shards.last => {}
                _ => drop(self.owners.insert(target.actor_id)),
            }
            self.check_owners(routes)?;
        }
        self.flags = self.flags.union(command.flags);
        Ok(())
    }

    fn check_owners(&self, routes: &Routes) -> Result<(), Error> {
        if self.owners.len() > 1 && !routes.is_atomic() { Err(Error::CROSS_SLOT) } else { Ok(()) }
    }

    /// Returns the queued requests as a batch, and the actor to send it to first.
    ///
    /// # Errors
    /// If the watched keys belong to other shards than the transaction.
    pub(crate) fn into_batch<'a>(
        mut self,
        protocol: Protocol,
        watched: impl Iterator<Item = &'a [u8]>,
        routes: &Routes,
    ) -> Result<(Box<Batch>, Option<ActorId>), Error> {
        let mut first = None;
        let mut wanted = Vec::new();
        if let Some((actor, _)) = self.actor {
            if let Some(shards) = routes.shards_with(actor.first) {
                self.owners.extend(watched.map(|key| shards.actor_of(key)));
                self.check_owners(routes)?;
            }
            let owners: Vec<_> = self.owners.into_iter().collect();
            self.requests.keep_on(actor, &owners);
            first = Some(owners.first().copied().unwrap_or(actor.first));
            if owners.len() > 1 {
                wanted = owners;
            }
        }
        let mut batch = self.requests;
        batch.begin_transaction(protocol, wanted);
        Ok((batch, first))
    }
}

/// Returns the error for a command on all shards in a transaction, which belongs to one.
fn needs_all_shards(command: &Spec) -> Error {
    let name = command.full_name();
    Error::new(
        "CROSSSLOT",
        format_args!(
            "'{name}' runs on all shards, and a transaction on one: send it outside of MULTI, or call App::atomic in the server"
        ),
    )
}

/// Returns the `EXECABORT` error for an `EXEC` that was rejected with `error`.
pub(crate) fn aborted_by(error: &Error) -> Error {
    let reason = error.as_bytes().strip_prefix(b"ERR ").unwrap_or(error.as_bytes());
    Error::from_bytes([b"EXECABORT Transaction discarded because of: ", reason].concat())
}
