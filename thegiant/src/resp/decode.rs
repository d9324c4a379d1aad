//! The resumable decoder of requests.

use std::{fmt, ops::Range};

use super::{Error, inline, number::parse_integer};

/// Bulk strings of at least this many bytes are worth a buffer of their own: see
/// [`Progress::Large`].
pub const LARGE_BULK: usize = 16 * 1024;

/// A `*` line, a `$` line or an inline command may be this long (Redis' `PROTO_INLINE_MAX_SIZE`).
const MAX_LINE: usize = 64 * 1024;

/// Where one argument of a request lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Span {
    /// In the decoded input, from `start` up to `end`.
    Input {
        /// Offset of the first byte.
        start: u32,
        /// Offset behind the last byte.
        end: u32,
    },
    /// In the buffer of its own that was announced by [`Progress::Large`]; they are counted from 0.
    Large(u32),
}

impl Span {
    fn input(range: Range<usize>) -> Self {
        // The caller bounds its input far below 4 GiB; saturating keeps a breach from aliasing.
        let offset = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        Span::Input { start: offset(range.start), end: offset(range.end) }
    }

    /// Adjusts it to an input without its first `input` bytes and first `large` large bulks.
    pub(crate) fn rebase(&mut self, input: usize, large: usize) {
        match self {
            Span::Input { start, end } => {
                *start -= input as u32;
                *end -= input as u32;
            }
            Span::Large(index) => *index -= large as u32,
        }
    }
}

/// How far [`Decoder::decode`] has come. Exhaustive on purpose: a caller has to do something about
/// each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// A request is complete: its arguments have been appended.
    Request,
    /// All input has been looked at; the request goes on with bytes to come.
    Incomplete,
    /// A bulk string of this many bytes begins at [`Decoder::position`]. Move what the input has of
    /// them to a buffer of your own, read the rest of them into it, then call
    /// [`Decoder::large_bulk_taken`] and go on. So a large value is never copied.
    Large(usize),
}

/// What a peer may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DecodeLimits {
    /// Bytes of one bulk string (`proto-max-bulk-len`, 512 MiB).
    pub bulk_len: usize,
    /// Arguments of one request (2147483647).
    pub args: usize,
    /// The peer has yet to say who it is: of whatever else is allowed, it gets 10 arguments and
    /// bulk strings of 16 KiB, which is enough to say so.
    pub unauthenticated: bool,
}

/// What a peer that is not authenticated may send, as in Redis.
const UNAUTHENTICATED_ARGS: usize = 10;
const UNAUTHENTICATED_BULK_LEN: usize = 16 * 1024;

impl Default for DecodeLimits {
    fn default() -> Self {
        DecodeLimits { bulk_len: 512 * 1024 * 1024, args: i32::MAX as usize, unauthenticated: false }
    }
}

impl DecodeLimits {
    /// With this many bytes of one bulk string.
    #[must_use]
    pub fn with_bulk_len(self, bulk_len: usize) -> Self {
        DecodeLimits { bulk_len, ..self }
    }

    /// With this many arguments of one request.
    #[must_use]
    pub fn with_args(self, args: usize) -> Self {
        DecodeLimits { args, ..self }
    }

    /// For a peer that is authenticated, or one that is not.
    #[must_use]
    pub fn with_unauthenticated(self, unauthenticated: bool) -> Self {
        DecodeLimits { unauthenticated, ..self }
    }
}

/// What comes of them, in as few bytes as they need: every connection has some.
#[derive(Debug)]
struct Limits {
    bulk_len: usize,
    max_args: u32,
    unauthenticated: bool,
}

impl From<DecodeLimits> for Limits {
    fn from(limits: DecodeLimits) -> Self {
        let DecodeLimits { bulk_len, args, unauthenticated } = limits;
        let max_args = if unauthenticated { args.min(UNAUTHENTICATED_ARGS) } else { args };
        // More arguments than that do not fit into the places of an input.
        Limits { bulk_len, max_args: u32::try_from(max_args).unwrap_or(u32::MAX), unauthenticated }
    }
}

impl Limits {
    fn max_bulk_len(&self) -> usize {
        if self.unauthenticated { self.bulk_len.min(UNAUTHENTICATED_BULK_LEN) } else { self.bulk_len }
    }

    #[cold]
    fn too_many_args(&self, count: usize) -> ProtocolError {
        let are_too_many_for_all = count > DecodeLimits::default().args;
        if are_too_many_for_all || !self.unauthenticated {
            ProtocolError::InvalidMultibulkLength
        } else {
            ProtocolError::UnauthenticatedMultibulkLength
        }
    }

    #[cold]
    fn too_long_bulk(&self, len: usize) -> ProtocolError {
        let is_too_long_for_all = len > self.bulk_len;
        if is_too_long_for_all {
            ProtocolError::InvalidBulkLength
        } else {
            ProtocolError::UnauthenticatedBulkLength
        }
    }
}

/// Input that breaks the protocol, in the words of Redis. The connection cannot be resynchronised:
/// answer with [`reply`](Self::reply), then close.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProtocolError {
    /// The number behind `*` is none, or too large.
    InvalidMultibulkLength,
    /// The number behind `$` is none, negative, or over the limit.
    InvalidBulkLength,
    /// An element of a request does not begin with `$` but with this byte.
    ExpectedBulk(u8),
    /// The number behind `*` is over the limit of a peer that is not authenticated.
    UnauthenticatedMultibulkLength,
    /// The number behind `$` is over the limit of a peer that is not authenticated.
    UnauthenticatedBulkLength,
    /// The two bytes behind a bulk string are not CR LF.
    UnterminatedBulk,
    /// An inline command of over 64 KiB.
    TooBigInline,
    /// A `*` line of over 64 KiB.
    TooBigMultibulkCount,
    /// A `$` line of over 64 KiB.
    TooBigBulkCount,
    /// An inline command whose quotes do not match.
    UnbalancedQuotes,
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Protocol error: ")?;
        match self {
            Self::InvalidMultibulkLength => f.write_str("invalid multibulk length"),
            Self::InvalidBulkLength => f.write_str("invalid bulk length"),
            Self::ExpectedBulk(got) => write!(f, "expected '$', got '{}'", got.escape_ascii()),
            Self::UnauthenticatedMultibulkLength => f.write_str("unauthenticated multibulk length"),
            Self::UnauthenticatedBulkLength => f.write_str("unauthenticated bulk length"),
            Self::UnterminatedBulk => f.write_str("expected CRLF after bulk"),
            Self::TooBigInline => f.write_str("too big inline request"),
            Self::TooBigMultibulkCount => f.write_str("too big mbulk count string"),
            Self::TooBigBulkCount => f.write_str("too big bulk count string"),
            Self::UnbalancedQuotes => f.write_str("unbalanced quotes in request"),
        }
    }
}

impl std::error::Error for ProtocolError {}

impl ProtocolError {
    /// The reply, byte by byte that of Redis.
    pub fn reply(&self) -> Error {
        let ProtocolError::ExpectedBulk(got) = self else { return Error::err(self) };
        let mut line = b"ERR Protocol error: expected '$', got '".to_vec();
        // Redis formats with C strings: a NUL ends the text.
        line.extend([*got, b'\''].iter().take_while(|byte| **byte != 0));
        Error::from_bytes(line)
    }
}

/// What the next bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expect {
    /// The first byte of a request.
    Request,
    /// The `$` line of an element.
    BulkHeader,
    /// This many bytes of an element, and CR LF.
    Bulk(usize),
    /// The CR LF behind an element that the caller has taken.
    LargeBulkEnd,
}

/// Reads requests from a byte stream that arrives in pieces of any size.
///
/// It keeps no bytes, only its place: the caller appends to one buffer and calls
/// [`decode`](Self::decode) until that says [`Progress::Incomplete`]. Nothing is looked at twice,
/// nothing is reserved for a length that was merely declared, and nothing recurses.
///
/// ```
/// use thegiant::resp::{Decoder, Progress, Span};
///
/// let mut input = b"*2\r\n$4\r\nECHO\r\n$2\r\nhi\r\nPING\r\n*1\r\n".to_vec();
/// let mut decoder = Decoder::default();
/// let mut args = Vec::new();
/// assert_eq!(decoder.decode(&mut input, &mut args), Ok(Progress::Request));
/// assert_eq!(args, [Span::Input { start: 8, end: 12 }, Span::Input { start: 18, end: 20 }]);
/// assert_eq!(decoder.decode(&mut input, &mut args), Ok(Progress::Request)); // the inline PING
/// assert_eq!(args.len(), 3);
/// assert_eq!(decoder.decode(&mut input, &mut args), Ok(Progress::Incomplete));
/// ```
#[derive(Debug)]
pub struct Decoder {
    limits: Limits,
    expect: Expect,
    /// Elements of the current request that are still to come.
    missing: usize,
    /// Where the current request begins.
    start: usize,
    /// Everything before has been used.
    position: usize,
    /// No end of line was found between `position` and here.
    scanned: usize,
}

impl Default for Decoder {
    fn default() -> Self {
        Decoder::new(DecodeLimits::default())
    }
}

impl Decoder {
    /// A decoder at the start of a request.
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

    /// From the next header on, other limits hold.
    pub fn set_limits(&mut self, limits: DecodeLimits) {
        self.limits = limits.into();
    }

    /// Reads on in `input`, at most to the end of one request, and appends to `args` where its
    /// arguments lie. Empty requests (`*0`, `*-1`, a blank line) are skipped, as Redis does.
    ///
    /// `input` must begin with the same bytes at each call, until [`rebase`](Self::rebase) says
    /// otherwise. It is mutable because inline commands are unescaped in place.
    ///
    /// The input must stay below 4 GiB, large bulk strings aside: places in it have 32 bits.
    ///
    /// # Errors
    /// On input that breaks the protocol; the decoder must not be used again.
    pub fn decode(&mut self, input: &mut [u8], args: &mut Vec<Span>) -> Result<Progress, ProtocolError> {
        loop {
            let progress = match self.expect {
                Expect::Request => self.request(input, args)?,
                Expect::BulkHeader => self.elements(input, args)?,
                Expect::Bulk(len) => self.bulk(input, len, args)?,
                Expect::LargeBulkEnd => self.bulk_end(input)?,
            };
            if let Some(progress) = progress {
                return Ok(progress);
            }
        }
    }

    /// Offset in the input up to which everything has been used.
    pub fn position(&self) -> usize {
        self.position
    }

    /// Offset in the input where the request begins that is not complete yet: what lies before is
    /// not needed any more, except by the requests that it holds.
    pub fn start(&self) -> usize {
        self.start
    }

    /// The caller has dropped what lies before [`start`](Self::start).
    pub fn rebase(&mut self) {
        self.position -= self.start;
        self.scanned = self.scanned.saturating_sub(self.start);
        self.start = 0;
    }

    /// The bulk string that [`Progress::Large`] announced has been taken, the `index`th of this
    /// input; decoding goes on behind it.
    pub fn large_bulk_taken(&mut self, index: usize, args: &mut Vec<Span>) {
        args.push(Span::Large(u32::try_from(index).unwrap_or(u32::MAX)));
        self.expect = Expect::LargeBulkEnd;
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
        if let Some((count, behind)) = short_length(input, self.position) {
            self.position = behind;
            return self.expect_elements(count);
        }
        let Some(line) = self.line(input, ProtocolError::TooBigMultibulkCount)? else {
            return Ok(Some(Progress::Incomplete));
        };
        let count: i64 = parse_integer(line).ok_or(ProtocolError::InvalidMultibulkLength)?;
        self.expect_elements(usize::try_from(count.max(0)).unwrap_or(usize::MAX))
    }

    fn expect_elements(&mut self, count: usize) -> Result<Option<Progress>, ProtocolError> {
        if count > self.limits.max_args as usize {
            return Err(self.limits.too_many_args(count));
        }
        if count > 0 {
            self.missing = count;
            self.expect = Expect::BulkHeader;
        }
        Ok(None)
    }

    /// Elements that are short and have arrived whole are read without a state between them: that
    /// is most of the time of the decoder.
    fn elements(&mut self, input: &[u8], args: &mut Vec<Span>) -> Result<Option<Progress>, ProtocolError> {
        while let Some(element) = short_element(input, self.position) {
            self.position = element.end + 2;
            args.push(Span::input(element));
            if let Some(progress) = self.element_read() {
                return Ok(Some(progress));
            }
        }
        self.bulk_header(input)
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

    /// The text between the type byte at `position` and the next CR LF, which is stepped over.
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
        // A NUL is no text that a person typed. As in Redis, a line that holds one never ends.
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

/// The number in the line at `at`, behind its first byte, and where the next line begins; if it has
/// one to three digits, which is the usual case. Nothing is said of what is otherwise.
fn short_length(input: &[u8], at: usize) -> Option<(usize, usize)> {
    let digit = |digit: u8| usize::from(digit - b'0');
    match input.get(at + 1..)? {
        [a @ b'0'..=b'9', b'\r', b'\n', ..] => Some((digit(*a), at + 4)),
        [a @ b'1'..=b'9', b @ b'0'..=b'9', b'\r', b'\n', ..] => Some((digit(*a) * 10 + digit(*b), at + 5)),
        [a @ b'1'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9', b'\r', b'\n', ..] => {
            Some((digit(*a) * 100 + digit(*b) * 10 + digit(*c), at + 6))
        }
        _ => None,
    }
}

/// Where the text of the element at `at` lies, if it is short and all of it is there.
fn short_element(input: &[u8], at: usize) -> Option<Range<usize>> {
    if input.get(at) != Some(&b'$') {
        return None;
    }
    let (len, start) = short_length(input, at)?;
    let end = start + len;
    matches!(input.get(end..end + 2), Some([b'\r', b'\n'])).then_some(start..end)
}

/// Whether its end has arrived makes no difference: that depends on where the stream is cut.
fn check_line(len: usize, too_big: ProtocolError) -> Result<(), ProtocolError> {
    if len > MAX_LINE { Err(too_big) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fail(input: &[u8]) -> ProtocolError {
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
            assert_eq!(fail(input.as_bytes()), ProtocolError::InvalidMultibulkLength, "{length:?}");
        }
        for length in
            ["536870913", "-1", "", "+4", "04", " 4", "x", "9223372036854775807", "99999999999999999999"]
        {
            let input = format!("*1\r\n${length}\r\n");
            assert_eq!(fail(input.as_bytes()), ProtocolError::InvalidBulkLength, "{length:?}");
        }
    }

    #[test]
    fn lines_are_bounded() {
        let long = |first: &str| [first.as_bytes(), &[b'1'; MAX_LINE + 1]].concat();
        assert_eq!(fail(&long("*")), ProtocolError::TooBigMultibulkCount);
        assert_eq!(fail(&long("*1\r\n$")), ProtocolError::TooBigBulkCount);
        assert_eq!(fail(&long("x")), ProtocolError::TooBigInline);
        assert_eq!(fail(&long("\0\n")), ProtocolError::TooBigInline);
    }

    /// Redis looks at the length only while the end is missing, so it depends on its reads what it takes.
    #[test]
    fn lines_that_have_an_end_are_bounded_too() {
        let long = |first: &str, len| [first.as_bytes(), &vec![b'1'; len], b"\r\n"].concat();
        assert_eq!(fail(&long("*", MAX_LINE)), ProtocolError::TooBigMultibulkCount);
        assert_eq!(fail(&long("*", MAX_LINE - 1)), ProtocolError::InvalidMultibulkLength);
        assert_eq!(fail(&long("*1\r\n$", MAX_LINE)), ProtocolError::TooBigBulkCount);
        assert_eq!(fail(&long("*1\r\n$", MAX_LINE - 1)), ProtocolError::InvalidBulkLength);
        assert_eq!(fail(&long("x", MAX_LINE)), ProtocolError::TooBigInline);
        let mut longest = long("x", MAX_LINE - 2);
        assert_eq!(Decoder::default().decode(&mut longest, &mut Vec::new()), Ok(Progress::Request));
    }

    #[test]
    fn elements_are_bulks_with_an_end() {
        assert_eq!(fail(b"*1\r\n*1\r\n"), ProtocolError::ExpectedBulk(b'*'));
        assert_eq!(fail(b"*1\r\n$1\r\nabc"), ProtocolError::UnterminatedBulk);
        assert_eq!(fail(b"*1\r\n$1\r\na\rb"), ProtocolError::UnterminatedBulk);
    }

    #[test]
    fn a_large_bulk_is_taken_by_the_caller() {
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
