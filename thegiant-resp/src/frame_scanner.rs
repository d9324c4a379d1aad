//! The scanner for the ends of replies.

use super::invalid_reply::{BROKEN_LINE, INVALID_LENGTH, InvalidReply, MAX_LEN, NO_CR_LF};

/// Finds the ends of replies in a byte stream that arrives in parts of any size.
///
/// A proxy uses it to forward replies without parsing them. The scanner keeps no bytes, reserves no memory for a declared
/// length and does not recurse.
///
/// ```
/// use thegiant_resp::{FramePart, FrameScanner};
///
/// let mut scanner = FrameScanner::default();
/// let first = scanner.advance(b"*2\r\n+a\r\n$5\r\nhe");
/// assert_eq!(first, Ok(FramePart { len: 14, is_complete: false }));
/// let second = scanner.advance(b"llo\r\n:1\r\n");
/// assert_eq!(second, Ok(FramePart { len: 5, is_complete: true }));
/// ```
#[derive(Debug, Default)]
pub struct FrameScanner {
    expect: ExpectFrame,
    /// The number of values that the current reply still lacks. It is 0 between two replies.
    missing: u64,
    /// The first byte of the current reply.
    kind: u8,
}

/// The part of a reply that one call of [`FrameScanner::advance`] has scanned.
///
/// It is exhaustive by design: a part has bytes, and it may end its reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FramePart {
    /// The number of input bytes that belong to the current reply.
    pub len: usize,
    /// Whether the reply ends after these bytes.
    pub is_complete: bool,
}

/// The meaning of the next bytes.
#[derive(Clone, Copy, Debug, Default)]
enum ExpectFrame {
    /// The first byte of a value.
    #[default]
    Kind,
    /// The rest of a value that is a single line, such as `+OK`.
    Line,
    /// The LF after such a line and its CR.
    LineEnd,
    /// The rest of a line with a length.
    Length { kind: u8, number: u64, is_negative: bool, has_digits: bool },
    /// The LF after a length and its CR.
    LengthEnd { kind: u8, len: Option<u64> },
    /// This many bytes of a string.
    Body(u64),
    /// The CR LF after a string.
    BodyEnd,
    /// The LF after a string and its CR.
    BodyEndLf,
}

impl FrameScanner {
    /// Scans `input`, at most up to the end of the current reply.
    ///
    /// Call it again with the rest of the input, and then with the bytes that arrive later. Each call scans at least
    /// one byte unless `input` is empty.
    ///
    /// # Errors
    /// If the input breaks the protocol. Do not use the scanner after an error.
    pub fn advance(&mut self, input: &[u8]) -> Result<FramePart, InvalidReply> {
        let mut at = 0;
        if self.missing == 0
            && let Some(kind) = input.first()
        {
            self.kind = *kind;
            if let Some(len) = whole_string(input) {
                return Ok(FramePart { len, is_complete: true });
            }
            self.missing = 1;
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
                        _ => return Err(InvalidReply("unknown type")),
                    };
                    at += 1;
                }
                ExpectFrame::Line => {
                    let rest = &input[at..];
                    match rest.iter().position(|byte| matches!(byte, b'\r' | b'\n')) {
                        None => at = input.len(),
                        Some(end) if rest[end] == b'\n' => return Err(InvalidReply(BROKEN_LINE)),
                        Some(end) => {
                            at += end + 1;
                            self.expect = ExpectFrame::LineEnd;
                        }
                    }
                }
                ExpectFrame::LineEnd => {
                    if *byte != b'\n' {
                        return Err(InvalidReply(BROKEN_LINE));
                    }
                    at += 1;
                    self.end_value();
                }
                ExpectFrame::Length { kind, number, is_negative, has_digits } => {
                    at += 1;
                    self.expect = match byte {
                        digit @ b'0'..=b'9' => {
                            let digit = u64::from(digit - b'0');
                            let number = number.checked_mul(10).and_then(|number| number.checked_add(digit));
                            let number = number
                                .filter(|number| *number <= MAX_LEN)
                                .ok_or(InvalidReply(INVALID_LENGTH))?;
                            ExpectFrame::Length { kind, number, is_negative, has_digits: true }
                        }
                        b'-' if !has_digits && !is_negative => {
                            ExpectFrame::Length { kind, number, is_negative: true, has_digits }
                        }
                        b'\r' if has_digits => {
                            ExpectFrame::LengthEnd { kind, len: (!is_negative).then_some(number) }
                        }
                        _ => return Err(InvalidReply(INVALID_LENGTH)),
                    };
                }
                ExpectFrame::LengthEnd { kind, len } => {
                    if *byte != b'\n' {
                        return Err(InvalidReply(INVALID_LENGTH));
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
                        return Err(InvalidReply(NO_CR_LF));
                    }
                    at += 1;
                    self.expect = ExpectFrame::BodyEndLf;
                }
                ExpectFrame::BodyEndLf => {
                    if *byte != b'\n' {
                        return Err(InvalidReply(NO_CR_LF));
                    }
                    at += 1;
                    self.end_value();
                }
            }
            if self.missing == 0 {
                return Ok(FramePart { len: at, is_complete: true });
            }
        }
        Ok(FramePart { len: at, is_complete: false })
    }

    /// Returns whether the latest scanned bytes belong to a push, which is not the reply to a request.
    #[must_use]
    pub fn is_push(&self) -> bool {
        self.kind == b'>'
    }

    fn begin_contents(&mut self, kind: u8, len: Option<u64>) -> Result<(), InvalidReply> {
        let values = match (kind, len) {
            // A null string or a null array.
            (_, None) => 0,
            (b'$' | b'=' | b'!', Some(len)) => {
                self.expect = if len == 0 { ExpectFrame::BodyEnd } else { ExpectFrame::Body(len) };
                return Ok(());
            }
            // The value that an attribute describes follows it, and the attribute itself does not count.
            (b'|', Some(pairs)) => 2 * pairs + 1,
            (b'%', Some(pairs)) => 2 * pairs,
            (_, Some(values)) => values,
        };
        self.missing = self.missing.checked_add(values).ok_or(InvalidReply(TOO_LONG))?;
        self.end_value();
        Ok(())
    }

    fn end_value(&mut self) {
        self.missing -= 1;
        self.expect = ExpectFrame::Kind;
    }
}

/// Returns the length of the reply at the start of `input`, if that is a whole string.
///
/// Most replies are. One pass over the digits takes fewer steps than the states of the scanner.
#[inline]
fn whole_string(input: &[u8]) -> Option<usize> {
    const MAX_DIGITS: usize = 9;
    let digits = input.strip_prefix(b"$")?;
    let mut count = 0;
    let mut len = 0;
    while let Some(digit @ b'0'..=b'9') = digits.get(count).filter(|_| count < MAX_DIGITS) {
        len = len * 10 + usize::from(digit - b'0');
        count += 1;
    }
    let (start, end) = (1 + count + 2, 1 + count + 2 + len);
    let is_whole =
        count > 0 && input.get(start - 2..start)? == b"\r\n" && input.get(end..end + 2)? == b"\r\n";
    is_whole.then_some(end + 2)
}

const TOO_LONG: &str = "too many values";

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the lengths of the replies in `input`, which arrives in parts of `size` bytes, and the length of the incomplete
    /// one at the end.
    fn lengths(input: &[u8], size: usize) -> Result<(Vec<usize>, usize), InvalidReply> {
        let (mut scanner, mut lengths, mut begun) = (FrameScanner::default(), Vec::new(), 0);
        for mut rest in input.chunks(size) {
            while !rest.is_empty() {
                let FramePart { len, is_complete } = scanner.advance(rest)?;
                assert!(len > 0);
                rest = &rest[len..];
                begun += len;
                if is_complete {
                    lengths.push(std::mem::take(&mut begun));
                }
            }
        }
        Ok((lengths, begun))
    }

    #[test]
    fn the_scanner_finds_the_end_of_replies_of_all_types() {
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
            assert_eq!(lengths(&input, size), Ok((expected.clone(), 0)), "in parts of {size}");
        }
    }

    #[test]
    fn incomplete_replies_are_not_complete() {
        for input in
            ["$5\r\nhello\r", "*1\r\n", "%1\r\n+k\r\n", "|1\r\n+k\r\n+v\r\n", "+OK\r", "*2\r\n$-1\r\n"]
        {
            assert_eq!(lengths(input.as_bytes(), 3), Ok((vec![], input.len())), "{input:?}");
        }
    }

    #[test]
    fn invalid_replies_are_errors() {
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
            "+a\nb\r\n",
            "+a\rb\r\n",
            "-a\r\r\n",
            "+\n",
        ];
        for input in wrong {
            assert!(lengths(input.as_bytes(), 2).is_err(), "{input:?}");
        }
    }

    #[test]
    fn declared_lengths_do_not_overflow() {
        let deepest = "*1099511627776\r\n".repeat(1000);
        assert!(lengths(deepest.as_bytes(), 64).is_ok());
    }
}
