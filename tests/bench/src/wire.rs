//! Helpers for the driver's connections.

use std::io::{ErrorKind, Read};
use std::net;

use mio::net::TcpStream;
use mio::{Interest, Poll, Token};

use crate::Result;

/// Encodes a request.
pub(crate) fn request(words: &[&str]) -> String {
    let words = words.iter().map(|word| format!("${}\r\n{word}\r\n", word.len()));
    format!("*{}\r\n", words.len()) + &words.collect::<String>()
}

/// Registers a connection for read events with the token `number`.
pub(crate) fn register(stream: net::TcpStream, poll: &Poll, number: usize) -> Result<TcpStream> {
    stream.set_nonblocking(true)?;
    let mut stream = TcpStream::from_std(stream);
    poll.registry().register(&mut stream, Token(number), Interest::READABLE)?;
    Ok(stream)
}

/// Reads until the socket is empty. Events are edge-triggered, so unread data raises no further event.
pub(crate) fn read_all(stream: &mut TcpStream, mut take: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
    let mut buffer = [0; 16 * 1024];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return Err("the server has closed a connection".into()),
            Ok(read) => take(&buffer[..read])?,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}
