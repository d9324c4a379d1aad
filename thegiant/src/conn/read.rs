//! The part of a connection that reads and decodes requests.

use std::{
    io,
    ops::Range,
    task::{Context as TaskContext, Poll, ready},
};

use super::{
    Connection,
    connection::{Next, Stage},
};
use crate::{batch::Batch, resp::Progress, stream::with_read_buffer};

/// Maximum input in bytes of one batch, when more was read ahead.
const MAX_BATCH_BYTES: usize = 4 * 1024 * 1024;

/// Whether the client has closed its side of the connection.
pub(super) enum ReadAhead {
    Open,
    End,
}

impl Connection {
    pub(super) fn read(&mut self, cx: &mut TaskContext<'_>) -> io::Result<Next> {
        if self.client.has_pending_pushes() {
            return Ok(Stage::Writing(self.take_pushes(Batch::new())).into());
        }
        if std::mem::take(&mut self.has_undecoded) {
            return self.decode().map(Next::Stage);
        }
        // A client that has just got replies has rarely sent more, and to ask costs less than to try to read.
        if self.sent_in_turn > 0 && self.stream.watch(cx).is_pending() {
            return Ok(Next::Wait(Stage::Reading));
        }
        match self.poll_read(cx)? {
            Poll::Ready(0) => Ok(Stage::Ended.into()),
            Poll::Ready(read) => {
                self.state.count_received(read);
                self.decode().map(Next::Stage)
            }
            Poll::Pending => Ok(Next::Wait(Stage::Reading)),
        }
    }

    #[inline(always)]
    fn poll_read(&mut self, cx: &mut TaskContext<'_>) -> Poll<io::Result<usize>> {
        if let Some(partial_bulk) = self.incoming.as_mut().and_then(|batch| batch.requests.missing_bulk()) {
            return self.stream.poll_fill(partial_bulk, cx);
        }
        with_read_buffer(|buffer| {
            let read = ready!(self.stream.poll_read(buffer, cx))?;
            if read > 0 {
                let batch = self.incoming.get_or_insert_with(Batch::new);
                batch.requests.own.input.extend_from_slice(&buffer[..read]);
            }
            Poll::Ready(Ok(read))
        })
    }

    /// Decodes requests from the input. If there are any, they run next.
    fn decode(&mut self) -> io::Result<Stage> {
        let Some(mut batch) = self.incoming.take() else { return Ok(Stage::Reading) };
        self.client.set_active(self.state.server.now());
        self.decoder.set_limits(self.state.decode_limits());
        let from = self.decoder.start();
        let requests = &mut batch.requests;
        let can_run_all = self.state.is_authenticated() && requests.own.input.len() <= MAX_BATCH_BYTES;
        let (routes, worker) = (&self.state.server.routes, self.state.worker);
        self.protocol_error = loop {
            if requests.missing_bulk().is_some() {
                break None;
            }
            if let Some(partial_bulk) = requests.partial_bulk.take() {
                let index = requests.own.push_large(partial_bulk.bytes.into());
                self.decoder.large_bulk_taken(index, &mut requests.own.spans);
            }
            match self.decoder.decode(&mut requests.own.input, &mut requests.own.spans) {
                Ok(Progress::Request) => {
                    requests.push(|words| routes.resolve(words, worker));
                    if self.decoder.start() == requests.own.input.len() {
                        break None;
                    }
                }
                Ok(Progress::Incomplete) => break None,
                Ok(Progress::Large(len)) => requests.begin_large(self.decoder.position(), len),
                Err(error) => break Some(error),
            }
            if can_run_all {
                continue;
            }
            let read = self.decoder.start();
            // The decode limits of the requests behind `AUTH` depend on its result.
            if !self.state.is_authenticated() && requests.len() > 0 {
                return Ok(self.run_one(batch, from..read));
            }
            if read > MAX_BATCH_BYTES {
                self.has_undecoded = true;
                break None;
            }
        };
        self.state.publish_last_command(&batch);
        if self.protocol_error.is_some() {
            return Ok(Stage::Running(batch));
        }
        self.split_incomplete(batch)
    }

    /// Runs the one request in this range of the input.
    ///
    /// The input behind it stays in `incoming`.
    fn run_one(&mut self, mut incoming: Box<Batch>, part: Range<usize>) -> Stage {
        let one = incoming.take_requests(part);
        self.state.publish_last_command(&one);
        self.state.account_input(incoming.requests.bytes(), true);
        self.incoming = Some(incoming);
        self.has_undecoded = true;
        Stage::Running(one)
    }

    /// Separates the complete requests from the beginning of the next one.
    fn split_incomplete(&mut self, mut batch: Box<Batch>) -> io::Result<Stage> {
        let start = self.decoder.start();
        let stage = if start == 0 {
            self.incoming = Some(batch);
            Stage::Reading
        } else {
            self.incoming = batch.split_off(start);
            self.decoder.rebase();
            Stage::Running(batch)
        };
        self.account_unread(start > 0)?;
        Ok(stage)
    }

    /// Reads requests that run later.
    ///
    /// Many clients write a whole pipeline before they read a reply. Without this, such a client and the
    /// server would wait for each other. A blocked client may also leave, which only a read notices.
    #[cold]
    pub(super) fn read_ahead(&mut self, cx: &mut TaskContext<'_>) -> io::Result<ReadAhead> {
        while let Poll::Ready(read) = self.poll_read(cx)? {
            if read == 0 {
                return Ok(ReadAhead::End);
            }
            self.state.count_received(read);
            self.has_undecoded = true;
            // The client waits for the server here, so the request timeout must not run.
            self.account_unread(true)?;
        }
        Ok(ReadAhead::Open)
    }

    /// Accounts for the input that is not part of a running batch, and closes the connection if it exceeds the
    /// query buffer limit. `has_others` is as in [`ConnectionState::account_input`](super::ConnectionState).
    fn account_unread(&mut self, has_others: bool) -> io::Result<()> {
        let unread = self.incoming.as_ref().map_or(0, |incoming| incoming.requests.bytes());
        self.state.account_input(unread, has_others);
        let waiting = unread + self.state.queued_len();
        if waiting == 0 {
            return Ok(());
        }
        let limit = self.state.query_buffer_limit();
        if waiting > limit {
            tracing::warn!(
                id = self.client.id(), client = %self.client.addr(), limit,
                "closed: the query buffer limit was exceeded"
            );
            return Err(io::ErrorKind::QuotaExceeded.into());
        }
        Ok(())
    }
}
