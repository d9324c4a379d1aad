//! The part of a connection that sends replies and pushes.

use std::{
    future::Future,
    io,
    task::{Context as TaskContext, Poll},
    time::Duration,
};

use actix_rt::time::{Instant, sleep};

use super::{
    Connection,
    connection::{Next, Stage, Unsent},
    read::ReadAhead,
};
use crate::batch::Batch;

/// Time without write progress after which requests are read in spite of unsent replies.
///
/// See [`Connection::read_ahead`].
const STUCK_AFTER: Duration = Duration::from_secs(1);

/// Bytes of replies after which a connection lets others run.
const MAX_SENT_IN_TURN: u32 = 256 * 1024;

impl Connection {
    /// Appends the pending pushes to the replies of a batch.
    #[cold]
    pub(super) fn take_pushes(&mut self, mut batch: Box<Batch>) -> Box<Batch> {
        self.state.take_pushes(batch.out.encoder_mut());
        batch
    }

    /// Sends the replies of a batch, or pushes while another batch is blocked.
    pub(super) fn write(
        &mut self,
        batch: Box<Batch>,
        is_push: bool,
        cx: &mut TaskContext<'_>,
    ) -> io::Result<Next> {
        let mut sent = 0;
        if self.poll_write(&batch, &mut sent, cx)?.is_ready() {
            return self.end_write(batch, is_push, cx);
        }
        let stuck = Box::pin(sleep(STUCK_AFTER));
        self.wait_until_writable(Box::new(Unsent { batch, is_push, sent, stuck }), true, cx)
    }

    /// Sends the rest of replies or pushes.
    #[cold]
    pub(super) fn send_rest(
        &mut self,
        mut unsent: Box<Unsent>,
        cx: &mut TaskContext<'_>,
    ) -> io::Result<Next> {
        let before = unsent.sent;
        if self.poll_write(&unsent.batch, &mut unsent.sent, cx)?.is_ready() {
            return self.end_write(unsent.batch, unsent.is_push, cx);
        }
        let has_progress = unsent.sent > before;
        self.wait_until_writable(unsent, has_progress, cx)
    }

    /// Decides how the connection continues when the socket has taken everything.
    fn end_write(
        &mut self,
        mut batch: Box<Batch>,
        is_push: bool,
        cx: &mut TaskContext<'_>,
    ) -> io::Result<Next> {
        self.state.account_output(0);
        self.client.record_sent();
        if is_push {
            batch.recycle();
            return Ok(Stage::Dispatched.into());
        }
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

    /// Continues with this stage, after other connections if this one has sent much in this turn.
    fn let_others_run(&self, stage: Stage, cx: &mut TaskContext<'_>) -> Next {
        if self.sent_in_turn < MAX_SENT_IN_TURN {
            return stage.into();
        }
        cx.waker().wake_by_ref();
        Next::Wait(stage)
    }

    #[inline]
    fn poll_write(
        &mut self,
        batch: &Batch,
        sent: &mut usize,
        cx: &mut TaskContext<'_>,
    ) -> io::Result<Poll<()>> {
        let before = *sent;
        let written = self.stream.poll_write(batch.out.encoder(), sent, cx)?;
        let progress = *sent - before;
        self.state.count_sent(progress);
        self.sent_in_turn = self.sent_in_turn.saturating_add(u32::try_from(progress).unwrap_or(u32::MAX));
        Ok(written)
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
                Ok(Next::Wait(Stage::Writing(batch)))
            }
            Poll::Pending if !batch.out.encoder().is_empty() => Ok(Stage::Writing(batch).into()),
            Poll::Pending => {
                self.client.set_busy();
                match self.read_ahead(cx)? {
                    ReadAhead::End => Ok(Stage::Ended.into()),
                    ReadAhead::Open => Ok(Next::Wait(Stage::Writing(batch))),
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
        mut unsent: Box<Unsent>,
        has_progress: bool,
        cx: &mut TaskContext<'_>,
    ) -> io::Result<Next> {
        let waiting = unsent.batch.out.encoder().len() - unsent.sent;
        self.state.account_output(waiting);
        self.client.record_sent_up_to(unsent.sent);
        if has_progress {
            self.client.set_active(self.state.server.now());
            unsent.stuck.as_mut().reset(Instant::now() + STUCK_AFTER);
        }
        let is_stuck = unsent.stuck.as_mut().poll(cx).is_ready();
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
        Ok(Next::Wait(Stage::Sending(unsent)))
    }
}
