//! The parser of replies and pushes.

use std::str::FromStr;

use bytes::Bytes;

use super::{
    Error, Value,
    invalid_reply::{BROKEN_LINE, INVALID_LENGTH, InvalidReply, MAX_LEN, NO_CR_LF},
};

/// A message from a server.
///
/// It is exhaustive by design: RESP3 has replies and pushes.
///
/// ```
/// use thegiant_resp::{Incoming, Value};
///
/// let received = b">2\r\n$4\r\nnews\r\n:1\r\n+OK\r\n";
/// let push = Incoming::Push(vec![Value::bulk("news"), Value::Integer(1)]);
/// assert_eq!(Incoming::parse(received), Ok(Some((push, 18))));
/// let reply = Incoming::Reply(Value::Simple("OK".into()));
/// assert_eq!(Incoming::parse(&received[18..]), Ok(Some((reply, 5))));
/// ```
#[derive(Clone, Debug, PartialEq)]
pub enum Incoming {
    /// The reply to a request.
    Reply(Value),
    /// The elements of a push, a message that is not the reply to a request.
    Push(Vec<Value>),
}

impl Incoming {
    /// Parses the first message in `bytes`, and returns it with its length in bytes.
    ///
    /// It returns `None` if the message is incomplete. Call it again with more bytes then; it starts again at the
    /// first byte. It skips the attributes of RESP3.
    ///
    /// # Errors
    /// If the bytes break the protocol, if a line is not UTF-8, or if values are nested more than 128 levels deep.
    pub fn parse(bytes: &[u8]) -> Result<Option<(Self, usize)>, InvalidReply> {
        let mut parser = Parser { bytes, at: 0, depth: 0 };
        complete(parser.incoming(), parser.at)
    }
}

impl Value {
    /// Parses the first reply in `bytes`, and returns it with its length in bytes.
    ///
    /// It returns `None` if the reply is incomplete. Call it again with more bytes then; it starts again at the first
    /// byte. It skips the attributes of RESP3.
    ///
    /// ```
    /// use thegiant_resp::Value;
    ///
    /// let received = b"*2\r\n:1\r\n$2\r\nhi\r\n";
    /// let reply = Value::Array(vec![1.into(), "hi".into()]);
    /// assert_eq!(Value::parse(received), Ok(Some((reply, received.len()))));
    /// assert_eq!(Value::parse(&received[..9]), Ok(None));
    /// assert!(Value::parse(b"HTTP/1.1 400 Bad Request\r\n").is_err());
    /// ```
    ///
    /// # Errors
    /// As [`Incoming::parse`]. A push is also an error.
    pub fn parse(bytes: &[u8]) -> Result<Option<(Self, usize)>, InvalidReply> {
        let mut parser = Parser { bytes, at: 0, depth: 0 };
        complete(parser.value(), parser.at)
    }
}

fn complete<T>(parsed: Parsed<T>, len: usize) -> Result<Option<(T, usize)>, InvalidReply> {
    match parsed {
        Ok(value) => Ok(Some((value, len))),
        Err(Stop::Incomplete) => Ok(None),
        Err(Stop::Invalid(reason)) => Err(InvalidReply(reason)),
    }
}

struct Parser<'a> {
    bytes: &'a [u8],
    at: usize,
    /// The number of aggregates that contain the next value.
    depth: usize,
}

/// Maximum number of nested aggregates. The parser recurses, and a peer must not exhaust the stack.
const MAX_DEPTH: usize = 128;

/// The reason why there is no value.
enum Stop {
    Incomplete,
    Invalid(&'static str),
}

type Parsed<T> = Result<T, Stop>;

impl<'a> Parser<'a> {
    fn incoming(&mut self) -> Parsed<Incoming> {
        if self.bytes.first() == Some(&b'>') {
            let line = self.line()?;
            return self.values(line).map(Incoming::Push);
        }
        self.value().map(Incoming::Reply)
    }

    fn value(&mut self) -> Parsed<Value> {
        let (kind, line) = self.header()?;
        Ok(match kind {
            b'+' => Value::Simple(text(line)?),
            b'-' => Value::Error(Error::from_bytes(line.to_vec())),
            b':' => Value::Integer(number(line)?),
            b'_' => Value::Null,
            b'$' | b'*' if line == b"-1" => Value::Null,
            b'$' => Value::Bulk(Bytes::copy_from_slice(self.string(line)?)),
            b'!' => Value::Error(Error::from_bytes(self.string(line)?.to_vec())),
            b'=' => self.verbatim(line)?,
            b'#' => Value::Boolean(boolean(line)?),
            b',' => Value::Double(number(line)?),
            b'(' => Value::BigNumber(text(line)?),
            b'*' => Value::Array(self.values(line)?),
            b'~' => Value::Set(self.values(line)?),
            b'%' => Value::Map(self.pairs(line)?),
            _ => return Err(Stop::Invalid("unknown type")),
        })
    }

    /// The type and the line of the next value, after its attributes.
    fn header(&mut self) -> Parsed<(u8, &'a [u8])> {
        loop {
            let kind = *self.bytes.get(self.at).ok_or(Stop::Incomplete)?;
            let line = self.line()?;
            if kind != b'|' {
                return Ok((kind, line));
            }
            self.pairs(line)?;
        }
    }

    fn values(&mut self, len: &[u8]) -> Parsed<Vec<Value>> {
        let len = length(len)?;
        self.nested(|parser| (0..len).map(|_| parser.value()).collect())
    }

    fn pairs(&mut self, len: &[u8]) -> Parsed<Vec<(Value, Value)>> {
        let len = length(len)?;
        self.nested(|parser| (0..len).map(|_| Ok((parser.value()?, parser.value()?))).collect())
    }

    fn nested<T>(&mut self, parse: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        if self.depth == MAX_DEPTH {
            return Err(Stop::Invalid("too many nested values"));
        }
        self.depth += 1;
        let values = parse(self);
        self.depth -= 1;
        values
    }

    fn verbatim(&mut self, len: &[u8]) -> Parsed<Value> {
        match self.string(len)? {
            [a, b, c, b':', text @ ..] => {
                Ok(Value::Verbatim([*a, *b, *c], String::from_utf8_lossy(text).into_owned()))
            }
            _ => Err(Stop::Invalid("a verbatim string has no format")),
        }
    }

    fn string(&mut self, len: &[u8]) -> Parsed<&'a [u8]> {
        let len = length(len)?;
        let rest = &self.bytes[self.at..];
        let end = rest.get(len..).ok_or(Stop::Incomplete)?;
        match end {
            [b'\r', b'\n', ..] => {
                self.at += len + 2;
                Ok(&rest[..len])
            }
            [] | [b'\r'] => Err(Stop::Incomplete),
            _ => Err(Stop::Invalid(NO_CR_LF)),
        }
    }

    /// The text between the type byte and CR LF.
    fn line(&mut self) -> Parsed<&'a [u8]> {
        let rest = &self.bytes[self.at..];
        let end = rest.iter().position(|byte| matches!(byte, b'\r' | b'\n')).ok_or(Stop::Incomplete)?;
        match &rest[end..] {
            [b'\r'] => Err(Stop::Incomplete),
            [b'\r', b'\n', ..] if end > 0 => {
                self.at += end + 2;
                Ok(&rest[1..end])
            }
            _ => Err(Stop::Invalid(BROKEN_LINE)),
        }
    }
}

fn text(line: &[u8]) -> Parsed<String> {
    String::from_utf8(line.to_vec()).map_err(|_| Stop::Invalid("a line is not UTF-8"))
}

fn number<T: FromStr>(line: &[u8]) -> Parsed<T> {
    let text = std::str::from_utf8(line).ok();
    text.and_then(|text| text.parse().ok()).ok_or(Stop::Invalid("invalid number"))
}

fn boolean(line: &[u8]) -> Parsed<bool> {
    match line {
        b"t" => Ok(true),
        b"f" => Ok(false),
        _ => Err(Stop::Invalid("invalid boolean")),
    }
}

fn length(line: &[u8]) -> Parsed<usize> {
    let len = line.first().filter(|first| first.is_ascii_digit()).and_then(|_| number::<u64>(line).ok());
    let len = len.filter(|len| *len <= MAX_LEN).and_then(|len| usize::try_from(len).ok());
    len.ok_or(Stop::Invalid(INVALID_LENGTH))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Encoder, FrameScanner, Protocol};

    #[test]
    fn encoded_values_are_parsed() {
        let value = Value::Array(vec![
            Value::Null,
            Value::Simple("OK".into()),
            Value::Error(Error::SYNTAX),
            Value::Integer(-7),
            Value::bulk("a\r\nb"),
            Value::Boolean(true),
            Value::Double(0.5),
            Value::BigNumber("12345678901234567890".into()),
            Value::Verbatim(*b"txt", "hi".into()),
            Value::Map(vec![(Value::bulk("k"), Value::Set(vec![Value::Integer(1)]))]),
        ]);
        let mut out = Encoder::new(Protocol::Resp3);
        value.encode(&mut out);
        let bytes = out.to_vec();
        assert_eq!(Value::parse(&bytes), Ok(Some((value.clone(), bytes.len()))));
        assert_eq!(Incoming::parse(&bytes), Ok(Some((Incoming::Reply(value), bytes.len()))));
        assert!((0..bytes.len()).all(|end| Value::parse(&bytes[..end]) == Ok(None)));
    }

    #[test]
    fn pushes_are_not_values() {
        let push = vec![Value::bulk("news"), Value::Integer(1)];
        let bytes = b">2\r\n$4\r\nnews\r\n:1\r\n:2\r\n";
        assert_eq!(Incoming::parse(bytes), Ok(Some((Incoming::Push(push), 18))));
        assert!(Value::parse(bytes).is_err());
    }

    #[test]
    fn errors_can_be_bulk_strings_and_need_not_be_utf8() {
        let error = |line: &[u8]| Value::Error(Error::from_bytes(line.to_vec()));
        assert_eq!(Value::parse(b"-ERR\r\n"), Ok(Some((error(b"ERR"), 6))));
        assert_eq!(Value::parse(b"-ERR \xff\r\n"), Ok(Some((error(b"ERR \xff"), 8))));
        assert_eq!(Value::parse(b"!5\r\nERR x\r\n"), Ok(Some((error(b"ERR x"), 11))));
    }

    #[test]
    fn attributes_are_skipped() {
        let bytes = b"|1\r\n+ttl\r\n:1\r\n*2\r\n+a\r\n|0\r\n+b\r\n";
        let values = Value::Array(vec![Value::Simple("a".into()), Value::Simple("b".into())]);
        assert_eq!(Value::parse(bytes), Ok(Some((values, bytes.len()))));
    }

    #[test]
    fn invalid_replies_are_errors() {
        for input in [
            "what\r\n",
            "\r\n",
            "#x\r\n",
            ":1x\r\n",
            "$+1\r\na\r\n",
            "$18446744073709551615\r\n",
            "=3\r\ntxt\r\n",
            "$3\r\nabcde",
            "*1\r\n>0\r\n",
        ] {
            assert!(Value::parse(input.as_bytes()).is_err(), "{input:?}");
        }
    }

    #[test]
    fn a_line_contains_neither_cr_nor_lf_for_the_parser_and_the_scanner() {
        for bytes in [b"+a\nb\r\n", b"+a\rb\r\n", b"-aa\r\r\n"] {
            assert!(Value::parse(bytes).is_err());
            assert!(FrameScanner::default().advance(bytes).is_err());
        }
    }

    #[test]
    fn nesting_is_bounded() {
        let nested = |depth: usize| ["*1\r\n".repeat(depth), ":1\r\n".to_owned()].concat();
        assert!(Value::parse(nested(MAX_DEPTH).as_bytes()).is_ok_and(|parsed| parsed.is_some()));
        assert!(Value::parse(nested(1_000_000).as_bytes()).is_err());
    }
}
