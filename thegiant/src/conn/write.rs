//! The part of a connection that sends replies and pushes.

use std::{
    future::Future,
    io,
    task::{Context as TaskContext, Poll},
    time::Duration,
};

use actix_rt::time::sleep;

use super::{
    Connection,
    connection::{Next, Stage, Writing},
    read::ReadAhead,
};
use crate::batch::Batch;

/// Time without write progress after which requests are read in spite of unsent replies.
///
/// See [`Connection::read_ahead`].
const STUCK_AFTER: Duration = Duration::from_secs(1);

/// Bytes of replies after which a connection lets others run.
const MAX_SENT_IN_TURN: usize = 256 * 1024;

impl Connection {
    /// Appends the pending pushes to the replies of a batch.
    #[cold]
    pub(super) fn take_pushes(&mut self, mut batch: Box<Batch>) -> Box<Batch> {
        self.state.take_pushes(batch.out.encoder_mut());
        batch
    }

    /// Sends the replies of a batch, and decides how the batch continues.
    pub(super) fn write(&mut self, mut writing: Writing, cx: &mut TaskContext<'_>) -> io::Result<Next> {
        if self.poll_write(&mut writing, cx)?.is_pending() {
            return Ok(Next::Wait(Stage::Writing(writing)));
        }
        let mut batch = writing.batch;
        if batch.is_streaming() {
            batch.clear_replies();
            return self.write_streaming(batch, cx);
        }
        if batch.has_requests() {
            batch.clear_replies();
            let stage = if batch.is_blocked() { self.block(batch) } else { Stage::Running(batch) };
            return Ok(self.let_others_run(stage, cx));
        }
        batch.recycle();
        self.state.start_request_timeout();
        let stage = if self.state.closing { Stage::Closing(None) } else { Stage::Reading };
        Ok(self.let_others_run(stage, cx))
    }

    /// Sends pushes while the batch of the client is blocked.
    #[cold]
    pub(super) fn write_pushes(
        &mut self,
        mut writing: Writing,
        cx: &mut TaskContext<'_>,
    ) -> io::Result<Next> {
        if self.poll_write(&mut writing, cx)?.is_pending() {
            return Ok(Next::Wait(Stage::Pushing(writing)));
        }
        writing.batch.recycle();
        Ok(Stage::Dispatched.into())
    }

    /// Continues with this stage, after other connections if this one has sent much in this turn.
    fn let_others_run(&self, stage: Stage, cx: &mut TaskContext<'_>) -> Next {
        if self.sent_in_turn < MAX_SENT_IN_TURN {
            return stage.into();
        }
        cx.waker().wake_by_ref();
        Next::Wait(stage)
    }

    fn poll_write(&mut self, writing: &mut Writing, cx: &mut TaskContext<'_>) -> io::Result<Poll<()>> {
        let before = writing.sent;
        let written = self.stream.poll_write(writing.batch.out.encoder(), &mut writing.sent, cx)?;
        let progress = writing.sent - before;
        self.state.count_sent(progress);
        self.sent_in_turn += progress;
        if written.is_pending() {
            self.wait_until_writable(writing, progress > 0, cx)?;
            return Ok(Poll::Pending);
        }
        self.state.account_output(0);
        self.client.record_sent();
        Ok(Poll::Ready(()))
    }

    /// Writes the next part of a streaming reply.
    #[cold]
    pub(super) fn write_streaming(
        &mut self,
        mut batch: Box<Batch>,
        cx: &mut TaskContext<'_>,
    ) -> io::Result<Next> {
        self.client.set_active(self.state.server.now());
        match batch.poll_streaming(cx)? {
            Poll::Ready(true) => Ok(Stage::Running(batch).into()),
            Poll::Ready(false) => {
                // Yield between two parts, so that other connections make progress.
                cx.waker().wake_by_ref();
                Ok(Next::Wait(Stage::write(batch)))
            }
            Poll::Pending if !batch.out.encoder().is_empty() => Ok(Stage::write(batch).into()),
            Poll::Pending => {
                self.client.set_busy();
                match self.read_ahead(cx)? {
                    ReadAhead::End => Ok(Stage::Ended.into()),
                    ReadAhead::Open => Ok(Next::Wait(Stage::write(batch))),
                }
            }
        }
    }

    /// Accounts for unsent replies, and closes the connection if they exceed a limit.
    ///
    /// It reads ahead when the client has taken nothing for [`STUCK_AFTER`].
    #[cold]
    fn wait_until_writable(
        &mut self,
        writing: &mut Writing,
        progress: bool,
        cx: &mut TaskContext<'_>,
    ) -> io::Result<()> {
        let waiting = writing.batch.out.encoder().len() - writing.sent;
        self.state.account_output(waiting);
        self.client.record_sent_up_to(writing.sent);
        if progress {
            self.client.set_active(self.state.server.now());
            writing.stuck = None;
        }
        let stuck = writing.stuck.get_or_insert_with(|| Box::pin(sleep(STUCK_AFTER)));
        let is_stuck = stuck.as_mut().poll(cx).is_ready();
        if self.state.is_output_over(waiting, is_stuck) {
            tracing::warn!(
                id = self.client.id(), client = %self.client.addr(), waiting,
                "closed: the output buffer limit was exceeded"
            );
            return Err(io::ErrorKind::QuotaExceeded.into());
        }
        if is_stuck {
            self.read_ahead(cx)?;
        }
        Ok(())
    }
}
