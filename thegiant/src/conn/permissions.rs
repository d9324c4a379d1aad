//! The part of a connection that checks what its user may do.

use std::sync::Arc;

use bytes::Bytes;

use super::{Connection, ConnectionState, admission::Admission};
use crate::{
    Client, Error,
    acl::{AccessControl, Denied, Described, LogContext, LogReason, Refusal, User, help_of},
    batch::{Batch, CommandId, CommandRef, RequestWords, Resolved},
    client::{ClientFlag, CloseRequest},
    client_line::client_line,
    command::Flags,
    dispatch::{Transaction, reject},
    observe::Hook,
    server_state::ServerState,
};

/// The rules for the user of a connection, as of the last check.
#[derive(Debug, Default)]
pub(super) struct Permissions {
    /// The user, if it may not do everything.
    restricted: Option<Arc<User>>,
    /// The [generation](crate::acl::AccessControl::generation) of the users then; 0 before the first check.
    generation: u64,
}

impl Permissions {
    /// Returns whether a user has changed since the last check.
    fn is_outdated(&self, acl: &AccessControl) -> bool {
        self.generation != acl.generation()
    }

    /// Returns the current rules for the user of the client.
    #[cold]
    fn load(acl: &AccessControl, client: &Client) -> Self {
        // First: a change that comes in between is seen the next time.
        let generation = acl.generation();
        // A user that was deleted may do nothing. Its clients are about to be closed.
        let user = acl.user_of(client).unwrap_or_else(|| acl.unknown_user(&client.user_name()));
        let restricted = Some(user).filter(|user| !user.is_unrestricted());
        Permissions { restricted, generation }
    }
}

impl ConnectionState {
    /// Makes the client one of this user, with this key prefix; `None` is the default user.
    pub(crate) fn set_user(&mut self, user: Option<Arc<[u8]>>, key_prefix: Bytes) {
        self.client.set_user(user);
        self.set_key_prefix(key_prefix);
        self.permissions = Permissions::load(&self.server.acl, &self.client);
    }

    /// Takes over the current rules for the user of the client.
    #[inline]
    fn update_permissions(&mut self) {
        if self.permissions.is_outdated(&self.server.acl) {
            self.apply_changed_rules();
        }
    }

    /// Takes over changed rules. Applies them to what an upstream does for the client already.
    #[cold]
    fn apply_changed_rules(&mut self) {
        let changed = Permissions::load(&self.server.acl, &self.client);
        let before = std::mem::replace(&mut self.permissions, changed);
        let Some(user) = self.permissions.restricted.as_deref() else { return };
        let is_same = before.restricted.is_some_and(|before| user.has_rules_of(&before));
        if matches!(self.transaction, Transaction::Proxied) && !is_same {
            // Nobody knows what the upstream has queued. It discards the transaction at `EXEC`.
            self.client.set(ClientFlag::ProxiedTransactionAborted, true);
        }
        if !user.may_keep_listening(&self.client) {
            self.client.request_close(CloseRequest::Now);
        }
    }

    /// Closes a client that has got a subscription at an upstream which its user may no longer have.
    ///
    /// The rules may have changed since the request was checked.
    #[cold]
    pub(super) fn check_upstream_subscriptions(&mut self) {
        if self.server.hooks.is(Hook::Users) {
            self.update_permissions();
        }
    }

    /// Adds a refusal to `ACL LOG`.
    pub(crate) fn log_refusal(&self, reason: LogReason, object: &[u8], user: &[u8]) {
        let context = if self.transaction.is_none() { LogContext::TopLevel } else { LogContext::Multi };
        let refusal = Refusal { reason, context, object: object.into(), username: user.into() };
        self.server.acl.log(refusal, client_line(&self.client, &self.server).trim_end().to_owned());
    }
}

impl Connection {
    /// Checks whether the user of the client may run the next requests for the same actor.
    ///
    /// The result is about the next request. The first later one that the user may not run is [denied](Resolved::Denied), so
    /// that its actor stops before it.
    #[inline(never)]
    pub(super) fn authorize(&mut self, batch: &mut Batch, target: CommandRef) -> Result<(), Denied> {
        // Requests are queued one by one. Those of a transaction on an upstream go there together.
        let is_queued = self.state.transaction.queue().is_some();
        self.state.update_permissions();
        let ConnectionState { server, key_prefix, permissions, .. } = &self.state;
        let Some(user) = permissions.restricted.as_deref() else { return Ok(()) };
        batch.deny_from(server.routes.with_shards(target.actor_id), is_queued, |target, words| {
            match user.allows_plainly(target.command, |index| words.get(index)) {
                true => Ok(()),
                false => check(server, user, key_prefix, target.command, words),
            }
        })
    }

    /// Decides about a request that the rules for the user [deny](Self::authorize). Returns `None` if it may run after all.
    ///
    /// The rules deny a command of an upstream while the server knows nothing about it.
    #[cold]
    pub(super) fn deny(
        &mut self,
        denied: Denied,
        batch: &mut Batch,
        target: CommandRef,
    ) -> Option<Admission> {
        if self.ends_proxied_transaction(target) {
            // The upstream has to discard its transaction: `EXEC` runs, and replies `EXECABORT`.
            self.log_denied(denied, target, batch);
            self.abort_transaction();
            // The requests behind it were not checked.
            let behind = batch.next_request() + 1;
            batch.requests.replace_target(behind, Resolved::Denied);
            return None;
        }
        let server = &self.state.server;
        if !server.routes.command(target.command).flags.contains(Flags::FORWARDED) {
            return Some(Admission::Denied(denied));
        }
        match server.acl.await_description(&self.client) {
            // The description may have come after the check.
            Described::Yes => self.authorize(batch, target).err().map(Admission::Denied),
            Described::Soon if self.client.close_request() == CloseRequest::None => Some(Admission::Wait),
            Described::Soon | Described::No => Some(Admission::Undescribed),
        }
    }

    /// Answers a request that the user of the client may not run with an error.
    #[cold]
    pub(super) fn refuse_denied(&mut self, denied: Denied, target: CommandRef, batch: &mut Batch) {
        let name = self.log_denied(denied, target, batch);
        self.refuse(Some(target), batch, &denied.error(&name));
    }

    /// Returns the error for the next request, which is the `HELP` of a container, if the user of the client may not run it.
    pub(super) fn check_help(&mut self, batch: &Batch) -> Option<Error> {
        if !self.state.server.hooks.is(Hook::Users) {
            return None;
        }
        self.state.update_permissions();
        let user = self.state.permissions.restricted.as_deref()?;
        let container = batch.requests.words(batch.next_request())?.name();
        let denied = self.state.server.acl.check_help(user, container)?.err()?;
        let name = help_of(container);
        self.state.log_refusal(LogReason::Command, name.as_bytes(), &self.client.user_name());
        Some(denied.error(&name))
    }

    /// Answers a denied request of a transaction that runs, or gives another request its command back.
    ///
    /// Such a request is checked again, because the rules may have changed since.
    #[cold]
    pub(super) fn answer_denied(&mut self, batch: &mut Batch) {
        let next = batch.next_request();
        self.state.update_permissions();
        let ConnectionState { server, key_prefix, permissions, worker, .. } = &self.state;
        let Some(words) = batch.requests.words(next) else { return };
        let resolved = server.routes.resolve_further(words, *worker);
        let Some(target) = resolved.target().filter(|_| batch.is_transaction()) else {
            batch.requests.replace_target(next, resolved);
            return;
        };
        let user = permissions.restricted.as_deref();
        let denied = user.and_then(|user| check(server, user, key_prefix, target.command, words).err());
        let denied = denied.unwrap_or(Denied::Command);
        self.log_denied(denied, target, batch);
        reject(batch, &self.client, |_, out| out.error(&changed(denied)));
    }

    /// Checks the rest of a transaction that runs again, if one of its own commands has changed the rules.
    ///
    /// Returns whether the next request is now denied.
    pub(super) fn is_denied_meanwhile(&mut self, transaction: &mut Batch) -> bool {
        if !self.state.permissions.is_outdated(&self.state.server.acl) {
            return false;
        }
        self.deny_queued(transaction);
        transaction.next_target() == Some(Resolved::Denied)
    }

    /// Finds the queued requests that the user of the client may no longer run.
    #[cold]
    pub(super) fn deny_queued(&mut self, transaction: &mut Batch) {
        self.state.update_permissions();
        let ConnectionState { server, key_prefix, permissions, .. } = &self.state;
        let Some(user) = permissions.restricted.as_deref() else { return };
        let is_denied = |(index, words, resolved): (u32, RequestWords<'_>, Resolved<CommandRef>)| {
            check(server, user, key_prefix, resolved.target()?.command, words).err().map(|_| index)
        };
        let denied: Vec<u32> =
            transaction.requests.from(transaction.next_request()).filter_map(is_denied).collect();
        for index in denied {
            transaction.requests.replace_target(index, Resolved::Denied);
        }
    }

    /// Adds a refused request to `ACL LOG`. Returns the name of its command.
    fn log_denied(&self, denied: Denied, target: CommandRef, batch: &Batch) -> String {
        let Some(words) = batch.requests.words(batch.next_request()) else { return String::new() };
        let server = &self.state.server;
        let name = server.acl.full_name(server.routes.command(target.command), |index| words.get(index));
        let (reason, object) = match denied {
            Denied::Command => (LogReason::Command, name.as_bytes()),
            Denied::Key(position) => (LogReason::Key, words.get(position).unwrap_or_default()),
            Denied::Channel(position) => (LogReason::Channel, words.get(position).unwrap_or_default()),
        };
        // The entry shows this command as the last one.
        self.client.set_last_command(target.command);
        self.state.log_refusal(reason, object, &self.client.user_name());
        name
    }
}

/// Returns whether a user may do what a request wants.
fn check(
    server: &ServerState,
    user: &User,
    key_prefix: &[u8],
    command: CommandId,
    words: RequestWords<'_>,
) -> Result<(), Denied> {
    let spec = server.routes.command(command);
    server.acl.check(user, spec, command, words.len(), |index| words.get(index), key_prefix)
}

/// Returns the error for a queued request that the user may no longer run.
fn changed(denied: Denied) -> Error {
    let reason = match denied {
        Denied::Command => "no permission to execute the command or subcommand",
        Denied::Key(_) => "no permission to touch the specified keys",
        Denied::Channel(_) => "no permission to access one of the channels used as arguments",
    };
    Error::new(
        "NOPERM",
        format_args!(
            "ACLs rules changed between the moment the transaction was accumulated and the EXEC call. This command \
             is no longer allowed for the following reason: {reason}"
        ),
    )
}
