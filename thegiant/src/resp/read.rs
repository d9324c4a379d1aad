//! Replies as values.

use bytes::Bytes;

use super::{Error, Value};

/// What a server sends.
#[derive(Debug, PartialEq)]
pub(crate) enum Incoming {
    Reply(Value),
    Push(Vec<Value>),
}

/// What is at the beginning, and how long it is; `None` if not all of it is there.
pub(crate) fn parse(bytes: &[u8]) -> Result<Option<(Incoming, usize)>, &'static str> {
    let mut reader = Reader { bytes, at: 0, depth: 0 };
    let received = match bytes.first() {
        Some(b'>') => reader.line().and_then(|line| reader.values(line)).map(Incoming::Push),
        Some(_) => reader.value().map(Incoming::Reply),
        None => Err(Stop::Incomplete),
    };
    match received {
        Ok(received) => Ok(Some((received, reader.at))),
        Err(Stop::Incomplete) => Ok(None),
        Err(Stop::Wrong(what)) => Err(what),
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    /// In so many values is what is read next.
    depth: usize,
}

/// Values are read by recursion, and another server is not to have this one run out of stack.
const DEEPEST: usize = 128;

/// Why there is no value.
enum Stop {
    Incomplete,
    Wrong(&'static str),
}

type Read<T> = Result<T, Stop>;

impl<'a> Reader<'a> {
    fn value(&mut self) -> Read<Value> {
        let line = self.line()?;
        Ok(match line[0] {
            b'+' => Value::Simple(text(line)?),
            b'-' => Value::Error(error(&text(line)?)),
            b':' => Value::Integer(number(line)?),
            b'_' => Value::Null,
            b'$' | b'*' if line[1..] == *b"-1" => Value::Null,
            b'$' => Value::Bulk(Bytes::copy_from_slice(self.string(line)?)),
            b'=' => match self.string(line)? {
                [a, b, c, b':', text @ ..] => {
                    Value::Verbatim([*a, *b, *c], String::from_utf8_lossy(text).into_owned())
                }
                _ => return Err(Stop::Wrong("a verbatim string without a format")),
            },
            b'#' => Value::Boolean(line[1..] == *b"t"),
            b',' => Value::Double(number(line)?),
            b'(' => Value::BigNumber(text(line)?),
            b'*' => Value::Array(self.values(line)?),
            b'~' => Value::Set(self.values(line)?),
            b'%' => Value::Map(self.pairs(line)?),
            _ => return Err(Stop::Wrong("no type is known by its first byte")),
        })
    }

    fn values(&mut self, line: &[u8]) -> Read<Vec<Value>> {
        self.deeper(|reader| (0..number::<usize>(line)?).map(|_| reader.value()).collect())
    }

    fn pairs(&mut self, line: &[u8]) -> Read<Vec<(Value, Value)>> {
        self.deeper(|reader| {
            (0..number::<usize>(line)?).map(|_| Ok((reader.value()?, reader.value()?))).collect()
        })
    }

    fn deeper<T>(&mut self, read: impl FnOnce(&mut Self) -> Read<T>) -> Read<T> {
        if self.depth == DEEPEST {
            return Err(Stop::Wrong("too many values in each other"));
        }
        self.depth += 1;
        let values = read(self);
        self.depth -= 1;
        values
    }

    fn string(&mut self, line: &[u8]) -> Read<&'a [u8]> {
        let len: usize = number(line)?;
        let rest = &self.bytes[self.at..];
        let (Some(string), Some(end)) = (rest.get(..len), rest.get(len..len + 2)) else {
            return Err(Stop::Incomplete);
        };
        self.at += len + 2;
        if end == b"\r\n" { Ok(string) } else { Err(Stop::Wrong("a string does not end with CR LF")) }
    }

    /// Up to its end, the first byte included.
    fn line(&mut self) -> Read<&'a [u8]> {
        let rest = &self.bytes[self.at..];
        let len = rest.windows(2).position(|pair| pair == b"\r\n").ok_or(Stop::Incomplete)?;
        self.at += len + 2;
        if len > 0 { Ok(&rest[..len]) } else { Err(Stop::Wrong("an empty line")) }
    }
}

fn text(line: &[u8]) -> Read<String> {
    String::from_utf8(line[1..].to_vec()).map_err(|_| Stop::Wrong("a line that is not UTF-8"))
}

fn number<T: std::str::FromStr>(line: &[u8]) -> Read<T> {
    text(line)?.parse().map_err(|_| Stop::Wrong("not a number"))
}

fn error(line: &str) -> Error {
    let (code, text) = line.split_once(' ').unwrap_or((line, ""));
    Error::new(code, text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resp::{Encoder, Protocol};

    #[test]
    fn what_is_written_is_read() {
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
        assert_eq!(parse(&bytes), Ok(Some((Incoming::Reply(value), bytes.len()))));
        assert!((0..bytes.len()).all(|end| parse(&bytes[..end]) == Ok(None)));
        let push = vec![Value::bulk("news"), Value::Integer(1)];
        assert_eq!(parse(b">2\r\n$4\r\nnews\r\n:1\r\n:2\r\n"), Ok(Some((Incoming::Push(push), 18))));
        assert!(parse(b"what\r\n").is_err());
        let nested = |depth: usize| ["*1\r\n".repeat(depth), ":1\r\n".to_owned()].concat();
        assert!(parse(nested(DEEPEST).as_bytes()).is_ok_and(|parsed| parsed.is_some()));
        assert!(parse(nested(1_000_000).as_bytes()).is_err());
    }
}
