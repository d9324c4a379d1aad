//! Finds the replies in the bytes from a server.

use thegiant_resp::{FrameScanner, Incoming, Value};

/// The bytes from a server that are not converted into replies yet.
#[derive(Debug)]
pub(crate) struct Receiver {
    bytes: Vec<u8>,
    /// The start of the first incomplete message.
    start: usize,
    /// The end of the bytes that the scanner has seen.
    scanned: usize,
    scanner: FrameScanner,
    max_len: usize,
}

/// A buffer of this size stays allocated.
const KEPT: usize = 256 * 1024;

impl Receiver {
    /// Returns a receiver of messages of at most `max_len` bytes.
    pub(crate) fn new(max_len: usize) -> Self {
        Receiver { bytes: Vec::new(), start: 0, scanned: 0, scanner: FrameScanner::default(), max_len }
    }

    /// Appends bytes that have arrived.
    pub(crate) fn extend(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Returns the next reply, or `None` until more bytes arrive. Pushes are dropped.
    ///
    /// # Errors
    /// If the bytes break the protocol, or a message is too large.
    pub(crate) fn next(&mut self) -> Result<Option<Value>, String> {
        while self.scanned < self.bytes.len() {
            let part =
                self.scanner.advance(&self.bytes[self.scanned..]).map_err(|error| error.to_string())?;
            self.scanned += part.len;
            if self.scanned - self.start > self.max_len {
                return Err(format!("the server sent a reply of more than {} bytes", self.max_len));
            }
            if !part.is_complete {
                break;
            }
            let message = &self.bytes[self.start..self.scanned];
            let message = Incoming::parse(message).map_err(|error| error.to_string())?;
            self.start = self.scanned;
            match message {
                Some((Incoming::Reply(reply), _)) => return Ok(Some(reply)),
                Some((Incoming::Push(_), _)) => {}
                None => return Err("the end of a reply is not where its header says".to_owned()),
            }
        }
        self.discard_read();
        Ok(None)
    }

    /// Removes the messages that have been returned.
    fn discard_read(&mut self) {
        self.bytes.drain(..self.start);
        self.scanned -= self.start;
        self.start = 0;
        if self.bytes.is_empty() {
            self.bytes.shrink_to(KEPT);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_arrive_in_parts_of_any_size() {
        let bytes = b"*2\r\n$3\r\na\r\n\r\n:1\r\n>1\r\n+push\r\n+OK\r\n$-1\r\n";
        let expected = [
            Value::Array(vec![Value::bulk(&b"a\r\n"[..]), Value::Integer(1)]),
            Value::Simple("OK".into()),
            Value::Null,
        ];
        for size in 1..bytes.len() {
            let mut receiver = Receiver::new(100);
            let mut replies = Vec::new();
            for part in bytes.chunks(size) {
                receiver.extend(part);
                while let Some(reply) = receiver.next().expect("valid") {
                    replies.push(reply);
                }
            }
            assert_eq!(replies, expected, "{size}");
        }
    }

    #[test]
    fn a_large_reply_and_invalid_bytes_are_errors() {
        let mut receiver = Receiver::new(20);
        receiver.extend(b"$1000000000\r\n");
        assert_eq!(receiver.next(), Ok(None));
        receiver.extend(&[b'a'; 10]);
        assert!(receiver.next().is_err());
        for bytes in [&b"HTTP/1.1 400\r\n"[..], b"$5x\r\n", b":a\r\n", &b"*1\r\n".repeat(200)] {
            let mut receiver = Receiver::new(10_000);
            receiver.extend(bytes);
            receiver.extend(b":1\r\n");
            assert!(receiver.next().is_err());
        }
    }
}
