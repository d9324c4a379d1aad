//! The prefix that a proxy puts before the keys of a client.

use std::hash::BuildHasher;

use bytes::Bytes;
use foldhash::quality::RandomState;

use super::UpstreamRequest;
use crate::{Client, Error, Value, client::ClientFlag, proxy::conn::ReplyMap, resp::glob};

/// A prefix of keys.
#[derive(Clone, Debug)]
pub(crate) struct Prefix(pub(crate) Bytes);

/// A request with other words, and the function that maps its reply.
pub(super) type Prefixed = (Vec<Bytes>, Option<ReplyMap>);

/// The effect of a prefix on a request.
pub(super) enum Effect {
    /// None: the request has no keys, and the keys of others do not matter to it.
    None,
    Rewrite(Prefixed),
    Refuse(Error),
}

/// Commands without keys that the proxy sends on unchanged.
const HARMLESS: &[&str] =
    &["PING", "ECHO", "TIME", "LOLWUT", "ROLE", "COMMAND", "UNSUBSCRIBE", "PUNSUBSCRIBE", "SUNSUBSCRIBE"];

/// Commands with keys that can reach other keys or channels, too.
const UNBOUNDED: &[&str] =
    &["EVAL", "EVALSHA", "EVAL_RO", "EVALSHA_RO", "FCALL", "FCALL_RO", "MIGRATE", "SPUBLISH", "SSUBSCRIBE"];

/// Commands with options that the key table does not describe completely: the name, the index of the first option, and the options
/// with a key or a pattern of keys as their value.
const WITH_OPTIONS: &[(&str, usize, &[&str])] = &[
    ("SORT", 2, &["BY", "GET", "STORE"]),
    ("SORT_RO", 2, &["BY", "GET"]),
    ("GEORADIUS", 6, &["STORE", "STOREDIST"]),
    ("GEORADIUSBYMEMBER", 5, &["STORE", "STOREDIST"]),
];

/// Commands that reply with a key and a value, or with null.
const KEY_FIRST: &[&str] = &["BLPOP", "BRPOP", "BZPOPMIN", "BZPOPMAX", "LMPOP", "BLMPOP", "ZMPOP", "BZMPOP"];

/// Commands that reply with keys and the entries of each.
const STREAMS: &[&str] = &["XREAD", "XREADGROUP"];

/// The channel on which RESP2 clients get invalidations. The upstream publishes nothing on it.
const INVALIDATIONS: &[u8] = b"__redis__:invalidate";

impl Prefix {
    /// Returns the prefix for the keys of a client: the prefix of the proxy, and then the key prefix of the client.
    pub(super) fn of(proxy: Option<&Prefix>, client: &Client) -> Option<Prefix> {
        if !client.is(ClientFlag::Tenant) {
            return proxy.cloned();
        }
        let of_client = client.key_prefix();
        match proxy {
            _ if of_client.is_empty() => proxy.cloned(),
            None => Some(Prefix(of_client)),
            Some(Prefix(of_proxy)) => Some(Prefix([&of_proxy[..], &of_client].concat().into())),
        }
    }

    /// Returns the key as the client knows it, or `None` if it has another prefix.
    pub(crate) fn strip<'a>(&self, key: &'a [u8]) -> Option<&'a [u8]> {
        key.strip_prefix(&self.0[..])
    }

    /// Removes the prefix from the keys that an error of the router quotes, such as `CROSSSLOT`.
    pub(super) fn strip_error(&self, error: &Error) -> Error {
        let quoted = [b"'", &self.0[..]].concat();
        let (mut line, mut rest) = (Vec::new(), error.as_bytes());
        while let Some(at) = rest.windows(quoted.len()).position(|text| text == quoted) {
            line.extend_from_slice(&rest[..=at]);
            rest = &rest[at + quoted.len()..];
        }
        line.extend_from_slice(rest);
        Error::from_bytes(line)
    }

    /// Returns the effect on a request.
    pub(super) fn apply(&self, request: &UpstreamRequest<'_>) -> Effect {
        let is_any = |names: &[&str]| names.iter().any(|name| request.is(name));
        if request.is("SUBSCRIBE") && request.words().skip(1).all(|name| name == INVALIDATIONS) {
            return Effect::None;
        }
        // The indexes of RediSearch contain keys with any prefix.
        let is_search = request.name().get(..3).is_some_and(|start| start.eq_ignore_ascii_case(b"FT."));
        if is_any(UNBOUNDED) || is_search {
            return refuse(request);
        }
        let mut positions: Vec<usize> = request.key_positions().collect();
        if let Some((_, first, names)) = WITH_OPTIONS.iter().find(|(name, ..)| request.is(name)) {
            positions.extend(option_positions(request, *first, names));
        }
        if positions.is_empty() {
            return match self.without_keys(request) {
                Some(rewrite) => Effect::Rewrite(rewrite),
                None if is_any(HARMLESS) => Effect::None,
                None => refuse(request),
            };
        }
        let words = request.words().enumerate().map(|(index, word)| match positions.contains(&index) {
            true => self.join(word),
            false => Bytes::copy_from_slice(word),
        });
        let map: Option<fn(&Prefix, Value) -> Value> = match () {
            () if is_any(KEY_FIRST) => Some(Prefix::strip_first),
            () if is_any(STREAMS) => Some(Prefix::strip_streams),
            () => None,
        };
        Effect::Rewrite((words.collect(), map.map(|map| self.reply_map(map))))
    }

    /// Rewrites a command about all keys, so that it is about the keys with the prefix.
    fn without_keys(&self, request: &UpstreamRequest<'_>) -> Option<Prefixed> {
        let all_keys = || vec![Bytes::from_static(b"KEYS"), self.pattern(b"*")];
        match request.len() {
            2 if request.is("KEYS") => {
                let words = vec![Bytes::from_static(b"KEYS"), self.pattern(request.get(1)?)];
                Some((words, Some(self.reply_map(Prefix::strip_keys))))
            }
            1 if request.is("DBSIZE") => Some((all_keys(), Some(Box::new(count)))),
            1 if request.is("RANDOMKEY") => Some((all_keys(), Some(self.reply_map(Prefix::strip_any)))),
            2.. if request.is("SCAN") => Some((self.scan(request), Some(self.reply_map(Prefix::strip_scan)))),
            _ => None,
        }
    }

    /// Returns the words of a `SCAN` of the keys with the prefix.
    fn scan(&self, request: &UpstreamRequest<'_>) -> Vec<Bytes> {
        let (mut words, mut has_pattern, mut index) = (Vec::new(), false, 2);
        words.extend(request.words().take(2).map(Bytes::copy_from_slice));
        while let Some(option) = request.get(index) {
            words.push(Bytes::copy_from_slice(option));
            let is_match = option.eq_ignore_ascii_case(b"MATCH");
            has_pattern |= is_match;
            words.extend(request.get(index + 1).map(|value| match is_match {
                true => self.pattern(value),
                false => Bytes::copy_from_slice(value),
            }));
            index += 2;
        }
        if !has_pattern {
            words.extend([Bytes::from_static(b"MATCH"), self.pattern(b"*")]);
        }
        words
    }

    fn join(&self, word: &[u8]) -> Bytes {
        [&self.0, word].concat().into()
    }

    /// Returns a glob pattern that matches the keys with the prefix whose rest matches `rest`.
    fn pattern(&self, rest: &[u8]) -> Bytes {
        [&glob::escape(&self.0)[..], rest].concat().into()
    }

    fn reply_map(&self, map: fn(&Prefix, Value) -> Value) -> ReplyMap {
        let prefix = self.clone();
        Box::new(move |reply| map(&prefix, reply))
    }

    fn strip_key(&self, key: Value) -> Value {
        match key {
            Value::Bulk(key) if key.starts_with(&self.0) => Value::Bulk(key.slice(self.0.len()..)),
            other => other,
        }
    }

    fn strip_keys(&self, reply: Value) -> Value {
        match reply {
            Value::Array(keys) => Value::Array(keys.into_iter().map(|key| self.strip_key(key)).collect()),
            other => other,
        }
    }

    fn strip_first(&self, reply: Value) -> Value {
        match reply {
            Value::Array(mut elements) if !elements.is_empty() => {
                let key = std::mem::replace(&mut elements[0], Value::Null);
                elements[0] = self.strip_key(key);
                Value::Array(elements)
            }
            other => other,
        }
    }

    fn strip_streams(&self, reply: Value) -> Value {
        match reply {
            Value::Array(streams) => {
                Value::Array(streams.into_iter().map(|stream| self.strip_first(stream)).collect())
            }
            Value::Map(streams) => {
                Value::Map(streams.into_iter().map(|(key, entries)| (self.strip_key(key), entries)).collect())
            }
            other => other,
        }
    }

    fn strip_scan(&self, reply: Value) -> Value {
        match reply {
            Value::Array(elements) => {
                Value::Array(elements.into_iter().map(|element| self.strip_keys(element)).collect())
            }
            other => other,
        }
    }

    /// Chooses one of all keys.
    fn strip_any(&self, keys: Value) -> Value {
        let Some(mut keys) = keys.into_vec().filter(|keys| !keys.is_empty()) else { return Value::Null };
        // Each `RandomState` has a different seed.
        let index = RandomState::default().hash_one(0) % keys.len() as u64;
        self.strip_key(keys.swap_remove(usize::try_from(index).unwrap_or(0)))
    }
}

fn count(keys: Value) -> Value {
    Value::Integer(keys.into_vec().map_or(0, |keys| i64::try_from(keys.len()).unwrap_or(i64::MAX)))
}

/// Returns the positions of the words that follow these options. The pattern `#` of `GET` stands for the element.
///
/// A word that is the value of another option may be among them: the upstream then refuses the request.
fn option_positions(request: &UpstreamRequest<'_>, first: usize, names: &[&str]) -> Vec<usize> {
    let mut positions = Vec::new();
    let mut index = first;
    while index < request.len() {
        let option = request.get(index).unwrap_or_default();
        if names.iter().any(|name| option.eq_ignore_ascii_case(name.as_bytes())) {
            index += 1;
            let is_element = option.eq_ignore_ascii_case(b"GET") && request.get(index) == Some(b"#");
            positions.extend((!is_element).then_some(index));
        }
        index += 1;
    }
    positions
}

fn refuse(request: &UpstreamRequest<'_>) -> Effect {
    let name = String::from_utf8_lossy(request.name()).to_uppercase();
    Effect::Refuse(Error::new("NOPERM", format_args!("{name} is not available with a prefix for keys")))
}
