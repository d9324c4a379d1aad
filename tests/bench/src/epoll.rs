//! A bare epoll server: the least that a server must do.
//!
//! It reads, finds the ends of the requests, and writes. It stores nothing, and answers by the first letter of a
//! command. The CPU time of another server above this one is its own work, without the kernel's.
//!
//! Like Redis and thegiant, it reads from all sockets that are ready before it writes to them. A server that answers each client at once
//! wakes the load generator more often, and costs more.

use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};

use crate::Result;
use crate::load::VALUE_BYTES;

/// The option with which the driver starts itself as this server.
pub(crate) const OPTION: &str = "--epoll-server";

const LISTENER: Token = Token(usize::MAX);

/// Size of the read buffer, as in `kv`.
const BUFFER: usize = 64 * 1024;

struct Connection {
    stream: TcpStream,
    /// The beginning of a request whose rest has not arrived.
    partial: Vec<u8>,
    /// Replies that were not sent.
    unsent: Vec<u8>,
}

/// Serves until the process is killed.
pub(crate) fn serve(address: SocketAddr) -> Result<()> {
    let mut poll = Poll::new()?;
    let mut listener = TcpListener::bind(address)?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut events = Events::with_capacity(1024);
    let (mut connections, mut next) = (HashMap::new(), 0);
    let (mut input, mut commands) = (vec![0; BUFFER], 0);
    loop {
        match poll.poll(&mut events, None) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            polled => polled?,
        }
        for event in &events {
            if event.token() == LISTENER {
                while let Ok((mut stream, _)) = listener.accept() {
                    stream.set_nodelay(true)?;
                    let token = Token(next);
                    next += 1;
                    poll.registry().register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)?;
                    connections.insert(token, Connection { stream, partial: Vec::new(), unsent: Vec::new() });
                }
            } else if let Some(connection) = connections.get_mut(&event.token())
                && !connection.read(&mut input, &mut commands)
            {
                connections.remove(&event.token());
            }
        }
        for event in &events {
            if let Some(connection) = connections.get_mut(&event.token())
                && !connection.write()
            {
                connections.remove(&event.token());
            }
        }
    }
}

impl Connection {
    /// Reads and answers until the socket is empty. Returns whether the connection is still open.
    fn read(&mut self, input: &mut [u8], commands: &mut u64) -> bool {
        loop {
            let read = match self.stream.read(input) {
                Ok(0) => return false,
                Ok(read) => read,
                Err(error) => return error.kind() == ErrorKind::WouldBlock,
            };
            if self.partial.is_empty() {
                let used = answer(&input[..read], &mut self.unsent, commands);
                self.partial.extend_from_slice(&input[used..read]);
            } else {
                self.partial.extend_from_slice(&input[..read]);
                let used = answer(&self.partial, &mut self.unsent, commands);
                self.partial.drain(..used);
            }
            // A short read has emptied the socket.
            if read < input.len() {
                return true;
            }
        }
    }

    /// Writes until the socket is full. Returns whether the connection is still open.
    fn write(&mut self) -> bool {
        let mut sent = 0;
        while sent < self.unsent.len() {
            match self.stream.write(&self.unsent[sent..]) {
                Ok(written) => sent += written,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(_) => return false,
            }
        }
        self.unsent.drain(..sent);
        true
    }
}

/// Answers all complete requests. Returns the length of their bytes.
fn answer(input: &[u8], output: &mut Vec<u8>, commands: &mut u64) -> usize {
    let mut used = 0;
    while let Some((len, letter)) = request(&input[used..]) {
        match letter {
            b'S' => output.extend_from_slice(b"+OK\r\n"),
            b'G' => {
                output.extend_from_slice(b"$64\r\n");
                output.extend_from_slice(&[b'x'; VALUE_BYTES as usize]);
                output.extend_from_slice(b"\r\n");
            }
            b'I' => {
                let text = format!("total_commands_processed:{commands}");
                output.extend_from_slice(format!("${}\r\n{text}\r\n", text.len()).as_bytes());
            }
            b'P' => output.extend_from_slice(b"+PONG\r\n"),
            _ => output.extend_from_slice(b"-ERR unknown command\r\n"),
        }
        used += len;
        *commands += 1;
    }
    used
}

/// Returns the length of the first request, if it is complete, and the first letter of its command.
fn request(input: &[u8]) -> Option<(usize, u8)> {
    let (words, mut at) = header(input, 0)?;
    let mut letter = 0;
    for word in 0..words {
        let (len, start) = header(input, at)?;
        if word == 0 {
            letter = *input.get(start)?;
        }
        at = start + len + b"\r\n".len();
    }
    (at <= input.len()).then_some((at, letter))
}

/// Parses the number of a line such as `$64`. Returns it, and the position behind the line.
fn header(input: &[u8], at: usize) -> Option<(usize, usize)> {
    let mut number = 0;
    for (index, byte) in input.get(at + 1..)?.iter().enumerate() {
        match byte {
            b'\r' => {
                let end = at + 1 + index + b"\r\n".len();
                return (end <= input.len()).then_some((number, end));
            }
            digit => number = number * 10 + usize::from(digit.wrapping_sub(b'0') & 15),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn complete_requests_are_answered_and_the_rest_is_kept() {
        let requests = b"*1\r\n$4\r\nPING\r\n*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\n*2\r\n$3\r\nGE";
        let mut output = Vec::new();
        let mut commands = 0;
        assert_eq!(answer(requests, &mut output, &mut commands), requests.len() - b"*2\r\n$3\r\nGE".len());
        assert_eq!(output, b"+PONG\r\n+OK\r\n");
        assert_eq!(commands, 2);
        for end in 0..14 {
            assert_eq!(request(&requests[..end]), None);
        }
    }
}
