//! The resumable decoder of requests.

use std::ops::Range;

use super::{DecodeLimits, ProtocolError, Span, inline, limits::Limits, number::parse_integer};

/// Minimum size in bytes of a large bulk string, which gets a separate buffer.
///
/// The decoder announces it with [`Progress::Large`], and the encoder does not copy it.
pub const LARGE_BULK: usize = 16 * 1024;

/// Maximum size in bytes of a `*` line, a `$` line or an inline command (`PROTO_INLINE_MAX_SIZE` in Redis).
const MAX_LINE: usize = 64 * 1024;

/// The result of [`Decoder::decode`].
///
/// It is exhaustive by design: a caller has to handle each case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// A request is complete, and `args` contains its arguments.
    Request,
    /// The decoder has read all input, and the current request is incomplete.
    Incomplete,
    /// A bulk string of this many bytes begins at [`Decoder::position`].
    ///
    /// Move the part that has arrived from the input to a separate buffer, and read the rest into that buffer. Then call
    /// [`Decoder::large_bulk_taken`] and decode again. The buffer becomes the value without another copy.
    Large(usize),
}

/// The meaning of the next bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expect {
    /// The first byte of a request.
    Request,
    /// The `$` line of an element.
    BulkHeader,
    /// The content of an element of this many bytes, and CR LF.
    Bulk(usize),
    /// The CR LF after an element that the caller has taken.
    LargeBulkEnd,
}

/// Decodes requests from a byte stream that arrives in parts of any size.
///
/// The decoder stores positions and no bytes. The caller appends received bytes to one buffer and calls
/// [`decode`](Self::decode) until it returns [`Progress::Incomplete`]. The decoder reads each byte once, reserves no
/// memory for a declared length and does not recurse.
///
/// ```
/// use thegiant_resp::{Decoder, Progress, Span};
///
/// let mut input = b"*2\r\n$4\r\nECHO\r\n$2\r\nhi\r\nPING\r\n*1\r\n".to_vec();
/// let mut decoder = Decoder::default();
/// let mut args = Vec::new();
/// assert_eq!(decoder.decode(&mut input, &mut args), Ok(Progress::Request));
/// assert_eq!(args, [Span::Input { start: 8, end: 12 }, Span::Input { start: 18, end: 20 }]);
/// assert_eq!(decoder.decode(&mut input, &mut args), Ok(Progress::Request)); // an inline command
/// assert_eq!(args.len(), 3);
/// assert_eq!(decoder.decode(&mut input, &mut args), Ok(Progress::Incomplete));
/// ```
#[derive(Debug)]
pub struct Decoder {
    limits: Limits,
    expect: Expect,
    /// The number of elements of the current request that have yet to arrive.
    missing: usize,
    /// The offset of the current request.
    start: usize,
    /// The decoder has used all bytes before this offset.
    position: usize,
    /// The offset up to which there is no end of line behind `position`.
    scanned: usize,
}

impl Default for Decoder {
    fn default() -> Self {
        Decoder::new(DecodeLimits::default())
    }
}

impl Decoder {
    /// Creates a decoder that expects the start of a request.
    #[must_use]
    pub fn new(limits: DecodeLimits) -> Self {
        Decoder {
            limits: limits.into(),
            expect: Expect::Request,
            missing: 0,
            start: 0,
            position: 0,
            scanned: 0,
        }
    }

    /// Replaces the limits. They apply from the next header on.
    pub fn set_limits(&mut self, limits: DecodeLimits) {
        self.limits = limits.into();
    }

    /// Decodes at most one request and appends the positions of its arguments to `args`.
    ///
    /// Each call continues at [`position`](Self::position), so `input` must begin with the same bytes as in the previous
    /// call, until the caller removes bytes and calls [`rebase`](Self::rebase). The input is mutable because the decoder
    /// unescapes inline commands in place. It skips empty requests (`*0`, `*-1`, a blank line), as Redis does.
    ///
    /// The input must stay below 4 GiB without large bulk strings, because positions have 32 bits.
    ///
    /// # Errors
    /// If the input breaks the protocol. The decoder must not be used again.
    #[inline]
    pub fn decode(&mut self, input: &mut [u8], args: &mut Vec<Span>) -> Result<Progress, ProtocolError> {
        loop {
            if self.short_elements(input, args) {
                return Ok(Progress::Request);
            }
            if let Some(progress) = self.step(input, args)? {
                return Ok(progress);
            }
        }
    }

    /// Returns the offset of the first byte that the decoder has not used.
    #[must_use]
    #[inline]
    pub fn position(&self) -> usize {
        self.position
    }

    /// Returns the offset of the first incomplete request.
    ///
    /// Only the arguments of complete requests refer to bytes before this offset.
    #[must_use]
    #[inline]
    pub fn start(&self) -> usize {
        self.start
    }

    /// Adjusts the decoder after the caller has removed the input before [`start`](Self::start).
    #[inline]
    pub fn rebase(&mut self) {
        self.position -= self.start;
        self.scanned = self.scanned.saturating_sub(self.start);
        self.start = 0;
    }

    /// Continues after the bulk string that [`Progress::Large`] announced.
    ///
    /// The caller has removed its bytes from the input. The argument becomes [`Span::Large`] with this `index`.
    pub fn large_bulk_taken(&mut self, index: usize, args: &mut Vec<Span>) {
        args.push(Span::Large(u32::try_from(index).unwrap_or(u32::MAX)));
        self.expect = Expect::LargeBulkEnd;
    }

    /// Decodes short, complete elements, up to the end of the request. The decoder spends most of its time here.
    ///
    /// Returns whether the request is complete. If it is not, [`step`](Self::step) decodes what comes next.
    #[inline]
    fn short_elements(&mut self, input: &[u8], args: &mut Vec<Span>) -> bool {
        // This check of all positions at once replaces the checks of single ones.
        if u32::try_from(input.len()).is_err() {
            return false;
        }
        let (mut missing, mut position) = match self.expect {
            Expect::Request => match short_length(input, b'*', self.position) {
                Some((count, next_line)) if count > 0 && count <= self.limits.max_args() => {
                    self.start = self.position;
                    (count, next_line)
                }
                _ => return false,
            },
            Expect::BulkHeader => (self.missing, self.position),
            Expect::Bulk(_) | Expect::LargeBulkEnd => return false,
        };
        while missing > 0
            && let Some(element) = short_element(input, position)
        {
            position = element.end + 2;
            args.push(Span::input(element));
            missing -= 1;
        }
        self.position = position;
        self.missing = missing;
        if missing > 0 {
            self.expect = Expect::BulkHeader;
            return false;
        }
        self.expect = Expect::Request;
        self.start = position;
        true
    }

    /// Decodes a part of a request of any form.
    ///
    /// It is not inlined, so that the usual case keeps its variables in registers.
    #[inline(never)]
    fn step(&mut self, input: &mut [u8], args: &mut Vec<Span>) -> Result<Option<Progress>, ProtocolError> {
        match self.expect {
            Expect::Request => self.request(input, args),
            Expect::BulkHeader => self.bulk_header(input),
            Expect::Bulk(len) => self.bulk(input, len, args),
            Expect::LargeBulkEnd => self.bulk_end(input),
        }
    }

    fn request(&mut self, input: &mut [u8], args: &mut Vec<Span>) -> Result<Option<Progress>, ProtocolError> {
        self.start = self.position;
        match input.get(self.position) {
            None => Ok(Some(Progress::Incomplete)),
            Some(b'*') => self.multibulk_header(input),
            Some(_) => self.inline(input, args),
        }
    }

    fn multibulk_header(&mut self, input: &[u8]) -> Result<Option<Progress>, ProtocolError> {
        let Some(line) = self.line(input, ProtocolError::TooBigMultibulkCount)? else {
            return Ok(Some(Progress::Incomplete));
        };
        let count: i64 = parse_integer(line).ok_or(ProtocolError::InvalidMultibulkLength)?;
        let count = usize::try_from(count.max(0)).unwrap_or(usize::MAX);
        if count > self.limits.max_args() {
            return Err(self.limits.too_many_args(count));
        }
        if count > 0 {
            self.missing = count;
            self.expect = Expect::BulkHeader;
        }
        Ok(None)
    }

    fn bulk_header(&mut self, input: &[u8]) -> Result<Option<Progress>, ProtocolError> {
        match input.get(self.position) {
            None => return Ok(Some(Progress::Incomplete)),
            Some(b'$') => {}
            Some(other) => return Err(ProtocolError::ExpectedBulk(*other)),
        }
        let Some(line) = self.line(input, ProtocolError::TooBigBulkCount)? else {
            return Ok(Some(Progress::Incomplete));
        };
        let len: usize = parse_integer(line).ok_or(ProtocolError::InvalidBulkLength)?;
        if len > self.limits.max_bulk_len() {
            return Err(self.limits.too_long_bulk(len));
        }
        self.expect = Expect::Bulk(len);
        Ok((len >= LARGE_BULK).then_some(Progress::Large(len)))
    }

    fn bulk(
        &mut self,
        input: &[u8],
        len: usize,
        args: &mut Vec<Span>,
    ) -> Result<Option<Progress>, ProtocolError> {
        let start = self.position;
        match input.get(start + len..) {
            Some([b'\r', b'\n', ..]) => {
                args.push(Span::input(start..start + len));
                self.position = start + len + 2;
                Ok(self.element_read())
            }
            None | Some([] | [b'\r']) => Ok(Some(Progress::Incomplete)),
            Some(_) => Err(ProtocolError::UnterminatedBulk),
        }
    }

    fn bulk_end(&mut self, input: &[u8]) -> Result<Option<Progress>, ProtocolError> {
        match &input[self.position..] {
            [b'\r', b'\n', ..] => {
                self.position += 2;
                Ok(self.element_read())
            }
            [] | [b'\r'] => Ok(Some(Progress::Incomplete)),
            _ => Err(ProtocolError::UnterminatedBulk),
        }
    }

    fn element_read(&mut self) -> Option<Progress> {
        self.missing -= 1;
        self.expect = Expect::BulkHeader;
        if self.missing > 0 {
            return None;
        }
        self.expect = Expect::Request;
        self.start = self.position;
        Some(Progress::Request)
    }

    /// Returns the text between the type byte at `position` and the next CR LF, and moves `position` after it.
    fn line<'i>(
        &mut self,
        input: &'i [u8],
        too_big: ProtocolError,
    ) -> Result<Option<&'i [u8]>, ProtocolError> {
        let start = self.position + 1;
        let from = self.scanned.max(start);
        let Some(found) = input[from..].iter().position(|byte| *byte == b'\r') else {
            return self.unfinished_line(input, too_big).map(|()| None);
        };
        let end = from + found;
        check_line(end - self.position, too_big)?;
        match input.get(end + 1) {
            None => {
                self.scanned = end;
                Ok(None)
            }
            Some(b'\n') => {
                self.position = end + 2;
                Ok(Some(&input[start..end]))
            }
            Some(_) if input[self.position] == b'*' => Err(ProtocolError::InvalidMultibulkLength),
            Some(_) => Err(ProtocolError::InvalidBulkLength),
        }
    }

    fn inline(&mut self, input: &mut [u8], args: &mut Vec<Span>) -> Result<Option<Progress>, ProtocolError> {
        let start = self.position;
        let from = self.scanned.max(start);
        // As in Redis, a line that contains a NUL never ends, because people do not type it.
        let end = match input[from..].iter().position(|byte| matches!(byte, b'\n' | 0)) {
            Some(found) if input[from + found] == b'\n' => from + found,
            Some(found) => {
                self.scanned = from + found;
                check_line(input.len() - start, ProtocolError::TooBigInline)?;
                return Ok(Some(Progress::Incomplete));
            }
            None => {
                self.unfinished_line(input, ProtocolError::TooBigInline)?;
                return Ok(Some(Progress::Incomplete));
            }
        };
        check_line(end - start, ProtocolError::TooBigInline)?;
        self.position = end + 1;
        let line = &mut input[start..end];
        let line = match line {
            [text @ .., b'\r'] => text,
            text => text,
        };
        let before = args.len();
        inline::split(line, |word| args.push(Span::input(start + word.start..start + word.end)))
            .ok_or(ProtocolError::UnbalancedQuotes)?;
        self.start = self.position;
        Ok((args.len() > before).then_some(Progress::Request))
    }

    fn unfinished_line(&mut self, input: &[u8], too_big: ProtocolError) -> Result<(), ProtocolError> {
        self.scanned = input.len();
        check_line(input.len() - self.position, too_big)
    }
}

/// Returns the number in the line of this kind at `at`, and the offset of the next line.
///
/// It reads the usual case, a valid number of one to three digits. `None` means that [`Decoder::step`] has to decide.
#[inline]
fn short_length(input: &[u8], kind: u8, at: usize) -> Option<(usize, usize)> {
    // A complete request has at least six bytes from each line on, so one check of the bounds is enough.
    let [first, line @ .., sixth] = *input.get(at..)?.first_chunk::<6>()?;
    if first != kind {
        return None;
    }
    // XOR with a line of zeros leaves the digits, the first one lowest, and zeros for the end of the line.
    let digits = |zeros| u32::from_le_bytes(line) ^ u32::from_le_bytes(zeros);
    let (one, two, three) = (digits(*b"0\r\n\0") & 0xff_ffff, digits(*b"00\r\n"), digits(*b"000\r"));
    let digit = |index: u32| (three >> (8 * index) & 0xff) as usize;
    if one <= 9 {
        Some((one as usize, at + 4))
    } else if !(1..=9).contains(&digit(0)) {
        None
    } else if two <= 0x0909 {
        Some((digit(0) * 10 + digit(1), at + 5))
    } else if three <= 0x09_0909 && digit(1) <= 9 && sixth == b'\n' {
        Some((digit(0) * 100 + digit(1) * 10 + digit(2), at + 6))
    } else {
        None
    }
}

/// Returns the range of the element at `at` if the element is short and complete.
#[inline]
fn short_element(input: &[u8], at: usize) -> Option<Range<usize>> {
    let (len, start) = short_length(input, b'$', at)?;
    let end = start + len;
    input.get(end..)?.starts_with(b"\r\n").then_some(start..end)
}

/// Checks the length of a line that may or may not be complete.
///
/// The result must not depend on the completeness, because that depends on the parts in which the stream arrives.
fn check_line(len: usize, too_big: ProtocolError) -> Result<(), ProtocolError> {
    if len > MAX_LINE { Err(too_big) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error_of(input: &[u8]) -> ProtocolError {
        let mut input = input.to_vec();
        let mut decoder = Decoder::default();
        let mut args = Vec::new();
        loop {
            match decoder.decode(&mut input, &mut args) {
                Ok(Progress::Request) => {}
                Ok(other) => panic!("{other:?} instead of an error"),
                Err(error) => return error,
            }
        }
    }

    #[test]
    fn lengths_are_strict() {
        for length in ["3000000000", "abc", "+1", "01", "", " 1", "9223372036854775808"] {
            let input = format!("*{length}\r\n");
            assert_eq!(error_of(input.as_bytes()), ProtocolError::InvalidMultibulkLength, "{length:?}");
        }
        for length in
            ["536870913", "-1", "", "+4", "04", " 4", "x", "9223372036854775807", "99999999999999999999"]
        {
            let input = format!("*1\r\n${length}\r\n");
            assert_eq!(error_of(input.as_bytes()), ProtocolError::InvalidBulkLength, "{length:?}");
        }
    }

    #[test]
    fn short_lengths_are_those_of_the_general_rule() {
        let bytes = b"0189/:-\r\n";
        for index in 0..bytes.len().pow(5) {
            let text = [0, 1, 2, 3, 4].map(|at| bytes[index / bytes.len().pow(at) % bytes.len()]);
            let line = [b"$", text.as_slice()].concat();
            let end = text.windows(2).position(|pair| pair == b"\r\n").filter(|end| *end < 4);
            let general = end.and_then(|end| Some((parse_integer(&text[..end])?, end + 3)));
            assert_eq!(short_length(&line, b'$', 0), general, "{text:?}");
            assert_eq!(short_length(&line, b'*', 0), None);
        }
    }

    #[test]
    fn lines_are_bounded() {
        let long = |first: &str| [first.as_bytes(), &[b'1'; MAX_LINE + 1]].concat();
        assert_eq!(error_of(&long("*")), ProtocolError::TooBigMultibulkCount);
        assert_eq!(error_of(&long("*1\r\n$")), ProtocolError::TooBigBulkCount);
        assert_eq!(error_of(&long("x")), ProtocolError::TooBigInline);
        assert_eq!(error_of(&long("\0\n")), ProtocolError::TooBigInline);
    }

    /// Redis checks the length only while the end is missing, so its result depends on its reads.
    #[test]
    fn complete_lines_are_bounded_too() {
        let long = |first: &str, len| [first.as_bytes(), &vec![b'1'; len], b"\r\n"].concat();
        assert_eq!(error_of(&long("*", MAX_LINE)), ProtocolError::TooBigMultibulkCount);
        assert_eq!(error_of(&long("*", MAX_LINE - 1)), ProtocolError::InvalidMultibulkLength);
        assert_eq!(error_of(&long("*1\r\n$", MAX_LINE)), ProtocolError::TooBigBulkCount);
        assert_eq!(error_of(&long("*1\r\n$", MAX_LINE - 1)), ProtocolError::InvalidBulkLength);
        assert_eq!(error_of(&long("x", MAX_LINE)), ProtocolError::TooBigInline);
        let mut longest = long("x", MAX_LINE - 2);
        assert_eq!(Decoder::default().decode(&mut longest, &mut Vec::new()), Ok(Progress::Request));
    }

    #[test]
    fn elements_are_bulk_strings_that_end_with_cr_lf() {
        assert_eq!(error_of(b"*1\r\n*1\r\n"), ProtocolError::ExpectedBulk(b'*'));
        assert_eq!(error_of(b"*1\r\n$1\r\nabc"), ProtocolError::UnterminatedBulk);
        assert_eq!(error_of(b"*1\r\n$1\r\na\rb"), ProtocolError::UnterminatedBulk);
    }

    #[test]
    fn the_caller_takes_a_large_bulk_string() {
        let mut input = format!("*2\r\n$3\r\nSET\r\n${LARGE_BULK}\r\nxx").into_bytes();
        let mut decoder = Decoder::default();
        let mut args = Vec::new();
        assert_eq!(decoder.decode(&mut input, &mut args), Ok(Progress::Large(LARGE_BULK)));
        input.truncate(decoder.position());
        decoder.large_bulk_taken(0, &mut args);
        assert_eq!(decoder.decode(&mut input, &mut args), Ok(Progress::Incomplete));
        input.extend_from_slice(b"\r\n");
        assert_eq!(decoder.decode(&mut input, &mut args), Ok(Progress::Request));
        assert_eq!(args[1], Span::Large(0));
    }
}
