//! `SCAN` over all servers, one after the other.

use thegiant::{
    Error, Value,
    upstream::{Request, Route, Split},
};

/// Maximum number of servers. The lower bits of a cursor hold the server, the upper bits hold its own cursor.
const MAX_SERVERS: u64 = 1 << 10;

const INVALID: Error = Error::from_static("ERR invalid cursor");

/// Continues a scan over these servers at the cursor of the request.
pub(crate) fn scan(request: &Request<'_>, all: &[usize]) -> Route {
    let Some(cursor) = request.get(1) else { return Route::Any };
    let Some(cursor) = number(cursor) else { return INVALID.into() };
    let (inner, from) = (cursor / MAX_SERVERS, (cursor % MAX_SERVERS) as usize);
    // A server that has left meanwhile is skipped.
    let mut left = all.iter().copied().filter(|server| *server >= from);
    let Some(server) = left.next() else {
        return Route::Reply(page(0, Value::Array(Vec::new())));
    };
    let inner = if server == from { inner } else { 0 };
    let next = left.next();
    let words = [request.name().to_vec(), inner.to_string().into_bytes()];
    let rest = request.words().skip(2).map(<[u8]>::to_vec);
    let words: Vec<_> = words.into_iter().chain(rest).collect();
    Route::Split(Split::new([(server, words)], move |mut replies| match replies.pop() {
        Some(Value::Array(mut fields)) if fields.len() == 2 => {
            let keys = fields.pop().unwrap_or(Value::Null);
            let inner = fields.pop().as_ref().and_then(Value::as_bytes).and_then(number);
            let cursor = match (inner, next) {
                (Some(0), Some(next)) => Some(next as u64),
                (Some(0), None) => Some(0),
                (Some(inner), _) => inner.checked_mul(MAX_SERVERS).map(|inner| inner + server as u64),
                (None, _) => None,
            };
            cursor.map_or(Value::Error(INVALID), |cursor| page(cursor, keys))
        }
        Some(other) => other,
        None => Value::Null,
    }))
}

fn page(cursor: u64, keys: Value) -> Value {
    Value::Array(vec![cursor.to_string().into(), keys])
}

fn number(text: &[u8]) -> Option<u64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}
