//! What the connection itself answers: the receiver of the built-in commands.

use std::{sync::Arc, time::Duration};

use super::{Batch, Client, ClientFlag, CommandId, ServerState, Transaction};
use crate::{
    command::{Call, Flags, Receiver, ReplyMode},
    keyspace::Watch,
    pubsub::Subscriptions,
    resp::{DecodeLimits, Encoder, Protocol},
    settings::Setting,
};

/// Bytes of requests that a client may have sent before it has said who it is.
const UNAUTHENTICATED_INPUT: usize = 1024 * 1024;

/// The state of a connection that commands can see and change. The built-in commands are its
/// methods, written with the same attribute as those of any application.
#[derive(Debug)]
pub(crate) struct ConnectionState {
    pub(crate) server: Arc<ServerState>,
    pub(crate) client: Client,
    /// Nothing more is read or run; what has been answered is sent.
    pub(crate) closing: bool,
    /// The client has said who it is, where that is asked for.
    authenticated: bool,
    /// What it has subscribed to, if anything.
    pub(crate) subscriptions: Option<Box<Subscriptions>>,
    /// What it has asked for since `MULTI`, and the keys that must not change before `EXEC`.
    pub(crate) transaction: Transaction,
    pub(crate) watch: Option<Box<Watch>>,
    /// Bytes that the requests of the transaction take.
    queued: usize,
    /// Which replies are sent.
    pub(crate) replies: ReplyMode,
}

impl ConnectionState {
    pub(crate) fn new(server: Arc<ServerState>, client: Client) -> Self {
        let authenticated = server.password.is_none();
        if !authenticated {
            client.unauthenticated_since(Some(server.now()));
        }
        ConnectionState {
            server,
            client,
            closing: false,
            authenticated,
            subscriptions: None,
            transaction: Transaction::None,
            watch: None,
            queued: 0,
            replies: ReplyMode::On,
        }
    }

    pub(crate) fn is_authenticated(&self) -> bool {
        self.authenticated
    }

    pub(crate) fn set_authenticated(&mut self, authenticated: bool) {
        // Whoever has not said who it is gets no more time by asking to start over.
        if authenticated != self.authenticated {
            self.authenticated = authenticated;
            self.client.unauthenticated_since((!authenticated).then(|| self.server.now()));
        }
    }

    /// Whether its client may do whatever it likes.
    pub(crate) fn is_free(&self) -> bool {
        self.authenticated && self.subscriptions.is_none() && self.transaction.is_none()
    }

    /// Whether its client is told what is published, and can be told hardly anything else: in RESP2, that would look
    /// the same.
    pub(crate) fn is_listener_only(&self) -> bool {
        self.subscriptions.is_some() && self.client.protocol() == Protocol::Resp2
    }

    /// What its client has subscribed to, and is going to.
    pub(crate) fn subscriptions(&mut self) -> &mut Subscriptions {
        self.subscriptions.get_or_insert_with(|| {
            let pubsub = self.server.pubsub.clone();
            Box::new(Subscriptions::new(pubsub, self.client.clone()))
        })
    }

    /// Moves what is to be pushed behind what has been written.
    pub(crate) fn take_pushed(&self, out: &mut Encoder) {
        let len = self.client.take_pushed(out);
        self.server.account(len, 0);
    }

    /// Lets others see what is queued.
    #[cold]
    pub(crate) fn note_queued(&mut self) {
        let queued = self.transaction.queue().map(|queue| queue.size());
        let memory = queued.map_or(0, |(_, memory)| memory);
        self.client.set_queued(queued);
        self.client.account(std::mem::replace(&mut self.queued, memory), memory);
    }

    /// Bytes that are queued.
    pub(crate) fn queued_len(&self) -> usize {
        self.queued
    }

    /// Whether `EXEC` would run what is queued.
    pub(crate) fn can_execute(&self) -> bool {
        let is_ready = matches!(&self.transaction, Transaction::Queued(queue) if !queue.is_aborted());
        is_ready && !self.client.is(ClientFlag::Dirty)
    }

    /// There is no transaction any more, nor is anything watched.
    pub(crate) fn end_transaction(&mut self) {
        self.watch = None;
        self.transaction = Transaction::None;
        if self.client.queued().is_some() {
            self.note_queued();
        }
    }

    /// Back to how it was at first.
    pub(crate) fn start_over(&mut self) {
        self.client.set_protocol(Protocol::Resp2);
        self.client.set_db(0);
        self.client.set_name(None);
        self.client.set(ClientFlag::NoEvict, false);
        self.client.set(ClientFlag::NoTouch, false);
        self.client.set(ClientFlag::StartedOver, true);
        self.set_monitor(false);
        self.subscriptions = None;
        self.end_transaction();
        self.server.keyspace.untrack(&self.client);
        self.set_authenticated(self.server.password.is_none());
    }

    /// Whether it is shown all commands.
    pub(crate) fn set_monitor(&self, on: bool) {
        if self.client.is(ClientFlag::Monitor) == on {
            return;
        }
        self.client.set(ClientFlag::Monitor, on);
        if on {
            self.server.monitor(&self.client);
        } else {
            self.server.unmonitor(&self.client);
            // Behind the reply that ends it, a line would be taken for another reply.
            if self.client.is_pushed_to() {
                self.take_pushed(&mut Encoder::default());
            }
        }
    }

    /// What the client may send at this moment.
    pub(crate) fn decode_limits(&self) -> DecodeLimits {
        self.server.settings.decode_limits().with_unauthenticated(!self.authenticated)
    }

    /// The last command of a batch is what the client is said to have sent.
    pub(crate) fn note_command(&self, batch: &Batch) {
        if let Some(command) = batch.last_command() {
            self.client.set_last_command(command);
        }
    }

    /// Bytes of a request that has not arrived whole. It may have begun behind others that have, which
    /// are served first. Usually there are none, and nothing is told.
    pub(crate) fn account_input(&mut self, input: usize, are_others: bool) {
        let before = self.client.input();
        if before == 0 && input == 0 {
            return;
        }
        let input = self.client.set_input(input);
        if are_others || input == 0 {
            self.client.request_since(None);
        } else {
            self.wait_for_rest();
        }
        self.server.account(before, input);
    }

    /// If a request has begun, its client is waited for: that is timed, and not how long the client
    /// waits for the server.
    pub(crate) fn wait_for_rest(&self) {
        let now = self.server.now();
        if self.client.input() > 0 && self.client.request_age(now).is_none() {
            self.client.request_since(Some(now));
        }
    }

    /// Bytes of replies that the client has not taken. Usually there are none, and nothing is told.
    pub(crate) fn account_output(&mut self, output: usize) {
        let before = self.client.output();
        if before != output {
            let output = self.client.set_output(output);
            self.server.account(before, output);
        }
    }

    /// Bytes that a request may have before it is whole.
    pub(crate) fn query_buffer_limit(&self) -> usize {
        let limit = self.server.settings.query_buffer_limit();
        if self.authenticated { limit } else { limit.min(UNAUTHENTICATED_INPUT) }
    }

    /// Whether so many bytes of replies are too many to wait for. For a client that has not said who
    /// it is, any are that do not go on.
    pub(crate) fn is_output_over(&self, waiting: usize, is_stuck: bool) -> bool {
        let limit = self.server.settings.output_limit(Setting::NormalOutputLimit);
        limit.is_over(waiting) || (is_stuck && !self.authenticated)
    }

    /// Shows a command to those who want to see all, unless it is one for operators.
    pub(crate) fn show(&self, call: &Call<'_>, command: CommandId) {
        let flags = self.server.routes.command(command).flags;
        if !flags.contains(Flags::ADMIN) && !flags.contains(Flags::SKIP_MONITOR) {
            self.server.show(call);
        }
    }

    /// Counts the requests of a batch that has been run, and keeps those that were slow.
    pub(crate) fn tally(&self, batch: &mut Batch) {
        self.server.stats.tally(batch, self.server.settings.flag(Setting::LatencyTracking));
        if batch.stats.times().is_empty() {
            return;
        }
        batch.belong_to(&self.client);
        let Ok(slow) = u64::try_from(self.server.settings.signed(Setting::SlowlogLogSlowerThan)) else {
            return;
        };
        let most = self.server.settings.size(Setting::SlowlogMaxLen);
        for (request, took) in batch.stats.times() {
            let is_shown = |call: &Call<'_>| !self.is_skipped_by_slowlog(call);
            if *took >= Duration::from_micros(slow)
                && let Some(call) = batch.call(*request).filter(is_shown)
            {
                self.server.slowlog.add(&call, *took, most);
            }
        }
    }

    fn is_skipped_by_slowlog(&self, call: &Call<'_>) -> bool {
        let spec = self.server.routes.table().spec(call.name(), call.get(1));
        spec.is_some_and(|spec| spec.flags.contains(Flags::SKIP_SLOWLOG))
    }
}

impl Drop for ConnectionState {
    fn drop(&mut self) {
        self.server.stats.closed();
        self.end_transaction();
        self.set_monitor(false);
        self.server.keyspace.untrack(&self.client);
        let memory = self.client.close();
        self.server.account(memory, 0);
        self.server.connection_events.tell_disconnected(&self.client);
        self.server.clients.forget(&self.client);
    }
}

impl Receiver for ConnectionState {
    type CommandContext = ();
}
