//! A reply whose rest is written as its client takes it.

use std::{
    io, mem,
    panic::{AssertUnwindSafe, catch_unwind},
    task::{Context, Poll, Waker, ready},
};

use super::{Batch, HIGH_WATER, batch_pool};
use crate::{
    Error,
    command::{Streamed, StreamingReply},
};

impl Batch {
    /// Whether the reply to the last request that was run has a rest that is to be written.
    pub(crate) fn is_streaming(&self) -> bool {
        self.streaming.is_some()
    }

    /// The rest of the reply that has just been begun comes later; in a transaction, which has one reply, at once.
    #[cold]
    pub(super) fn begin_streaming(&mut self, streaming: Box<dyn StreamingReply>) {
        if self.is_transaction {
            return self.write_whole(streaming);
        }
        self.streaming = Some(streaming);
        self.room = 0;
    }

    fn write_whole(&mut self, mut streaming: Box<dyn StreamingReply>) {
        let mut cx = Context::from_waker(Waker::noop());
        let written = loop {
            match poll(&mut *streaming, self, usize::MAX, &mut cx) {
                Poll::Ready(Streamed::More) => {}
                written => break written,
            }
        };
        if matches!(written, Poll::Pending | Poll::Ready(Streamed::Broken)) {
            self.out.rewind(self.mark);
            let error = if written.is_pending() { NOT_AT_ONCE } else { Error::INTERNAL };
            self.out.error(&error);
        }
        self.note_failure(self.next, false);
    }

    /// Writes some of the rest; returns whether that was all. If it is pending, there may be something to be sent.
    pub(crate) fn poll_streaming(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let Some(mut streaming) = self.streaming.take() else { return Poll::Ready(Ok(true)) };
        let polled = poll(&mut *streaming, self, batch_pool::KEPT_BYTES, cx);
        self.streaming = Some(streaming);
        match ready!(polled) {
            Streamed::More => return Poll::Ready(Ok(false)),
            Streamed::Done => {}
            Streamed::Failed => self.note_failure(self.next - 1, false),
            Streamed::Broken => return Poll::Ready(Err(io::Error::other("a reply could not be completed"))),
        }
        self.end_streaming();
        self.mark = self.out.encoder().position();
        Poll::Ready(Ok(true))
    }

    /// What comes next is not the rest of a reply.
    pub(super) fn end_streaming(&mut self) {
        if mem::take(&mut self.streaming).is_some() {
            self.room = HIGH_WATER;
        }
    }
}

fn poll(
    streaming: &mut dyn StreamingReply,
    batch: &mut Batch,
    most: usize,
    cx: &mut Context<'_>,
) -> Poll<Streamed> {
    let write = AssertUnwindSafe(|| streaming.poll_write(batch.out.encoder_mut(), most, cx));
    catch_unwind(write).unwrap_or_else(|_| {
        tracing::error!("what was to write the rest of a reply has panicked");
        Poll::Ready(Streamed::Broken)
    })
}

const NOT_AT_ONCE: Error =
    Error::from_static("ERR this reply has to be waited for, which it cannot be in a transaction");
