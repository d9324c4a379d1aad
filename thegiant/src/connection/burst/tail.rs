//! A reply whose rest is written as its client takes it.

use std::{
    io, mem,
    panic::{AssertUnwindSafe, catch_unwind},
    task::{Context, Poll, Waker, ready},
};

use super::{Burst, HIGH_WATER, pool};
use crate::{
    Error,
    resp::{Tail, Written},
};

impl Burst {
    /// Whether the reply to the last request that was run has a rest that is to be written.
    pub(crate) fn has_tail(&self) -> bool {
        self.tail.is_some()
    }

    /// The rest of the reply that has just been begun comes later; in a transaction, which has one reply, at once.
    #[cold]
    pub(super) fn begin_tail(&mut self, tail: Box<dyn Tail>) {
        if self.is_transaction {
            return self.write_whole(tail);
        }
        self.tail = Some(tail);
        self.room = 0;
    }

    fn write_whole(&mut self, mut tail: Box<dyn Tail>) {
        let mut cx = Context::from_waker(Waker::noop());
        let written = loop {
            match poll(&mut *tail, self, usize::MAX, &mut cx) {
                Poll::Ready(Written::More) => {}
                written => break written,
            }
        };
        if matches!(written, Poll::Pending | Poll::Ready(Written::Broken)) {
            self.out.rewind(self.mark);
            let error = if written.is_pending() { NOT_AT_ONCE } else { Error::INTERNAL };
            self.out.error(&error);
        }
        if self.out.take_error() {
            self.note_failure(self.next, false);
        }
    }

    /// Writes some of the rest; returns whether that was all. If it is pending, there may be something to be sent.
    pub(crate) fn poll_tail(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let Some(mut tail) = self.tail.take() else { return Poll::Ready(Ok(true)) };
        let polled = poll(&mut *tail, self, pool::KEPT_BYTES, cx);
        self.tail = Some(tail);
        // An element may be an error; the reply is none.
        self.out.take_error();
        match ready!(polled) {
            Written::More => return Poll::Ready(Ok(false)),
            Written::Done => {}
            Written::Failed => self.note_failure(self.next - 1, false),
            Written::Broken => return Poll::Ready(Err(io::Error::other("a reply could not be completed"))),
        }
        self.forget_tail();
        self.mark = self.out.mark();
        Poll::Ready(Ok(true))
    }

    /// What comes next is not the rest of a reply.
    pub(super) fn forget_tail(&mut self) {
        if mem::take(&mut self.tail).is_some() {
            self.room = HIGH_WATER;
        }
    }
}

fn poll(tail: &mut dyn Tail, burst: &mut Burst, most: usize, cx: &mut Context<'_>) -> Poll<Written> {
    let write = AssertUnwindSafe(|| tail.poll_write(&mut burst.out, most, cx));
    catch_unwind(write).unwrap_or_else(|_| {
        tracing::error!("what was to write the rest of a reply has panicked");
        Poll::Ready(Written::Broken)
    })
}

const NOT_AT_ONCE: Error =
    Error::from_static("ERR this reply has to be waited for, which it cannot be in a transaction");
