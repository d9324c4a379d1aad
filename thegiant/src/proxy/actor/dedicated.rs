//! The task that owns a client's dedicated connection.

use std::{
    cell::{Cell, RefCell},
    future::{Future, poll_fn},
    pin::pin,
    rc::{Rc, Weak},
    sync::Arc,
    task::{Context, Poll, ready},
    time::Instant,
};

use actix_rt::time::sleep;
use bytes::Bytes;
use tokio::sync::{
    Notify,
    mpsc::{self, UnboundedReceiver},
};

use super::{
    binding::{Binding, Target},
    dedicated_handle::{DedicatedHandle, DedicatedRoute, QueuedRequest},
    listeners::{ListenerEvent, Listeners},
    opening::open,
    retries::HAS_MOVED,
    state::ProxyState,
    upkeep::RECONNECT_EVERY,
};
use crate::{
    Client, Error, Raw,
    batch::ActorId,
    client::ClientFlag,
    dispatch::{ACTOR_DOWN, ClientBatch},
    proxy::{
        conn::{
            DedicatedConnection, DedicatedEvent, DedicatedRequest, DedicatedRequester, Dialled, MAX_RETRIES,
            PendingRequest, PoolKey,
        },
        pool::FORGOTTEN,
        routing::{Follow, Redirect, Refresh},
        wire::{CommandKind, LossReason, WholeReply},
    },
    resp::Protocol,
};

pub(super) struct DedicatedTask {
    proxy: Weak<RefCell<ProxyState>>,
    pub(super) requests: UnboundedReceiver<QueuedRequest>,
    /// The copy of the state that the proxy reads.
    pub(super) route: Rc<Cell<DedicatedRoute>>,
    pub(super) binding: Binding,
    pub(super) connection: DedicatedConnection,
    listeners: Listeners,
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
    /// The requests have to be sent to another server.
    Moved(Redirect),
    /// The same, but the router first has to find this server.
    NeedsRefresh(Refresh),
}

/// Maximum size of the requests that are queued before an upstream is chosen, in bytes.
const MAX_QUEUED: usize = 64 * 1024;

pub(super) const OK: &[u8] = b"+OK\r\n";
const QUEUED: &[u8] = b"+QUEUED\r\n";

/// Starts the task that opens a dedicated connection for a client.
///
/// If `server` is `None`, the client's requests determine the upstream.
pub(super) fn start(
    proxy: Weak<RefCell<ProxyState>>,
    client: &Client,
    server: Option<usize>,
) -> DedicatedHandle {
    let (sender, requests) = mpsc::unbounded_channel();
    let route = Rc::new(Cell::new(DedicatedRoute { server, is_in_transaction: false }));
    let task = DedicatedTask {
        proxy,
        requests,
        route: Rc::clone(&route),
        binding: Binding::default(),
        connection: DedicatedConnection::new(client.clone(), PoolKey::of(client)),
        listeners: Listeners::default(),
    };
    actix_rt::spawn(task.serve());
    DedicatedHandle::new(sender, route)
}

impl DedicatedTask {
    async fn serve(mut self) {
        match self.run().await {
            End::Abandoned if !self.connection.client().is_connected() => {}
            End::Abandoned => self.fail(&"the client abandoned a blocking command".into()).await,
            End::Lost(reason) => self.fail(&reason).await,
            End::Unreachable(reason) => self.refuse(&reason).await,
            End::Done | End::Left | End::Moved(_) | End::NeedsRefresh(_) => {}
        }
        self.end(None);
        // After an abandoned command, the queue may hold another request. The proxy routes it again.
        while let Ok((_, requester)) = self.requests.try_recv() {
            match requester {
                DedicatedRequester::Batch(batch, actor_id) => self.go_on(batch, actor_id),
                requester @ DedicatedRequester::Client(_) => {
                    self.answer(requester, Err(self.binding.loss_error()))
                }
            }
        }
    }

    /// Connects and sends the client's requests, until the client does not need the connection any longer.
    async fn run(&mut self) -> End {
        let Some(server) = self.choose_server().await else { return End::Left };
        let mut to = Redirect { server, asking: false };
        let mut failing_since: Option<Instant> = None;
        loop {
            let Some(proxy) = self.proxy.upgrade() else { return End::Left };
            let (target, forgotten) = {
                let proxy = proxy.borrow();
                let server = proxy.pool.servers.get(to.server);
                let stats = (Rc::clone(&server.upstream), Arc::clone(&server.stats));
                (Target::new(to.server, stats), Rc::clone(&server.forgotten))
            };
            drop(proxy);
            let settings = (Rc::clone(&target.upstream), Arc::clone(&target.stats));
            self.binding.set(target);
            self.publish();
            let dialled = match open(Weak::clone(&self.proxy), to.server, self.connection.key()).await {
                Ok(dialled) => dialled,
                Err(reason) => {
                    let since = *failing_since.get_or_insert_with(Instant::now);
                    if since.elapsed() >= settings.0.down_after {
                        return End::Unreachable(reason);
                    }
                    sleep(RECONNECT_EVERY).await;
                    match self.route_again(to).await {
                        Some(again) => to = again,
                        None => return End::Left,
                    }
                    continue;
                }
            };
            failing_since = None;
            self.connection.connect(dialled, settings, to.asking, self.binding.queued());
            match self.exchange(to.server, &forgotten).await {
                End::Moved(redirect) => to = redirect,
                // The next connection sends the request again.
                End::NeedsRefresh(refresh) => {
                    self.connection.disconnect();
                    drop(actix_rt::spawn(refresh).await);
                }
                end => return end,
            }
        }
    }

    /// Lets the router choose an upstream again for the request that waits for a connection, because the one before cannot be
    /// reached. Returns `None` if the client has disconnected.
    async fn route_again(&mut self, before: Redirect) -> Option<Redirect> {
        if !self.connection.is_waiting() {
            let (request, requester) = self.requests.recv().await?;
            self.start(request, requester, Some(before.server));
        }
        let proxy = self.proxy.upgrade().filter(|_| self.connection.client().is_connected())?;
        let words = self.connection.pending_words();
        let is_in_transaction = self.connection.session.is_in_transaction();
        let client = self.connection.client();
        Some(proxy.borrow_mut().dedicated_again(&words, client, is_in_transaction, before))
    }

    /// Sends requests and passes replies on. `forgotten` says that the upstream is forgotten.
    async fn exchange(&mut self, server: usize, forgotten: &Notify) -> End {
        let Some(publishers) =
            self.proxy.upgrade().map(|proxy| Rc::clone(&proxy.borrow().publishers.changed))
        else {
            return End::Left;
        };
        let mut forgotten = pin!(forgotten.notified());
        loop {
            let mut changed = pin!(publishers.notified());
            if let Err(reason) = self.update_listeners(server) {
                return End::Lost(reason);
            }
            let step = poll_fn(|cx| match (forgotten.as_mut().poll(cx), changed.as_mut().poll(cx)) {
                (Poll::Ready(()), _) => Poll::Ready(Some(End::Lost(FORGOTTEN.into()))),
                (_, Poll::Ready(())) => Poll::Ready(None),
                _ => self.poll(cx).map(Some),
            });
            if let Some(end) = step.await {
                return end;
            }
        }
    }

    /// Listens to the publishers that have joined, and no longer to those that have left.
    fn update_listeners(&mut self, server: usize) -> Result<(), LossReason> {
        let DedicatedTask { proxy, connection, listeners, .. } = self;
        listeners.update(proxy, server, connection.key(), &connection.session)
    }

    /// Returns the upstream. Reads requests until one of them determines it.
    ///
    /// Replies itself to `MULTI`, to requests of the transaction that any upstream would queue, and to the end of a transaction
    /// that no upstream has to run. Returns `None` after this end, or if the client has disconnected.
    async fn choose_server(&mut self) -> Option<usize> {
        if let Some(server) = self.route.get().server {
            return Some(server);
        }
        loop {
            let (request, requester) = self.requests.recv().await?;
            let is_in_transaction = self.connection.session.is_in_transaction();
            let Binding::Unbound { queued } = &mut self.binding else { return None };
            match (request.kind, &request.to) {
                (CommandKind::Multi, _) if !is_in_transaction => {
                    self.connection.session.begin_transaction();
                    self.publish();
                    self.answer(requester, Ok(OK.to_vec()));
                }
                (kind @ (CommandKind::Exec | CommandKind::Discard), _)
                    if is_in_transaction
                        && request.args == 0
                        && (kind == CommandKind::Discard || queued.is_empty()) =>
                {
                    let reply = self.connection.end_unsent_transaction(kind);
                    // The handle must be gone before the client can send its next request.
                    self.end(None);
                    self.answer(requester, Ok(reply));
                    return None;
                }
                (CommandKind::QueuedAnywhere, _)
                    if request.key == self.connection.key()
                        && queued.iter().map(Bytes::len).sum::<usize>() < MAX_QUEUED =>
                {
                    queued.push(request.bytes);
                    self.connection.add_queued(request.map);
                    self.answer(requester, Ok(QUEUED.to_vec()));
                }
                // An error does not determine the upstream.
                (_, Err(_)) => self.start(request, requester, None),
                (_, Ok(to)) => {
                    let any = || {
                        let proxy = self.proxy.upgrade()?;
                        let any = proxy.borrow().pool.servers.any(self.connection.client().id());
                        Some(any)
                    };
                    let server = to.server.or_else(any)?;
                    self.start(request, requester, Some(server));
                    return Some(server);
                }
            }
        }
    }

    /// Starts a request, or replies to it if the connection cannot carry it.
    pub(super) fn start(
        &mut self,
        request: DedicatedRequest,
        requester: DedicatedRequester,
        server: Option<usize>,
    ) {
        let (kind, bytes) = (request.kind, request.bytes.clone());
        let listen = request.to.as_ref().ok().and_then(|to| to.listen);
        if let Err((requester, error)) = self.connection.start(request, requester, server) {
            return self.answer(requester, Err(error));
        }
        if let Some((prefix, server)) = listen.zip(server) {
            self.listeners.listen(prefix);
            if let Err(reason) = self.update_listeners(server) {
                self.listeners.lose(reason);
            }
        }
        let is_pubsub = listen.is_some() || matches!(kind, CommandKind::Unsubscribe(_));
        if is_pubsub && self.listeners.send(&bytes) {
            self.connection.await_listeners();
        }
    }

    /// Returns `Ready` when the task has to stop using the connection.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        loop {
            if self.connection.client().is(ClientFlag::WasReset) {
                return Poll::Ready(End::Left);
            }
            while !self.connection.is_waiting() {
                match self.requests.poll_recv(cx) {
                    Poll::Ready(Some((request, requester))) => {
                        self.start(request, requester, self.route.get().server);
                    }
                    Poll::Ready(None) => return Poll::Ready(End::Left),
                    Poll::Pending => break,
                }
            }
            let end = if let Poll::Ready(event) = self.listeners.poll(cx) {
                self.on_listener(event)
            } else {
                match ready!(self.connection.poll(cx)) {
                    Ok(DedicatedEvent::Answered(pending)) => self.on_answered(pending),
                    Ok(DedicatedEvent::Error(error)) => self.on_error(error),
                    Ok(DedicatedEvent::Abandoned) => Some(End::Abandoned),
                    Err(reason) => Some(End::Lost(reason)),
                }
            };
            if let Some(end) = end {
                return Poll::Ready(end);
            }
        }
    }

    fn on_listener(&mut self, event: Result<ListenerEvent, LossReason>) -> Option<End> {
        match event {
            Ok(ListenerEvent::Message(message)) => {
                self.connection.take_listened(message);
                None
            }
            Ok(ListenerEvent::Confirmed) => {
                let pending = self.connection.on_listeners_confirmed()?;
                self.on_answered(pending)
            }
            Err(reason) => Some(End::Lost(reason)),
        }
    }

    /// Passes the replies to a request on.
    fn on_answered(&mut self, pending: PendingRequest) -> Option<End> {
        self.binding.bind();
        let is_over = !self.connection.session.is_needed();
        if is_over {
            // The handle must be gone before the client can send its next request.
            let dialled = self.connection.take_reusable();
            self.end(dialled);
        } else {
            self.publish();
        }
        self.answer(pending.requester, Ok(pending.answer));
        if !pending.reads.is_empty()
            && let Some(proxy) = self.proxy.upgrade()
        {
            proxy.borrow().invalidate_blocked(self.connection.client(), &pending.reads);
        }
        is_over.then_some(End::Done)
    }

    /// Follows an error reply to another upstream, or passes it on.
    fn on_error(&mut self, mut error: Vec<u8>) -> Option<End> {
        if let Some(follow) = self.follow(&error) {
            if let Binding::Movable { moves, .. } = &mut self.binding {
                *moves += 1;
                if *moves <= MAX_RETRIES {
                    return Some(match follow {
                        Follow::Redirect(redirect) => End::Moved(redirect),
                        Follow::Refresh(refresh) => End::NeedsRefresh(refresh),
                    });
                }
            } else {
                self.connection.session.abort();
                error = HAS_MOVED.to_reply();
            }
        }
        match self.connection.take_reply(WholeReply { bytes: error, is_push: false }) {
            Ok(answered) => self.on_answered(answered?),
            Err(reason) => Some(End::Lost(reason)),
        }
    }

    fn follow(&self, error: &[u8]) -> Option<Follow> {
        let (proxy, target) = (self.proxy.upgrade()?, self.binding.target()?);
        let ProxyState { routing, pool, .. } = &mut *proxy.borrow_mut();
        routing.follow(error, target.server, &mut pool.servers)
    }

    /// Tells the proxy the state on which routes depend.
    pub(super) fn publish(&self) {
        let server = self.binding.target().map(|target| target.server);
        let is_in_transaction = self.connection.session.is_in_transaction();
        self.route.set(DedicatedRoute { server, is_in_transaction });
        self.connection.show_transaction();
    }

    /// Removes the handle from the proxy, and gives it the connection for reuse.
    ///
    /// Does nothing if the proxy has already dropped the handle.
    pub(super) fn end(&mut self, dialled: Option<Dialled>) {
        if let Some(proxy) = self.proxy.upgrade().filter(|_| !self.requests.is_closed()) {
            self.connection.client().forget_proxied_transaction();
            let mut proxy = proxy.borrow_mut();
            proxy.dedicated.remove(&self.connection.client().identity());
            if let Some((target, dialled)) = self.binding.target().zip(dialled) {
                proxy.pool.keep_idle((target.server, &target.stats), self.connection.key(), dialled);
            }
        }
        self.requests.close();
    }

    /// Returns a batch to the proxy, or to its client if the proxy has stopped.
    ///
    /// The connection of a RESP2 subscriber gets it, too, because it decides whether such a client may send the next request.
    fn go_on(&self, mut batch: ClientBatch, actor_id: ActorId) {
        if batch.client.is(ClientFlag::UpstreamSubscriber) && batch.client.protocol() == Protocol::Resp2 {
            // It waits for nothing.
            return drop(batch.return_to_client());
        }
        if let Some(proxy) = self.proxy.upgrade() {
            return proxy.borrow_mut().go_on(batch, actor_id);
        }
        batch.refuse(actor_id, &ACTOR_DOWN);
        // A refused batch never has to wait, so nothing comes back.
        drop(batch.return_to_client());
    }

    /// Sends a reply or an error to the requester.
    pub(super) fn answer(&self, requester: DedicatedRequester, answer: Result<Vec<u8>, Error>) {
        if let (Err(error), Some(proxy)) = (&answer, self.proxy.upgrade()) {
            proxy.borrow().on_loss.apply(self.connection.client(), error);
        }
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
}
