//! The open connection of one client.

use std::{
    collections::VecDeque,
    pin::Pin,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll, ready},
};

use actix_rt::time::{Sleep, sleep};

use super::{Dialled, Upstream, UpstreamStats, dedicated_request::PendingRequest, reply_meter::ReplyMeter};
use crate::{
    Client,
    proxy::wire::{CommandKind, LossReason, ReplyReader, WholeReply},
    resp::Encoder,
    stream::{Stream, with_read_buffer},
};

/// An open connection.
pub(super) struct OpenLink {
    pub(super) stream: Stream,
    /// See [`Dialled::is_older`].
    pub(super) is_older: bool,
    pub(super) upstream: Rc<Upstream>,
    pub(super) stats: Arc<UpstreamStats>,
    /// The output buffer.
    pub(super) out: Encoder,
    /// Number of bytes of `out` that the socket has taken.
    pub(super) sent: usize,
    pub(super) reader: ReplyReader,
    /// Replies that have arrived and were not handled.
    pub(super) received: VecDeque<WholeReply>,
    /// Number of outstanding replies to `ASKING` and `MULTI`, which come before all others.
    pub(super) setup_replies: usize,
    /// Number of outstanding replies to requests that were queued before the upstream was known.
    pub(super) queued_replies: usize,
    /// Counts the replies to the pending request.
    pub(super) meter: ReplyMeter,
    /// The reply timeout of the pending request. A blocking command has none.
    pub(super) timeout: Option<Pin<Box<Sleep>>>,
    /// The upstream may still have a transaction, so other clients must not get the connection.
    pub(super) is_tainted: bool,
}

/// Maximum capacity of the output buffer between requests, in bytes.
const MAX_IDLE_BUFFER: usize = 4096;

impl OpenLink {
    pub(super) fn new(
        Dialled { stream, is_older }: Dialled,
        upstream: Rc<Upstream>,
        stats: Arc<UpstreamStats>,
    ) -> Self {
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
    pub(super) fn push(&mut self, request: &[u8]) {
        self.out.raw(request);
        self.stats.commands.add(1);
    }

    /// Sends the pending request, and starts its timeout.
    pub(super) fn send(&mut self, pending: &PendingRequest) {
        self.push(&pending.bytes);
        self.meter = ReplyMeter::default();
        self.timeout = match pending.kind {
            CommandKind::Blocks => None,
            _ => Some(Box::pin(sleep(self.upstream.reply_timeout))),
        };
    }

    pub(super) fn is_reusable(&self) -> bool {
        self.out.is_empty()
            && self.received.is_empty()
            && self.reader.is_between_replies()
            && !self.is_tainted
    }

    /// Writes, and reads once.
    pub(super) fn poll_io(
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
