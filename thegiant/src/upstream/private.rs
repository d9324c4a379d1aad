//! A connection to an upstream that one client has for a while: what it has done there is about the connection.

use std::{
    cell::RefCell,
    collections::HashSet,
    future::{Future, poll_fn},
    mem,
    pin::Pin,
    rc::{Rc, Weak},
    sync::{Arc, atomic::Ordering::Relaxed},
    task::{Context, Poll, ready},
};

use actix_rt::time::{Sleep, sleep};
use bytes::Bytes;
use tokio::sync::mpsc;

use super::{
    Upstream,
    commands::{Kind, kind_of},
    dial::{Dialled, Lane, Reason, as_resp3, dial, reason, silence},
    flights::{lost, unsent},
    handle::Stats,
    relay::Core,
};
use crate::{
    Client, Error, IntoPush, IntoReply, Raw, Responder, Value,
    command::Call,
    connection::{Burst, ClientFlag, MountId, STOPPED, Stream, with_scratch},
    resp::{Encoder, Frames, Protocol, Received, read},
};

/// What the relay has of such a connection. When it is dropped, the connection is closed.
pub(super) struct Private {
    requests: mpsc::UnboundedSender<(Request, Who)>,
}

/// What the client asks: one thing at a time, unless it has given up waiting for the reply.
struct Request {
    bytes: Bytes,
    kind: Kind,
    /// The words behind the name.
    args: usize,
    lane: Lane,
}

/// Who waits for a reply.
enum Who {
    /// A burst, whose next request it is.
    Burst(Box<Burst>, MountId),
    /// Of a command that may wait for long: the client may leave meanwhile.
    Client(Responder<Raw>),
}

/// The other end.
struct Session {
    core: Weak<RefCell<Core>>,
    upstream: Rc<Upstream>,
    stats: Arc<Stats>,
    client: Client,
    lane: Lane,
    /// Its replies are to be put in the words of RESP3.
    is_older: bool,
    requests: mpsc::UnboundedReceiver<(Request, Who)>,
    frames: Frames,
    /// What has come of a reply.
    reply: Vec<u8>,
    /// What is sent, and how much of it has been.
    out: Encoder,
    sent: usize,
    asked: Option<Asked>,
    is_in_transaction: bool,
    is_watching: bool,
    /// By what they were subscribed with: channels, patterns, channels of shards.
    subscribed: [HashSet<Bytes>; 3],
}

/// A request that waits for its reply.
struct Asked {
    kind: Kind,
    /// When it has been waited for too long; a command that may wait itself has no such time.
    patience: Option<Pin<Box<Sleep>>>,
    /// What is answered to it comes in so many parts.
    parts: usize,
    answer: Vec<u8>,
    who: Who,
}

/// Has a connection opened for a client, unless there is one already.
pub(super) fn open(
    core: Weak<RefCell<Core>>,
    upstream: Rc<Upstream>,
    stats: Arc<Stats>,
    client: &Client,
    lane: Lane,
    dialled: Option<Dialled>,
) -> Private {
    let (sender, requests) = mpsc::unbounded_channel();
    stats.private.fetch_add(1, Relaxed);
    let session = Session {
        core,
        upstream,
        stats,
        client: client.clone(),
        lane,
        is_older: false,
        requests,
        frames: Frames::default(),
        reply: Vec::new(),
        out: Encoder::default(),
        sent: 0,
        asked: None,
        is_in_transaction: false,
        is_watching: false,
        subscribed: Default::default(),
    };
    actix_rt::spawn(session.serve(dialled));
    Private { requests: sender }
}

impl Private {
    /// Sends the next request of a burst, which goes on when it has its reply.
    pub(super) fn send(&self, burst: Box<Burst>, mount: MountId, kind: Kind) {
        let request = burst.call(burst.next_request()).map(|call| Request::new(&call, kind));
        if let Some(request) = request {
            self.push(request, Who::Burst(burst, mount));
        }
    }

    /// Sends a request whose client is to be heard while it waits.
    pub(super) fn send_blocking(&self, call: &Call<'_>, out: &mut Encoder) {
        self.push(Request::new(call, Kind::Blocks), Who::Client(Responder::new(call, out)));
    }

    fn push(&self, request: Request, who: Who) {
        // Nobody takes it if its client has left.
        let _ = self.requests.send((request, who));
    }
}

impl Request {
    fn new(call: &Call<'_>, kind: Kind) -> Self {
        let mut bytes = Encoder::default();
        call.write(&mut bytes);
        Request { bytes: bytes.into_bytes(), kind, args: call.len() - 1, lane: Lane::of(call.client()) }
    }
}

/// Why the connection is not there any more.
enum End {
    /// Nothing is left of what it was opened for.
    Done,
    /// Its client has left or started over.
    Left,
    /// Its client does not wait for a reply any more, which is still to come.
    GivenUp,
    Lost(Reason),
    /// There has never been one.
    Unreachable(Reason),
}

impl Session {
    async fn serve(mut self, dialled: Option<Dialled>) {
        let dialled = match dialled {
            Some(dialled) => Ok(dialled),
            None => dial(&self.upstream, self.lane).await,
        };
        let end = match dialled {
            Ok(dialled) => {
                self.is_older = dialled.is_older;
                let mut dialled = Some(dialled);
                poll_fn(|cx| self.poll(&mut dialled, cx)).await
            }
            Err(reason) => End::Unreachable(reason),
        };
        match end {
            End::Done | End::Left => {}
            End::GivenUp if !self.client.is_connected() => {}
            End::GivenUp => self.fail(&"a command was given up".into()).await,
            End::Lost(reason) => self.fail(&reason).await,
            End::Unreachable(reason) => self.refuse(&reason).await,
        }
        self.end(None);
        // Who has given up a command may have sent another one, which finds its way anew.
        while let Ok((_, who)) = self.requests.try_recv() {
            match who {
                Who::Burst(burst, mount) => self.go_on(burst, mount),
                Who::Client(responder) => responder.fail(self.gone()),
            }
        }
    }

    /// The relay knows of it no longer; unless it has done away with it already.
    fn end(&mut self, dialled: Option<Dialled>) {
        if let Some(core) = self.core.upgrade().filter(|_| !self.requests.is_closed()) {
            core.borrow_mut().end_private(&self.client, self.lane, dialled);
        }
        self.requests.close();
    }

    /// There is no connection. What belongs to the first request is not run without it.
    async fn refuse(&mut self, reason: &Reason) {
        let Some((request, who)) = self.requests.recv().await else { return };
        self.end(None);
        self.stats.unsent.fetch_add(1, Relaxed);
        let error = unsent(&self.upstream.address, reason);
        match who {
            Who::Burst(mut burst, mount) if matches!(request.kind, Kind::Multi | Kind::Watch) => {
                loop {
                    let coming = burst.coming_for(mount).next();
                    let Some(kind) = coming.map(|(_, target)| kind_of(target.row.index())) else { break };
                    burst.reject(|_, out| out.error(&error));
                    if matches!(kind, Kind::Exec | Kind::Discard) {
                        break;
                    }
                }
                self.go_on(burst, mount);
            }
            who => self.answer(who, Err(error)),
        }
    }

    /// The connection was lost. Who listens notices that only when its own is lost, too.
    async fn fail(&mut self, reason: &Reason) {
        if self.is_subscribed() {
            let client = &self.client;
            tracing::info!(id = client.id(), client = %client.addr(), %reason, "closed: it has listened to an upstream that is lost");
            return client.kill();
        }
        let is_needed = self.is_needed();
        if !is_needed {
            // Before its client asks for more.
            self.end(None);
        }
        if let Some(asked) = self.asked.take() {
            self.stats.lost.fetch_add(1, Relaxed);
            self.answer(asked.who, Err(lost(&self.upstream.address, reason)));
        }
        // Nothing of a transaction is run as if there were none: it has to be ended first.
        while is_needed && let Some((request, who)) = self.requests.recv().await {
            let is_over = match request.kind {
                Kind::Exec | Kind::Discard => true,
                Kind::Unwatch => !self.is_in_transaction,
                _ => false,
            };
            if is_over {
                self.end(None);
            }
            let is_done = is_over && request.kind != Kind::Exec;
            self.answer(who, if is_done { Ok(OK.to_vec()) } else { Err(self.gone()) });
            if is_over {
                return;
            }
        }
    }

    fn gone(&self) -> Error {
        let address = &self.upstream.address;
        Error::new("UPSTREAM", format_args!("{address} was lost: what was watched or begun there is gone"))
    }

    fn go_on(&self, mut burst: Box<Burst>, mount: MountId) {
        if let Some(core) = self.core.upgrade() {
            return core.borrow_mut().go_on(burst, mount);
        }
        burst.refuse(mount, &STOPPED);
        // What is refused does not wait.
        drop(burst.leave());
    }

    fn answer(&self, who: Who, answer: Result<Vec<u8>, Error>) {
        match (who, answer) {
            (Who::Burst(mut burst, mount), answer) => {
                match answer {
                    Ok(reply) => {
                        burst.relay(&reply);
                        burst.end_relayed();
                    }
                    Err(error) => burst.reject(|_, out| out.error(&error)),
                }
                self.go_on(burst, mount);
            }
            // Who has left does not read it.
            (Who::Client(responder), Ok(reply)) => drop(responder.send(Raw(reply.into()))),
            (Who::Client(responder), Err(error)) => responder.fail(error),
        }
    }

    fn poll(&mut self, dialled: &mut Option<Dialled>, cx: &mut Context<'_>) -> Poll<End> {
        loop {
            if self.client.is(ClientFlag::StartedOver) {
                return Poll::Ready(End::Left);
            }
            while self.asked.is_none() {
                match self.requests.poll_recv(cx) {
                    Poll::Ready(Some((request, who))) => self.ask(request, who),
                    Poll::Ready(None) => return Poll::Ready(End::Left),
                    Poll::Pending => break,
                }
            }
            if let Some(Asked { who: Who::Client(responder), .. }) = &self.asked
                && responder.poll_closed(cx).is_ready()
            {
                return Poll::Ready(End::GivenUp);
            }
            if let Some(Asked { patience: Some(patience), .. }) = &mut self.asked
                && patience.as_mut().poll(cx).is_ready()
            {
                return Poll::Ready(End::Lost(silence(self.upstream.reply_timeout.as_secs())));
            }
            let Some(Dialled { stream, .. }) = dialled else { return Poll::Ready(End::Done) };
            match self.poll_socket(stream, cx) {
                Poll::Ready(Ok(None)) => {}
                Poll::Ready(Ok(Some(answered))) => {
                    let is_over = !self.is_needed();
                    if is_over {
                        // Before its client asks for more.
                        let is_clean = self.out.is_empty() && self.reply.is_empty();
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
    ) -> Poll<Result<Option<Asked>, Reason>> {
        if socket.poll_write(&self.out, &mut self.sent, cx).map_err(reason)?.is_ready() {
            self.out.clear(KEPT);
            self.sent = 0;
        }
        with_scratch(|scratch| {
            let taken = match ready!(socket.poll_read(scratch, cx)).map_err(reason)? {
                0 => Err("it has closed the connection".into()),
                read => self.take(&scratch[..read]),
            };
            Poll::Ready(taken)
        })
    }

    fn ask(&mut self, request: Request, who: Who) {
        let Request { bytes, mut kind, args, lane } = request;
        if lane != self.lane {
            return self.answer(who, Err(OTHER_LANE));
        }
        // With arguments, that is an error and nothing more.
        if args > 0 && matches!(kind, Kind::Multi | Kind::Exec | Kind::Discard | Kind::Unwatch) {
            kind = Kind::Plain;
        }
        // What it leads to would be told in the midst of the reply to `EXEC`.
        if self.is_in_transaction && matches!(kind, Kind::Subscribe(_) | Kind::Unsubscribe(_)) {
            return self.answer(who, Err(IN_TRANSACTION));
        }
        let parts = match kind {
            Kind::Subscribe(_) => args.max(1),
            Kind::Unsubscribe(what) if args == 0 => self.subscribed[what].len().max(1),
            Kind::Unsubscribe(_) => args,
            _ => 1,
        };
        self.out.raw(&bytes);
        let patience = match kind {
            Kind::Blocks => None,
            _ => Some(Box::pin(sleep(self.upstream.reply_timeout))),
        };
        self.asked = Some(Asked { kind, patience, parts, answer: Vec::new(), who });
    }

    fn take(&mut self, mut input: &[u8]) -> Result<Option<Asked>, Reason> {
        let mut answered = None;
        while !input.is_empty() {
            let (used, done) = self.frames.advance(input).map_err(|malformed| malformed.to_string())?;
            self.reply.extend_from_slice(&input[..used]);
            input = &input[used..];
            if self.reply.len() > self.upstream.max_reply_len {
                return Err(TOO_LONG.into());
            }
            if done {
                let reply = mem::take(&mut self.reply);
                answered = self.take_reply(reply)?.or(answered);
            }
        }
        Ok(answered)
    }

    /// A reply, a part of one, or a message.
    fn take_reply(&mut self, mut reply: Vec<u8>) -> Result<Option<Asked>, Reason> {
        let said = self.said_to_listener(&reply);
        if self.is_older {
            reply = as_resp3(reply);
            if let (Some(_), Some(kind)) = (said, reply.first_mut()) {
                *kind = b'>';
            }
        }
        let is_message = said == Some(Said::Message) || (said.is_none() && self.frames.is_push());
        // What is told while a reply is on its way is told before it.
        let Some(asked) = self.asked.as_mut().filter(|asked| !is_message || asked.kind != Kind::Blocks)
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
        let kind = asked.kind;
        self.note(kind, &reply);
        Ok(self.asked.take_if(|asked| asked.parts == 0))
    }

    /// What the reply says of the state of the connection.
    fn note(&mut self, kind: Kind, reply: &[u8]) {
        let is_ok = reply == OK;
        match kind {
            Kind::Multi if is_ok => self.is_in_transaction = true,
            // If nothing of it was run, it is over all the same.
            Kind::Exec | Kind::Discard
                if self.is_in_transaction
                    && (!reply.starts_with(b"-") || reply.starts_with(b"-EXECABORT")) =>
            {
                self.is_in_transaction = false;
                self.is_watching = false;
            }
            Kind::Watch if is_ok => self.is_watching = true,
            Kind::Unwatch if is_ok => self.is_watching = false,
            _ => {}
        }
    }

    /// What somebody is told who has subscribed, or is about to.
    fn said_to_listener(&mut self, reply: &[u8]) -> Option<Said> {
        let asks = self
            .asked
            .as_ref()
            .is_some_and(|asked| matches!(asked.kind, Kind::Subscribe(_) | Kind::Unsubscribe(_)));
        let is_resp2 = self.lane.protocol == Protocol::Resp2 || self.is_older;
        let is_listener = is_resp2 && (asks || self.is_subscribed());
        if !self.frames.is_push() && !is_listener {
            return None;
        }
        let mut words = match read::parse(reply) {
            Ok(Some((Received::Push(words) | Received::Reply(Value::Array(words)), _))) => words.into_iter(),
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
            b"message" | b"pmessage" | b"smessage" => return Some(Said::Message),
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
        Some(if asks { Said::Part } else { Said::Message })
    }

    fn is_subscribed(&self) -> bool {
        self.subscribed.iter().any(|channels| !channels.is_empty())
    }

    /// Whether the connection is still the client's.
    fn is_needed(&self) -> bool {
        self.is_in_transaction || self.is_watching || self.is_subscribed()
    }
}

/// What a listener is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said {
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

impl Drop for Session {
    fn drop(&mut self) {
        if self.is_subscribed() {
            self.client.set_subscribed([0; 3]);
        }
        self.stats.private.fetch_sub(1, Relaxed);
    }
}

/// Small buffers are kept.
const KEPT: usize = 4096;

const OK: &[u8] = b"+OK\r\n";

const IN_TRANSACTION: Error =
    Error::from_static("ERR SUBSCRIBE and its like cannot be sent on to an upstream within a transaction");

const TOO_LONG: &str = "its reply is too long";

const OTHER_LANE: Error = Error::from_static(
    "ERR SELECT and HELLO cannot be sent on to an upstream while there is a transaction, a watched key or a subscription",
);
