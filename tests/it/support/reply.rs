//! A parser of replies that shares no code with the toolkit's encoder.

/// A parsed reply.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Reply {
    Simple(Vec<u8>),
    Error(Vec<u8>),
    Integer(i64),
    Bulk(Vec<u8>),
    Null,
    Boolean(bool),
    Double(f64),
    BigNumber(String),
    Verbatim([u8; 3], Vec<u8>),
    Array(Vec<Reply>),
    Map(Vec<(Reply, Reply)>),
    Set(Vec<Reply>),
    Push(Vec<Reply>),
}

impl Reply {
    /// Parses bytes that contain exactly one reply.
    pub(crate) fn only(bytes: &[u8]) -> Option<Reply> {
        let (reply, rest) = Reply::parse(bytes)?;
        rest.is_empty().then_some(reply)
    }

    /// Parses the first reply. Returns it and the remaining bytes.
    pub(crate) fn parse(bytes: &[u8]) -> Option<(Reply, &[u8])> {
        let end = bytes.iter().position(|byte| *byte == b'\r')?;
        let (line, rest) = (bytes.get(1..end)?, bytes[end..].strip_prefix(b"\r\n")?);
        let text = || String::from_utf8(line.to_vec()).ok();
        let scalar = match bytes[0] {
            b'$' | b'*' if line == b"-1" => Reply::Null,
            b'$' | b'=' | b'*' | b'%' | b'~' | b'>' => {
                return Self::sized(bytes[0], text()?.parse().ok()?, rest);
            }
            b'+' => Reply::Simple(line.to_vec()),
            b'-' => Reply::Error(line.to_vec()),
            b':' => Reply::Integer(text()?.parse().ok()?),
            b'_' if line.is_empty() => Reply::Null,
            b'#' if line == b"t" => Reply::Boolean(true),
            b'#' if line == b"f" => Reply::Boolean(false),
            b',' => Reply::Double(text()?.parse().ok()?),
            b'(' => Reply::BigNumber(text()?),
            _ => return None,
        };
        Some((scalar, rest))
    }

    fn sized(kind: u8, len: usize, rest: &[u8]) -> Option<(Reply, &[u8])> {
        match kind {
            b'$' => Self::string(len, rest).map(|(bytes, rest)| (Reply::Bulk(bytes.to_vec()), rest)),
            b'=' => {
                let (bytes, rest) = Self::string(len, rest)?;
                let [a, b, c, b':', text @ ..] = bytes else { return None };
                Some((Reply::Verbatim([*a, *b, *c], text.to_vec()), rest))
            }
            b'%' => {
                let (elements, rest) = Self::elements(2 * len, rest)?;
                let pairs = elements.chunks(2).map(|pair| (pair[0].clone(), pair[1].clone()));
                Some((Reply::Map(pairs.collect()), rest))
            }
            _ => {
                let aggregate = match kind {
                    b'*' => Reply::Array,
                    b'~' => Reply::Set,
                    _ => Reply::Push,
                };
                Self::elements(len, rest).map(|(elements, rest)| (aggregate(elements), rest))
            }
        }
    }

    fn string(len: usize, rest: &[u8]) -> Option<(&[u8], &[u8])> {
        let (bytes, rest) = rest.split_at_checked(len)?;
        Some((bytes, rest.strip_prefix(b"\r\n")?))
    }

    fn elements(len: usize, mut rest: &[u8]) -> Option<(Vec<Reply>, &[u8])> {
        let mut elements = Vec::new();
        for _ in 0..len {
            let (element, remaining) = Self::parse(rest)?;
            elements.push(element);
            rest = remaining;
        }
        Some((elements, rest))
    }
}
