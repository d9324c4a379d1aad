//! Inline commands: lines that people type, such as `SET greeting "hello world"`.

use std::ops::Range;

/// Splits a line into words, by the quoting rules of Redis (`sdssplitargs`).
///
/// White space separates words. The escapes `\n \r \t \b \a \xHH \" \\` work inside `"…"`, and only `\'` works inside
/// `'…'`. White space or the end of the line must follow a closing quote.
///
/// The function unescapes words in place, because an escape is at least as long as the byte that it encodes. It calls
/// `found` with the range of each word within `line`. It returns `None` if the quotes do not match.
pub(super) fn split(line: &mut [u8], mut found: impl FnMut(Range<usize>)) -> Option<()> {
    let mut read = 0;
    loop {
        while read < line.len() && is_space(line[read]) {
            read += 1;
        }
        if read == line.len() {
            return Some(());
        }
        let start = read;
        let mut word = Word { line, read, write: start };
        word.unescape()?;
        read = word.read;
        found(start..word.write);
    }
}

/// The word that is being read at `read` and written at `write`. `write` never passes `read`.
struct Word<'a> {
    line: &'a mut [u8],
    read: usize,
    write: usize,
}

impl Word<'_> {
    fn unescape(&mut self) -> Option<()> {
        while let Some(byte) = self.peek() {
            match byte {
                b'"' => return self.double_quoted(),
                b'\'' => return self.single_quoted(),
                // A vertical tab separates words only before a word. Inside a word, it is a part of the word.
                b' ' | b'\t' | b'\r' | b'\n' => return Some(()),
                byte => self.copy(byte, 1),
            }
        }
        Some(())
    }

    fn double_quoted(&mut self) -> Option<()> {
        self.read += 1;
        loop {
            match &self.line[self.read..] {
                [b'\\', b'x', high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                    let byte = hex(*high) << 4 | hex(*low);
                    self.copy(byte, 4);
                }
                [b'\\', escaped, ..] => {
                    let byte = match escaped {
                        b'n' => b'\n',
                        b'r' => b'\r',
                        b't' => b'\t',
                        b'b' => 0x08,
                        b'a' => 0x07,
                        other => *other,
                    };
                    self.copy(byte, 2);
                }
                [b'"', ..] => return self.close(),
                [byte, ..] => self.copy(*byte, 1),
                [] => return None,
            }
        }
    }

    fn single_quoted(&mut self) -> Option<()> {
        self.read += 1;
        loop {
            match &self.line[self.read..] {
                [b'\\', b'\'', ..] => self.copy(b'\'', 2),
                [b'\'', ..] => return self.close(),
                [byte, ..] => self.copy(*byte, 1),
                [] => return None,
            }
        }
    }

    fn close(&mut self) -> Option<()> {
        self.read += 1;
        self.peek().is_none_or(is_space).then_some(())
    }

    fn peek(&self) -> Option<u8> {
        self.line.get(self.read).copied()
    }

    fn copy(&mut self, byte: u8, consumed: usize) {
        self.line[self.write] = byte;
        self.write += 1;
        self.read += consumed;
    }
}

/// White space of `isspace` in C: `u8::is_ascii_whitespace` lacks the vertical tab.
fn is_space(byte: u8) -> bool {
    byte.is_ascii_whitespace() || byte == 0x0b
}

fn hex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20) - b'a' + 10,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Option<Vec<Vec<u8>>> {
        let mut line = line.as_bytes().to_vec();
        let mut ranges = Vec::new();
        split(&mut line, |range| ranges.push(range))?;
        Some(ranges.into_iter().map(|range| line[range].to_vec()).collect())
    }

    #[test]
    fn quotes_and_escapes() {
        let cases: [(&str, &[&[u8]]); 8] = [
            ("  SET  a\tb ", &[b"SET", b"a", b"b"]),
            (r#"SET "a b" 'c d'"#, &[b"SET", b"a b", b"c d"]),
            (r#""\n\r\t\b\a\x41\xfF\"\\\q""#, &[b"\n\r\t\x08\x07A\xff\"\\q"]),
            (r#"'it\'s \n'"#, &[br"it's \n"]),
            (r#"pre"fix" x"#, &[b"prefix", b"x"]),
            (r#""" ''"#, &[b"", b""]),
            ("a\x0bb \x0c c", &[b"a\x0bb", b"c"]),
            (r#""\x4" "\xg1""#, &[b"x4", b"xg1"]),
        ];
        for (line, expected) in cases {
            assert_eq!(words(line).expect(line), expected, "{line}");
        }
    }

    #[test]
    fn unbalanced_quotes() {
        for line in [r#"""#, r#"'"#, r#""a"b"#, r#"'a'b"#, r#""a\"#, r#""\x4"#, r#""\x"#, r#"'\'"#] {
            assert_eq!(words(line), None, "{line}");
        }
    }
}
