//! Parses the rows of the text files into conversations.

use std::{iter, time::Duration};

/// The requests of one client, or of two.
#[derive(Debug, Default)]
pub(super) struct Conversation<'s> {
    pub(super) lines: Vec<Line<'s>>,
}

/// A request, or raw bytes.
#[derive(Debug)]
pub(super) struct Line<'s> {
    pub(super) number: usize,
    pub(super) text: &'s str,
    /// The client does not wait for a reply to raw bytes.
    pub(super) is_raw: bool,
    /// The servers reply differently. Only a line of the list of deviations has this mark.
    pub(super) must_differ: bool,
    /// The second client sends this line.
    pub(super) is_of_other: bool,
    pub(super) comparison: Comparison,
}

/// How the replies to a request are compared.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Comparison {
    Bytes,
    /// The numbers in the replies may differ.
    Numbers,
    /// The numbers are times in this unit, and differ by at most the time that the conversation has taken.
    Times(Duration),
    /// The elements may be in any order.
    Sorted,
    /// The replies are fields, of which those about buffers and files may differ.
    Fields,
    /// The replies are the groups of a stream, whose counts may differ.
    Groups,
    /// The replies are sections of `INFO`, in which `kv` may have fewer fields.
    Sections,
}

/// Parses conversations, which empty lines separate.
pub(super) fn conversations(text: &str) -> Vec<Conversation<'_>> {
    conversations_of(text.lines().zip(1..))
}

/// Parses conversations from lines with their numbers.
pub(super) fn conversations_of<'s>(lines: impl Iterator<Item = (&'s str, usize)>) -> Vec<Conversation<'s>> {
    let mut conversations = vec![Conversation::default()];
    for (line, number) in lines {
        match (line.as_bytes(), conversations.last_mut()) {
            ([b'#', ..], _) => {}
            ([_, ..], Some(last)) => last.lines.push(Line::parse(line, number)),
            _ => conversations.push(Conversation::default()),
        }
    }
    conversations.retain(|conversation| !conversation.lines.is_empty());
    conversations
}

impl<'s> Conversation<'s> {
    /// Returns the lines that expect one reply each.
    pub(super) fn requests(&self) -> impl Iterator<Item = &Line<'s>> {
        self.lines.iter().filter(|line| !line.is_raw)
    }

    /// Returns whether two clients take part.
    pub(super) fn has_other(&self) -> bool {
        self.lines.iter().any(|line| line.is_of_other)
    }

    /// Returns the line of each reply, without end. Replies beyond one per request belong to the last line.
    pub(super) fn lines_answered(&self) -> impl Iterator<Item = &Line<'s>> {
        self.requests().chain(iter::repeat(&self.lines[self.lines.len() - 1]))
    }
}

impl<'s> Line<'s> {
    fn parse(line: &'s str, number: usize) -> Self {
        let differing = line.strip_prefix("! ");
        let line = differing.unwrap_or(line);
        let of_other = line.strip_prefix("other ");
        let line = of_other.unwrap_or(line);
        let (mark, rest) = line.split_once(' ').unwrap_or((line, ""));
        let comparison = match mark {
            "~" => Comparison::Numbers,
            "seconds" => Comparison::Times(Duration::from_secs(1)),
            "milliseconds" => Comparison::Times(Duration::from_millis(1)),
            "sorted" => Comparison::Sorted,
            "fields" => Comparison::Fields,
            "groups" => Comparison::Groups,
            "sections" => Comparison::Sections,
            _ => Comparison::Bytes,
        };
        let is_raw = mark == ">";
        let is_marked = is_raw || comparison != Comparison::Bytes;
        Line {
            number,
            text: if is_marked { rest } else { line },
            is_raw,
            must_differ: differing.is_some(),
            is_of_other: of_other.is_some(),
            comparison,
        }
    }

    /// Returns whether a user with a key prefix may not send this request, but an operator may.
    pub(super) fn is_for_operators(&self) -> bool {
        self.text.to_uppercase().starts_with("CONFIG SET")
    }

    /// Returns the bytes to send, with the IDs of the two clients filled in.
    pub(super) fn bytes(&self, id: i64, other: i64) -> Vec<u8> {
        let text =
            expanded(self.text).replace("{id}", &id.to_string()).replace("{other}", &other.to_string());
        if self.is_raw { unescaped(text.as_bytes()) } else { crate::support::request(words(&text)) }
    }
}

/// Replaces `{text*3}` by `texttexttext`.
fn expanded(text: &str) -> String {
    let repetition = |(start, _)| {
        let (inner, behind) = text[start + 1..].split_once('}')?;
        let (repeated, times) = inner.rsplit_once('*')?;
        Some((&text[..start], repeated.repeat(times.parse().ok()?), behind))
    };
    match text.match_indices('{').find_map(repetition) {
        Some((before, repeated, behind)) => [before, &repeated, &expanded(behind)].concat(),
        None => text.to_owned(),
    }
}

/// Splits a line into words as redis-cli does: `"a b\r\n\xff"` is one word, `'a "b"'` is one word.
pub(super) fn words(line: &str) -> Vec<Vec<u8>> {
    let mut rest = line.as_bytes();
    iter::from_fn(|| {
        rest = rest.trim_ascii_start();
        let quote = *rest.first()?;
        let (word, behind) = match quote {
            b'"' => split_quoted(&rest[1..], quote, unescaped),
            b'\'' => split_quoted(&rest[1..], quote, <[u8]>::to_vec),
            _ => {
                let end = rest.iter().position(u8::is_ascii_whitespace).unwrap_or(rest.len());
                (rest[..end].to_vec(), &rest[end..])
            }
        };
        rest = behind;
        Some(word)
    })
    .collect()
}

/// Returns a word up to its closing quote, and the rest of the line.
fn split_quoted(bytes: &[u8], quote: u8, read: fn(&[u8]) -> Vec<u8>) -> (Vec<u8>, &[u8]) {
    let mut end = 0;
    while bytes[end] != quote {
        end += if bytes[end] == b'\\' { 2 } else { 1 };
    }
    (read(&bytes[..end]), &bytes[end + 1..])
}

/// Replaces escapes such as `\r`, `\n`, `\t` and `\xff` by their bytes.
fn unescaped(mut rest: &[u8]) -> Vec<u8> {
    iter::from_fn(|| {
        let (byte, behind) = match rest {
            [b'\\', b'x', high, low, behind @ ..] => {
                let digit = |digit: u8| char::from(digit).to_digit(16).expect("a hexadecimal digit") as u8;
                (digit(*high) << 4 | digit(*low), behind)
            }
            [b'\\', b'r', behind @ ..] => (b'\r', behind),
            [b'\\', b'n', behind @ ..] => (b'\n', behind),
            [b'\\', b't', behind @ ..] => (b'\t', behind),
            [b'\\', escaped, behind @ ..] => (*escaped, behind),
            [byte, behind @ ..] => (*byte, behind),
            [] => return None,
        };
        rest = behind;
        Some(byte)
    })
    .collect()
}
