//! A value that is larger than every buffer.

use std::sync::LazyLock;

use super::{RawClient, lines, request};

/// Returns 8 MiB in which neighboring parts differ, so that a test notices misplaced bytes.
pub(crate) fn large_value() -> Vec<u8> {
    static VALUE: LazyLock<Vec<u8>> =
        LazyLock::new(|| (0..8 << 20).map(|at: u32| (at * 7 + at / 1000) as u8).collect());
    VALUE.clone()
}

/// Stores a large value, and reads it twice in one pipeline.
#[track_caller]
pub(crate) fn large_value_passes(client: &mut RawClient) {
    let value = large_value();
    let set = request([&b"SET"[..], b"large", &value]);
    assert_eq!(client.while_sending(&[&set], |client| client.reply()), "+OK\r\n");
    client.send(lines("GET large \n STRLEN large \n GET large"));
    let expected = [format!("${}\r\n", value.len()).as_bytes(), &value, b"\r\n"].concat();
    assert!(client.reply() == expected);
    assert_eq!(client.reply(), format!(":{}\r\n", value.len()));
    assert!(client.reply() == expected);
}
