//! A reply that is generated in parts, as its client takes it.

use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    task::{Context, Poll, Waker, ready},
};

use super::{Batch, Streamed, StreamingReply, data::RunState, pool};
use crate::{Error, resp::Encoder};

impl Batch {
    /// Returns whether the reply to the last request is not complete yet.
    pub(crate) fn is_streaming(&self) -> bool {
        matches!(self.run_state, RunState::Streaming(_))
    }

    /// Keeps the rest of the reply for later.
    ///
    /// In a transaction, which has one reply, and in a part of a batch, it writes everything at once.
    #[cold]
    pub(super) fn begin_streaming(&mut self, streaming: Box<dyn StreamingReply>) {
        if self.is_transaction() || self.is_part() {
            return self.write_whole(streaming);
        }
        self.run_state = RunState::Streaming(streaming);
    }

    fn write_whole(&mut self, mut streaming: Box<dyn StreamingReply>) {
        let mut cx = Context::from_waker(Waker::noop());
        let written = loop {
            match poll(&mut *streaming, self.out.encoder_mut(), usize::MAX, &mut cx) {
                Poll::Ready(Streamed::More) => {}
                written => break written,
            }
        };
        if matches!(written, Poll::Pending | Poll::Ready(Streamed::Broken)) {
            self.out.rewind(self.mark);
            let error = if written.is_pending() { WAITS_IN_TRANSACTION } else { Error::INTERNAL };
            self.out.error(&error);
        }
        self.note_failure(self.next, false);
    }

    /// Writes the next part.
    ///
    /// Returns whether the reply is complete. `Pending` may also leave bytes to send.
    pub(crate) fn poll_streaming(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let RunState::Streaming(streaming) = &mut self.run_state else { return Poll::Ready(Ok(true)) };
        match ready!(poll(&mut **streaming, self.out.encoder_mut(), pool::MAX_KEPT_BYTES, cx)) {
            Streamed::More => return Poll::Ready(Ok(false)),
            Streamed::Done => {}
            Streamed::Failed => self.note_failure(self.next - 1, false),
            Streamed::Broken => {
                return Poll::Ready(Err(io::Error::other("a streaming reply could not be completed")));
            }
        }
        self.end_streaming();
        self.mark = self.out.encoder().position();
        Poll::Ready(Ok(true))
    }
}

fn poll(
    streaming: &mut dyn StreamingReply,
    out: &mut Encoder,
    max_bytes: usize,
    cx: &mut Context<'_>,
) -> Poll<Streamed> {
    let write = AssertUnwindSafe(|| streaming.poll_write(out, max_bytes, cx));
    catch_unwind(write).unwrap_or_else(|_| {
        tracing::error!("a streaming reply panicked; the connection is closed");
        Poll::Ready(Streamed::Broken)
    })
}

const WAITS_IN_TRANSACTION: Error = Error::from_static("ERR a transaction cannot wait for this reply");
