//! A connection to an upstream that one client has to itself, because its requests change the state of the
//! connection.

use std::{
    collections::VecDeque,
    future::Future,
    mem,
    pin::Pin,
    rc::Rc,
    sync::{Arc, atomic::Ordering::Relaxed},
    task::{Context, Poll, ready},
};

use actix_rt::time::{Sleep, sleep};
use bytes::Bytes;

use super::{
    Dialled, PoolKey, Upstream, UpstreamStats,
    reply_map::{ReplyMap, mapped_bytes, mapped_elements},
    reply_meter::ReplyMeter,
    session::{PubSubMessage, Session},
};
use crate::{
    Client, Error, IntoPush, IntoReply, Raw, Responder,
    batch::ActorId,
    client::ClientFlag,
    command::Call,
    dispatch::ClientBatch,
    proxy::wire::{CommandKind, LossReason, ReplyReader, WholeReply, as_resp3},
    resp::{Encoder, Protocol},
    stream::{Stream, with_read_buffer},
};

/// The requests of one client to one upstream, and the connection that carries them.
///
/// The client sends one request at a time, unless it abandons a blocking command.
pub(crate) struct DedicatedConnection {
    client: Client,
    key: PoolKey,
    pub(crate) session: Session,
    /// The request that waits for its replies.
    pending: Option<PendingRequest>,
    /// The functions that map the replies to the queued requests of the transaction.
    queued_maps: Vec<Option<ReplyMap>>,
    link: Link,
}

/// The connection to the upstream.
enum Link {
    /// There is none. The pending request is sent when one is open.
    Closed,
    Open(Box<OpenLink>),
}

/// An open connection.
struct OpenLink {
    stream: Stream,
    /// See [`Dialled::is_older`].
    is_older: bool,
    upstream: Rc<Upstream>,
    stats: Arc<UpstreamStats>,
    /// The output buffer.
    out: Encoder,
    /// Number of bytes of `out` that the socket has taken.
    sent: usize,
    reader: ReplyReader,
    /// Replies that have arrived and were not handled.
    received: VecDeque<WholeReply>,
    /// Number of outstanding replies to `ASKING` and `MULTI`, which come before all others.
    setup_replies: usize,
    /// Number of outstanding replies to requests that were queued before the upstream was known.
    queued_replies: usize,
    /// Counts the replies to the pending request.
    meter: ReplyMeter,
    /// The reply timeout of the pending request. A blocking command has none.
    timeout: Option<Pin<Box<Sleep>>>,
    /// The upstream may still have a transaction, so other clients must not get the connection.
    is_tainted: bool,
}

/// A request of a client.
pub(crate) struct DedicatedRequest {
    pub(crate) bytes: Bytes,
    pub(crate) kind: CommandKind,
    /// Number of arguments.
    pub(crate) args: usize,
    pub(crate) key: PoolKey,
    /// The upstreams. The client receives the error, if there is one.
    pub(crate) to: Result<DedicatedTarget, Error>,
    /// Maps the reply.
    pub(crate) map: Option<ReplyMap>,
}

/// The upstreams of a request.
#[derive(Default)]
pub(crate) struct DedicatedTarget {
    /// The upstream that replies, or `None` for any.
    pub(crate) server: Option<usize>,
    /// The upstreams that publish messages for the client, besides.
    pub(crate) others: Vec<usize>,
    /// The words that are sent in place of those of the client, and the function that maps the reply.
    pub(crate) rewritten: Option<(Vec<Bytes>, Option<ReplyMap>)>,
}

impl From<Option<usize>> for DedicatedTarget {
    fn from(server: Option<usize>) -> Self {
        DedicatedTarget { server, ..DedicatedTarget::default() }
    }
}

/// The receiver of a reply.
pub(crate) enum DedicatedRequester {
    /// A batch: the reply answers its next request.
    Batch(ClientBatch, ActorId),
    /// The client of a blocking command, which may disconnect while it waits.
    Client(Responder<Raw>),
}

/// A request that waits for its replies.
pub(crate) struct PendingRequest {
    bytes: Bytes,
    pub(crate) kind: CommandKind,
    /// Number of outstanding replies. `SUBSCRIBE` has one for each channel.
    replies_left: usize,
    pub(crate) answer: Vec<u8>,
    map: Option<ReplyMap>,
    pub(crate) requester: DedicatedRequester,
}

/// An event on a dedicated connection.
pub(crate) enum DedicatedEvent {
    /// All replies to the pending request have arrived.
    Answered(PendingRequest),
    /// The pending request got this error, which may be a redirect.
    ///
    /// The caller passes the error, or another one, to [`DedicatedConnection::take_reply`], or opens another connection.
    Error(Vec<u8>),
    /// The client stopped waiting for a blocking command, whose reply is still outstanding.
    Abandoned,
}

/// Maximum capacity of the output buffer between requests, in bytes.
const MAX_IDLE_BUFFER: usize = 4096;

const SUBSCRIBE_IN_TRANSACTION: Error =
    Error::from_static("ERR SUBSCRIBE and its like cannot be sent on to an upstream within a transaction");

const POOL_CHANGED: Error = Error::from_static(
    "ERR SELECT and HELLO cannot be sent on to an upstream while there is a transaction, a watched key or a subscription",
);

const UNEXPECTED: &str = "unexpected reply from upstream";

impl DedicatedRequest {
    pub(crate) fn new(call: &Call<'_>, kind: CommandKind, mut to: Result<DedicatedTarget, Error>) -> Self {
        let mut bytes = Encoder::default();
        let (args, map) = match to.as_mut().ok().and_then(|to| to.rewritten.take()) {
            Some((words, map)) => {
                bytes.request(&words);
                (words.len().saturating_sub(1), map)
            }
            None => {
                call.words.write(&mut bytes);
                (call.len() - 1, None)
            }
        };
        // With arguments, the upstream replies with an error and keeps its state.
        let kind = match kind {
            CommandKind::Multi | CommandKind::Exec | CommandKind::Discard | CommandKind::Unwatch
                if args > 0 =>
            {
                CommandKind::Plain
            }
            kind => kind,
        };
        let key = PoolKey::of(call.client());
        DedicatedRequest { bytes: bytes.into_vec().into(), kind, args, key, to, map }
    }
}

impl DedicatedConnection {
    pub(crate) fn new(client: Client, key: PoolKey) -> Self {
        DedicatedConnection {
            client,
            key,
            session: Session::default(),
            pending: None,
            queued_maps: Vec::new(),
            link: Link::Closed,
        }
    }

    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    pub(crate) fn key(&self) -> PoolKey {
        self.key
    }

    /// Returns the pending request, which then gets no reply from the upstream.
    pub(crate) fn take_pending(&mut self) -> Option<PendingRequest> {
        self.pending.take()
    }

    /// Tells the client's connection whether a transaction is open.
    pub(crate) fn show_transaction(&self) {
        if self.session.is_in_transaction() {
            self.client.set(ClientFlag::InProxiedTransaction, true);
        } else {
            self.hide_transaction();
        }
    }

    /// Tells the client's connection that there is no transaction any more.
    pub(crate) fn hide_transaction(&self) {
        self.client.set(ClientFlag::InProxiedTransaction, false);
        self.client.set(ClientFlag::ProxiedTransactionAborted, false);
    }

    /// Remembers a queued request to which the proxy itself has replied.
    pub(crate) fn add_queued(&mut self, map: Option<ReplyMap>) {
        self.queued_maps.push(map);
    }

    pub(crate) fn is_waiting(&self) -> bool {
        self.pending.is_some()
    }

    /// Makes a request the pending one. Sends it if the connection is open.
    ///
    /// `server` is the upstream of the connection.
    ///
    /// # Errors
    /// If the connection cannot carry the request. The error is the reply.
    pub(crate) fn start(
        &mut self,
        request: DedicatedRequest,
        requester: DedicatedRequester,
        server: Option<usize>,
    ) -> Result<(), (DedicatedRequester, Error)> {
        if let Err(error) = self.check(&request, server) {
            return Err((requester, error));
        }
        let DedicatedRequest { mut bytes, kind, args, map, .. } = request;
        if self.client.is(ClientFlag::ProxiedTransactionAborted) {
            self.session.abort();
        }
        if kind == CommandKind::Exec && self.session.is_aborted() {
            bytes = Bytes::from_static(b"*1\r\n$7\r\nDISCARD\r\n");
        }
        let replies_left = self.session.replies_to(kind, args);
        let pending = PendingRequest { bytes, kind, replies_left, answer: Vec::new(), map, requester };
        if let Link::Open(link) = &mut self.link {
            link.send(&pending);
        }
        self.pending = Some(pending);
        Ok(())
    }

    fn check(&mut self, request: &DedicatedRequest, server: Option<usize>) -> Result<(), Error> {
        if request.key != self.key {
            return Err(POOL_CHANGED);
        }
        let to = request.to.as_ref().map_err(Error::clone).and_then(|to| match to.server {
            Some(_) if to.server != server => Err(Error::CROSS_SLOT),
            _ => Ok(()),
        });
        to.inspect_err(|_| self.session.abort())?;
        // The messages that confirm it would come in the middle of the reply to `EXEC`.
        let is_pubsub = matches!(request.kind, CommandKind::Subscribe(_) | CommandKind::Unsubscribe(_));
        if is_pubsub && self.session.is_in_transaction() { Err(SUBSCRIBE_IN_TRANSACTION) } else { Ok(()) }
    }

    /// Starts to use an open connection. Sends the requests of the transaction so far, and the pending request.
    pub(crate) fn connect(
        &mut self,
        dialled: Dialled,
        (upstream, stats): (Rc<Upstream>, Arc<UpstreamStats>),
        is_asking: bool,
        queued: &[Bytes],
    ) {
        let mut link = OpenLink::new(dialled, upstream, stats);
        // Behind `MULTI`, the upstream would queue `ASKING`. In front, it applies to the whole transaction.
        let setup = [("ASKING", is_asking), ("MULTI", self.session.is_in_transaction())];
        for (word, _) in setup.iter().filter(|(_, is_needed)| *is_needed) {
            link.out.request(&[word]);
            link.setup_replies += 1;
        }
        for request in queued {
            link.push(request);
        }
        link.queued_replies = queued.len();
        if let Some(pending) = &self.pending {
            link.send(pending);
        }
        self.link = Link::Open(Box::new(link));
    }

    /// Closes the connection.
    pub(crate) fn disconnect(&mut self) {
        self.link = Link::Closed;
    }

    /// Returns the open connection for reuse, if it has no state of the client.
    pub(crate) fn take_reusable(&mut self) -> Option<Dialled> {
        match mem::replace(&mut self.link, Link::Closed) {
            Link::Open(link) if link.is_reusable() => {
                let OpenLink { stream, is_older, .. } = *link;
                Some(Dialled { stream, is_older })
            }
            _ => None,
        }
    }

    /// Writes and reads until something happens.
    ///
    /// # Errors
    /// If the connection is lost.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<DedicatedEvent, LossReason>> {
        if let Some(PendingRequest { requester: DedicatedRequester::Client(responder), .. }) = &self.pending
            && responder.poll_closed(cx).is_ready()
        {
            return Poll::Ready(Ok(DedicatedEvent::Abandoned));
        }
        loop {
            let Link::Open(link) = &mut self.link else { return Poll::Pending };
            let Some(reply) = link.received.pop_front() else {
                ready!(link.poll_io(&self.client, self.pending.is_some(), cx))?;
                continue;
            };
            if let Some(event) = self.handle(reply)? {
                return Poll::Ready(Ok(event));
            }
        }
    }

    fn handle(&mut self, reply: WholeReply) -> Result<Option<DedicatedEvent>, LossReason> {
        let Link::Open(link) = &mut self.link else { return Ok(None) };
        let error = reply.bytes.strip_prefix(b"-");
        if !reply.is_push && link.setup_replies > 0 {
            link.setup_replies -= 1;
            return error.map_or(Ok(None), |error| Err(LossReason::error_reply(error)));
        }
        if !reply.is_push && link.queued_replies > 0 {
            link.queued_replies -= 1;
            // The client has the reply `QUEUED`, and learns of the error from `EXEC`.
            if error.is_some() {
                self.session.abort();
            }
            return Ok(None);
        }
        if error.is_some() && self.pending.is_some() {
            return Ok(Some(DedicatedEvent::Error(reply.bytes)));
        }
        Ok(self.take_reply(reply)?.map(DedicatedEvent::Answered))
    }

    /// Handles a reply or a push. Returns the pending request if this completes it.
    ///
    /// # Errors
    /// If no request waits for a reply.
    pub(crate) fn take_reply(
        &mut self,
        WholeReply { bytes: mut reply, is_push }: WholeReply,
    ) -> Result<Option<PendingRequest>, LossReason> {
        let message = self.update_subscriptions(&reply, is_push);
        if matches!(&self.link, Link::Open(link) if link.is_older) {
            reply = as_resp3(reply);
            if let (Some(_), Some(kind)) = (message, reply.first_mut()) {
                *kind = b'>';
            }
        }
        let is_message = message == Some(PubSubMessage::Message) || (message.is_none() && is_push);
        // A message that comes while a reply is outstanding is sent in front of this reply.
        let Some(pending) =
            self.pending.as_mut().filter(|pending| !is_message || pending.kind != CommandKind::Blocks)
        else {
            if !is_message {
                return Err(UNEXPECTED.into());
            }
            self.client.push(Message(reply.into()));
            return Ok(None);
        };
        pending.answer.extend_from_slice(&reply);
        if is_message {
            return Ok(None);
        }
        pending.replies_left = if reply.starts_with(b"-") { 0 } else { pending.replies_left - 1 };
        let kind = pending.kind;
        if self.session.is_aborted() && kind == CommandKind::Exec {
            pending.answer = Error::EXEC_ABORT.to_reply();
        }
        if self.session.is_in_transaction() {
            match kind {
                CommandKind::Exec | CommandKind::Discard => {
                    let maps = mem::take(&mut self.queued_maps);
                    if maps.iter().any(Option::is_some) {
                        pending.answer =
                            mapped_elements(maps, mem::take(&mut pending.answer), self.key.protocol);
                    }
                }
                _ if reply == b"+QUEUED\r\n" => self.queued_maps.push(pending.map.take()),
                _ => {}
            }
        } else if let Some(map) = pending.map.take() {
            pending.answer = mapped_bytes(map, mem::take(&mut pending.answer), self.key.protocol);
        }
        self.session.update(kind, &reply);
        if let Link::Open(link) = &mut self.link
            && matches!(kind, CommandKind::Exec | CommandKind::Discard)
        {
            link.is_tainted |= reply.starts_with(b"-") && !reply.starts_with(b"-EXECABORT");
        }
        Ok(self.pending.take_if(|pending| pending.replies_left == 0))
    }

    fn update_subscriptions(&mut self, reply: &[u8], is_push: bool) -> Option<PubSubMessage> {
        let pending = self.pending.as_ref().map(|pending| (pending.kind, &pending.bytes[..]));
        let requested = pending
            .filter(|(kind, _)| matches!(kind, CommandKind::Subscribe(_) | CommandKind::Unsubscribe(_)));
        let is_older = matches!(&self.link, Link::Open(link) if link.is_older);
        let is_resp2 = self.key.protocol == Protocol::Resp2 || is_older;
        if !is_push && !(is_resp2 && (requested.is_some() || self.session.is_subscribed())) {
            return None;
        }
        let message = self.session.update_subscriptions(reply, requested);
        self.client.set_subscribed(self.session.subscriptions());
        message
    }
}

impl Drop for DedicatedConnection {
    fn drop(&mut self) {
        if self.session.is_subscribed() {
            self.client.set_subscribed([0; 3]);
        }
    }
}

impl OpenLink {
    fn new(Dialled { stream, is_older }: Dialled, upstream: Rc<Upstream>, stats: Arc<UpstreamStats>) -> Self {
        OpenLink {
            stream,
            is_older,
            reader: ReplyReader::new(upstream.max_reply_len),
            upstream,
            stats,
            out: Encoder::default(),
            sent: 0,
            received: VecDeque::new(),
            setup_replies: 0,
            queued_replies: 0,
            meter: ReplyMeter::default(),
            timeout: None,
            is_tainted: false,
        }
    }

    /// Appends a request to the output buffer.
    fn push(&mut self, request: &[u8]) {
        self.out.raw(request);
        self.stats.commands.fetch_add(1, Relaxed);
    }

    /// Sends the pending request, and starts its timeout.
    fn send(&mut self, pending: &PendingRequest) {
        self.push(&pending.bytes);
        self.meter = ReplyMeter::default();
        self.timeout = match pending.kind {
            CommandKind::Blocks => None,
            _ => Some(Box::pin(sleep(self.upstream.reply_timeout))),
        };
    }

    fn is_reusable(&self) -> bool {
        self.out.is_empty()
            && self.received.is_empty()
            && self.reader.is_between_replies()
            && !self.is_tainted
    }

    /// Writes, and reads once.
    fn poll_io(
        &mut self,
        client: &Client,
        is_waiting: bool,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), LossReason>> {
        if is_waiting
            && let Some(timeout) = &mut self.timeout
            && timeout.as_mut().poll(cx).is_ready()
        {
            return Poll::Ready(Err(LossReason::Silence(self.upstream.reply_timeout)));
        }
        if self.stream.poll_write(&self.out, &mut self.sent, cx)?.is_ready() {
            self.out.clear();
            self.out.shrink_to(MAX_IDLE_BUFFER);
            self.sent = 0;
        }
        with_read_buffer(|scratch| {
            let read = ready!(self.stream.poll_read(scratch, cx))?;
            if read == 0 {
                return Poll::Ready(Err(LossReason::closed()));
            }
            if is_waiting && !self.meter.add(client, read) {
                return Poll::Ready(Err("the client has left".into()));
            }
            let mut input = &scratch[..read];
            while let Some(reply) = self.reader.next_whole(&mut input)? {
                self.received.push_back(reply);
            }
            Poll::Ready(Ok(()))
        })
    }
}

/// The unchanged bytes of a push.
pub(crate) struct Message(pub(crate) Bytes);

impl IntoReply for Message {
    fn into_reply(self, out: &mut Encoder) {
        out.raw_bytes(&self.0);
    }
}

impl IntoPush for Message {}
