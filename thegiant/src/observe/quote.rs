//! Formats requests for people, without secrets.

use crate::command::Request;

/// Returns the words of a request, with `(redacted)` in place of users and passwords.
pub(crate) fn redacted<'a>(request: &'a Request<'_>) -> impl Iterator<Item = &'a [u8]> {
    let word = |index| if is_secret(request, index) { Some(&b"(redacted)"[..]) } else { request.get(index) };
    (0..request.len()).filter_map(word)
}

/// Returns whether a word may be a user or a password. In doubt, it is.
fn is_secret(request: &Request<'_>, index: usize) -> bool {
    let is_auth = |index| request.get(index).is_some_and(|word| word.eq_ignore_ascii_case(b"AUTH"));
    match index {
        1.. if request.is("AUTH") => true,
        3.. if request.is("HELLO") => is_auth(index - 1) || index > 3 && is_auth(index - 2),
        _ => false,
    }
}

/// Appends a word in quotes, with the escapes of `MONITOR`.
pub(crate) fn quote(word: &[u8], line: &mut Vec<u8>) {
    line.push(b'"');
    for byte in word {
        match byte {
            b'\\' | b'"' => line.extend([b'\\', *byte]),
            b'\n' => line.extend(b"\\n"),
            b'\r' => line.extend(b"\\r"),
            b'\t' => line.extend(b"\\t"),
            0x07 => line.extend(b"\\a"),
            0x08 => line.extend(b"\\b"),
            b' '..=b'~' => line.push(*byte),
            _ => line.extend(format!("\\x{byte:02x}").bytes()),
        }
    }
    line.push(b'"');
}
