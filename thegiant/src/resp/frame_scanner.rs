//! Where replies end.

use std::fmt;

/// Finds the ends of replies in a stream of bytes that arrives in pieces of any size. It keeps no bytes and reserves
/// nothing for lengths that were declared, and it does not recurse.
#[derive(Debug, Default)]
pub(crate) struct FrameScanner {
    expect: ExpectFrame,
    /// Values of the current reply that are still to end; 0 between two replies.
    missing: u64,
    /// The first byte of the current reply.
    kind: u8,
}

#[derive(Clone, Copy, Debug, Default)]
enum ExpectFrame {
    /// The first byte of a value.
    #[default]
    Kind,
    /// The rest of a line, which is the value.
    Line,
    /// The rest of a line that says how long it is.
    Length { kind: u8, number: u64, is_negative: bool, has_digits: bool },
    /// The LF of such a line.
    LengthEnd { kind: u8, len: Option<u64> },
    /// So many bytes.
    Body(u64),
    /// The CR LF behind them.
    BodyEnd,
    /// The LF of that.
    BodyEndLf,
}

/// What is not a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("it does not speak the protocol of Redis")
    }
}

impl FrameScanner {
    /// How many of these bytes belong to the current reply, and whether that ends with them. There is at least one byte,
    /// and at least one is taken.
    pub(crate) fn advance(&mut self, input: &[u8]) -> Result<(usize, bool), Malformed> {
        let mut at = 0;
        if self.missing == 0 {
            self.missing = 1;
            self.kind = input.first().copied().unwrap_or_default();
        }
        while let Some(byte) = input.get(at) {
            match self.expect {
                ExpectFrame::Kind => {
                    self.expect = match byte {
                        b'+' | b'-' | b':' | b'_' | b',' | b'#' | b'(' => ExpectFrame::Line,
                        b'$' | b'*' | b'%' | b'~' | b'>' | b'=' | b'!' | b'|' => ExpectFrame::Length {
                            kind: *byte,
                            number: 0,
                            is_negative: false,
                            has_digits: false,
                        },
                        _ => return Err(Malformed),
                    };
                    at += 1;
                }
                ExpectFrame::Line => match input[at..].iter().position(|byte| *byte == b'\n') {
                    Some(end) => {
                        at += end + 1;
                        self.end_value();
                    }
                    None => at = input.len(),
                },
                ExpectFrame::Length { kind, number, is_negative, has_digits } => {
                    at += 1;
                    self.expect = match byte {
                        digit @ b'0'..=b'9' => {
                            let digit = u64::from(digit - b'0');
                            let number = number.checked_mul(10).and_then(|number| number.checked_add(digit));
                            let number = number.filter(|number| *number <= MAX_LEN).ok_or(Malformed)?;
                            ExpectFrame::Length { kind, number, is_negative, has_digits: true }
                        }
                        b'-' if !has_digits && !is_negative => {
                            ExpectFrame::Length { kind, number, is_negative: true, has_digits }
                        }
                        b'\r' if has_digits => {
                            ExpectFrame::LengthEnd { kind, len: (!is_negative).then_some(number) }
                        }
                        _ => return Err(Malformed),
                    };
                }
                ExpectFrame::LengthEnd { kind, len } => {
                    if *byte != b'\n' {
                        return Err(Malformed);
                    }
                    at += 1;
                    self.begin_contents(kind, len)?;
                }
                ExpectFrame::Body(len) => {
                    let here = (input.len() - at).min(usize::try_from(len).unwrap_or(usize::MAX));
                    at += here;
                    let rest = len - here as u64;
                    self.expect = if rest == 0 { ExpectFrame::BodyEnd } else { ExpectFrame::Body(rest) };
                }
                ExpectFrame::BodyEnd => {
                    if *byte != b'\r' {
                        return Err(Malformed);
                    }
                    at += 1;
                    self.expect = ExpectFrame::BodyEndLf;
                }
                ExpectFrame::BodyEndLf => {
                    if *byte != b'\n' {
                        return Err(Malformed);
                    }
                    at += 1;
                    self.end_value();
                }
            }
            if self.missing == 0 {
                return Ok((at, true));
            }
        }
        Ok((at, false))
    }

    /// Whether the reply that was looked at last is none, but something that was not asked for.
    pub(crate) fn is_push(&self) -> bool {
        self.kind == b'>'
    }

    fn begin_contents(&mut self, kind: u8, len: Option<u64>) -> Result<(), Malformed> {
        let values = match (kind, len) {
            // The absent string or array.
            (_, None) => 0,
            (b'$' | b'=' | b'!', Some(len)) => {
                self.expect = if len == 0 { ExpectFrame::BodyEnd } else { ExpectFrame::Body(len) };
                return Ok(());
            }
            // An attribute is no value, but comes before one.
            (b'|', Some(pairs)) => 2 * pairs + 1,
            (b'%', Some(pairs)) => 2 * pairs,
            (_, Some(values)) => values,
        };
        self.missing = self.missing.checked_add(values).ok_or(Malformed)?;
        self.end_value();
        Ok(())
    }

    fn end_value(&mut self) {
        self.missing -= 1;
        self.expect = ExpectFrame::Kind;
    }
}

/// No reply says more than that; the sum of all that it says fits into 64 bits.
const MAX_LEN: u64 = 1 << 40;

#[cfg(test)]
mod tests {
    use super::*;

    /// The lengths of the replies in `input`, which arrives in pieces of `size` bytes, and what is left of the last one.
    fn lengths(input: &[u8], size: usize) -> Result<(Vec<usize>, usize), Malformed> {
        let (mut frames, mut lengths, mut begun) = (FrameScanner::default(), Vec::new(), 0);
        for mut piece in input.chunks(size) {
            while !piece.is_empty() {
                let (used, done) = frames.advance(piece)?;
                assert!(used > 0);
                piece = &piece[used..];
                begun += used;
                if done {
                    lengths.push(std::mem::take(&mut begun));
                }
            }
        }
        Ok((lengths, begun))
    }

    #[test]
    fn replies_of_all_types_end_where_they_end() {
        let replies: [&[u8]; 20] = [
            b"+OK\r\n",
            b"-ERR no\r\n",
            b":-12\r\n",
            b"$5\r\nhe\r\no\r\n",
            b"$0\r\n\r\n",
            b"$-1\r\n",
            b"*-1\r\n",
            b"*0\r\n",
            b"*2\r\n*1\r\n+a\r\n*0\r\n",
            b"%1\r\n+k\r\n*2\r\n:1\r\n:2\r\n",
            b"%0\r\n",
            b"~2\r\n+a\r\n+b\r\n",
            b">2\r\n+message\r\n+b\r\n",
            b"_\r\n",
            b"#t\r\n",
            b",1.5\r\n",
            b"(123456789012345678901234567890\r\n",
            b"=7\r\ntxt:abc\r\n",
            b"!5\r\nERR x\r\n",
            b"|1\r\n+ttl\r\n:1\r\n*1\r\n+value\r\n",
        ];
        let expected: Vec<usize> = replies.iter().map(|reply| reply.len()).collect();
        let input = replies.concat();
        for size in 1..=input.len() {
            assert_eq!(lengths(&input, size), Ok((expected.clone(), 0)), "in pieces of {size}");
        }
    }

    #[test]
    fn a_reply_that_goes_on_is_not_complete() {
        for input in
            ["$5\r\nhello\r", "*1\r\n", "%1\r\n+k\r\n", "|1\r\n+k\r\n+v\r\n", "+OK\r", "*2\r\n$-1\r\n"]
        {
            assert_eq!(lengths(input.as_bytes(), 3), Ok((vec![], input.len())), "{input:?}");
        }
    }

    #[test]
    fn what_is_no_reply_is_malformed() {
        let wrong = [
            "GET / HTTP/1.1\r\n",
            "\r\n",
            "$x\r\n",
            "$\r\n",
            "$3\r\nabcd\r\n",
            "$3\r\nabc\rd",
            "*1\n",
            "$1-\r\n",
            "$--1\r\n",
            "*9999999999999999999999\r\n",
            "$?\r\n",
        ];
        for input in wrong {
            assert_eq!(lengths(input.as_bytes(), 2), Err(Malformed), "{input:?}");
        }
    }

    #[test]
    fn declared_lengths_do_not_overflow() {
        let deepest = "*1099511627776\r\n".repeat(1000);
        assert!(lengths(deepest.as_bytes(), 64).is_ok());
    }
}
