//! The socket of a connection.

use std::{
    io::{self, IoSlice},
    pin::{Pin, pin},
    task::{Context, Poll, ready},
};

use actix_rt::net::{TcpStream, UnixStream};
use bytes::BufMut;
use socket2::SockRef;
#[cfg(feature = "test-util")]
use tokio::io::DuplexStream;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

use super::batch::PartialBulk;
use crate::resp::Encoder;
#[cfg(feature = "tls")]
use crate::tls::Tls;

/// A connected socket.
#[derive(Debug)]
pub(crate) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
    #[cfg(feature = "tls")]
    Tls(Tls),
    /// One end of a pipe in memory.
    #[cfg(feature = "test-util")]
    Memory(DuplexStream),
}

/// Writes at most this many pieces with one system call.
const MAX_PIECES: usize = 64;

/// Room for a large bulk is made this far ahead of what has arrived, or twice that, whichever is
/// more, and never beyond its end.
const GROWTH: usize = 64 * 1024;

macro_rules! either {
    ($stream:expr, $name:ident => $call:expr) => {
        match $stream {
            Stream::Tcp($name) => $call,
            Stream::Unix($name) => $call,
            #[cfg(feature = "tls")]
            Stream::Tls($name) => $call,
            #[cfg(feature = "test-util")]
            Stream::Memory($name) => $call,
        }
    };
}

impl Stream {
    /// Reads into `scratch`; 0 is the end.
    pub(crate) fn poll_read(&mut self, scratch: &mut [u8], cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut buffer = ReadBuf::new(scratch);
        ready!(either!(self, stream => Pin::new(stream).poll_read(cx, &mut buffer)))?;
        Poll::Ready(Ok(buffer.filled().len()))
    }

    /// Reads into the buffer of a large bulk; 0 is the end.
    pub(crate) fn poll_fill(
        &mut self,
        partial_bulk: &mut PartialBulk,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if partial_bulk.bytes.len() == partial_bulk.bytes.capacity() {
            let ahead = partial_bulk.bytes.len().max(GROWTH).min(partial_bulk.missing);
            // Exactly: the buffer becomes the value, and may be kept for long.
            partial_bulk.bytes.reserve_exact(ahead);
        }
        let mut rest = (&mut partial_bulk.bytes).limit(partial_bulk.missing);
        // The future has no state of its own, so it can be made anew at each poll.
        let read = ready!(either!(self, stream => pin!(stream.read_buf(&mut rest)).poll(cx)))?;
        partial_bulk.missing -= read;
        Poll::Ready(Ok(read))
    }

    /// Sends what the socket takes at once.
    pub(crate) fn send_now(&self, bytes: &[u8]) {
        // Best effort: the connection is given up. Not by way of tokio, which has not yet heard that
        // the socket is writable.
        let _ = match self {
            Stream::Tcp(stream) => SockRef::from(stream).send(bytes),
            Stream::Unix(stream) => SockRef::from(stream).send(bytes),
            // Nothing can be said before the handshake.
            #[cfg(feature = "tls")]
            Stream::Tls(_) => Ok(0),
            // It is not refused anything.
            #[cfg(feature = "test-util")]
            Stream::Memory(_) => Ok(0),
        };
    }

    /// Whether it is there, and nothing has come that was not read.
    pub(crate) fn is_quiet(&mut self) -> bool {
        let mut byte = [0];
        let read = match self {
            Stream::Tcp(stream) => stream.try_read(&mut byte),
            Stream::Unix(stream) => stream.try_read(&mut byte),
            #[cfg(feature = "tls")]
            Stream::Tls(stream) => return stream.is_quiet(),
            #[cfg(feature = "test-util")]
            Stream::Memory(_) => return false,
        };
        read.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }

    /// Ends the outgoing side.
    pub(crate) fn shutdown(&mut self, cx: &mut Context<'_>) {
        // It does not wait, and a connection that is broken already has nothing to end.
        let _ = either!(self, stream => Pin::new(stream).poll_shutdown(cx));
    }

    /// Has the task woken when the peer sends something or goes away, unless it may have done so.
    pub(crate) fn watch(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            Stream::Tcp(stream) => stream.poll_read_ready(cx).map(drop),
            Stream::Unix(stream) => stream.poll_read_ready(cx).map(drop),
            #[cfg(feature = "tls")]
            Stream::Tls(stream) => stream.poll_readable(cx),
            // It can only be asked for what it has.
            #[cfg(feature = "test-util")]
            Stream::Memory(_) => Poll::Ready(()),
        }
    }

    /// Writes what comes after the first `sent` bytes of `out`, and adds to `sent`, until all of it
    /// is written or the socket is full.
    pub(crate) fn poll_write(
        &mut self,
        out: &Encoder,
        sent: &mut usize,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while *sent < out.len() {
            let written = match out.contiguous(*sent) {
                Some(bytes) => ready!(either!(self, stream => Pin::new(stream).poll_write(cx, bytes)))?,
                None => {
                    let mut slices = [IoSlice::new(&[]); MAX_PIECES];
                    let filled = out.chunks_vectored(*sent, &mut slices);
                    ready!(
                        either!(self, stream => Pin::new(stream).poll_write_vectored(cx, &slices[..filled]))
                    )?
                }
            };
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            *sent += written;
        }
        // What it has taken may still be with it.
        #[cfg(feature = "tls")]
        if let Stream::Tls(stream) = self {
            return Pin::new(stream).poll_flush(cx);
        }
        Poll::Ready(Ok(()))
    }
}
