//! Takes the bytes of an upstream apart into replies.

use std::mem;

use super::LossReason;
use crate::{
    Value,
    resp::{Encoder, FramePart, FrameScanner, Protocol},
};

/// Takes the bytes of an upstream apart into replies and pushes.
///
/// [`next_part`](Self::next_part) passes bytes on as they arrive, and [`next_whole`](Self::next_whole) collects whole
/// replies. A caller uses one of the two.
#[derive(Debug)]
pub(crate) struct ReplyReader {
    frames: FrameScanner,
    /// Number of bytes of the current reply that have arrived.
    len: usize,
    /// Maximum length of a reply, in bytes.
    max_len: usize,
    /// The received part of the current reply, for `next_whole`.
    buffer: Vec<u8>,
}

/// Consecutive bytes of one reply or push.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ReplyPart<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) is_push: bool,
    pub(crate) is_first: bool,
    pub(crate) is_last: bool,
    /// The reply is longer than the reader accepts.
    pub(crate) is_too_long: bool,
}

/// A complete reply or push.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct WholeReply {
    pub(crate) bytes: Vec<u8>,
    pub(crate) is_push: bool,
}

impl ReplyReader {
    /// Creates a reader that accepts replies up to this length, in bytes.
    pub(crate) fn new(max_len: usize) -> Self {
        ReplyReader { frames: FrameScanner::default(), len: 0, max_len, buffer: Vec::new() }
    }

    /// Returns the maximum length of a reply, in bytes.
    pub(crate) fn max_len(&self) -> usize {
        self.max_len
    }

    /// Forgets the reply that has not arrived completely, because another connection follows.
    pub(crate) fn reset(&mut self) {
        *self = ReplyReader::new(self.max_len);
    }

    /// Removes the bytes of at most one reply from the front of `input`. Returns `None` if `input` is empty.
    ///
    /// # Errors
    /// If the input breaks the protocol.
    pub(crate) fn next_part<'a>(
        &mut self,
        input: &mut &'a [u8],
    ) -> Result<Option<ReplyPart<'a>>, LossReason> {
        if input.is_empty() {
            return Ok(None);
        }
        let FramePart { len, is_complete } =
            self.frames.advance(input).map_err(|error| LossReason::from(&*error.to_string()))?;
        let (bytes, rest) = input.split_at(len);
        *input = rest;
        let is_first = self.len == 0;
        self.len += len;
        let part = ReplyPart {
            bytes,
            is_push: self.frames.is_push(),
            is_first,
            is_last: is_complete,
            is_too_long: self.len > self.max_len,
        };
        if is_complete {
            self.len = 0;
        }
        Ok(Some(part))
    }

    /// Removes bytes from the front of `input`, up to the end of a reply. Returns `None` if the end has not arrived.
    ///
    /// # Errors
    /// If the input breaks the protocol, or a reply is too long.
    pub(crate) fn next_whole(&mut self, input: &mut &[u8]) -> Result<Option<WholeReply>, LossReason> {
        while let Some(part) = self.next_part(input)? {
            if part.is_too_long {
                return Err(TOO_LONG.into());
            }
            self.buffer.extend_from_slice(part.bytes);
            if part.is_last {
                return Ok(Some(WholeReply { bytes: mem::take(&mut self.buffer), is_push: part.is_push }));
            }
        }
        Ok(None)
    }

    /// Returns whether no reply has arrived in part.
    pub(crate) fn is_between_replies(&self) -> bool {
        self.len == 0
    }
}

/// Converts a RESP2 reply to RESP3.
pub(crate) fn as_resp3(reply: Vec<u8>) -> Vec<u8> {
    let Ok(Some((value, _))) = Value::parse(&reply) else { return reply };
    let mut out = Encoder::new(Protocol::Resp3);
    value.encode(&mut out);
    out.into_vec()
}

const TOO_LONG: &str = "its reply is too long";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_and_pushes_are_told_apart() {
        let mut reader = ReplyReader::new(100);
        let mut whole = Vec::new();
        for mut input in [&b"+a\r\n>1\r\n$"[..], b"1\r\nb\r\n*1", b"\r\n:1\r\n-E"] {
            while let Some(reply) = reader.next_whole(&mut input).expect("RESP") {
                whole.push((reply.bytes, reply.is_push));
            }
        }
        let expected: [(&[u8], bool); 3] =
            [(b"+a\r\n", false), (b">1\r\n$1\r\nb\r\n", true), (b"*1\r\n:1\r\n", false)];
        assert_eq!(whole, expected.map(|(bytes, is_push)| (bytes.to_vec(), is_push)));
        assert!(!reader.is_between_replies());
    }

    #[test]
    fn only_the_reply_that_is_too_long_is_marked() {
        let mut reader = ReplyReader::new(6);
        let (mut input, mut parts) = (&b"+abcd\r\n+a\r\n"[..], Vec::new());
        while let Some(part) = reader.next_part(&mut input).expect("RESP") {
            parts.push((part.is_first, part.is_last, part.is_too_long));
        }
        assert_eq!(parts, [(true, true, true), (true, true, false)]);
        assert_eq!(reader.next_whole(&mut &b"+abcd\r\n"[..]), Err(TOO_LONG.into()));
    }
}
