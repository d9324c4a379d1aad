//! The socket of a connection, and the read buffer that all connections of a thread share.

use std::{
    cell::RefCell,
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

#[cfg(feature = "tls")]
use crate::tls::Tls;
use crate::{batch::PartialBulk, resp::Encoder};

/// A connected socket.
#[derive(Debug)]
pub(crate) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
    #[cfg(feature = "tls")]
    Tls(Tls),
    /// One end of an in-memory pipe.
    #[cfg(feature = "test-util")]
    Memory(DuplexStream),
}

/// Maximum number of slices in one vectored write.
const MAX_PIECES: usize = 64;

/// Minimum growth in bytes of the buffer of a large bulk string.
///
/// Each step doubles the buffer, but never exceeds the length of the bulk.
const GROWTH: usize = 64 * 1024;

/// Size of the read buffer that all connections of a thread share.
const READ_BUFFER_SIZE: usize = 64 * 1024;

thread_local! {
    static READ_BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_BUFFER_SIZE]);
}

/// Lends the read buffer of this thread to `read`.
pub(crate) fn with_read_buffer<T>(read: impl FnOnce(&mut [u8]) -> T) -> T {
    READ_BUFFER.with_borrow_mut(|buffer| read(buffer))
}

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

/// A stream that belongs to no event loop, so that it can move to another thread.
pub(crate) enum DetachedStream {
    Tcp(std::net::TcpStream),
    Unix(std::os::unix::net::UnixStream),
}

impl DetachedStream {
    /// Adds the stream to the event loop of this thread.
    pub(crate) fn attach(self) -> io::Result<Stream> {
        Ok(match self {
            DetachedStream::Tcp(stream) => Stream::Tcp(TcpStream::from_std(stream)?),
            DetachedStream::Unix(stream) => Stream::Unix(UnixStream::from_std(stream)?),
        })
    }
}

impl Stream {
    /// Removes the stream from the event loop of this thread.
    ///
    /// # Errors
    /// If the event loop refuses, or if the stream is TLS or in memory, which stay on their thread.
    pub(crate) fn detach(self) -> io::Result<DetachedStream> {
        match self {
            Stream::Tcp(stream) => stream.into_std().map(DetachedStream::Tcp),
            Stream::Unix(stream) => stream.into_std().map(DetachedStream::Unix),
            #[cfg(any(feature = "tls", feature = "test-util"))]
            _ => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Reads into `buffer`. Returns 0 at the end of the stream.
    pub(crate) fn poll_read(&mut self, buffer: &mut [u8], cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut read_buf = ReadBuf::new(buffer);
        ready!(either!(self, stream => Pin::new(stream).poll_read(cx, &mut read_buf)))?;
        Poll::Ready(Ok(read_buf.filled().len()))
    }

    /// Reads into the buffer of a large bulk string.
    ///
    /// Returns 0 at the end of the stream.
    pub(crate) fn poll_fill(
        &mut self,
        partial_bulk: &mut PartialBulk,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if partial_bulk.bytes.len() == partial_bulk.bytes.capacity() {
            let ahead = partial_bulk.bytes.len().max(GROWTH).min(partial_bulk.missing);
            // Reserve no spare capacity, because the buffer becomes the value and may live long.
            partial_bulk.bytes.reserve_exact(ahead);
        }
        let mut rest = (&mut partial_bulk.bytes).limit(partial_bulk.missing);
        // The future has no state, so each poll can create a new one.
        let read = ready!(either!(self, stream => pin!(stream.read_buf(&mut rest)).poll(cx)))?;
        partial_bulk.missing -= read;
        Poll::Ready(Ok(read))
    }

    /// Sends as many of the bytes as the socket takes at once.
    pub(crate) fn send_now(&self, bytes: &[u8]) {
        // The connection is closed anyway, so errors do not matter. The bytes bypass tokio, which does not
        // know yet that the socket is writable.
        let _ = match self {
            Stream::Tcp(stream) => SockRef::from(stream).send(bytes),
            Stream::Unix(stream) => SockRef::from(stream).send(bytes),
            // Nothing can be sent before the handshake.
            #[cfg(feature = "tls")]
            Stream::Tls(_) => Ok(0),
            // An in-memory connection is never refused.
            #[cfg(feature = "test-util")]
            Stream::Memory(_) => Ok(0),
        };
    }

    /// Returns whether the peer is connected and has sent nothing that was not read.
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

    /// Shuts down the outgoing side.
    pub(crate) fn shutdown(&mut self, cx: &mut Context<'_>) {
        // The result does not matter: the shutdown does not wait, and a broken connection is closed already.
        let _ = either!(self, stream => Pin::new(stream).poll_shutdown(cx));
    }

    /// Wakes the task when the peer sends something or disconnects.
    ///
    /// Returns `Ready` if that may have happened already.
    pub(crate) fn watch(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            Stream::Tcp(stream) => stream.poll_read_ready(cx).map(drop),
            Stream::Unix(stream) => stream.poll_read_ready(cx).map(drop),
            #[cfg(feature = "tls")]
            Stream::Tls(stream) => stream.poll_readable(cx),
            // An in-memory pipe cannot report readiness without a read.
            #[cfg(feature = "test-util")]
            Stream::Memory(_) => Poll::Ready(()),
        }
    }

    /// Writes to a socket that can take something now. It costs less than a poll, which may have to wait.
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => stream.try_write(bytes),
            Stream::Unix(stream) => stream.try_write(bytes),
            #[cfg(any(feature = "tls", feature = "test-util"))]
            _ => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    /// Writes `out` from position `sent` on, and advances `sent`, until everything is written or the socket
    /// is full.
    pub(crate) fn poll_write(
        &mut self,
        out: &Encoder,
        sent: &mut usize,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while *sent < out.len() {
            let written = match out.contiguous(*sent) {
                Some(bytes) => match self.try_write(bytes) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        ready!(either!(self, stream => Pin::new(stream).poll_write(cx, bytes)))?
                    }
                    written => written?,
                },
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
        // The TLS stream may have buffered what it has taken.
        #[cfg(feature = "tls")]
        if let Stream::Tls(stream) = self {
            return Pin::new(stream).poll_flush(cx);
        }
        Poll::Ready(Ok(()))
    }
}
