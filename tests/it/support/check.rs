//! Compares the replies to inline commands.

use thegiant::App;

use super::{RawClient, Served};

/// Serves an application, sends it each line, and compares the reply.
///
/// A reply that begins with `-` is an error, whose code is `ERR` unless there is another one. One that begins with `:` or
/// `*` is as on the wire. Any other reply is a bulk string.
pub(crate) fn check(app: impl FnOnce() -> App + Send + 'static, expected: &[(&str, &str)]) {
    let server = Served::start(app);
    let mut client = RawClient::connect(server.address());
    for (line, expected) in expected {
        let reply = client.ask(format!("{line}\r\n"));
        assert_eq!(String::from_utf8_lossy(&reply), encoded(expected), "{line}");
    }
}

fn encoded(reply: &str) -> String {
    let has_code =
        |error: &str| error.split(' ').next().is_some_and(|word| word.chars().all(char::is_uppercase));
    match reply.strip_prefix('-') {
        Some(error) if has_code(error) => format!("-{error}\r\n"),
        Some(error) => format!("-ERR {error}\r\n"),
        None if reply.starts_with([':', '*']) => format!("{reply}\r\n"),
        None => format!("${}\r\n{reply}\r\n", reply.len()),
    }
}
