//! One connection while it is up: the requests that it sends, and the replies that are due.

use std::{
    collections::VecDeque,
    future::Future,
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use thegiant_resp::Value;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::{mpsc, oneshot},
    time::{Instant, Sleep, sleep_until},
};

use crate::{
    CallError,
    connection::QueuedCall,
    error::{CLOSED, lost},
    receiver::Receiver,
};

/// The maximum number of requests without a reply. Further ones wait in the queue.
const MAX_IN_FLIGHT: usize = 16 * 1024;

/// No further request is encoded while this many bytes are unsent.
const MAX_UNSENT: usize = 256 * 1024;

/// The number of bytes that one read asks for.
const READ: usize = 64 * 1024;

/// The reason why a session has ended.
#[derive(Debug)]
pub(crate) enum End {
    /// All handles are dropped, and all calls have their replies.
    Finished,
    /// The server has closed the connection, or sent something that is no reply.
    Lost(String),
    /// No byte came within the reply timeout.
    Timeout,
}

/// The requests that were taken from the queue.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Taken {
    /// As many as there is room for.
    UpToLimit,
    /// All that are there.
    All,
    /// All, and no further one comes: the handles are dropped.
    Last,
}

type Reply = oneshot::Sender<Result<Value, CallError>>;

/// A connection that is up. As a future, it is ready when the connection has ended.
pub(crate) struct Session<'a, S> {
    stream: S,
    queue: &'a mut mpsc::Receiver<QueuedCall>,
    receiver: Receiver,
    read: Box<[u8]>,
    /// Encoded requests, and how many bytes of them are sent.
    unsent: Vec<u8>,
    sent: usize,
    in_flight: VecDeque<Reply>,
    timer: Option<ReplyTimer>,
}

/// Measures how long the server is silent while replies are due.
struct ReplyTimer {
    timeout: Duration,
    /// The time of the last byte, or of the first request after a pause.
    since: Instant,
    sleep: Pin<Box<Sleep>>,
}

impl<'a, S: AsyncRead + AsyncWrite + Unpin> Session<'a, S> {
    /// Returns a session on a connection whose handshake has ended.
    pub(crate) fn new(
        stream: S,
        queue: &'a mut mpsc::Receiver<QueuedCall>,
        receiver: Receiver,
        reply_timeout: Option<Duration>,
    ) -> Self {
        let timer = reply_timeout.map(|timeout| ReplyTimer {
            timeout,
            since: Instant::now(),
            sleep: Box::pin(sleep_until(Instant::now() + timeout)),
        });
        Session {
            stream,
            queue,
            receiver,
            read: vec![0; READ].into(),
            unsent: Vec::new(),
            sent: 0,
            in_flight: VecDeque::new(),
            timer,
        }
    }

    /// Serves calls until the connection ends. Calls without a reply get an error then.
    pub(crate) async fn run(mut self) -> End {
        let end = (&mut self).await;
        let error = match &end {
            End::Finished => return end,
            End::Lost(reason) => CallError::Lost(reason.clone()),
            End::Timeout => CallError::Timeout,
        };
        for reply in self.in_flight.drain(..) {
            // A caller that is gone needs no error.
            let _ = reply.send(Err(error.clone()));
        }
        end
    }

    /// Encodes requests from the queue.
    fn take_requests(&mut self, cx: &mut Context<'_>) -> Taken {
        while self.has_room() {
            match self.queue.poll_recv(cx) {
                Poll::Ready(Some(call)) if call.reply.is_closed() => {}
                Poll::Ready(Some(QueuedCall { request, reply })) => {
                    if let (true, Some(timer)) = (self.in_flight.is_empty(), &mut self.timer) {
                        timer.since = Instant::now();
                    }
                    request.append_to(&mut self.unsent);
                    self.in_flight.push_back(reply);
                }
                Poll::Ready(None) => return Taken::Last,
                Poll::Pending => return Taken::All,
            }
        }
        Taken::UpToLimit
    }

    fn has_room(&self) -> bool {
        self.in_flight.len() < MAX_IN_FLIGHT && self.unsent.len() < MAX_UNSENT
    }

    /// Sends requests until the socket is full. Returns whether all are sent.
    fn write(&mut self, cx: &mut Context<'_>) -> io::Result<bool> {
        if self.unsent.is_empty() {
            return Ok(true);
        }
        while self.sent < self.unsent.len() {
            match Pin::new(&mut self.stream).poll_write(cx, &self.unsent[self.sent..]) {
                Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(written) => self.sent += written?,
                Poll::Pending => return Ok(false),
            }
        }
        // TLS keeps bytes that the socket has no room for.
        if Pin::new(&mut self.stream).poll_flush(cx)?.is_pending() {
            return Ok(false);
        }
        self.unsent.clear();
        self.unsent.shrink_to(MAX_UNSENT);
        self.sent = 0;
        Ok(true)
    }

    /// Receives replies until the socket is empty.
    fn receive(&mut self, cx: &mut Context<'_>) -> Result<(), String> {
        loop {
            // At first, there may be bytes after the reply of the handshake.
            while let Some(reply) = self.receiver.next()? {
                let waiting =
                    self.in_flight.pop_front().ok_or("the server sent a reply without a request")?;
                // A caller that is gone needs no reply.
                let _ = waiting.send(Ok(reply));
            }
            let mut read = ReadBuf::new(&mut self.read);
            match Pin::new(&mut self.stream).poll_read(cx, &mut read) {
                Poll::Pending => return Ok(()),
                Poll::Ready(Err(error)) => return Err(lost(error)),
                Poll::Ready(Ok(())) if read.filled().is_empty() => {
                    return Err(CLOSED.to_owned());
                }
                Poll::Ready(Ok(())) => self.receiver.extend(read.filled()),
            }
            if let Some(timer) = &mut self.timer {
                timer.since = Instant::now();
            }
        }
    }

    fn has_timed_out(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(timer) = self.timer.as_mut().filter(|_| !self.in_flight.is_empty()) else { return false };
        let due = timer.since + timer.timeout;
        // The timer is not set again for each byte. It may fire too early.
        while timer.sleep.as_mut().poll(cx).is_ready() {
            if Instant::now() >= due {
                return true;
            }
            timer.sleep.as_mut().reset(due);
        }
        false
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Future for Session<'_, S> {
    type Output = End;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<End> {
        let session = self.get_mut();
        loop {
            let taken = session.take_requests(cx);
            let is_written = match session.write(cx) {
                Ok(is_written) => is_written,
                Err(error) => return Poll::Ready(End::Lost(lost(error))),
            };
            if let Err(reason) = session.receive(cx) {
                return Poll::Ready(End::Lost(reason));
            }
            if taken == Taken::Last && is_written && session.in_flight.is_empty() {
                return Poll::Ready(End::Finished);
            }
            if session.has_timed_out(cx) {
                return Poll::Ready(End::Timeout);
            }
            // While there is no room, the socket wakes the task.
            if taken != Taken::UpToLimit || !session.has_room() {
                return Poll::Pending;
            }
        }
    }
}
