//! A connection to an upstream that one client has to itself, because its requests change the state of the
//! connection.

use std::{
    mem,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;

use super::{
    Dialled, PoolKey, Upstream, UpstreamStats,
    dedicated_request::{DedicatedRequest, DedicatedRequester, PendingRequest},
    open_link::OpenLink,
    reply_map::{ReplyMap, mapped_bytes, mapped_elements},
    session::{PubSubMessage, Session},
};
use crate::{
    Client, Error, Value,
    client::ClientFlag,
    proxy::wire::{CommandKind, LossReason, WholeReply, as_resp3, cross_slot},
    resp::Protocol,
};

/// The requests of one client to one upstream, and the connection that carries them.
///
/// The client sends one request at a time, unless it abandons a blocking command.
pub(crate) struct DedicatedConnection {
    client: Client,
    key: PoolKey,
    pub(crate) session: Session,
    /// One of the keys of the requests so far, for errors.
    a_key: Option<Bytes>,
    /// The request that waits for its replies.
    pending: Option<PendingRequest>,
    /// The functions that map the replies to the queued requests of the transaction.
    queued_maps: Vec<Option<ReplyMap>>,
    link: Link,
}

/// The connection to the upstream.
enum Link {
    /// No connection. The pending request is sent when one is open.
    Closed,
    Open(Box<OpenLink>),
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

const SUBSCRIBE_IN_TRANSACTION: Error =
    Error::from_static("ERR SUBSCRIBE and its like cannot be sent on to an upstream within a transaction");

const POOL_CHANGED: Error = Error::from_static(
    "ERR SELECT and HELLO cannot be sent on to an upstream while there is a transaction, a watched key or a subscription",
);

const UNEXPECTED: &str = "unexpected reply from upstream";

impl DedicatedConnection {
    pub(crate) fn new(client: Client, key: PoolKey) -> Self {
        DedicatedConnection {
            client,
            key,
            session: Session::default(),
            a_key: None,
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
            self.client.forget_proxied_transaction();
        }
    }

    /// Ends a transaction with `DISCARD`, or with an `EXEC` that has nothing to run. Returns the reply.
    pub(crate) fn end_unsent_transaction(&mut self, kind: CommandKind) -> Vec<u8> {
        self.follow_abort();
        let is_aborted = self.session.is_aborted();
        self.session.end(kind);
        match kind {
            CommandKind::Exec if is_aborted => Error::EXEC_ABORT.to_reply(),
            CommandKind::Exec => b"*0\r\n".to_vec(),
            _ => b"+OK\r\n".to_vec(),
        }
    }

    /// Makes the transaction fail if the client's connection says so.
    fn follow_abort(&mut self) {
        let is_refused = self.client.is(ClientFlag::ProxiedQueueRefused) && !self.queued_maps.is_empty();
        if is_refused || self.client.is(ClientFlag::ProxiedTransactionAborted) {
            self.session.abort();
        }
    }

    /// Remembers a queued request to which the proxy itself has replied.
    pub(crate) fn add_queued(&mut self, map: Option<ReplyMap>) {
        self.queued_maps.push(map);
    }

    /// Returns the words of the pending request.
    pub(crate) fn pending_words(&self) -> Vec<Bytes> {
        let request = self.pending.as_ref().and_then(|pending| Value::parse(&pending.bytes).ok().flatten());
        let words = request.and_then(|(request, _)| request.into_vec()).unwrap_or_default();
        words.iter().filter_map(Value::as_bytes).map(Bytes::copy_from_slice).collect()
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
        let DedicatedRequest { mut bytes, kind, args, map, a_key, reads, .. } = request;
        self.a_key = a_key.or_else(|| self.a_key.take());
        self.follow_abort();
        if kind == CommandKind::Exec && self.session.is_aborted() {
            bytes = Bytes::from_static(b"*1\r\n$7\r\nDISCARD\r\n");
        }
        let replies_left = self.session.replies_to(kind, args);
        let pending = PendingRequest {
            bytes,
            kind,
            replies_left,
            awaits_listeners: false,
            answer: Vec::new(),
            listened: Vec::new(),
            map,
            reads,
            requester,
        };
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
            Some(_) if to.server != server => Err(match (&self.a_key, &request.a_key) {
                (Some(first), Some(second)) => cross_slot(first, second),
                _ => Error::CROSS_SLOT,
            }),
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
        if message == Some(PubSubMessage::Message) || (message.is_none() && is_push) {
            // A message that comes while a reply is outstanding is sent in front of this reply.
            match self.collecting() {
                Some(pending) => pending.answer.extend_from_slice(&reply),
                None => drop(self.client.push_encoded(reply.into())),
            }
            return Ok(None);
        }
        let Some(pending) = self.pending.as_mut().filter(|pending| pending.replies_left > 0) else {
            return Err(UNEXPECTED.into());
        };
        pending.answer.extend_from_slice(&reply);
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
        Ok(self.take_complete())
    }

    /// Takes a message that came over a listener.
    pub(crate) fn take_listened(&mut self, message: Vec<u8>) {
        if let Link::Open(link) = &mut self.link {
            link.meter.add(&self.client, message.len());
        }
        match self.collecting() {
            Some(pending) => pending.listened.extend_from_slice(&message),
            None => drop(self.client.push_encoded(message.into())),
        }
    }

    /// Makes the pending request wait for the listeners, too.
    pub(crate) fn await_listeners(&mut self) {
        if let Some(pending) = &mut self.pending {
            pending.awaits_listeners = true;
        }
    }

    /// Ends this wait. Returns the pending request if this completes it.
    pub(crate) fn on_listeners_confirmed(&mut self) -> Option<PendingRequest> {
        self.pending.as_mut()?.awaits_listeners = false;
        self.take_complete()
    }

    /// Returns the pending request that messages have to stay in order with.
    ///
    /// The client of a blocking command gets messages at once.
    fn collecting(&mut self) -> Option<&mut PendingRequest> {
        self.pending.as_mut().filter(|pending| pending.kind != CommandKind::Blocks)
    }

    /// Takes the pending request if it has all replies and confirmations.
    ///
    /// In RESP2, a message looks like a reply. So it follows the confirmation of the first subscription, and precedes that of
    /// the last `UNSUBSCRIBE`.
    fn take_complete(&mut self) -> Option<PendingRequest> {
        let is_complete =
            |pending: &mut PendingRequest| pending.replies_left == 0 && !pending.awaits_listeners;
        let mut pending = self.pending.take_if(is_complete)?;
        let listened = mem::take(&mut pending.listened);
        match pending.kind {
            CommandKind::Subscribe(_) => pending.answer.extend(listened),
            _ => drop(pending.answer.splice(..0, listened)),
        }
        Some(pending)
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
        let before = self.session.subscriptions();
        let message = self.session.update_subscriptions(reply, requested);
        if self.session.subscriptions() != before && !self.client.is(ClientFlag::WasReset) {
            self.client.set_upstream_names(self.session.subscribed());
        }
        message
    }
}

impl Drop for DedicatedConnection {
    fn drop(&mut self) {
        self.client.forget_upstream_names(Some(self.session.subscribed()));
    }
}
