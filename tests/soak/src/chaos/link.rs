//! A connection that parses replies.

use std::{
    io::{ErrorKind, Read, Write},
    net::TcpStream,
    os::unix::net::UnixStream,
    time::Duration,
};

use thegiant_resp::{Incoming, Value};

use crate::{
    Result,
    batch::{excerpt, request},
};

/// Timeout of a reply. Requests wait for a new master, and for a server that loads its data.
const PATIENCE: Duration = Duration::from_secs(60);

const READ_SIZE: usize = 64 * 1024;

pub(crate) struct Link {
    stream: Stream,
    unread: Vec<u8>,
}

enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Link {
    /// Connects to `HOST:PORT` or `unix:PATH`.
    pub(crate) fn open(address: &str) -> Result<Link> {
        let failed = |error| format!("cannot connect to {address}: {error}");
        let stream = match address.strip_prefix("unix:") {
            Some(path) => Stream::Unix(UnixStream::connect(path).map_err(failed)?),
            None => {
                let stream = TcpStream::connect(address).map_err(failed)?;
                stream.set_nodelay(true)?;
                Stream::Tcp(stream)
            }
        };
        let mut link = Link { stream, unread: Vec::new() };
        link.set_patience(PATIENCE)?;
        Ok(link)
    }

    /// Sets the time after which a missing reply is an error.
    pub(crate) fn set_patience(&mut self, patience: Duration) -> Result<()> {
        match &self.stream {
            Stream::Tcp(stream) => stream.set_read_timeout(Some(patience))?,
            Stream::Unix(stream) => stream.set_read_timeout(Some(patience))?,
        }
        Ok(())
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) -> Result<()> {
        match &mut self.stream {
            Stream::Tcp(stream) => stream.write_all(bytes)?,
            Stream::Unix(stream) => stream.write_all(bytes)?,
        }
        Ok(())
    }

    /// Sends a request and returns its reply.
    pub(crate) fn ask<W: AsRef<[u8]>>(&mut self, words: &[W]) -> Result<Value> {
        let words: Vec<&[u8]> = words.iter().map(AsRef::as_ref).collect();
        self.send(&request(&words))?;
        self.reply()
    }

    /// Sends a request whose words are separated by spaces, and returns its reply.
    pub(crate) fn call(&mut self, line: &str) -> Result<Value> {
        self.ask(&line.split(' ').collect::<Vec<_>>())
    }

    /// Returns the next reply.
    pub(crate) fn reply(&mut self) -> Result<Value> {
        match self.incoming()? {
            Some(Incoming::Reply(value)) => Ok(value),
            Some(Incoming::Push(push)) => Err(format!("unexpected push {push:?}").into()),
            None => Err(format!("no reply for {PATIENCE:?}").into()),
        }
    }

    /// Returns the next message, or `None` if there is none within the patience.
    pub(crate) fn incoming(&mut self) -> Result<Option<Incoming>> {
        loop {
            match Incoming::parse(&self.unread) {
                Ok(Some((message, len))) => {
                    self.unread.drain(..len);
                    return Ok(Some(message));
                }
                Ok(None) => {}
                Err(_) => return Err(format!("no reply: {}", excerpt(&self.unread)).into()),
            }
            if !self.read()? {
                return Ok(None);
            }
        }
    }

    /// Returns whether a byte beyond the expected replies has arrived.
    pub(crate) fn has_surplus(&self) -> bool {
        !self.unread.is_empty()
    }

    /// Reads more. Returns false after the patience.
    fn read(&mut self) -> Result<bool> {
        let mut scratch = [0; READ_SIZE];
        let read = match &mut self.stream {
            Stream::Tcp(stream) => stream.read(&mut scratch),
            Stream::Unix(stream) => stream.read(&mut scratch),
        };
        match read {
            Ok(0) => Err("the connection was closed".into()),
            Ok(len) => {
                self.unread.extend(&scratch[..len]);
                Ok(true)
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}
