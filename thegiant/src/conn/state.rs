//! The state of a connection: the receiver of the built-in commands.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;

use super::{login::Login, middleware::MiddlewareCursor, permissions::Permissions, slots::CheckedCluster};
use crate::{
    Client,
    batch::{Batch, CommandId, ReplyMode},
    client::{ClientFlag, ClientHost},
    command::{Flags, Receiver, Request},
    dispatch::Transaction,
    keyspace::Watch,
    observe::reason,
    pubsub::Subscriptions,
    resp::{DecodeLimits, Encoder, Protocol},
    server_state::ServerState,
    settings::Setting,
};

/// Maximum size of a request in bytes, before the client has authenticated.
const UNAUTHENTICATED_INPUT: usize = 1024 * 1024;

/// The state of a connection that commands can read and change.
///
/// The built-in commands are methods of this type, with the same attribute as the commands of an application.
#[derive(Debug)]
pub(crate) struct ConnectionState {
    pub(crate) server: Arc<ServerState>,
    pub(crate) client: Client,
    /// The worker that serves the connection.
    pub(crate) worker: u16,
    /// The connection sends the replies that it has, then closes. It does not run further requests.
    pub(crate) closing: bool,
    /// The client has authenticated, or no password is set.
    authenticated: bool,
    /// The prefix of all keys and channels of the client; empty if it has none.
    pub(crate) key_prefix: Bytes,
    /// The rules for the user of the client.
    pub(super) permissions: Permissions,
    /// The cluster that the server is an instance of.
    pub(super) cluster: CheckedCluster,
    /// The login that the next request waits for.
    pub(super) login: Option<Box<Login>>,
    /// The subscriptions of the client, if any.
    pub(crate) subscriptions: Option<Box<Subscriptions>>,
    /// The open transaction, and the keys that must not change before `EXEC`.
    pub(crate) transaction: Transaction,
    pub(crate) watch: Option<Box<Watch>>,
    /// The mode set by `CLIENT REPLY`.
    pub(crate) replies: ReplyMode,
    /// How far the requests have come in the middleware, if there is any.
    pub(super) middleware: Option<Box<MiddlewareCursor>>,
}

impl ConnectionState {
    pub(crate) fn new(server: Arc<ServerState>, client: Client, worker: u16) -> Self {
        let authenticated = server.acl.is_open();
        if !authenticated {
            client.set_unauthenticated_since(Some(server.now()));
        }
        let key_prefix = server.tenants.default_prefix();
        client.set_key_prefix(&key_prefix);
        ConnectionState {
            middleware: MiddlewareCursor::new(&server.middleware),
            server,
            client,
            worker,
            closing: false,
            authenticated,
            key_prefix,
            permissions: Permissions::default(),
            cluster: CheckedCluster::default(),
            login: None,
            subscriptions: None,
            transaction: Transaction::None,
            watch: None,
            replies: ReplyMode::On,
        }
    }

    pub(crate) fn is_authenticated(&self) -> bool {
        self.authenticated || self.server.acl.is_open()
    }

    pub(crate) fn set_authenticated(&mut self, authenticated: bool) {
        // `RESET` must not restart the authentication timeout.
        if authenticated != self.authenticated {
            self.authenticated = authenticated;
            self.client.set_unauthenticated_since((!authenticated).then(|| self.server.now()));
        }
    }

    /// Returns whether no check is needed before a command: the client has authenticated, and has neither
    /// subscriptions nor an open transaction.
    pub(crate) fn is_unrestricted(&self) -> bool {
        self.authenticated
            && self.subscriptions.is_none()
            && self.transaction.is_none()
            && !self.client.is(ClientFlag::UpstreamSubscriber)
    }

    /// Learns whether the client has a transaction or subscriptions at an upstream, which its last requests may have begun or
    /// ended.
    #[inline]
    pub(crate) fn follow_upstream(&mut self) {
        if self.client.is(ClientFlag::UpstreamSubscriber) {
            self.check_upstream_subscriptions();
        }
        let is_proxied = self.client.is(ClientFlag::InProxiedTransaction);
        match self.transaction {
            Transaction::None if is_proxied => self.transaction = Transaction::Proxied,
            Transaction::Proxied if !is_proxied => self.transaction = Transaction::None,
            _ => {}
        }
    }

    /// Returns whether the client may only use pub/sub commands: it has subscribed, and RESP2 cannot tell a
    /// push from a reply.
    pub(crate) fn is_pubsub_only(&self) -> bool {
        let has_subscribed = self.subscriptions.is_some() || self.client.is(ClientFlag::UpstreamSubscriber);
        has_subscribed && self.client.protocol() == Protocol::Resp2
    }

    /// Returns the subscriptions of the client, and creates them if there are none.
    pub(crate) fn subscriptions(&mut self) -> &mut Subscriptions {
        self.subscriptions.get_or_insert_with(|| {
            let pubsub = self.server.pubsub.clone();
            Box::new(Subscriptions::new(pubsub, self.client.clone()))
        })
    }

    /// Moves the pending pushes to the end of `out`.
    pub(crate) fn take_pushes(&self, out: &mut Encoder) {
        let len = self.client.take_pushes(out);
        self.server.clients.account(&self.client, len, 0);
    }

    /// Publishes the size of the transaction in the client handle.
    #[cold]
    pub(crate) fn publish_queued(&mut self) {
        let bytes = |queued: Option<(u32, usize)>| queued.map_or(0, |(_, bytes)| bytes);
        let (before, after) = (self.client.queued(), self.transaction.size());
        self.client.set_queued(after);
        self.client.account(bytes(before), bytes(after));
    }

    /// Returns the size of the queued requests in bytes.
    pub(crate) fn queued_len(&self) -> usize {
        self.transaction.size().map_or(0, |(_, bytes)| bytes)
    }

    /// Returns whether `EXEC` would run the queued requests.
    pub(crate) fn can_execute(&self) -> bool {
        let is_ready = matches!(&self.transaction, Transaction::Queued(queue) if !queue.is_aborted());
        is_ready && !self.client.is(ClientFlag::Dirty)
    }

    /// Ends the transaction, and stops watching keys.
    pub(crate) fn end_transaction(&mut self) {
        self.watch = None;
        self.transaction = Transaction::None;
        if self.client.queued().is_some() {
            self.publish_queued();
        }
    }

    /// Resets the connection to its initial state (`RESET`).
    pub(crate) fn reset_state(&mut self) {
        self.client.set_protocol(Protocol::Resp2);
        self.client.set_db(0);
        self.client.set_name(None);
        self.client.detach_all();
        self.server.clients.set_no_evict(&self.client, false);
        self.client.set(ClientFlag::NoTouch, false);
        self.client.set(ClientFlag::WasReset, true);
        self.client.forget_proxied_transaction();
        self.client.forget_upstream_names(None);
        self.set_monitor(false);
        self.subscriptions = None;
        self.end_transaction();
        self.server.keyspace.untrack(&self.client);
        self.set_user(None, self.server.tenants.default_prefix());
        self.set_authenticated(self.server.acl.is_open());
    }

    /// Switches `MONITOR` on or off.
    pub(crate) fn set_monitor(&self, on: bool) {
        if self.client.is(ClientFlag::Monitor) == on {
            return;
        }
        self.client.set(ClientFlag::Monitor, on);
        if on {
            self.server.monitor(&self.client);
        } else {
            self.server.unmonitor(&self.client);
            // The client would take a line behind the reply to `RESET` for the next reply.
            if self.client.has_pending_pushes() {
                self.take_pushes(&mut Encoder::default());
            }
        }
    }

    /// Returns the limits of the decoder, which are stricter before authentication.
    pub(crate) fn decode_limits(&self) -> DecodeLimits {
        self.server.settings.decode_limits().with_unauthenticated(!self.authenticated)
    }

    /// Publishes the last command of a batch in the client handle.
    pub(crate) fn publish_last_command(&self, batch: &Batch) {
        if let Some(command) = batch.requests.last_command() {
            self.client.set_last_command(command);
        }
    }

    /// Accounts for the size of an incomplete request.
    ///
    /// `has_others` says that complete requests in front of it run first. The request timeout does not run
    /// meanwhile.
    pub(crate) fn account_input(&mut self, input: usize, has_others: bool) {
        let before = self.client.input();
        if before == 0 && input == 0 {
            return;
        }
        let input = self.client.set_input(input);
        if has_others || input == 0 {
            self.client.set_request_since(None);
        } else {
            self.start_request_timeout();
        }
        self.server.clients.account(&self.client, before, input);
    }

    /// Starts the request timeout if a request is incomplete.
    ///
    /// It measures how long the server waits for the client, not the reverse.
    pub(crate) fn start_request_timeout(&self) {
        let now = self.server.now();
        if self.client.input() > 0 && self.client.request_age(now).is_none() {
            self.client.set_request_since(Some(now));
        }
    }

    /// Accounts for the size of the unsent replies.
    pub(crate) fn account_output(&mut self, output: usize) {
        if self.client.output() != output {
            let before = self.client.replace_output(output);
            self.server.clients.account(&self.client, before, self.client.output());
        }
    }

    /// Returns the maximum size of an incomplete request in bytes.
    pub(crate) fn query_buffer_limit(&self) -> usize {
        let limit = self.server.settings.query_buffer_limit();
        if self.authenticated { limit } else { limit.min(UNAUTHENTICATED_INPUT) }
    }

    /// Returns whether the unsent replies exceed the output limit.
    ///
    /// An unauthenticated client also exceeds it when its socket is stuck.
    pub(crate) fn is_output_over(&self, waiting: usize, is_stuck: bool) -> bool {
        let limit = self.server.settings.output_limit(Setting::NormalOutputLimit);
        limit.is_over(waiting) || (is_stuck && !self.authenticated)
    }

    /// Shows a command to the `MONITOR` clients, unless its flags forbid it.
    pub(crate) fn show(&self, request: &Request<'_>, command: CommandId) {
        let flags = self.server.routes.command(command).flags;
        if !flags.contains(Flags::ADMIN) && !flags.contains(Flags::SKIP_MONITOR) {
            self.server.show(request);
        }
    }

    pub(crate) fn count_received(&self, bytes: usize) {
        self.server.stats.received(self.worker.into(), bytes);
    }

    pub(crate) fn count_sent(&self, bytes: usize) {
        self.server.stats.sent(self.worker.into(), bytes);
    }

    /// Adds the requests of a batch to the statistics, and slow ones to the slow log.
    pub(crate) fn record_stats(&self, batch: &mut Batch) {
        if batch.may_have_internal() {
            log_internal(&self.client, batch);
        }
        self.server.stats.tally(
            self.worker.into(),
            batch,
            self.server.settings.flag(Setting::LatencyTracking),
        );
        if batch.stats.times().is_empty() {
            return;
        }
        let Ok(slow) = u64::try_from(self.server.settings.signed(Setting::SlowlogLogSlowerThan)) else {
            return;
        };
        let max_len = self.server.settings.size(Setting::SlowlogMaxLen);
        for (request, took) in batch.stats.times() {
            if *took >= Duration::from_micros(slow)
                && let Some(words) = batch.requests.words(*request)
            {
                let request = Request::new(words, &self.client);
                if !self.is_skipped_by_slowlog(&request) {
                    self.server.slowlog.add(&request, *took, max_len);
                }
            }
        }
    }

    fn is_skipped_by_slowlog(&self, request: &Request<'_>) -> bool {
        let spec = self.server.routes.table().spec(request.name(), request.get(1));
        spec.is_some_and(|spec| spec.flags.contains(Flags::SKIP_SLOWLOG))
    }
}

/// Logs the internal errors among the replies of a batch, each once.
#[cold]
fn log_internal(client: &Client, batch: &mut Batch) {
    for (command, error) in batch.take_internal() {
        if error.begin_report() {
            let reason = reason(&error);
            tracing::error!(id = client.id(), client = %client.addr(), command, reason, "a command failed");
        }
    }
}

impl Drop for ConnectionState {
    fn drop(&mut self) {
        self.server.stats.closed(self.worker.into());
        self.end_transaction();
        self.set_monitor(false);
        self.server.keyspace.untrack(&self.client);
        let memory = self.client.close();
        self.server.clients.account(&self.client, memory, 0);
        self.server.connection_events.send_disconnected(&self.client, self.worker);
        self.server.clients.forget(&self.client);
    }
}

impl Receiver for ConnectionState {
    type CommandContext = ();
}
