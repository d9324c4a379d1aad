//! `SCAN` over all servers, one after the other.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use thegiant::{
    Error, Value,
    proxy::{Route, Servers, Split, UpstreamRequest},
};

/// Maximum number of servers in a cursor. Its lower bits hold the server, its upper bits hold the cursor of the server.
const MAX_SERVERS: u64 = 1 << 10;

/// The first cursor that stands for a kept one. Cursors stay below 2^53, which clients in JavaScript read as a number.
const FIRST_KEPT: u64 = 1 << 52;

/// Maximum number of kept cursors. Each takes 16 bytes.
const MAX_KEPT: usize = 10_000;

const INVALID: Error = Error::from_static("ERR invalid cursor");

/// The cursors of scans, which the balancers of all threads share: a client can continue a scan on any connection.
#[derive(Clone, Debug, Default)]
pub struct Cursors(Arc<Mutex<KnownCursors>>);

#[derive(Debug, Default)]
struct KnownCursors {
    /// The addresses of the servers. A cursor contains an index, because each thread numbers its servers by itself.
    addresses: Vec<String>,
    /// Cursors of servers that leave no room for the server in a cursor. The oldest ones are forgotten.
    kept: VecDeque<(usize, u64)>,
    forgotten: u64,
}

impl Cursors {
    fn lock(&self) -> MutexGuard<'_, KnownCursors> {
        // No code panics while it holds the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl KnownCursors {
    /// Returns the index of an address in all cursors.
    fn index_of(&mut self, address: &str) -> usize {
        self.addresses.iter().position(|known| known == address).unwrap_or_else(|| {
            self.addresses.push(address.to_owned());
            self.addresses.len() - 1
        })
    }

    /// Returns the cursor for clients that stands for the cursor of a server.
    fn encode(&mut self, server: usize, inner: u64) -> u64 {
        if (server as u64) < MAX_SERVERS && inner < FIRST_KEPT / MAX_SERVERS {
            return inner * MAX_SERVERS + server as u64;
        }
        if self.kept.len() == MAX_KEPT {
            self.kept.pop_front();
            self.forgotten += 1;
        }
        self.kept.push_back((server, inner));
        FIRST_KEPT + self.forgotten + self.kept.len() as u64 - 1
    }

    /// Returns the server and its cursor.
    fn decode(&self, cursor: u64) -> Option<(usize, u64)> {
        if cursor < FIRST_KEPT {
            return Some(((cursor % MAX_SERVERS) as usize, cursor / MAX_SERVERS));
        }
        let index = (cursor - FIRST_KEPT).checked_sub(self.forgotten)?;
        self.kept.get(usize::try_from(index).ok()?).copied()
    }
}

/// Continues a scan over these servers at the cursor of the request.
pub(crate) fn scan(
    request: &UpstreamRequest<'_>,
    all: &[usize],
    servers: &Servers,
    cursors: &Cursors,
) -> Route {
    let Some(cursor) = request.get(1) else { return Route::Any };
    let mut known = cursors.lock();
    let Some((from, inner)) = number(cursor).and_then(|cursor| known.decode(cursor)) else {
        return INVALID.into();
    };
    let mut all: Vec<(usize, usize)> =
        all.iter().map(|server| (known.index_of(servers.address(*server)), *server)).collect();
    all.sort_unstable();
    // A server that has left meanwhile is skipped.
    let mut left = all.into_iter().filter(|(index, _)| *index >= from);
    let Some((index, server)) = left.next() else {
        return Route::Reply(page(0, Value::Array(Vec::new())));
    };
    let inner = if index == from { inner } else { 0 };
    let next = left.next();
    let words = [request.name().to_vec(), inner.to_string().into_bytes()];
    let rest = request.words().skip(2).map(<[u8]>::to_vec);
    let words: Vec<_> = words.into_iter().chain(rest).collect();
    let cursors = cursors.clone();
    Route::Split(Split::new([(server, words)], move |mut replies| match replies.pop() {
        Some(Value::Array(mut fields)) if fields.len() == 2 => {
            let keys = fields.pop().unwrap_or(Value::Null);
            let inner = fields.pop().as_ref().and_then(Value::as_bytes).and_then(number);
            let cursor = match (inner, next) {
                (Some(0), None) => 0,
                (Some(0), Some((next, _))) => cursors.lock().encode(next, 0),
                (Some(inner), _) => cursors.lock().encode(index, inner),
                (None, _) => return Value::Error(INVALID),
            };
            page(cursor, keys)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_of_any_size_are_found_again() {
        let mut cursors = KnownCursors::default();
        let places = [(0, 1), (1023, 1 << 41), (0, 1 << 42), (1024, 0), (2, u64::MAX)];
        let encoded = places.map(|(server, inner)| cursors.encode(server, inner));
        assert_eq!(encoded[..2], [1 << 10, (1 << 51) + 1023]);
        assert!(encoded.iter().all(|cursor| *cursor < 1 << 53), "{encoded:?}");
        assert_eq!(encoded.map(|cursor| cursors.decode(cursor)), places.map(Some));
    }

    #[test]
    fn the_oldest_kept_cursors_are_forgotten() {
        let mut cursors = KnownCursors::default();
        let encoded: Vec<u64> =
            (0..=MAX_KEPT as u64).map(|number| cursors.encode(0, u64::MAX - number)).collect();
        assert_eq!(cursors.decode(encoded[0]), None);
        assert_eq!(cursors.decode(encoded[1]), Some((0, u64::MAX - 1)));
        assert_eq!(cursors.decode(encoded[MAX_KEPT]), Some((0, u64::MAX - MAX_KEPT as u64)));
        assert_eq!(cursors.decode(encoded[MAX_KEPT] + 1), None);
    }
}
