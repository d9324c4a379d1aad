//! Requests as text for people.

use crate::command::Call;

/// The words of a request that may be shown: what is secret in them is not.
pub(super) fn shown<'a>(call: &'a Call<'_>) -> impl Iterator<Item = &'a [u8]> {
    let secret = first_secret(call);
    (0..call.len())
        .filter_map(|index| call.get(index))
        .enumerate()
        .map(move |(index, word)| if index >= secret { &b"(redacted)"[..] } else { word })
}

/// From where on the words may be a password.
fn first_secret(call: &Call<'_>) -> usize {
    if call.is("AUTH") {
        1
    } else if call.is("HELLO") {
        let is_auth = |index: &usize| call.get(*index).is_some_and(|word| word.eq_ignore_ascii_case(b"AUTH"));
        (2..call.len()).find(is_auth).map_or(usize::MAX, |index| index + 1)
    } else {
        usize::MAX
    }
}

/// Appends a word in quotes, as `MONITOR` has it.
pub(super) fn quote(word: &[u8], line: &mut Vec<u8>) {
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
