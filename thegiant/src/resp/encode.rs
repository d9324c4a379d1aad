//! Replies, appended to a buffer.

use std::{io::IoSlice, mem};

use bytes::Bytes;

use super::{Error, LARGE_BULK, StreamingReply};

/// The version of the protocol that a connection speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protocol {
    /// What a connection speaks until it says `HELLO 3`.
    #[default]
    Resp2,
    /// RESP3: knows maps, sets, doubles, booleans, big numbers, verbatim strings and pushes.
    Resp3,
}

impl Protocol {
    /// The number as `HELLO` has it: 2 or 3.
    pub fn version(self) -> i64 {
        match self {
            Protocol::Resp2 => 2,
            Protocol::Resp3 => 3,
        }
    }
}

/// Which replies are sent (`CLIENT REPLY`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Replies {
    #[default]
    On,
    Off,
    /// All but the next one, which is that to the command which asks for this.
    SkipNext,
    /// All but this one.
    Skip,
}

const ERROR: u8 = 1;
const TIMED: u8 = 1 << 1;
const SELECTED: u8 = 1 << 2;
const DEFERRED: u8 = 1 << 3;
const KEPT: u8 = 1 << 4;
const STREAMING: u8 = 1 << 5;

/// Appends replies to a buffer. Each type is written in the form that the connection's
/// [`Protocol`] knows: what RESP2 lacks becomes what Redis makes of it.
///
/// Aggregates are written as a header, then exactly that many elements. A handler seldom needs
/// this type: its return value is written for it, see [`IntoReply`](crate::IntoReply).
///
/// ```
/// use thegiant::resp::{Encoder, Protocol};
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
    /// Large bulk strings that are sent from where they are: each belongs before that offset of
    /// `bytes`.
    spliced: Vec<(usize, Bytes)>,
    spliced_len: usize,
    /// Why somebody should look at what is written: see [`is_noteworthy`](Self::is_noteworthy).
    notes: u8,
    /// Which replies are sent.
    replies: Replies,
    /// What comes before this is sent even if the reply is not.
    kept: BufferPosition,
    /// The rest of the reply.
    streaming: Option<Box<dyn StreamingReply>>,
}

impl Encoder {
    /// An empty buffer.
    pub fn new(protocol: Protocol) -> Self {
        Encoder { protocol, ..Encoder::default() }
    }

    /// The protocol that is written.
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// `+text`: a simple string. CR and LF in it become spaces.
    pub fn simple(&mut self, text: &str) {
        self.bytes.push(b'+');
        self.line(text.as_bytes());
    }

    /// `-CODE text`: an error.
    pub fn error(&mut self, error: &Error) {
        self.notes |= ERROR;
        self.bytes.push(b'-');
        self.line(error.as_bytes());
    }

    /// `:number`: an integer.
    pub fn integer(&mut self, number: i64) {
        self.number_line(b':', number);
    }

    /// `$len`: a string of any bytes.
    pub fn bulk(&mut self, bytes: &[u8]) {
        self.header(b'$', bytes.len());
        self.bytes.extend_from_slice(bytes);
        self.bytes.extend_from_slice(b"\r\n");
    }

    /// A string of any bytes that is not copied if it is large.
    pub fn bulk_bytes(&mut self, bytes: &Bytes) {
        if bytes.len() < LARGE_BULK {
            return self.bulk(bytes);
        }
        self.header(b'$', bytes.len());
        self.splice(bytes.clone());
        self.bytes.extend_from_slice(b"\r\n");
    }

    /// The absent value: `_` in RESP3, the null bulk string `$-1` in RESP2.
    pub fn null(&mut self) {
        self.bytes.extend_from_slice(match self.protocol {
            Protocol::Resp2 => b"$-1\r\n",
            Protocol::Resp3 => b"_\r\n",
        });
    }

    /// The absent array: `_` in RESP3, `*-1` in RESP2. A command that answers with an array and has waited for it in
    /// vain says so, and a transaction that was not run.
    pub fn null_array(&mut self) {
        self.bytes.extend_from_slice(match self.protocol {
            Protocol::Resp2 => b"*-1\r\n",
            Protocol::Resp3 => b"_\r\n",
        });
    }

    /// `#t` or `#f`; in RESP2 the integer 1 or 0.
    pub fn boolean(&mut self, value: bool) {
        self.bytes.extend_from_slice(match (self.protocol, value) {
            (Protocol::Resp2, false) => b":0\r\n",
            (Protocol::Resp2, true) => b":1\r\n",
            (Protocol::Resp3, false) => b"#f\r\n",
            (Protocol::Resp3, true) => b"#t\r\n",
        });
    }

    /// `,number`, with `inf`, `-inf` and `nan`; in RESP2 a bulk string of the same text.
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

    /// `(digits`: an integer of any size; in RESP2 a bulk string.
    pub fn big_number(&mut self, digits: &str) {
        match self.protocol {
            Protocol::Resp2 => self.bulk(digits.as_bytes()),
            Protocol::Resp3 => {
                self.bytes.push(b'(');
                self.line(digits.as_bytes());
            }
        }
    }

    /// `=len`: text with a format of three letters, `txt` or `mkd`; in RESP2 a bulk string without
    /// the format.
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

    /// `*len`: the header of an array; `len` elements follow.
    pub fn array(&mut self, len: usize) {
        self.header(b'*', len);
    }

    /// `%len`: the header of a map; `len` keys, each with its value, follow. In RESP2 an array of
    /// twice as many.
    pub fn map(&mut self, len: usize) {
        match self.protocol {
            Protocol::Resp2 => self.header(b'*', len * 2),
            Protocol::Resp3 => self.header(b'%', len),
        }
    }

    /// `~len`: the header of a set; `len` elements follow. In RESP2 an array.
    pub fn set(&mut self, len: usize) {
        self.aggregate(b'~', len);
    }

    /// `>len`: the header of a push, which is no reply; `len` elements follow. In RESP2 an array.
    pub fn push(&mut self, len: usize) {
        self.aggregate(b'>', len);
    }

    /// A request of these words: what a client sends.
    pub(crate) fn request<W: AsRef<[u8]>>(&mut self, words: &[W]) {
        self.array(words.len());
        words.iter().for_each(|word| self.bulk(word.as_ref()));
    }

    /// Bytes that are encoded already. Whoever calls this vouches for them.
    pub fn raw(&mut self, encoded: &[u8]) {
        self.bytes.extend_from_slice(encoded);
    }

    /// Bytes that are encoded already, and are not copied if they are many.
    pub(crate) fn raw_bytes(&mut self, encoded: &Bytes) {
        if encoded.len() < LARGE_BULK {
            self.raw(encoded);
        } else {
            self.splice(encoded.clone());
        }
    }

    /// One reply that is encoded already.
    pub(crate) fn raw_reply(&mut self, encoded: &[u8]) {
        self.note(ERROR, encoded.first() == Some(&b'-'));
        self.raw(encoded);
    }

    /// What has been written since `mark` is a reply that was encoded already.
    pub(crate) fn note_proxied(&mut self, mark: BufferPosition) {
        if self.bytes.get(mark.bytes) == Some(&b'-') {
            self.notes |= ERROR;
        }
    }

    /// Adds what has been written elsewhere, a reply at most, and takes it from there.
    pub(crate) fn append(&mut self, other: &mut Encoder) {
        self.notes |= other.notes & ERROR;
        let offset = self.bytes.len();
        if offset == 0 {
            mem::swap(&mut self.bytes, &mut other.bytes);
        } else {
            self.bytes.append(&mut other.bytes);
        }
        self.spliced.extend(other.spliced.drain(..).map(|(at, bytes)| (offset + at, bytes)));
        self.spliced_len += mem::take(&mut other.spliced_len);
    }

    /// Makes the array that has been written a push.
    pub(crate) fn make_push(&mut self) {
        if self.protocol == Protocol::Resp3
            && let Some(kind) = self.bytes.first_mut()
        {
            *kind = b'>';
        }
    }

    /// All that has been written, in one piece.
    pub(crate) fn into_bytes(self) -> Bytes {
        if self.spliced.is_empty() { self.bytes.into() } else { self.to_vec().into() }
    }

    /// All that has been written, in one piece.
    pub fn to_vec(&self) -> Vec<u8> {
        let mut all = Vec::with_capacity(self.len());
        self.pieces().for_each(|piece| all.extend_from_slice(piece));
        all
    }

    /// Bytes written so far.
    pub fn len(&self) -> usize {
        self.bytes.len() + self.spliced_len
    }

    /// Whether nothing has been written.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// From here on, another protocol is written.
    pub(crate) fn set_protocol(&mut self, protocol: Protocol) {
        self.protocol = protocol;
    }

    /// Whether an error has been written since that was last [taken](Self::take_error), or all is
    /// noteworthy: one question, because it is asked after each reply.
    pub(crate) fn is_noteworthy(&self) -> bool {
        self.notes != 0
    }

    /// Has each reply be noteworthy, since somebody wants to know when it is there.
    pub(crate) fn set_timed(&mut self, timed: bool) {
        self.note(TIMED, timed);
    }

    /// The reply is not written now: somebody else gives it later.
    pub(crate) fn defer(&mut self) {
        self.note(DEFERRED, true);
    }

    /// Whether the reply has been [deferred](Self::defer) since this was last asked.
    pub(crate) fn take_deferred(&mut self) -> bool {
        let is_deferred = self.notes & DEFERRED != 0;
        self.note(DEFERRED, false);
        is_deferred
    }

    /// What has been written of the reply is none, and is sent even if the reply is not.
    pub(crate) fn keep(&mut self) {
        self.note(KEPT, true);
        self.kept = self.mark();
    }

    /// Where the reply since `mark` begins, behind what is kept.
    pub(crate) fn take_kept(&mut self, mark: BufferPosition) -> BufferPosition {
        let is_held = self.notes & KEPT != 0;
        self.note(KEPT, false);
        if is_held { self.kept } else { mark }
    }

    /// The rest of the reply is written later, as the client takes it.
    pub(crate) fn set_streaming(&mut self, streaming: Box<dyn StreamingReply>) {
        self.note(STREAMING, true);
        self.streaming = Some(streaming);
    }

    /// The rest of the reply, if it has been left for later.
    pub(crate) fn take_streaming(&mut self) -> Option<Box<dyn StreamingReply>> {
        self.note(STREAMING, false);
        self.streaming.take()
    }

    pub(crate) fn replies(&self) -> Replies {
        self.replies
    }

    /// Which replies are to be sent; the writer of the reply itself does not look at this.
    pub(crate) fn set_replies(&mut self, replies: Replies) {
        self.replies = replies;
        self.note(SELECTED, replies != Replies::On);
    }

    fn note(&mut self, note: u8, set: bool) {
        self.notes = if set { self.notes | note } else { self.notes & !note };
    }

    /// Whether an error has been written since this was last asked.
    pub(crate) fn take_error(&mut self) -> bool {
        let has_error = self.notes & ERROR != 0;
        self.notes &= !ERROR;
        has_error
    }

    /// The line of the error that is the whole reply since `mark`, if it is one.
    pub(crate) fn error_since(&self, mark: BufferPosition) -> Option<&[u8]> {
        self.bytes[mark.bytes..].strip_prefix(b"-")
    }

    /// A point to come back to with [`rewind`](Self::rewind).
    pub(crate) fn mark(&self) -> BufferPosition {
        BufferPosition { bytes: self.bytes.len(), spliced: self.spliced.len() }
    }

    /// Takes back what was written since `mark`.
    pub(crate) fn rewind(&mut self, mark: BufferPosition) {
        self.bytes.truncate(mark.bytes);
        self.take_streaming();
        for (_, bytes) in self.spliced.drain(mark.spliced..) {
            self.spliced_len -= bytes.len();
        }
    }

    /// Forgets everything and keeps at most `capacity` bytes of room for the next.
    pub(crate) fn clear(&mut self, capacity: usize) {
        self.bytes.clear();
        self.bytes.shrink_to(capacity);
        if !self.spliced.is_empty() {
            self.spliced = Vec::new();
            self.spliced_len = 0;
        }
    }

    /// Bytes of room that it holds.
    pub(crate) fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// What is to be sent after the first `sent` bytes, where it is one piece: the usual case.
    pub(crate) fn contiguous(&self, sent: usize) -> Option<&[u8]> {
        if self.spliced.is_empty() { self.bytes.get(sent..) } else { None }
    }

    /// Fills `slices` with what is to be sent after the first `sent` bytes; returns how many.
    pub(crate) fn gather<'s>(&'s self, mut sent: usize, slices: &mut [IoSlice<'s>]) -> usize {
        let mut filled = 0;
        for piece in self.pieces() {
            if filled == slices.len() {
                break;
            }
            if sent >= piece.len() {
                sent -= piece.len();
                continue;
            }
            slices[filled] = IoSlice::new(&piece[sent..]);
            sent = 0;
            filled += 1;
        }
        filled
    }

    fn pieces(&self) -> impl Iterator<Item = &[u8]> {
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
        // No collection in memory has more than i64::MAX elements.
        self.number_line(kind, len as i64);
    }

    fn number_line(&mut self, kind: u8, number: i64) {
        // Type, sign, nineteen digits, CR LF: filled from the back, appended once.
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

/// A point in an [`Encoder`]'s output.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct BufferPosition {
    bytes: usize,
    spliced: usize,
}

/// The shortest text that reads back as the same number, scientific where that is customary.
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
    fn every_type_in_both_protocols() {
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
    fn integers() {
        for number in [0, 7, 10, -1, i64::MAX, i64::MIN] {
            assert_eq!(both(|out| out.integer(number)), [format!(":{number}\r\n"), format!(":{number}\r\n")]);
        }
    }

    #[test]
    fn doubles() {
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
    fn large_bulks_are_spliced_and_rewound() {
        let large = Bytes::from(vec![b'x'; LARGE_BULK]);
        let mut out = Encoder::default();
        out.integer(1);
        out.bulk_bytes(&large);
        let mark = out.mark();
        let before = out.to_vec();
        out.bulk_bytes(&large);
        out.simple("OK");
        assert_eq!(out.len(), out.to_vec().len());

        let all = out.to_vec();
        for sent in [0, 3, 4, 20, 5000, LARGE_BULK + 14, all.len() - 1] {
            let mut slices = [IoSlice::new(&[]); 8];
            let filled = out.gather(sent, &mut slices);
            let rest: Vec<u8> = slices[..filled].iter().flat_map(|slice| slice.to_vec()).collect();
            assert!(rest == all[sent..], "from {sent}");
        }

        out.rewind(mark);
        assert_eq!((out.to_vec(), out.len()), (before.clone(), before.len()));
    }
}
