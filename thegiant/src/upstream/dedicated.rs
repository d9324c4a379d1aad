//! A connection to an upstream that one client has to itself, because its requests change the state of the
//! connection.

use std::{
    cell::{Cell, RefCell},
    collections::HashSet,
    future::{Future, poll_fn},
    mem,
    pin::{Pin, pin},
    rc::{Rc, Weak},
    sync::{Arc, atomic::Ordering::Relaxed},
    task::{Context, Poll, ready},
    time::Duration,
};

use actix_rt::time::{Sleep, sleep};
use bytes::Bytes;
use tokio::sync::mpsc;

use super::{
    Upstream,
    commands::CommandKind,
    dial::{Dialled, LossReason, PoolKey, as_resp3, dial, reason, silence},
    handle::UpstreamStats,
    in_flight::MAX_RETRIES,
    proxy::{HAS_MOVED, ProxyState},
    reconnect::FORGOTTEN,
    router::{Redirect, Refresh},
};
use crate::{
    Client, Error, IntoPush, IntoReply, Raw, Responder, Value,
    batch::ActorId,
    batch::ReplyBuffer,
    client::ClientFlag,
    command::Call,
    dispatch::ACTOR_DOWN,
    dispatch::ClientBatch,
    resp::{Encoder, FramePart, FrameScanner, Incoming, Protocol},
    stream::{Stream, with_read_buffer},
};

/// The proxy's handle to a dedicated connection. Dropping the handle closes the connection.
pub(super) struct DedicatedConnection {
    requests: mpsc::UnboundedSender<(DedicatedRequest, DedicatedRequester)>,
    state: Rc<DedicatedState>,
}

/// The state that the task shares with the proxy, which needs it to route requests.
#[derive(Default)]
struct DedicatedState {
    /// The upstream. It is unknown until a request of the transaction determines it.
    server: Cell<Option<usize>>,
    is_in_transaction: Cell<bool>,
}

/// A request of the client. The client sends one at a time, unless it abandons a blocking command.
struct DedicatedRequest {
    bytes: Bytes,
    kind: CommandKind,
    /// Number of arguments.
    args: usize,
    key: PoolKey,
    /// The upstream, or `None` for any. The client receives the error, if there is one.
    to: Result<Option<usize>, Error>,
}

/// The receiver of a reply.
enum DedicatedRequester {
    /// A batch: the reply answers its next request.
    Batch(ClientBatch, ActorId),
    /// The client of a blocking command, which may disconnect while it waits.
    Client(Responder<Raw>),
}

/// The task that owns the connection.
struct DedicatedTask {
    proxy: Weak<RefCell<ProxyState>>,
    client: Client,
    key: PoolKey,
    state: Rc<DedicatedState>,
    /// The upstream and its statistics, once the upstream is chosen.
    target: Option<(Rc<Upstream>, Arc<UpstreamStats>)>,
    is_open: bool,
    /// The upstream supports only RESP2, so its replies have to be converted to RESP3.
    is_older: bool,
    requests: mpsc::UnboundedReceiver<(DedicatedRequest, DedicatedRequester)>,
    frames: FrameScanner,
    /// The received part of the current reply.
    reply: Vec<u8>,
    /// The output buffer.
    out: Encoder,
    /// Number of bytes of `out` that the socket has taken.
    sent: usize,
    /// The requests of the transaction that were queued before one of them determined the upstream.
    queued: Vec<Bytes>,
    /// Number of outstanding replies to `ASKING`, `MULTI` and `queued`, which precede the pending request.
    preamble_replies: usize,
    pending: Option<PendingRequest>,
    /// The server that the pending request has to be sent to instead.
    redirect: Option<Redirect>,
    /// The router's future that finds this server.
    refresh: Option<Refresh>,
    /// Number of times that the pending request was sent again.
    redirects: u32,
    /// The upstream has replied to a request, so the proxy cannot move the connection to another server.
    has_replied: bool,
    /// A request of the transaction failed, so `EXEC` must fail, too.
    is_aborted: bool,
    /// The upstream may still have a transaction, so other clients must not get the connection.
    is_unusable: bool,
    is_watching: bool,
    /// The subscribed channels, patterns and shard channels.
    subscribed: [HashSet<Bytes>; 3],
}

/// A request that waits for its reply.
struct PendingRequest {
    bytes: Bytes,
    kind: CommandKind,
    /// The reply timeout. A blocking command has none.
    timeout: Option<Pin<Box<Sleep>>>,
    /// Number of outstanding replies. `SUBSCRIBE` has one for each channel.
    replies_left: usize,
    answer: Vec<u8>,
    requester: DedicatedRequester,
}

/// Starts the task that opens a dedicated connection for a client.
///
/// If `server` is `None`, the client's requests determine the upstream.
pub(super) fn open(
    proxy: Weak<RefCell<ProxyState>>,
    client: &Client,
    key: PoolKey,
    server: Option<usize>,
) -> DedicatedConnection {
    let (sender, requests) = mpsc::unbounded_channel();
    let state = Rc::new(DedicatedState { server: Cell::new(server), ..DedicatedState::default() });
    let task = DedicatedTask {
        proxy,
        client: client.clone(),
        key,
        state: Rc::clone(&state),
        target: None,
        is_open: false,
        is_older: false,
        requests,
        frames: FrameScanner::default(),
        reply: Vec::new(),
        out: Encoder::default(),
        sent: 0,
        queued: Vec::new(),
        preamble_replies: 0,
        pending: None,
        redirect: None,
        refresh: None,
        has_replied: false,
        is_aborted: false,
        is_unusable: false,
        redirects: 0,
        is_watching: false,
        subscribed: Default::default(),
    };
    actix_rt::spawn(task.serve());
    DedicatedConnection { requests: sender, state }
}

impl DedicatedConnection {
    /// Returns the upstream, if it is known, and whether the client is in a transaction.
    pub(super) fn state(&self) -> (Option<usize>, bool) {
        (self.state.server.get(), self.state.is_in_transaction.get())
    }

    /// Sends the next request of a batch. The batch continues when the reply has come.
    pub(super) fn send(
        &self,
        batch: ClientBatch,
        actor_id: ActorId,
        kind: CommandKind,
        to: Result<Option<usize>, Error>,
    ) {
        let request = batch.call(batch.next_request()).map(|call| DedicatedRequest::new(&call, kind, to));
        if let Some(request) = request {
            self.push(request, DedicatedRequester::Batch(batch, actor_id));
        }
    }

    /// Sends a blocking command. The proxy can still see the client disconnect while it waits.
    pub(super) fn send_blocking(
        &self,
        call: &Call<'_>,
        to: Result<Option<usize>, Error>,
        out: &mut ReplyBuffer,
    ) {
        self.push(
            DedicatedRequest::new(call, CommandKind::Blocks, to),
            DedicatedRequester::Client(Responder::new(call, out)),
        );
    }

    fn push(&self, request: DedicatedRequest, requester: DedicatedRequester) {
        // Sending fails only if the client has disconnected.
        let _ = self.requests.send((request, requester));
    }
}

impl DedicatedRequest {
    fn new(call: &Call<'_>, kind: CommandKind, to: Result<Option<usize>, Error>) -> Self {
        let mut bytes = Encoder::default();
        call.words.write(&mut bytes);
        let key = PoolKey::of(call.client());
        DedicatedRequest { bytes: bytes.into_vec().into(), kind, args: call.len() - 1, key, to }
    }
}

/// The reason why the task stops using a connection.
enum End {
    /// The client does not need a dedicated connection any longer.
    Done,
    /// The client has disconnected or sent `RESET`, or the proxy has stopped.
    Left,
    /// The client stopped waiting for a blocking command, whose reply is still outstanding.
    Abandoned,
    Lost(LossReason),
    /// The connection could not be opened.
    Unreachable(LossReason),
    /// The pending request is the first one, and it has to be sent to another server.
    Redirected(Redirect),
    /// The same, but the router first has to find this server.
    NeedsRefresh(Refresh),
}

impl DedicatedTask {
    async fn serve(mut self) {
        match self.run().await {
            End::Abandoned if !self.client.is_connected() => {}
            End::Abandoned => self.fail(&"the client abandoned a blocking command".into()).await,
            End::Lost(reason) => self.fail(&reason).await,
            End::Unreachable(reason) => self.refuse(&reason).await,
            End::Done | End::Left | End::Redirected(_) | End::NeedsRefresh(_) => {}
        }
        self.end(None);
        // After an abandoned command, the queue may hold another request. The proxy routes it again.
        while let Ok((_, requester)) = self.requests.try_recv() {
            match requester {
                DedicatedRequester::Batch(batch, actor_id) => self.go_on(batch, actor_id),
                DedicatedRequester::Client(responder) => responder.fail(self.loss_error()),
            }
        }
    }

    /// Connects and sends the client's requests, until the client does not need the connection any longer.
    async fn run(&mut self) -> End {
        let mut is_asking = false;
        loop {
            let Some(server) = self.choose_server().await else { return End::Left };
            let Some(proxy) = self.proxy.upgrade() else { return End::Left };
            let (upstream, stats, forgotten) = proxy.borrow().server(server);
            let idle = proxy.borrow_mut().take_idle(server, self.key);
            drop(proxy);
            stats.private.fetch_add(1, Relaxed);
            if let Some((_, stats)) = self.target.replace((Rc::clone(&upstream), stats)) {
                stats.private.fetch_sub(1, Relaxed);
            }
            let connection = match idle {
                Some(dialled) => dialled,
                None => match dial(&upstream, self.key).await {
                    Ok(dialled) => dialled,
                    Err(reason) => return End::Unreachable(reason),
                },
            };
            self.prepare(connection.is_older, is_asking);
            let mut connection = Some(connection);
            let mut forgotten = pin!(forgotten.notified());
            let served = poll_fn(|cx| match forgotten.as_mut().poll(cx) {
                Poll::Ready(()) => Poll::Ready(End::Lost(FORGOTTEN.into())),
                Poll::Pending => self.poll(&mut connection, cx),
            });
            match served.await {
                End::Redirected(redirect) => {
                    self.state.server.set(Some(redirect.server));
                    is_asking = redirect.asking;
                }
                // The next connection sends the request again.
                End::NeedsRefresh(refresh) => drop(actix_rt::spawn(refresh).await),
                end => return end,
            }
        }
    }

    /// Returns the upstream. Reads requests until one of them determines it.
    ///
    /// Replies itself to `MULTI`, and to requests of the transaction that any upstream would queue. Returns `None` if the
    /// client has disconnected.
    async fn choose_server(&mut self) -> Option<usize> {
        while self.state.server.get().is_none() {
            let (request, requester) = self.requests.recv().await?;
            match (request.kind, &request.to) {
                (CommandKind::Multi, _) if request.args == 0 && !self.state.is_in_transaction.get() => {
                    self.state.is_in_transaction.set(true);
                    self.answer(requester, Ok(OK.to_vec()));
                }
                (CommandKind::QueuedAnywhere, _)
                    if request.key == self.key && self.queued_len() < MAX_QUEUED =>
                {
                    self.queued.push(request.bytes);
                    self.answer(requester, Ok(QUEUED.to_vec()));
                }
                // An error does not determine the upstream.
                (_, Err(_)) => self.start_request(request, requester),
                (_, Ok(to)) => {
                    let any = || Some(self.proxy.upgrade()?.borrow().any_server(&self.client));
                    let to = to.or_else(any)?;
                    self.state.server.set(Some(to));
                    self.start_request(request, requester);
                }
            }
        }
        self.state.server.get()
    }

    /// Prepares for a new connection, and sends the pending request on it.
    fn prepare(&mut self, is_older: bool, is_asking: bool) {
        self.is_open = true;
        self.is_older = is_older;
        self.frames = FrameScanner::default();
        self.reply.clear();
        self.out = Encoder::default();
        self.sent = 0;
        // Behind `MULTI`, the upstream would queue `ASKING`. In front, it applies to the whole transaction.
        let before = [("ASKING", is_asking), ("MULTI", self.state.is_in_transaction.get())];
        self.preamble_replies = 0;
        for (word, _) in before.iter().filter(|(_, is_needed)| *is_needed) {
            self.out.request(&[word]);
            self.preamble_replies += 1;
        }
        if self.state.is_in_transaction.get() {
            for request in &self.queued {
                self.out.raw(request);
                self.count_command();
            }
            self.preamble_replies += self.queued.len();
        }
        if let Some(pending) = &self.pending {
            self.out.raw(&pending.bytes);
            self.count_command();
        }
    }

    /// Returns the bytes of the requests in `queued`.
    fn queued_len(&self) -> usize {
        self.queued.iter().map(Bytes::len).sum()
    }

    /// Counts a sent request in the statistics.
    fn count_command(&self) {
        if let Some((_, stats)) = &self.target {
            stats.commands.fetch_add(1, Relaxed);
        }
    }

    /// Removes the handle from the proxy and returns the connection to it for reuse.
    ///
    /// Does nothing if the proxy has already dropped the handle.
    fn end(&mut self, dialled: Option<Dialled>) {
        if let Some(proxy) = self.proxy.upgrade().filter(|_| !self.requests.is_closed()) {
            let dialled = self.state.server.get().zip(dialled);
            proxy.borrow_mut().end_dedicated(&self.client, self.key, dialled);
        }
        self.requests.close();
    }

    /// Fails the pending request, or else the next one, because the connection could not be opened.
    async fn refuse(&mut self, reason: &LossReason) {
        if self.pending.is_none() {
            let Some((request, requester)) = self.requests.recv().await else { return };
            self.start_request(request, requester);
        }
        let (Some(pending), Some((_, stats))) = (self.pending.take(), &self.target) else { return };
        let error = stats.unsent(reason, 1);
        self.on_end_of_transaction(pending.kind);
        if !self.is_needed() {
            // The handle must be gone before the client can send its next request.
            self.end(None);
        }
        self.answer(pending.requester, Err(error));
        self.fail(reason).await;
    }

    /// Handles the loss of the connection.
    ///
    /// Closes a subscribed client, which would not notice the loss otherwise. Fails all requests until the
    /// client ends its transaction.
    async fn fail(&mut self, reason: &LossReason) {
        if self.is_subscribed() {
            let client = &self.client;
            tracing::info!(id = client.id(), client = %client.addr(), %reason, "closed: the upstream of its subscriptions was lost");
            return client.kill();
        }
        if let Some(pending) = &self.pending {
            self.on_end_of_transaction(pending.kind);
        }
        let is_needed = self.is_needed();
        if !is_needed {
            // The handle must be gone before the client can send its next request.
            self.end(None);
        }
        if let (Some(pending), Some((_, stats))) = (self.pending.take(), &self.target) {
            let error = stats.lost(reason, 1);
            self.answer(pending.requester, Err(error));
        }
        // Commands of a lost transaction must not run outside of it, so the client has to end it first.
        while is_needed && let Some((request, requester)) = self.requests.recv().await {
            let is_over = match request.kind {
                CommandKind::Exec | CommandKind::Discard => true,
                CommandKind::Unwatch => !self.state.is_in_transaction.get(),
                _ => false,
            };
            if is_over {
                self.end(None);
            }
            let is_done = is_over && request.kind != CommandKind::Exec;
            self.answer(requester, if is_done { Ok(OK.to_vec()) } else { Err(self.loss_error()) });
            if is_over {
                return;
            }
        }
    }

    /// Clears the transaction and the watched keys if this command ends them, whether it succeeds or not.
    fn on_end_of_transaction(&mut self, kind: CommandKind) {
        let is_in_transaction = &self.state.is_in_transaction;
        match kind {
            CommandKind::Exec | CommandKind::Discard if is_in_transaction.replace(false) => {
                self.is_aborted = false;
                self.is_watching = false;
            }
            CommandKind::Unwatch if !is_in_transaction.get() => self.is_watching = false,
            _ => {}
        }
    }

    /// Returns the error for requests that depend on the state of the lost connection.
    fn loss_error(&self) -> Error {
        let address = self.target.as_ref().map_or("the upstream", |(upstream, _)| &upstream.address);
        Error::new(
            "UPSTREAM",
            format_args!("{address} was lost: its watched keys and its transaction are gone"),
        )
    }

    /// Returns a batch to the proxy, or to its client if the proxy has stopped.
    fn go_on(&self, mut batch: ClientBatch, actor_id: ActorId) {
        if let Some(proxy) = self.proxy.upgrade() {
            return proxy.borrow_mut().go_on(batch, actor_id);
        }
        batch.refuse(actor_id, &ACTOR_DOWN);
        // A refused batch never has to wait, so nothing comes back.
        drop(batch.return_to_client());
    }

    /// Sends a reply or an error to the requester.
    fn answer(&self, requester: DedicatedRequester, answer: Result<Vec<u8>, Error>) {
        match (requester, answer) {
            (DedicatedRequester::Batch(mut batch, actor_id), answer) => {
                match answer {
                    Ok(reply) => {
                        batch.append_reply(&reply);
                        batch.end_reply();
                    }
                    Err(error) => batch.reject(&error),
                }
                self.go_on(batch, actor_id);
            }
            // The client may have disconnected.
            (DedicatedRequester::Client(responder), Ok(reply)) => drop(responder.send(Raw(reply.into()))),
            (DedicatedRequester::Client(responder), Err(error)) => responder.fail(error),
        }
    }

    fn poll(&mut self, dialled: &mut Option<Dialled>, cx: &mut Context<'_>) -> Poll<End> {
        loop {
            if self.client.is(ClientFlag::WasReset) {
                return Poll::Ready(End::Left);
            }
            while self.pending.is_none() {
                match self.requests.poll_recv(cx) {
                    Poll::Ready(Some((request, requester))) => self.start_request(request, requester),
                    Poll::Ready(None) => return Poll::Ready(End::Left),
                    Poll::Pending => break,
                }
            }
            if let Some(PendingRequest { requester: DedicatedRequester::Client(responder), .. }) =
                &self.pending
                && responder.poll_closed(cx).is_ready()
            {
                return Poll::Ready(End::Abandoned);
            }
            if let Some(PendingRequest { timeout: Some(timeout), .. }) = &mut self.pending
                && timeout.as_mut().poll(cx).is_ready()
            {
                return Poll::Ready(End::Lost(silence(self.reply_timeout())));
            }
            let Some(Dialled { stream, .. }) = dialled else { return Poll::Ready(End::Done) };
            match self.poll_socket(stream, cx) {
                Poll::Ready(Ok(None)) => {
                    if let Some(redirect) = self.redirect.take() {
                        return Poll::Ready(End::Redirected(redirect));
                    }
                    if let Some(refresh) = self.refresh.take() {
                        return Poll::Ready(End::NeedsRefresh(refresh));
                    }
                }
                Poll::Ready(Ok(Some(answered))) => {
                    self.has_replied = true;
                    let is_over = !self.is_needed();
                    if is_over {
                        // The handle must be gone before the client can send its next request.
                        let is_clean = self.out.is_empty() && self.reply.is_empty() && !self.is_unusable;
                        self.end(dialled.take().filter(|_| is_clean));
                    }
                    self.answer(answered.requester, Ok(answered.answer));
                    if is_over {
                        return Poll::Ready(End::Done);
                    }
                }
                Poll::Ready(Err(reason)) => return Poll::Ready(End::Lost(reason)),
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// Writes and reads. Returns the request whose replies are complete, if any.
    fn poll_socket(
        &mut self,
        socket: &mut Stream,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<PendingRequest>, LossReason>> {
        if socket.poll_write(&self.out, &mut self.sent, cx).map_err(reason)?.is_ready() {
            self.out.clear();
            self.out.shrink_to(MAX_IDLE_BUFFER);
            self.sent = 0;
        }
        with_read_buffer(|scratch| {
            let taken = match ready!(socket.poll_read(scratch, cx)).map_err(reason)? {
                0 => Err("it has closed the connection".into()),
                read => self.handle_input(&scratch[..read]),
            };
            Poll::Ready(taken)
        })
    }

    /// Checks a request and makes it the pending one. Sends it if the connection is open.
    fn start_request(&mut self, request: DedicatedRequest, requester: DedicatedRequester) {
        let DedicatedRequest { mut bytes, mut kind, args, key, to } = request;
        if key != self.key {
            return self.answer(requester, Err(POOL_CHANGED));
        }
        let refused = match to {
            Ok(Some(to)) if self.state.server.get() != Some(to) => Some(Error::CROSS_SLOT),
            Ok(_) => None,
            Err(error) => Some(error),
        };
        if let Some(error) = refused {
            self.is_aborted |= self.state.is_in_transaction.get();
            return self.answer(requester, Err(error));
        }
        // With arguments, the upstream replies with an error and keeps its state.
        if args > 0
            && matches!(
                kind,
                CommandKind::Multi | CommandKind::Exec | CommandKind::Discard | CommandKind::Unwatch
            )
        {
            kind = CommandKind::Plain;
        }
        // The messages that confirm it would come in the middle of the reply to `EXEC`.
        if self.state.is_in_transaction.get()
            && matches!(kind, CommandKind::Subscribe(_) | CommandKind::Unsubscribe(_))
        {
            return self.answer(requester, Err(SUBSCRIBE_IN_TRANSACTION));
        }
        if kind == CommandKind::Exec && self.is_aborted {
            bytes = Bytes::from_static(b"*1\r\n$7\r\nDISCARD\r\n");
        }
        let replies_left = match kind {
            CommandKind::Subscribe(_) => args.max(1),
            CommandKind::Unsubscribe(kind) if args == 0 => self.subscribed[kind].len().max(1),
            CommandKind::Unsubscribe(_) => args,
            _ => 1,
        };
        if self.is_open {
            self.out.raw(&bytes);
            self.count_command();
        }
        let timeout = match kind {
            CommandKind::Blocks => None,
            _ => Some(Box::pin(sleep(self.reply_timeout()))),
        };
        self.pending =
            Some(PendingRequest { bytes, kind, timeout, replies_left, answer: Vec::new(), requester });
    }

    /// Returns the reply timeout of the upstream, or a default while no upstream is chosen.
    fn reply_timeout(&self) -> Duration {
        self.target.as_ref().map_or(CONNECTING_REPLY_TIMEOUT, |(upstream, _)| upstream.reply_timeout)
    }

    fn handle_input(&mut self, mut input: &[u8]) -> Result<Option<PendingRequest>, LossReason> {
        let mut answered = None;
        while !input.is_empty() {
            let FramePart { len, is_complete } =
                self.frames.advance(input).map_err(|error| error.to_string())?;
            self.reply.extend_from_slice(&input[..len]);
            input = &input[len..];
            if self.target.as_ref().is_some_and(|(upstream, _)| self.reply.len() > upstream.max_reply_len) {
                return Err(TOO_LONG.into());
            }
            if is_complete {
                let reply = mem::take(&mut self.reply);
                answered = self.handle_reply(reply)?.or(answered);
            }
        }
        Ok(answered)
    }

    /// Handles a reply or a push. Returns the pending request if this completes it.
    fn handle_reply(&mut self, mut reply: Vec<u8>) -> Result<Option<PendingRequest>, LossReason> {
        if self.preamble_replies > 0 && !self.frames.is_push() {
            self.preamble_replies -= 1;
            let Some(error) = reply.strip_prefix(b"-") else { return Ok(None) };
            if self.preamble_replies < self.queued.len() {
                // The client has the reply `QUEUED`, and learns of the error from `EXEC`.
                self.is_aborted = true;
                return Ok(None);
            }
            return Err(String::from_utf8_lossy(error).trim_end().into());
        }
        let (redirect, refresh) = self.redirect_for(&reply);
        if redirect.is_some() || refresh.is_some() {
            if self.has_replied {
                reply = HAS_MOVED.to_reply();
                self.is_aborted = self.state.is_in_transaction.get();
            } else if self.redirects < MAX_RETRIES {
                self.redirects += 1;
                (self.redirect, self.refresh) = (redirect, refresh);
                return Ok(None);
            }
        }
        let message = self.update_subscriptions(&reply);
        if self.is_older {
            reply = as_resp3(reply);
            if let (Some(_), Some(kind)) = (message, reply.first_mut()) {
                *kind = b'>';
            }
        }
        let is_message =
            message == Some(UpstreamMessage::Message) || (message.is_none() && self.frames.is_push());
        // A message that comes while a reply is outstanding is sent in front of this reply.
        let Some(pending) =
            self.pending.as_mut().filter(|pending| !is_message || pending.kind != CommandKind::Blocks)
        else {
            if !is_message {
                return Err("unexpected reply from upstream".into());
            }
            self.client.push(Message(reply.into()));
            return Ok(None);
        };
        pending.answer.extend_from_slice(&reply);
        if is_message {
            return Ok(None);
        }
        pending.replies_left = if reply.starts_with(b"-") { 0 } else { pending.replies_left - 1 };
        if self.is_aborted && pending.kind == CommandKind::Exec {
            pending.answer = Error::EXEC_ABORT.to_reply();
        }
        let kind = pending.kind;
        self.update_state(kind, &reply);
        Ok(self.pending.take_if(|pending| pending.replies_left == 0))
    }

    /// Returns the server that an error reply redirects to, or the future that finds it.
    fn redirect_for(&self, reply: &[u8]) -> (Option<Redirect>, Option<Refresh>) {
        let Some(proxy) = self.proxy.upgrade().filter(|_| reply.starts_with(b"-")) else {
            return (None, None);
        };
        let mut proxy = proxy.borrow_mut();
        match proxy.redirect(reply) {
            None => (None, proxy.refresh(reply)),
            redirect => (redirect, None),
        }
    }

    /// Updates the state of the connection after a reply.
    fn update_state(&mut self, kind: CommandKind, reply: &[u8]) {
        let is_ok = reply == OK;
        match kind {
            CommandKind::Multi if is_ok => self.state.is_in_transaction.set(true),
            // An error also ends the transaction for the client, which does not send `EXEC` again.
            CommandKind::Exec | CommandKind::Discard => {
                self.is_unusable |= reply.starts_with(b"-") && !reply.starts_with(b"-EXECABORT");
                self.on_end_of_transaction(kind);
            }
            CommandKind::Watch if is_ok => self.is_watching = true,
            CommandKind::Unwatch if is_ok => self.is_watching = false,
            _ => {}
        }
    }

    /// Updates the subscriptions after a push or reply of pub/sub. Returns `None` for other replies.
    fn update_subscriptions(&mut self, reply: &[u8]) -> Option<UpstreamMessage> {
        let is_subscribing = self.pending.as_ref().is_some_and(|pending| {
            matches!(pending.kind, CommandKind::Subscribe(_) | CommandKind::Unsubscribe(_))
        });
        let is_resp2 = self.key.protocol == Protocol::Resp2 || self.is_older;
        let is_listener = is_resp2 && (is_subscribing || self.is_subscribed());
        if !self.frames.is_push() && !is_listener {
            return None;
        }
        let mut words = match Incoming::parse(reply) {
            Ok(Some((Incoming::Push(words) | Incoming::Reply(Value::Array(words)), _))) => words.into_iter(),
            _ => return None,
        };
        let (Some(Value::Bulk(word)), channel) = (words.next(), words.next()) else { return None };
        let (kind, is_subscribe) = match &word[..] {
            b"subscribe" => (0, true),
            b"psubscribe" => (1, true),
            b"ssubscribe" => (2, true),
            b"unsubscribe" => (0, false),
            b"punsubscribe" => (1, false),
            b"sunsubscribe" => (2, false),
            b"message" | b"pmessage" | b"smessage" => return Some(UpstreamMessage::Message),
            _ => return None,
        };
        if let Some(Value::Bulk(channel)) = channel {
            match is_subscribe {
                true => self.subscribed[kind].insert(channel),
                false => self.subscribed[kind].remove(&channel),
            };
        }
        self.client.set_subscribed(self.subscribed.each_ref().map(HashSet::len));
        // A cluster that moves a shard channel sends an unrequested `sunsubscribe`.
        Some(if is_subscribing { UpstreamMessage::Confirmation } else { UpstreamMessage::Message })
    }

    fn is_subscribed(&self) -> bool {
        self.subscribed.iter().any(|channels| !channels.is_empty())
    }

    /// Returns whether the client still needs the connection.
    fn is_needed(&self) -> bool {
        self.state.is_in_transaction.get() || self.is_watching || self.is_subscribed()
    }
}

/// A pub/sub message of the upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum UpstreamMessage {
    /// A published message, or a notice that is not a reply to a request.
    Message,
    /// A reply to a request such as `SUBSCRIBE`.
    Confirmation,
}

/// The unchanged bytes of a push.
struct Message(Bytes);

impl IntoReply for Message {
    fn into_reply(self, out: &mut Encoder) {
        out.raw_bytes(&self.0);
    }
}

impl IntoPush for Message {}

impl Drop for DedicatedTask {
    fn drop(&mut self) {
        if self.is_subscribed() {
            self.client.set_subscribed([0; 3]);
        }
        if let Some((_, stats)) = &self.target {
            stats.private.fetch_sub(1, Relaxed);
        }
    }
}

/// Reply timeout of a request while no upstream is chosen.
const CONNECTING_REPLY_TIMEOUT: Duration = Duration::from_secs(60);

/// Maximum capacity of the output buffer between requests, in bytes.
const MAX_IDLE_BUFFER: usize = 4096;

/// Maximum size of the requests that are queued before an upstream is chosen, in bytes.
const MAX_QUEUED: usize = 64 * 1024;

const OK: &[u8] = b"+OK\r\n";
const QUEUED: &[u8] = b"+QUEUED\r\n";

const SUBSCRIBE_IN_TRANSACTION: Error =
    Error::from_static("ERR SUBSCRIBE and its like cannot be sent on to an upstream within a transaction");

const TOO_LONG: &str = "its reply is too long";

const POOL_CHANGED: Error = Error::from_static(
    "ERR SELECT and HELLO cannot be sent on to an upstream while there is a transaction, a watched key or a subscription",
);
