//! A connection over which a further upstream publishes messages for a client.

use std::{
    collections::VecDeque,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use super::{Dialled, session::is_published};
use crate::{
    proxy::wire::{LossReason, ReplyReader, WholeReply, as_resp3},
    resp::Encoder,
    stream::with_read_buffer,
};

/// A connection to an upstream at which a client has subscribed, besides that of its dedicated connection.
pub(crate) struct ChannelListener {
    link: Link,
    /// The requests, which wait until the connection is open.
    out: Encoder,
    /// Number of bytes of `out` that the socket has taken.
    sent: usize,
    reader: ReplyReader,
    /// Messages that have arrived and were not taken.
    received: VecDeque<Vec<u8>>,
    /// Number of requests that the upstream has not confirmed.
    unconfirmed: usize,
}

enum Link {
    Opening(Opening),
    Open(Dialled),
}

/// The future that opens a connection.
pub(crate) type Opening = Pin<Box<dyn Future<Output = Result<Dialled, LossReason>>>>;

/// Follows each request. Its reply says that the request has been executed, however many names the request has.
const MARK: &[u8] = b"*1\r\n$4\r\nPING\r\n";

/// The replies to `MARK`, the second in RESP2 while there is a subscription.
const CONFIRMED: [&[u8]; 2] = [b"+PONG\r\n", b"*2\r\n$4\r\npong\r\n$0\r\n\r\n"];

impl ChannelListener {
    pub(crate) fn new(opening: Opening, max_reply_len: usize) -> Self {
        ChannelListener {
            link: Link::Opening(opening),
            out: Encoder::default(),
            sent: 0,
            reader: ReplyReader::new(max_reply_len),
            received: VecDeque::new(),
            unconfirmed: 0,
        }
    }

    /// Sends a request, such as `SUBSCRIBE`.
    pub(crate) fn send(&mut self, request: &[u8]) {
        self.out.raw(request);
        self.out.raw(MARK);
        self.unconfirmed += 1;
    }

    /// Returns whether the upstream has confirmed all requests.
    pub(crate) fn is_confirmed(&self) -> bool {
        self.unconfirmed == 0
    }

    /// Returns the next message for the client.
    ///
    /// # Errors
    /// If the connection is lost, or cannot be opened.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Vec<u8>, LossReason>> {
        loop {
            if let Some(message) = self.received.pop_front() {
                return Poll::Ready(Ok(message));
            }
            match &mut self.link {
                Link::Opening(opening) => self.link = Link::Open(ready!(opening.as_mut().poll(cx))?),
                Link::Open(_) => ready!(self.poll_io(cx))?,
            }
        }
    }

    /// Writes, and reads once.
    fn poll_io(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LossReason>> {
        let Link::Open(Dialled { stream, is_older }) = &mut self.link else { return Poll::Pending };
        if !self.out.is_empty() && stream.poll_write(&self.out, &mut self.sent, cx)?.is_ready() {
            (self.out, self.sent) = (Encoder::default(), 0);
        }
        with_read_buffer(|scratch| {
            let read = ready!(stream.poll_read(scratch, cx))?;
            if read == 0 {
                return Poll::Ready(Err(LossReason::closed()));
            }
            let mut input = &scratch[..read];
            while let Some(WholeReply { bytes, .. }) = self.reader.next_whole(&mut input)? {
                // The dedicated connection confirms the subscriptions to the client.
                if is_published(&bytes) {
                    self.received.push_back(if *is_older { as_push(bytes) } else { bytes });
                } else if CONFIRMED.contains(&&bytes[..]) {
                    self.unconfirmed = self.unconfirmed.saturating_sub(1);
                }
            }
            Poll::Ready(Ok(()))
        })
    }
}

/// Converts a message in RESP2 to a push in RESP3.
fn as_push(message: Vec<u8>) -> Vec<u8> {
    let mut push = as_resp3(message);
    if let Some(kind) = push.first_mut() {
        *kind = b'>';
    }
    push
}
