//! The part of a connection that decides whether a request may run.

use super::Connection;
use crate::{
    Error,
    acl::Denied,
    batch::{ActorId, Batch, CommandRef, Resolved},
    client::{ClientFlag, CloseRequest},
    cluster::Misdirected,
    command::{Flags, Request, Spec},
    dispatch::{Transaction, aborted_by, reject},
    observe::Hook,
    role::NotMaster,
};

/// The decision whether the connection may run its next request.
pub(super) enum Admission {
    Run,
    /// Refuse: the client must authenticate first.
    NeedsAuth,
    /// Refuse: the user of the client may not do this.
    Denied(Denied),
    /// Refuse: this instance of a cluster does not serve the keys of the request.
    Misdirected(Misdirected),
    /// Refuse: the server is a replica.
    NotMaster(NotMaster),
    /// Refuse: the client has a key prefix, and the request could reach other keys.
    NotForTenants,
    /// Refuse: a RESP2 client that has subscribed may only use the pub/sub commands.
    PubSubOnly,
    /// Refuse: the transaction of the client is on an upstream, and the command is not.
    NotProxied,
    /// Queue the request for `EXEC`.
    Queue,
    /// Refuse: no upstream has described its commands, and the rules for the user need that.
    Undescribed,
    /// Wait: for the end of `CLIENT PAUSE`, or until the upstreams have described their commands.
    Wait,
    /// Look at the request again: the middleware [holds](Resolved::Held) it, it is now [denied](Resolved::Denied), or its keys
    /// have got their prefix.
    Held,
}

impl Connection {
    /// Decides whether the next requests with the same target may run now.
    #[inline]
    pub(super) fn admission(&mut self, batch: &mut Batch, target: CommandRef) -> Admission {
        if self.state.is_unrestricted() {
            let hooks = &self.state.server.hooks;
            if !hooks.is_any() {
                return Admission::Run;
            }
            if hooks.is_only(Hook::Middleware) {
                let may_run = self.pass_middleware(batch, Some(target));
                return if may_run { Admission::Run } else { Admission::Held };
            }
            if hooks.are_only([Hook::Users, Hook::Tenants]) {
                return self.check_user(batch, target).unwrap_or(Admission::Run);
            }
            if hooks.is_only(Hook::Cluster) {
                let checked = self.check_slots(batch, target);
                return checked.map_or_else(Admission::Misdirected, |()| Admission::Run);
            }
        }
        self.check_admission(batch, target)
    }

    #[cold]
    fn check_admission(&mut self, batch: &mut Batch, target: CommandRef) -> Admission {
        if self.state.transaction.is_running() {
            if self.state.server.hooks.is(Hook::Users) && self.is_denied_meanwhile(batch) {
                return Admission::Held;
            }
            self.observe(batch);
            self.show(batch, target.actor_id);
            return Admission::Run;
        }
        // One check covers the whole run of requests, since an unauthenticated client has one request per
        // batch.
        let command = self.state.server.routes.command(target.command);
        if !self.state.is_authenticated() && !command.flags.contains(Flags::NO_AUTH) {
            return Admission::NeedsAuth;
        }
        if let Some(admission) = self.check_user(batch, target) {
            return admission;
        }
        if self.state.server.hooks.is(Hook::Cluster)
            && let Err(misdirected) = self.check_slots(batch, target)
        {
            return Admission::Misdirected(misdirected);
        }
        let is_replica = self.state.server.hooks.is(Hook::Replica);
        let not_master = if is_replica { self.check_role(batch, target).err() } else { None };
        let is_pubsub_only = self.state.is_pubsub_only() && self.check_pubsub_mode(batch, target).is_err();
        match not_master {
            // As in Redis, a write is refused first.
            Some(NotMaster::NoData) | None if is_pubsub_only => return Admission::PubSubOnly,
            Some(not_master) => return Admission::NotMaster(not_master),
            None => {}
        }
        if self.state.server.hooks.is(Hook::Pause) && self.pause(batch, target) {
            return Admission::Wait;
        }
        if self.state.middleware.is_some() && !self.pass_middleware(batch, Some(target)) {
            return Admission::Held;
        }
        if self.state.transaction.must_queue(command) {
            return Admission::Queue;
        }
        if matches!(self.state.transaction, Transaction::Proxied)
            && !command.flags.contains(Flags::FORWARDED)
            && !command.flags.contains(Flags::NEVER_QUEUED)
        {
            return Admission::NotProxied;
        }
        self.observe(batch);
        // `MONITOR` shows the commands of a transaction before its `EXEC`.
        if !command.flags.contains(Flags::EXECUTES) || !self.state.can_execute() {
            self.show(batch, target.actor_id);
        }
        Admission::Run
    }

    /// Checks what the user of the client may do, and puts its key prefix before keys. Returns `None` if the next requests may
    /// run.
    fn check_user(&mut self, batch: &mut Batch, target: CommandRef) -> Option<Admission> {
        let hooks = &self.state.server.hooks;
        let (has_tenants, has_rules) = (hooks.is(Hook::Tenants), hooks.is(Hook::Users));
        if has_tenants && let Some(admission) = self.prefix_keys(batch) {
            return Some(admission);
        }
        if !has_rules {
            return None;
        }
        let denied = self.authorize(batch, target).err()?;
        self.deny(denied, batch, target)
    }

    /// Checks whether a RESP2 client with subscriptions may run the next requests for the same actor. The result is about the
    /// next request.
    fn check_pubsub_mode(&self, batch: &mut Batch, target: CommandRef) -> Result<(), Admission> {
        let routes = &self.state.server.routes;
        batch.deny_from(routes.with_shards(target.actor_id), false, |target, _| {
            let is_allowed = routes.command(target.command).flags.contains(Flags::PUBSUB_MODE);
            if is_allowed { Ok(()) } else { Err(Admission::PubSubOnly) }
        })
    }

    /// Switches timing and observation on for the next requests, as the hooks and the pushes of the client ask
    /// for it.
    pub(super) fn observe(&self, batch: &mut Batch) {
        let hooks = &self.state.server.hooks;
        batch.is_timed = hooks.is(Hook::Time);
        let is_listening = self.state.subscriptions.is_some() || self.client.is(ClientFlag::Tracking);
        if is_listening || hooks.is(Hook::Keys) {
            batch.observe(is_listening);
        }
    }

    /// Shows the requests that this actor runs next to the `MONITOR` clients. Each request is shown once.
    pub(super) fn show(&self, batch: &mut Batch, actor_id: ActorId) {
        if !self.state.server.hooks.is(Hook::Monitor) {
            return;
        }
        for (request, target) in batch.take_unshown(self.state.server.routes.with_shards(actor_id)) {
            if let Some(words) = batch.requests.words(request) {
                self.state.show(&Request::new(words, &self.client), target.command);
            }
        }
    }

    /// Makes the client wait for the end of a pause, if these requests have to. Returns whether it waits.
    ///
    /// Commands for operators do not wait, nor does a connection that closes gracefully.
    fn pause(&self, batch: &Batch, target: CommandRef) -> bool {
        let routes = &self.state.server.routes;
        let upcoming = batch.upcoming(routes.with_shards(target.actor_id));
        let mut commands = upcoming.map(|(_, target)| routes.command(target.command));
        let queued = self.state.transaction.flags();
        let flags = |command: &Spec| match command.flags.contains(Flags::EXECUTES) {
            true => command.flags.union(queued),
            false => command.flags,
        };
        let is_closing = self.client.close_request() != CloseRequest::None;
        self.state.server.pause_client(&self.client, |pause| {
            let must_wait = |flags: Flags| match pause.writes_only {
                true => flags.contains(Flags::WRITE) || flags.contains(Flags::MAY_REPLICATE),
                false => !flags.contains(Flags::ADMIN),
            };
            !is_closing && commands.any(|command| must_wait(flags(command)))
        })
    }

    /// Answers the next request with an error. A transaction that it belongs to fails.
    #[cold]
    pub(super) fn refuse(&mut self, target: Option<CommandRef>, batch: &mut Batch, error: &Error) {
        if target.is_some_and(|target| self.executes(target)) && self.state.transaction.queue().is_some() {
            reject(batch, &self.client, |_, out| out.error(&aborted_by(error)));
            return self.state.end_transaction();
        }
        reject(batch, &self.client, |_, out| out.error(error));
        self.abort_transaction();
    }

    /// Answers a request of an unauthenticated client with an error.
    #[cold]
    pub(super) fn refuse_unauthenticated(&self, target: CommandRef, batch: &mut Batch) {
        let executes = self.executes(target);
        let error = if executes { aborted_by(&Error::NO_AUTH) } else { Error::NO_AUTH };
        reject(batch, &self.client, |_, out| out.error(&error));
    }

    /// Answers a request of a RESP2 client with subscriptions with an error.
    #[cold]
    pub(super) fn refuse_in_pubsub_mode(&self, target: CommandRef, batch: &mut Batch) {
        let server = &self.state.server;
        let command = server.routes.command(target.command);
        let words = batch.requests.words(batch.next_request());
        let error = Error::err(format_args!(
            "Can't execute '{}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context",
            server.acl.full_name(command, |index| words?.get(index))
        ));
        let error = if self.executes(target) { aborted_by(&error) } else { error };
        reject(batch, &self.client, |request, out| {
            match command.flags.contains(Flags::FORWARDED) && server.acl.is_unknown(request) {
                true => out.error(&request.unknown_command()),
                false => out.error(&error),
            }
        });
    }

    /// Answers a request that cannot be a part of the client's transaction with an error.
    #[cold]
    pub(super) fn refuse_in_proxied_transaction(&self, target: CommandRef, batch: &mut Batch) {
        let command = self.state.server.routes.command(target.command).full_name();
        let error = Error::err(format_args!(
            "'{command}' can't be in a transaction of an upstream: this server runs the command itself"
        ));
        reject(batch, &self.client, |_, out| out.error(&error));
        self.client.set(ClientFlag::ProxiedTransactionAborted, true);
    }

    /// Answers a request that was resolved to no command, such as an unknown name.
    #[cold]
    pub(super) fn answer_non_command(&mut self, resolved: Resolved<CommandRef>, batch: &mut Batch) {
        if matches!(resolved, Resolved::Help(_))
            && self.state.is_authenticated()
            && let Some(denied) = self.check_help(batch)
        {
            return self.refuse(None, batch, &denied);
        }
        let table = self.state.server.routes.table();
        match resolved {
            Resolved::CrossProtocol => {
                self.state.server.log_cross_protocol(&self.client);
                self.state.closing = true;
            }
            Resolved::Help(_) if !self.state.is_authenticated() => {
                reject(batch, &self.client, |_, out| out.error(&Error::NO_AUTH));
            }
            Resolved::Help(_) if self.state.transaction.queue().is_some() => self.queue(batch),
            Resolved::WrongArity(target, _) if self.executes(target) => {
                reject(batch, &self.client, |request, out| {
                    out.error(&aborted_by(&request.wrong_arity_of(1)))
                });
                self.state.end_transaction();
            }
            rejected => {
                reject(batch, &self.client, |request, out| table.answer(rejected, request, out));
                self.abort_transaction();
            }
        }
    }

    /// Makes the open transaction fail, if there is one, because one of its requests was refused.
    pub(super) fn abort_transaction(&mut self) {
        match &mut self.state.transaction {
            Transaction::Queued(queue) => queue.abort(),
            Transaction::Proxied => self.client.set(ClientFlag::ProxiedTransactionAborted, true),
            Transaction::None | Transaction::Running(_) => {}
        }
    }

    /// Returns whether the command is `EXEC`.
    pub(super) fn executes(&self, target: CommandRef) -> bool {
        self.state.server.routes.executes(target)
    }
}
