//! The actor of one client, and the stages of its cycle.

use std::{
    io, mem,
    pin::Pin,
    sync::Arc,
    task::{Context as TaskContext, Poll},
};

use actix_rt::time::Sleep;

use super::{ConnectionState, context::ConnectionContext};
use crate::{
    Client,
    batch::Batch,
    client::CloseRequest,
    resp::{Decoder, ProtocolError},
    server_state::ServerState,
    stream::Stream,
};

/// The connection of a client.
///
/// Its stages form a cycle. It reads a batch, runs it (itself or through actors), writes the replies, and
/// reads the next batch. The replies therefore keep the order of the requests. While a client does not read
/// its replies, the connection does not read its requests; see [`Connection::read_ahead`] for the exception.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(super) stream: Stream,
    /// The client, for calls of commands that change `state`.
    pub(super) client: Client,
    pub(super) state: ConnectionState,
    pub(super) decoder: Decoder,
    stage: Stage,
    /// Input that is not part of a running batch. An idle connection has none.
    pub(super) incoming: Option<Box<Batch>>,
    /// `incoming` may contain complete requests.
    pub(super) has_undecoded: bool,
    /// The protocol error that ends the connection. It is sent after the replies to all earlier requests.
    pub(super) protocol_error: Option<ProtocolError>,
    /// The client slot has the waker of this connection.
    has_waker_set: bool,
    /// Bytes that were sent since the last wake-up. It saturates.
    pub(super) sent_in_turn: u32,
}

/// The current activity of a connection.
#[derive(Debug)]
pub(super) enum Stage {
    /// Shakes hands, and learns the user from the certificate of the client.
    #[cfg(feature = "tls")]
    Handshake,
    /// Waits for requests.
    Reading,
    /// Runs the requests of the batch.
    Running(Box<Batch>),
    /// The batch is with an actor, or blocked.
    Dispatched,
    /// Sends the replies of the batch.
    Writing(Box<Batch>),
    /// Sends pushes, while the batch is blocked.
    Pushing(Box<Batch>),
    /// Sends the rest of replies or pushes that the socket did not take at once.
    Sending(Box<Unsent>),
    /// Has sent everything, and reads and discards the rest of the input until the timer fires. To close a
    /// socket with unread input would send a reset, and the client could lose replies.
    Closing(Option<Pin<Box<Sleep>>>),
    /// The connection is closed.
    Ended,
}

/// A batch of which the socket has taken a part.
///
/// Most batches never need one, and an idle connection has none.
#[derive(Debug)]
pub(super) struct Unsent {
    pub(super) batch: Box<Batch>,
    /// The batch has pushes, and another batch is blocked.
    pub(super) is_push: bool,
    /// Bytes that the socket has taken.
    pub(super) sent: usize,
    /// Fires when the socket has taken nothing for too long.
    pub(super) stuck: Pin<Box<Sleep>>,
}

/// The outcome of one step of a stage.
pub(super) enum Next {
    /// The connection continues with this stage.
    Stage(Stage),
    /// The connection waits, and continues with this stage at the next wake-up.
    Wait(Stage),
}

impl From<Stage> for Next {
    fn from(stage: Stage) -> Self {
        Next::Stage(stage)
    }
}

impl Connection {
    /// Starts the connection of a client on this thread, which is this worker of the server.
    pub(crate) fn start(stream: Stream, server: Arc<ServerState>, client: Client, worker: u16) {
        let state = ConnectionState::new(server, client.clone(), worker);
        let stage = match &stream {
            #[cfg(feature = "tls")]
            Stream::Tls(_) => Stage::Handshake,
            _ => Stage::Reading,
        };
        let connection = Connection {
            stream,
            client,
            decoder: Decoder::new(state.decode_limits()),
            state,
            stage,
            incoming: None,
            has_undecoded: false,
            protocol_error: None,
            has_waker_set: false,
            sent_in_turn: 0,
        };
        ConnectionContext::run(connection);
    }

    /// Runs the stages until one has to wait.
    ///
    /// Returns `Ready` when the connection is closed.
    pub(super) fn poll(&mut self, cx: &mut TaskContext<'_>) -> Poll<io::Result<()>> {
        if !self.has_waker_set {
            self.client.watch(cx.waker());
            self.has_waker_set = true;
        }
        self.sent_in_turn = 0;
        let mut stage = mem::replace(&mut self.stage, Stage::Ended);
        loop {
            match self.step(stage, cx)? {
                Next::Stage(Stage::Ended) => return Poll::Ready(Ok(())),
                Next::Stage(next) => stage = next,
                Next::Wait(next) => {
                    self.stage = next;
                    return Poll::Pending;
                }
            }
        }
    }

    /// Runs one step of a stage.
    #[inline(always)]
    fn step(&mut self, stage: Stage, cx: &mut TaskContext<'_>) -> io::Result<Next> {
        let close_request = self.client.close_request();
        if close_request == CloseRequest::Now {
            return Ok(Stage::Ended.into());
        }
        match stage {
            #[cfg(feature = "tls")]
            Stage::Handshake if close_request == CloseRequest::None => self.shake_hands(cx),
            #[cfg(feature = "tls")]
            Stage::Handshake => Ok(Stage::Closing(None).into()),
            Stage::Reading if close_request != CloseRequest::None => Ok(Stage::Closing(None).into()),
            Stage::Reading => self.read(cx),
            Stage::Running(batch) => self.run(batch, cx),
            Stage::Dispatched => self.collect(close_request, cx),
            Stage::Writing(batch) => self.write(batch, false, cx),
            Stage::Pushing(batch) => self.write(batch, true, cx),
            Stage::Sending(unsent) => self.send_rest(unsent, cx),
            Stage::Closing(until) => Ok(self.close(until, cx)),
            Stage::Ended => Ok(Stage::Ended.into()),
        }
    }
}
