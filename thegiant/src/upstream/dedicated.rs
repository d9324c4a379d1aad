//! A connection to an upstream that one client has for a while: what it has done there is about the connection.

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
    command::{Call, ReplyBuffer},
    connection::{ActorId, Batch, ClientFlag, STOPPED, Stream, with_read_buffer},
    resp::{Encoder, FramePart, FrameScanner, Incoming, Protocol},
};

/// What the proxy has of such a connection. When it is dropped, the connection is closed.
pub(super) struct DedicatedConnection {
    requests: mpsc::UnboundedSender<(DedicatedRequest, DedicatedRequester)>,
    state: Rc<DedicatedState>,
}

/// What the proxy has to know of the other end, to see what has to go there.
#[derive(Default)]
struct DedicatedState {
    /// The upstream, which is not known as long as nothing of a transaction shows where it belongs.
    server: Cell<Option<usize>>,
    is_in_transaction: Cell<bool>,
}

/// What the client asks: one thing at a time, unless it has given up waiting for the reply.
struct DedicatedRequest {
    bytes: Bytes,
    kind: CommandKind,
    /// The words behind the name.
    args: usize,
    key: PoolKey,
    /// The upstream; none is any, and an error is what is answered.
    to: Result<Option<usize>, Error>,
}

/// Requester waits for a reply.
enum DedicatedRequester {
    /// A batch, whose next request it is.
    Batch(Box<Batch>, ActorId),
    /// Of a command that may wait for long: the client may leave meanwhile.
    Client(Responder<Raw>),
}

/// The other end.
struct DedicatedSession {
    core: Weak<RefCell<ProxyState>>,
    client: Client,
    key: PoolKey,
    state: Rc<DedicatedState>,
    /// How it is reached, when it is known which one it is.
    reached: Option<(Rc<Upstream>, Arc<UpstreamStats>)>,
    /// There is a connection.
    is_open: bool,
    /// Its replies are to be put in the words of RESP3.
    is_older: bool,
    requests: mpsc::UnboundedReceiver<(DedicatedRequest, DedicatedRequester)>,
    frames: FrameScanner,
    /// What has come of a reply.
    reply: Vec<u8>,
    /// What is sent, and how much of it has been.
    out: Encoder,
    sent: usize,
    /// So many replies are to what was sent before what is asked.
    unasked: u32,
    asked: Option<PendingRequest>,
    /// Where what is asked has to go instead.
    redirect: Option<Redirect>,
    /// How the router finds out where that is.
    refresh: Option<Refresh>,
    /// How often it had to go elsewhere.
    redirects: u32,
    /// Something has been answered here, so that nothing of it can be sent elsewhere.
    is_committed: bool,
    /// Something of a transaction was not accepted, so that nothing of it is run.
    is_aborted: bool,
    /// There might be a transaction yet, so that nobody else gets the connection.
    is_unusable: bool,
    is_watching: bool,
    /// By what they were subscribed with: channels, patterns, channels of shards.
    subscribed: [HashSet<Bytes>; 3],
}

/// A request that waits for its reply.
struct PendingRequest {
    bytes: Bytes,
    kind: CommandKind,
    /// When it has been waited for too long; a command that may wait itself has no such time.
    patience: Option<Pin<Box<Sleep>>>,
    /// What is answered to it comes in so many parts.
    parts: usize,
    answer: Vec<u8>,
    who: DedicatedRequester,
}

/// Has a connection opened for a client, to this upstream if it is known which one it has to be.
pub(super) fn open(
    core: Weak<RefCell<ProxyState>>,
    client: &Client,
    key: PoolKey,
    server: Option<usize>,
) -> DedicatedConnection {
    let (sender, requests) = mpsc::unbounded_channel();
    let state = Rc::new(DedicatedState { server: Cell::new(server), ..DedicatedState::default() });
    let session = DedicatedSession {
        core,
        client: client.clone(),
        key,
        state: Rc::clone(&state),
        reached: None,
        is_open: false,
        is_older: false,
        requests,
        frames: FrameScanner::default(),
        reply: Vec::new(),
        out: Encoder::default(),
        sent: 0,
        unasked: 0,
        asked: None,
        redirect: None,
        refresh: None,
        is_committed: false,
        is_aborted: false,
        is_unusable: false,
        redirects: 0,
        is_watching: false,
        subscribed: Default::default(),
    };
    actix_rt::spawn(session.serve());
    DedicatedConnection { requests: sender, state }
}

impl DedicatedConnection {
    /// Where it goes, and whether there is a transaction.
    pub(super) fn state(&self) -> (Option<usize>, bool) {
        (self.state.server.get(), self.state.is_in_transaction.get())
    }

    /// Sends the next request of a batch, which goes on when it has its reply.
    pub(super) fn send(
        &self,
        batch: Box<Batch>,
        actor_id: ActorId,
        kind: CommandKind,
        to: Result<Option<usize>, Error>,
    ) {
        let request = batch.call(batch.next_request()).map(|call| DedicatedRequest::new(&call, kind, to));
        if let Some(request) = request {
            self.push(request, DedicatedRequester::Batch(batch, actor_id));
        }
    }

    /// Sends a request whose client is to be heard while it waits.
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

    fn push(&self, request: DedicatedRequest, who: DedicatedRequester) {
        // Nobody takes it if its client has left.
        let _ = self.requests.send((request, who));
    }
}

impl DedicatedRequest {
    fn new(call: &Call<'_>, kind: CommandKind, to: Result<Option<usize>, Error>) -> Self {
        let mut bytes = Encoder::default();
        call.write(&mut bytes);
        let key = PoolKey::of(call.client());
        DedicatedRequest { bytes: bytes.into_vec().into(), kind, args: call.len() - 1, key, to }
    }
}

/// RetryReason the connection is not there any more.
enum End {
    /// Nothing is left of what it was opened for.
    Done,
    /// Its client has left or started over.
    Left,
    /// Its client does not wait for a reply any more, which is still to come.
    GivenUp,
    Lost(LossReason),
    /// There has never been one.
    Unreachable(LossReason),
    /// What is asked has to go elsewhere, and nothing has come before it.
    Elsewhere(Redirect),
    /// The same, but the router has to ask first where it has to go.
    Unconfirmed(Refresh),
}

impl DedicatedSession {
    async fn serve(mut self) {
        match self.attend().await {
            End::GivenUp if !self.client.is_connected() => {}
            End::GivenUp => self.fail(&"a command was given up".into()).await,
            End::Lost(reason) => self.fail(&reason).await,
            End::Unreachable(reason) => self.refuse(&reason).await,
            End::Done | End::Left | End::Elsewhere(_) | End::Unconfirmed(_) => {}
        }
        self.end(None);
        // Requester has given up a command may have sent another one, which finds its way anew.
        while let Ok((_, who)) = self.requests.try_recv() {
            match who {
                DedicatedRequester::Batch(batch, actor_id) => self.go_on(batch, actor_id),
                DedicatedRequester::Client(responder) => responder.fail(self.gone()),
            }
        }
    }

    /// Sends what its client asks where it has to go, as long as there is a need.
    async fn attend(&mut self) -> End {
        let mut is_asking = false;
        loop {
            let Some(server) = self.whereto().await else { return End::Left };
            let Some(core) = self.core.upgrade() else { return End::Left };
            let (upstream, stats, forgotten) = core.borrow().server(server);
            let idle = core.borrow_mut().take_idle(server, self.key);
            drop(core);
            stats.private.fetch_add(1, Relaxed);
            if let Some((_, stats)) = self.reached.replace((Rc::clone(&upstream), stats)) {
                stats.private.fetch_sub(1, Relaxed);
            }
            let connection = match idle {
                Some(dialled) => dialled,
                None => match dial(&upstream, self.key).await {
                    Ok(dialled) => dialled,
                    Err(reason) => return End::Unreachable(reason),
                },
            };
            self.begin(connection.is_older, is_asking);
            let mut connection = Some(connection);
            let mut forgotten = pin!(forgotten.notified());
            let served = poll_fn(|cx| match forgotten.as_mut().poll(cx) {
                Poll::Ready(()) => Poll::Ready(End::Lost(FORGOTTEN.into())),
                Poll::Pending => self.poll(&mut connection, cx),
            });
            match served.await {
                End::Elsewhere(redirect) => {
                    self.state.server.set(Some(redirect.server));
                    is_asking = redirect.asking;
                }
                // The request is sent once more when the router has asked where it has to go.
                End::Unconfirmed(refresh) => drop(actix_rt::spawn(refresh).await),
                end => return end,
            }
        }
    }

    /// The upstream that it has to be, for which a transaction has to be looked into. None: the client has left.
    async fn whereto(&mut self) -> Option<usize> {
        while self.state.server.get().is_none() {
            let (request, who) = self.requests.recv().await?;
            match (request.kind, &request.to) {
                (CommandKind::Multi, _) if request.args == 0 && !self.state.is_in_transaction.get() => {
                    self.state.is_in_transaction.set(true);
                    self.answer(who, Ok(OK.to_vec()));
                }
                // An error shows nothing.
                (_, Err(_)) => self.ask(request, who),
                (_, Ok(to)) => {
                    let any = || Some(self.core.upgrade()?.borrow().any_server(&self.client));
                    let to = to.or_else(any)?;
                    self.state.server.set(Some(to));
                    self.ask(request, who);
                }
            }
        }
        self.state.server.get()
    }

    /// There is a connection, on which nothing has been asked yet.
    fn begin(&mut self, is_older: bool, is_asking: bool) {
        self.is_open = true;
        self.is_older = is_older;
        self.frames = FrameScanner::default();
        self.reply.clear();
        self.out = Encoder::default();
        self.sent = 0;
        // Within a transaction, `ASKING` would be a part of it; before, it is for the whole.
        let before = [("ASKING", is_asking), ("MULTI", self.state.is_in_transaction.get())];
        self.unasked = 0;
        for (word, _) in before.iter().filter(|(_, is_needed)| *is_needed) {
            self.out.request(&[word]);
            self.unasked += 1;
        }
        if let Some(asked) = &self.asked {
            self.out.raw(&asked.bytes);
            self.count();
        }
    }

    /// One more request is sent.
    fn count(&self) {
        if let Some((_, stats)) = &self.reached {
            stats.commands.fetch_add(1, Relaxed);
        }
    }

    /// The proxy knows of it no longer; unless it has done away with it already.
    fn end(&mut self, dialled: Option<Dialled>) {
        if let Some(core) = self.core.upgrade().filter(|_| !self.requests.is_closed()) {
            let dialled = self.state.server.get().zip(dialled);
            core.borrow_mut().end_dedicated(&self.client, self.key, dialled);
        }
        self.requests.close();
    }

    /// There is no connection.
    async fn refuse(&mut self, reason: &LossReason) {
        if self.asked.is_none() {
            let Some((request, who)) = self.requests.recv().await else { return };
            self.ask(request, who);
        }
        let (Some(asked), Some((_, stats))) = (self.asked.take(), &self.reached) else { return };
        let error = stats.unsent(reason, 1);
        self.note_end(asked.kind);
        if !self.is_needed() {
            // Before its client asks for more.
            self.end(None);
        }
        self.answer(asked.who, Err(error));
        self.fail(reason).await;
    }

    /// The connection was lost. Requester listens notices that only when its own is lost, too.
    async fn fail(&mut self, reason: &LossReason) {
        if self.is_subscribed() {
            let client = &self.client;
            tracing::info!(id = client.id(), client = %client.addr(), %reason, "closed: it has listened to an upstream that is lost");
            return client.kill();
        }
        if let Some(asked) = &self.asked {
            self.note_end(asked.kind);
        }
        let is_needed = self.is_needed();
        if !is_needed {
            // Before its client asks for more.
            self.end(None);
        }
        if let (Some(asked), Some((_, stats))) = (self.asked.take(), &self.reached) {
            let error = stats.lost(reason, 1);
            self.answer(asked.who, Err(error));
        }
        // Nothing of a transaction is run as if there were none: it has to be ended first.
        while is_needed && let Some((request, who)) = self.requests.recv().await {
            let is_over = match request.kind {
                CommandKind::Exec | CommandKind::Discard => true,
                CommandKind::Unwatch => !self.state.is_in_transaction.get(),
                _ => false,
            };
            if is_over {
                self.end(None);
            }
            let is_done = is_over && request.kind != CommandKind::Exec;
            self.answer(who, if is_done { Ok(OK.to_vec()) } else { Err(self.gone()) });
            if is_over {
                return;
            }
        }
    }

    /// What has been begun is over for the client that has asked this, whatever became of it.
    fn note_end(&mut self, kind: CommandKind) {
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

    fn gone(&self) -> Error {
        let address = self.reached.as_ref().map_or("the upstream", |(upstream, _)| &upstream.address);
        Error::new("UPSTREAM", format_args!("{address} was lost: what was watched or begun there is gone"))
    }

    fn go_on(&self, mut batch: Box<Batch>, actor_id: ActorId) {
        if let Some(core) = self.core.upgrade() {
            return core.borrow_mut().go_on(batch, actor_id);
        }
        batch.refuse(actor_id, &STOPPED);
        // What is refused does not wait.
        drop(batch.return_to_client());
    }

    fn answer(&self, who: DedicatedRequester, answer: Result<Vec<u8>, Error>) {
        match (who, answer) {
            (DedicatedRequester::Batch(mut batch, actor_id), answer) => {
                match answer {
                    Ok(reply) => {
                        batch.proxy(&reply);
                        batch.end_proxied();
                    }
                    Err(error) => batch.reject(|_, out| out.error(&error)),
                }
                self.go_on(batch, actor_id);
            }
            // Requester has left does not read it.
            (DedicatedRequester::Client(responder), Ok(reply)) => drop(responder.send(Raw(reply.into()))),
            (DedicatedRequester::Client(responder), Err(error)) => responder.fail(error),
        }
    }

    fn poll(&mut self, dialled: &mut Option<Dialled>, cx: &mut Context<'_>) -> Poll<End> {
        loop {
            if self.client.is(ClientFlag::WasReset) {
                return Poll::Ready(End::Left);
            }
            while self.asked.is_none() {
                match self.requests.poll_recv(cx) {
                    Poll::Ready(Some((request, who))) => self.ask(request, who),
                    Poll::Ready(None) => return Poll::Ready(End::Left),
                    Poll::Pending => break,
                }
            }
            if let Some(PendingRequest { who: DedicatedRequester::Client(responder), .. }) = &self.asked
                && responder.poll_closed(cx).is_ready()
            {
                return Poll::Ready(End::GivenUp);
            }
            if let Some(PendingRequest { patience: Some(patience), .. }) = &mut self.asked
                && patience.as_mut().poll(cx).is_ready()
            {
                return Poll::Ready(End::Lost(silence(self.patience())));
            }
            let Some(Dialled { stream, .. }) = dialled else { return Poll::Ready(End::Done) };
            match self.poll_socket(stream, cx) {
                Poll::Ready(Ok(None)) => {
                    if let Some(redirect) = self.redirect.take() {
                        return Poll::Ready(End::Elsewhere(redirect));
                    }
                    if let Some(refresh) = self.refresh.take() {
                        return Poll::Ready(End::Unconfirmed(refresh));
                    }
                }
                Poll::Ready(Ok(Some(answered))) => {
                    self.is_committed = true;
                    let is_over = !self.is_needed();
                    if is_over {
                        // Before its client asks for more.
                        let is_clean = self.out.is_empty() && self.reply.is_empty() && !self.is_unusable;
                        self.end(dialled.take().filter(|_| is_clean));
                    }
                    self.answer(answered.who, Ok(answered.answer));
                    if is_over {
                        return Poll::Ready(End::Done);
                    }
                }
                Poll::Ready(Err(reason)) => return Poll::Ready(End::Lost(reason)),
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// Writes and reads; returns what has been answered.
    fn poll_socket(
        &mut self,
        socket: &mut Stream,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<PendingRequest>, LossReason>> {
        if socket.poll_write(&self.out, &mut self.sent, cx).map_err(reason)?.is_ready() {
            self.out.clear();
            self.out.shrink_to(KEPT);
            self.sent = 0;
        }
        with_read_buffer(|scratch| {
            let taken = match ready!(socket.poll_read(scratch, cx)).map_err(reason)? {
                0 => Err("it has closed the connection".into()),
                read => self.take(&scratch[..read]),
            };
            Poll::Ready(taken)
        })
    }

    fn ask(&mut self, request: DedicatedRequest, who: DedicatedRequester) {
        let DedicatedRequest { mut bytes, mut kind, args, key, to } = request;
        if key != self.key {
            return self.answer(who, Err(OTHER_LANE));
        }
        let refused = match to {
            Ok(Some(to)) if self.state.server.get() != Some(to) => Some(Error::CROSS_SLOT),
            Ok(_) => None,
            Err(error) => Some(error),
        };
        if let Some(error) = refused {
            self.is_aborted |= self.state.is_in_transaction.get();
            return self.answer(who, Err(error));
        }
        // With arguments, that is an error and nothing more.
        if args > 0
            && matches!(
                kind,
                CommandKind::Multi | CommandKind::Exec | CommandKind::Discard | CommandKind::Unwatch
            )
        {
            kind = CommandKind::Plain;
        }
        // What it leads to would be told in the midst of the reply to `EXEC`.
        if self.state.is_in_transaction.get()
            && matches!(kind, CommandKind::Subscribe(_) | CommandKind::Unsubscribe(_))
        {
            return self.answer(who, Err(IN_TRANSACTION));
        }
        if kind == CommandKind::Exec && self.is_aborted {
            bytes = Bytes::from_static(b"*1\r\n$7\r\nDISCARD\r\n");
        }
        let parts = match kind {
            CommandKind::Subscribe(_) => args.max(1),
            CommandKind::Unsubscribe(what) if args == 0 => self.subscribed[what].len().max(1),
            CommandKind::Unsubscribe(_) => args,
            _ => 1,
        };
        if self.is_open {
            self.out.raw(&bytes);
            self.count();
        }
        let patience = match kind {
            CommandKind::Blocks => None,
            _ => Some(Box::pin(sleep(self.patience()))),
        };
        self.asked = Some(PendingRequest { bytes, kind, patience, parts, answer: Vec::new(), who });
    }

    /// For so long a reply is waited for.
    fn patience(&self) -> Duration {
        self.reached.as_ref().map_or(CONNECTING, |(upstream, _)| upstream.reply_timeout)
    }

    fn take(&mut self, mut input: &[u8]) -> Result<Option<PendingRequest>, LossReason> {
        let mut answered = None;
        while !input.is_empty() {
            let FramePart { len, is_complete } =
                self.frames.advance(input).map_err(|error| error.to_string())?;
            self.reply.extend_from_slice(&input[..len]);
            input = &input[len..];
            if self.reached.as_ref().is_some_and(|(upstream, _)| self.reply.len() > upstream.max_reply_len) {
                return Err(TOO_LONG.into());
            }
            if is_complete {
                let reply = mem::take(&mut self.reply);
                answered = self.take_reply(reply)?.or(answered);
            }
        }
        Ok(answered)
    }

    /// A reply, a part of one, or a message.
    fn take_reply(&mut self, mut reply: Vec<u8>) -> Result<Option<PendingRequest>, LossReason> {
        if self.unasked > 0 && !self.frames.is_push() {
            self.unasked -= 1;
            return match reply.strip_prefix(b"-") {
                Some(error) => Err(String::from_utf8_lossy(error).trim_end().into()),
                None => Ok(None),
            };
        }
        let (redirect, refresh) = self.whereto_instead(&reply);
        if redirect.is_some() || refresh.is_some() {
            if self.is_committed {
                reply = HAS_MOVED.to_reply();
                self.is_aborted = self.state.is_in_transaction.get();
            } else if self.redirects < MAX_RETRIES {
                self.redirects += 1;
                (self.redirect, self.refresh) = (redirect, refresh);
                return Ok(None);
            }
        }
        let said = self.said_to_listener(&reply);
        if self.is_older {
            reply = as_resp3(reply);
            if let (Some(_), Some(kind)) = (said, reply.first_mut()) {
                *kind = b'>';
            }
        }
        let is_message = said == Some(UpstreamMessage::Message) || (said.is_none() && self.frames.is_push());
        // What is told while a reply is on its way is told before it.
        let Some(asked) =
            self.asked.as_mut().filter(|asked| !is_message || asked.kind != CommandKind::Blocks)
        else {
            if !is_message {
                return Err("it has replied to what was not asked".into());
            }
            self.client.push(Message(reply.into()));
            return Ok(None);
        };
        asked.answer.extend_from_slice(&reply);
        if is_message {
            return Ok(None);
        }
        asked.parts = if reply.starts_with(b"-") { 0 } else { asked.parts - 1 };
        if self.is_aborted && asked.kind == CommandKind::Exec {
            asked.answer = Error::EXEC_ABORT.to_reply();
        }
        let kind = asked.kind;
        self.note(kind, &reply);
        Ok(self.asked.take_if(|asked| asked.parts == 0))
    }

    /// Where a request has to go that this reply answers, or how the router finds that out.
    fn whereto_instead(&self, reply: &[u8]) -> (Option<Redirect>, Option<Refresh>) {
        let Some(core) = self.core.upgrade().filter(|_| reply.starts_with(b"-")) else { return (None, None) };
        let mut core = core.borrow_mut();
        match core.redirect(reply) {
            None => (None, core.refresh(reply)),
            redirect => (redirect, None),
        }
    }

    /// What the reply says of the state of the connection.
    fn note(&mut self, kind: CommandKind, reply: &[u8]) {
        let is_ok = reply == OK;
        match kind {
            CommandKind::Multi if is_ok => self.state.is_in_transaction.set(true),
            // Whatever it says: a client does not end it twice.
            CommandKind::Exec | CommandKind::Discard => {
                self.is_unusable |= reply.starts_with(b"-") && !reply.starts_with(b"-EXECABORT");
                self.note_end(kind);
            }
            CommandKind::Watch if is_ok => self.is_watching = true,
            CommandKind::Unwatch if is_ok => self.is_watching = false,
            _ => {}
        }
    }

    /// What somebody is told who has subscribed, or is about to.
    fn said_to_listener(&mut self, reply: &[u8]) -> Option<UpstreamMessage> {
        let asks = self.asked.as_ref().is_some_and(|asked| {
            matches!(asked.kind, CommandKind::Subscribe(_) | CommandKind::Unsubscribe(_))
        });
        let is_resp2 = self.key.protocol == Protocol::Resp2 || self.is_older;
        let is_listener = is_resp2 && (asks || self.is_subscribed());
        if !self.frames.is_push() && !is_listener {
            return None;
        }
        let mut words = match Incoming::parse(reply) {
            Ok(Some((Incoming::Push(words) | Incoming::Reply(Value::Array(words)), _))) => words.into_iter(),
            _ => return None,
        };
        let (Some(Value::Bulk(word)), channel) = (words.next(), words.next()) else { return None };
        let (what, is_on) = match &word[..] {
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
            match is_on {
                true => self.subscribed[what].insert(channel),
                false => self.subscribed[what].remove(&channel),
            };
        }
        self.client.set_subscribed(self.subscribed.each_ref().map(HashSet::len));
        // A cluster that has moved a channel says so unasked.
        Some(if asks { UpstreamMessage::Part } else { UpstreamMessage::Message })
    }

    fn is_subscribed(&self) -> bool {
        self.subscribed.iter().any(|channels| !channels.is_empty())
    }

    /// Whether the connection is still the client's.
    fn is_needed(&self) -> bool {
        self.state.is_in_transaction.get() || self.is_watching || self.is_subscribed()
    }
}

/// What a listener is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum UpstreamMessage {
    Message,
    /// A part of what is answered to a request.
    Part,
}

/// What comes unasked, as it came.
struct Message(Bytes);

impl IntoReply for Message {
    fn into_reply(self, out: &mut Encoder) {
        out.raw_bytes(&self.0);
    }
}

impl IntoPush for Message {}

impl Drop for DedicatedSession {
    fn drop(&mut self) {
        if self.is_subscribed() {
            self.client.set_subscribed([0; 3]);
        }
        if let Some((_, stats)) = &self.reached {
            stats.private.fetch_sub(1, Relaxed);
        }
    }
}

/// For so long a reply may take to what is asked before there is a connection.
const CONNECTING: Duration = Duration::from_secs(60);

/// Small buffers are kept.
const KEPT: usize = 4096;

const OK: &[u8] = b"+OK\r\n";

const IN_TRANSACTION: Error =
    Error::from_static("ERR SUBSCRIBE and its like cannot be sent on to an upstream within a transaction");

const TOO_LONG: &str = "its reply is too long";

const OTHER_LANE: Error = Error::from_static(
    "ERR SELECT and HELLO cannot be sent on to an upstream while there is a transaction, a watched key or a subscription",
);
