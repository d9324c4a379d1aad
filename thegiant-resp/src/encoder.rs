//! The encoder of requests and replies.

use std::{io::IoSlice, mem, ops::Range};

use bytes::Bytes;

use super::{Error, LARGE_BULK, Protocol};

/// Appends requests and replies to a buffer.
///
/// Each method writes the form that the [`Protocol`] of the encoder has for a type. RESP2 lacks some types: the encoder
/// writes the RESP2 type that Redis uses instead.
///
/// An aggregate is a header with a count, and then exactly that many elements. The encoder does not check the count.
///
/// A bulk string of at least [`LARGE_BULK`] bytes that arrives as [`Bytes`] is not copied. The output is then several
/// chunks: [`contiguous`](Self::contiguous) and [`chunks_vectored`](Self::chunks_vectored) return them for a socket, and
/// [`to_vec`](Self::to_vec) joins them.
///
/// ```
/// use thegiant_resp::{Encoder, Protocol};
///
/// let mut out = Encoder::new(Protocol::Resp2);
/// out.map(1);
/// out.bulk(b"ratio");
/// out.double(0.5);
/// assert_eq!(out.to_vec(), b"*2\r\n$5\r\nratio\r\n$3\r\n0.5\r\n");
///
/// let mut out = Encoder::new(Protocol::Resp3);
/// out.map(1);
/// out.bulk(b"ratio");
/// out.double(0.5);
/// assert_eq!(out.to_vec(), b"%1\r\n$5\r\nratio\r\n,0.5\r\n");
/// ```
#[derive(Debug, Default)]
pub struct Encoder {
    protocol: Protocol,
    bytes: Vec<u8>,
    /// Large byte strings that are not copied, each with the offset in `bytes` at which it is inserted.
    spliced: Vec<(usize, Bytes)>,
    spliced_len: usize,
    /// The last internal error.
    internal: Option<Box<Error>>,
    /// The prefix that keys are written without.
    key_prefix: Bytes,
}

impl Encoder {
    /// Creates an empty encoder.
    #[must_use]
    pub fn new(protocol: Protocol) -> Self {
        Encoder { protocol, ..Encoder::default() }
    }

    /// Returns the protocol of the encoder.
    #[must_use]
    #[inline]
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// Appends a simple string (`+text`). CR and LF in it become spaces.
    #[inline]
    pub fn simple(&mut self, text: &str) {
        self.bytes.push(b'+');
        self.line(text.as_bytes());
    }

    /// Appends an error (`-CODE text`). The encoder keeps an [internal](Error::internal) one for
    /// [`take_internal`](Self::take_internal).
    pub fn error(&mut self, error: &Error) {
        if error.is_internal() {
            self.internal = Some(Box::new(error.clone()));
        }
        self.bytes.push(b'-');
        self.line(error.as_bytes());
    }

    /// Appends an integer (`:number`).
    #[inline]
    pub fn integer(&mut self, number: i64) {
        self.number_line(b':', number);
    }

    /// Appends a bulk string (`$len`), which can contain any bytes.
    #[inline]
    pub fn bulk(&mut self, bytes: &[u8]) {
        self.header(b'$', bytes.len());
        self.bytes.extend_from_slice(bytes);
        self.bytes.extend_from_slice(b"\r\n");
    }

    /// Appends a bulk string. It does not copy the string if that has at least [`LARGE_BULK`] bytes.
    pub fn bulk_bytes(&mut self, bytes: &Bytes) {
        if bytes.len() < LARGE_BULK {
            return self.bulk(bytes);
        }
        self.header(b'$', bytes.len());
        self.splice(bytes.clone());
        self.bytes.extend_from_slice(b"\r\n");
    }

    /// Appends the name of a key as a bulk string, without the [prefix](Self::set_key_prefix) of the encoder.
    ///
    /// A key with another beginning belongs to another client: an [internal](Error::internal) error takes its place.
    ///
    /// ```
    /// use bytes::Bytes;
    /// use thegiant_resp::{Encoder, Protocol};
    ///
    /// let mut out = Encoder::new(Protocol::Resp2);
    /// out.set_key_prefix(&Bytes::from("alice:"));
    /// out.key(b"alice:cart");
    /// assert_eq!(out.to_vec(), b"$4\r\ncart\r\n");
    /// ```
    #[inline]
    pub fn key(&mut self, key: &[u8]) {
        match key.strip_prefix(&self.key_prefix[..]) {
            Some(key) => self.bulk(key),
            None => self.error(&Error::internal("a reply has a key without the key prefix of its client")),
        }
    }

    /// Appends null: `_` in RESP3, and the null bulk string `$-1` in RESP2.
    #[inline]
    pub fn null(&mut self) {
        self.bytes.extend_from_slice(match self.protocol {
            Protocol::Resp2 => b"$-1\r\n",
            Protocol::Resp3 => b"_\r\n",
        });
    }

    /// Appends a null array: `_` in RESP3, and `*-1` in RESP2.
    ///
    /// It is the reply of an aborted transaction, and of a blocking command with an array reply after its timeout.
    pub fn null_array(&mut self) {
        self.bytes.extend_from_slice(match self.protocol {
            Protocol::Resp2 => b"*-1\r\n",
            Protocol::Resp3 => b"_\r\n",
        });
    }

    /// Appends a boolean: `#t` or `#f` in RESP3, and the integer 1 or 0 in RESP2.
    pub fn boolean(&mut self, value: bool) {
        self.bytes.extend_from_slice(match (self.protocol, value) {
            (Protocol::Resp2, false) => b":0\r\n",
            (Protocol::Resp2, true) => b":1\r\n",
            (Protocol::Resp3, false) => b"#f\r\n",
            (Protocol::Resp3, true) => b"#t\r\n",
        });
    }

    /// Appends a double: `,number` in RESP3, and a bulk string with the same text in RESP2.
    ///
    /// The text can be `inf`, `-inf` or `nan`.
    pub fn double(&mut self, number: f64) {
        let text = float_text(number);
        match self.protocol {
            Protocol::Resp2 => self.bulk(text.as_bytes()),
            Protocol::Resp3 => {
                self.bytes.push(b',');
                self.line(text.as_bytes());
            }
        }
    }

    /// Appends an integer of any size: `(digits` in RESP3, and a bulk string in RESP2.
    ///
    /// CR and LF in the digits become spaces in RESP3.
    pub fn big_number(&mut self, digits: &str) {
        match self.protocol {
            Protocol::Resp2 => self.bulk(digits.as_bytes()),
            Protocol::Resp3 => {
                self.bytes.push(b'(');
                self.line(digits.as_bytes());
            }
        }
    }

    /// Appends a verbatim string: `=len` in RESP3, and a bulk string without the format in RESP2.
    ///
    /// The format is `txt` for plain text or `mkd` for Markdown.
    pub fn verbatim(&mut self, format: [u8; 3], text: &str) {
        if self.protocol == Protocol::Resp2 {
            return self.bulk(text.as_bytes());
        }
        self.header(b'=', text.len() + 4);
        self.bytes.extend_from_slice(&format);
        self.bytes.push(b':');
        self.bytes.extend_from_slice(text.as_bytes());
        self.bytes.extend_from_slice(b"\r\n");
    }

    /// Appends the header of an array (`*len`). The caller appends `len` elements.
    #[inline]
    pub fn array(&mut self, len: usize) {
        self.header(b'*', len);
    }

    /// Appends the header of a map: `%len` in RESP3, and an array header with twice that length in RESP2.
    ///
    /// The caller appends `len` keys, each followed by its value.
    #[inline]
    pub fn map(&mut self, len: usize) {
        match self.protocol {
            Protocol::Resp2 => self.header(b'*', len * 2),
            Protocol::Resp3 => self.header(b'%', len),
        }
    }

    /// Appends the header of a set: `~len` in RESP3, and an array header in RESP2.
    ///
    /// The caller appends `len` elements.
    #[inline]
    pub fn set(&mut self, len: usize) {
        self.aggregate(b'~', len);
    }

    /// Appends the header of a push: `>len` in RESP3, and an array header in RESP2.
    ///
    /// The caller appends `len` elements.
    ///
    /// A push is a message that is not the reply to a request.
    #[inline]
    pub fn push(&mut self, len: usize) {
        self.aggregate(b'>', len);
    }

    /// Appends a request: an array of bulk strings, as clients send it.
    ///
    /// ```
    /// let mut out = thegiant_resp::Encoder::default();
    /// out.request(&["GET", "a"]);
    /// assert_eq!(out.to_vec(), b"*2\r\n$3\r\nGET\r\n$1\r\na\r\n");
    /// ```
    pub fn request<W: AsRef<[u8]>>(&mut self, words: &[W]) {
        self.array(words.len());
        words.iter().for_each(|word| self.bulk(word.as_ref()));
    }

    /// Appends bytes that are already encoded. The encoder does not check them.
    #[inline]
    pub fn raw(&mut self, encoded: &[u8]) {
        self.bytes.extend_from_slice(encoded);
    }

    /// Appends bytes that are already encoded.
    ///
    /// It does not copy them if they are at least [`LARGE_BULK`] bytes.
    pub fn raw_bytes(&mut self, encoded: &Bytes) {
        if encoded.len() < LARGE_BULK {
            self.raw(encoded);
        } else {
            self.splice(encoded.clone());
        }
    }

    /// Moves the output of another encoder to the end of this one.
    ///
    /// The other encoder is empty afterwards.
    pub fn append(&mut self, other: &mut Encoder) {
        let offset = self.bytes.len();
        if offset == 0 {
            mem::swap(&mut self.bytes, &mut other.bytes);
        } else {
            self.bytes.append(&mut other.bytes);
        }
        self.spliced.extend(other.spliced.drain(..).map(|(at, bytes)| (offset + at, bytes)));
        self.spliced_len += mem::take(&mut other.spliced_len);
        self.internal = other.internal.take().or(self.internal.take());
    }

    /// Appends the output of another encoder between two of its [positions](Self::position).
    ///
    /// Large byte strings are not copied.
    ///
    /// ```
    /// use thegiant_resp::Encoder;
    ///
    /// let mut replies = Encoder::default();
    /// replies.integer(1);
    /// let first = replies.position();
    /// replies.integer(2);
    ///
    /// let mut out = Encoder::default();
    /// out.append_range(&replies, first..replies.position());
    /// assert_eq!(out.to_vec(), b":2\r\n");
    /// ```
    ///
    /// # Panics
    /// Panics if the positions are not of `other`, or not in order.
    pub fn append_range(&mut self, other: &Encoder, range: Range<BufferPosition>) {
        let Range { start, end } = range;
        let offset = self.bytes.len();
        self.bytes.extend_from_slice(&other.bytes[start.bytes..end.bytes]);
        for (at, bytes) in &other.spliced[start.spliced..end.spliced] {
            self.spliced.push((at - start.bytes + offset, bytes.clone()));
            self.spliced_len += bytes.len();
        }
    }

    /// Returns the output in one piece. It copies only if the output has several chunks.
    #[must_use]
    pub fn into_vec(self) -> Vec<u8> {
        if self.spliced.is_empty() { self.bytes } else { self.to_vec() }
    }

    /// Returns a copy of the output in one piece.
    #[must_use]
    pub fn to_vec(&self) -> Vec<u8> {
        let mut all = Vec::with_capacity(self.len());
        self.chunks().for_each(|chunk| all.extend_from_slice(chunk));
        all
    }

    /// Returns the size of the output in bytes.
    #[must_use]
    #[inline]
    pub fn len(&self) -> usize {
        self.bytes.len() + self.spliced_len
    }

    /// Returns whether the output is empty.
    #[must_use]
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Sets the protocol of the replies that follow.
    pub fn set_protocol(&mut self, protocol: Protocol) {
        self.protocol = protocol;
    }

    /// Returns the prefix that [keys](Self::key) are written without.
    #[must_use]
    #[inline]
    pub fn key_prefix(&self) -> &Bytes {
        &self.key_prefix
    }

    /// Sets the prefix that [keys](Self::key) are written without. It is empty by default.
    #[inline]
    pub fn set_key_prefix(&mut self, prefix: &Bytes) {
        let has_any = !self.key_prefix.is_empty() || !prefix.is_empty();
        if has_any && self.key_prefix != prefix {
            self.key_prefix = prefix.clone();
        }
    }

    /// Returns whether the reply at `position` is an error.
    ///
    /// ```
    /// use thegiant_resp::{Encoder, Error};
    ///
    /// let mut out = Encoder::default();
    /// out.integer(1);
    /// let position = out.position();
    /// out.error(&Error::SYNTAX);
    /// assert!(out.is_error_at(position));
    /// assert_eq!(out.error_at(position), Some(&b"ERR syntax error"[..]));
    /// ```
    #[must_use]
    #[inline]
    pub fn is_error_at(&self, position: BufferPosition) -> bool {
        self.bytes.get(position.bytes) == Some(&b'-')
    }

    /// Returns whether [`take_internal`](Self::take_internal) returns an error.
    #[must_use]
    #[inline]
    pub fn has_internal(&self) -> bool {
        self.internal.is_some()
    }

    /// Takes the last [internal](Error::internal) error that was appended, to report it.
    #[must_use]
    #[inline]
    pub fn take_internal(&mut self) -> Option<Error> {
        self.internal.take().map(|error| *error)
    }

    /// Returns the line of the error at `position`, without `-` and CR LF, or `None` if there is no error.
    #[must_use]
    pub fn error_at(&self, position: BufferPosition) -> Option<&[u8]> {
        let line = self.bytes.get(position.bytes..)?.strip_prefix(b"-")?;
        line.split(|byte| *byte == b'\r').next()
    }

    /// Returns the end of the output, for [`rewind`](Self::rewind).
    #[must_use]
    #[inline]
    pub fn position(&self) -> BufferPosition {
        BufferPosition { bytes: self.bytes.len(), spliced: self.spliced.len() }
    }

    /// Removes the output after `position`, which must come from this encoder.
    ///
    /// ```
    /// let mut out = thegiant_resp::Encoder::default();
    /// out.simple("OK");
    /// let position = out.position();
    /// out.array(1_000);
    /// out.rewind(position);
    /// assert_eq!(out.to_vec(), b"+OK\r\n");
    /// ```
    pub fn rewind(&mut self, position: BufferPosition) {
        self.bytes.truncate(position.bytes);
        let kept = position.spliced.min(self.spliced.len());
        for (_, bytes) in self.spliced.drain(kept..) {
            self.spliced_len -= bytes.len();
        }
    }

    /// Removes the output. The encoder keeps its memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        if !self.spliced.is_empty() {
            self.spliced = Vec::new();
            self.spliced_len = 0;
        }
    }

    /// Reserves memory for at least `additional` more bytes, so that appending them allocates once at most.
    pub fn reserve(&mut self, additional: usize) {
        self.bytes.reserve(additional);
    }

    /// Shrinks the memory of the encoder to `capacity` bytes, or to the size of the output if that is larger.
    pub fn shrink_to(&mut self, capacity: usize) {
        self.bytes.shrink_to(capacity);
    }

    /// Returns the number of bytes that the encoder can hold without an allocation.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// Returns the output after the first `sent` bytes if it is one chunk, which is the usual case.
    #[must_use]
    #[inline]
    pub fn contiguous(&self, sent: usize) -> Option<&[u8]> {
        if self.spliced.is_empty() { self.bytes.get(sent..) } else { None }
    }

    /// Fills `slices` with the output after the first `sent` bytes and returns the number of filled slices.
    pub fn chunks_vectored<'s>(&'s self, mut sent: usize, slices: &mut [IoSlice<'s>]) -> usize {
        let mut filled = 0;
        for chunk in self.chunks() {
            if filled == slices.len() {
                break;
            }
            if sent >= chunk.len() {
                sent -= chunk.len();
                continue;
            }
            slices[filled] = IoSlice::new(&chunk[sent..]);
            sent = 0;
            filled += 1;
        }
        filled
    }

    fn chunks(&self) -> impl Iterator<Item = &[u8]> {
        let mut from = 0;
        let until_spliced = self.spliced.iter().flat_map(move |(offset, large)| {
            let before = &self.bytes[from..*offset];
            from = *offset;
            [before, large.as_ref()]
        });
        let last = self.spliced.last().map_or(0, |(offset, _)| *offset);
        until_spliced.chain([&self.bytes[last..]])
    }

    fn splice(&mut self, bytes: Bytes) {
        self.spliced_len += bytes.len();
        self.spliced.push((self.bytes.len(), bytes));
    }

    fn aggregate(&mut self, resp3: u8, len: usize) {
        match self.protocol {
            Protocol::Resp2 => self.header(b'*', len),
            Protocol::Resp3 => self.header(resp3, len),
        }
    }

    fn header(&mut self, kind: u8, len: usize) {
        // A collection in memory has at most `i64::MAX` elements.
        self.number_line(kind, len as i64);
    }

    /// Appends a line with a number. Most numbers have one or two digits: they are lengths of arrays and strings.
    #[inline]
    fn number_line(&mut self, kind: u8, number: i64) {
        match number {
            0..10 => self.bytes.extend_from_slice(&[kind, b'0' + number as u8, b'\r', b'\n']),
            10..100 => {
                let (tens, ones) = (number as u8 / 10, number as u8 % 10);
                self.bytes.extend_from_slice(&[kind, b'0' + tens, b'0' + ones, b'\r', b'\n']);
            }
            _ => self.long_number_line(kind, number),
        }
    }

    fn long_number_line(&mut self, kind: u8, number: i64) {
        // One byte for the type, one for the sign, up to 19 digits, CR LF: filled from the back, appended once.
        let mut line = [0; 24];
        let mut at = line.len() - 2;
        line[at..].copy_from_slice(b"\r\n");
        let mut magnitude = number.unsigned_abs();
        loop {
            at -= 1;
            line[at] = b'0' + (magnitude % 10) as u8;
            magnitude /= 10;
            if magnitude == 0 {
                break;
            }
        }
        if number < 0 {
            at -= 1;
            line[at] = b'-';
        }
        at -= 1;
        line[at] = kind;
        self.bytes.extend_from_slice(&line[at..]);
    }

    fn line(&mut self, text: &[u8]) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(text);
        for byte in &mut self.bytes[start..] {
            if matches!(byte, b'\r' | b'\n') {
                *byte = b' ';
            }
        }
        self.bytes.extend_from_slice(b"\r\n");
    }
}

/// A position in the output of an [`Encoder`]; see [`Encoder::position`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct BufferPosition {
    bytes: usize,
    spliced: usize,
}

/// Returns the shortest text that parses to the same number. Very large and very small numbers use an exponent.
fn float_text(number: f64) -> String {
    let magnitude = number.abs();
    if number.is_nan() {
        "nan".into()
    } else if number.is_infinite() {
        if number > 0.0 { "inf".into() } else { "-inf".into() }
    } else if magnitude != 0.0 && !(1e-5..1e17).contains(&magnitude) {
        let text = format!("{number:e}");
        if magnitude < 1.0 { text } else { text.replace('e', "e+") }
    } else {
        number.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn both(write: impl Fn(&mut Encoder)) -> [String; 2] {
        [Protocol::Resp2, Protocol::Resp3].map(|protocol| {
            let mut out = Encoder::new(protocol);
            write(&mut out);
            String::from_utf8(out.to_vec()).expect("text")
        })
    }

    #[test]
    fn each_type_is_encoded_in_both_protocols() {
        assert_eq!(both(|out| out.simple("a\r\nb")), ["+a  b\r\n"; 2]);
        assert_eq!(both(|out| out.error(&Error::SYNTAX)), ["-ERR syntax error\r\n"; 2]);
        assert_eq!(both(|out| out.bulk(b"a\r\n")), ["$3\r\na\r\n\r\n"; 2]);
        assert_eq!(both(|out| out.array(3)), ["*3\r\n"; 2]);
        assert_eq!(both(Encoder::null), ["$-1\r\n", "_\r\n"]);
        assert_eq!(both(|out| out.boolean(true)), [":1\r\n", "#t\r\n"]);
        assert_eq!(both(|out| out.boolean(false)), [":0\r\n", "#f\r\n"]);
        assert_eq!(both(|out| out.big_number("-12")), ["$3\r\n-12\r\n", "(-12\r\n"]);
        assert_eq!(both(|out| out.verbatim(*b"txt", "hi")), ["$2\r\nhi\r\n", "=6\r\ntxt:hi\r\n"]);
        assert_eq!(both(|out| out.map(2)), ["*4\r\n", "%2\r\n"]);
        assert_eq!(both(|out| out.set(2)), ["*2\r\n", "~2\r\n"]);
        assert_eq!(both(|out| out.push(2)), ["*2\r\n", ">2\r\n"]);
    }

    #[test]
    fn integers_are_encoded() {
        for number in [0, 7, 10, -1, i64::MAX, i64::MIN] {
            assert_eq!(both(|out| out.integer(number)), [format!(":{number}\r\n"), format!(":{number}\r\n")]);
        }
    }

    #[test]
    fn doubles_are_encoded() {
        for (number, text) in [
            (0.0, "0"),
            (3.0, "3"),
            (-2.25, "-2.25"),
            (0.1, "0.1"),
            (1e300, "1e+300"),
            (1.5e-9, "1.5e-9"),
            (f64::INFINITY, "inf"),
            (f64::NEG_INFINITY, "-inf"),
            (f64::NAN, "nan"),
        ] {
            let [resp2, resp3] = both(|out| out.double(number));
            assert_eq!(resp2, format!("${}\r\n{text}\r\n", text.len()));
            assert_eq!(resp3, format!(",{text}\r\n"));
        }
    }

    #[test]
    fn large_bulk_strings_are_not_copied_and_can_be_rewound() {
        let large = Bytes::from(vec![b'x'; LARGE_BULK]);
        let mut out = Encoder::default();
        out.integer(1);
        out.bulk_bytes(&large);
        let position = out.position();
        let before = out.to_vec();
        out.bulk_bytes(&large);
        out.simple("OK");
        assert_eq!(out.len(), out.to_vec().len());

        let all = out.to_vec();
        for sent in [0, 3, 4, 20, 5000, LARGE_BULK + 14, all.len() - 1] {
            let mut slices = [IoSlice::new(&[]); 8];
            let filled = out.chunks_vectored(sent, &mut slices);
            let rest: Vec<u8> = slices[..filled].iter().flat_map(|slice| slice.to_vec()).collect();
            assert!(rest == all[sent..], "from {sent}");
        }

        out.rewind(position);
        assert_eq!((out.to_vec(), out.len()), (before.clone(), before.len()));
    }
}
