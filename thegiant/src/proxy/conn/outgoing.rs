//! The bytes that a connection has to send.

use std::{
    io, mem,
    task::{Context, Poll, ready},
};

use crate::{proxy::wire::Words, resp::Encoder, stream::Stream};

/// Maximum capacity of a buffer that is kept while the connection is idle, in bytes.
const MAX_IDLE_CAPACITY: usize = 64 * 1024;

/// The requests that the socket has not accepted yet.
#[derive(Default)]
pub(super) struct Outgoing {
    /// The bytes that are being written to the socket.
    writing: Encoder,
    /// Number of bytes of `writing` that the socket has accepted.
    written: usize,
    /// The bytes that follow `writing`.
    next: Encoder,
    /// Offset of `writing` in the stream of all bytes of all requests.
    base: u64,
}

impl Outgoing {
    /// Returns the offset of the next request in the stream of all bytes.
    pub(super) fn end(&self) -> u64 {
        self.base + (self.writing.len() + self.next.len()) as u64
    }

    /// Returns the unsent bytes from this offset on, for another connection.
    pub(super) fn starting_at(&self, from: u64) -> Self {
        let start = usize::try_from(from - self.base).unwrap_or(usize::MAX);
        let mut next = Encoder::default();
        for (part, start) in [(&self.writing, start), (&self.next, start.saturating_sub(self.writing.len()))]
        {
            let bytes = part.to_vec();
            next.raw(bytes.get(start..).unwrap_or_default());
        }
        Outgoing { next, base: from, ..Outgoing::default() }
    }

    /// Returns the number of bytes that the socket has accepted.
    pub(super) fn sent(&self) -> u64 {
        self.base + self.written as u64
    }

    /// Returns the number of unsent bytes.
    pub(super) fn unsent(&self) -> usize {
        self.writing.len() - self.written + self.next.len()
    }

    /// Appends a request.
    pub(super) fn push(&mut self, words: Words<'_>) {
        words.write(&mut self.next);
    }

    /// Writes until all bytes are sent or the socket would block.
    pub(super) fn poll_write(&mut self, stream: &mut Stream, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            ready!(stream.poll_write(&self.writing, &mut self.written, cx))?;
            if self.next.is_empty() {
                return Poll::Ready(Ok(()));
            }
            self.base += mem::take(&mut self.written) as u64;
            self.writing.clear();
            self.writing.shrink_to(MAX_IDLE_CAPACITY);
            mem::swap(&mut self.writing, &mut self.next);
        }
    }
}
