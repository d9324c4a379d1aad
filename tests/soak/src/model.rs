//! A model of the keys of one client, which predicts every reply.

use std::{
    collections::{HashMap, VecDeque},
    time::{Duration, Instant},
};

use fastrand::Rng;

use crate::batch::{Batch, bulk, request};

/// Number of keys in each database.
const KEYS: u8 = 24;

const DATABASES: u8 = 3;

/// Reply size at which a batch is full, in bytes.
///
/// The replies fit into the socket buffers. Otherwise the client, which sends a whole batch before it reads,
/// and the server would wait for each other.
const MAX_REPLIES_LEN: usize = 32 * 1024;

/// Length above which values no longer grow, in bytes.
const MAX_VALUE_LEN: usize = 20_000;

/// Tolerance for the expiry of a key.
const MARGIN: Duration = Duration::from_millis(20);

const NOT_AN_INTEGER: &[u8] = b"-ERR value is not an integer or out of range\r\n";
const OVERFLOW: &[u8] = b"-ERR increment or decrement would overflow\r\n";
const NO_SUCH_KEY: &[u8] = b"-ERR no such key\r\n";
const OK: &[u8] = b"+OK\r\n";

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Protocol {
    Resp2,
    Resp3,
}

/// The keys and the connection state of one client. All its keys have a unique prefix.
pub(crate) struct Model {
    prefix: String,
    rng: Rng,
    protocol: Protocol,
    database: u8,
    name: Vec<u8>,
    keys: HashMap<(u8, u8), Entry>,
    /// Number of short-lived keys created so far.
    brief_count: u64,
    /// Short-lived keys of the current batch, with their lifetimes.
    expiring: Vec<(u64, Duration)>,
    /// Short-lived keys of earlier batches, each with the time when it has certainly expired.
    expired: VecDeque<(u64, Instant)>,
    /// Generates only requests that the server accepts into a transaction.
    only_accepted: bool,
    /// The keys are divided among several shards, so that a command that moves a key may be refused.
    has_shards: bool,
}

#[derive(Clone, Default)]
struct Entry {
    value: Vec<u8>,
    /// Expiry time, far in the future, so that no key expires during the test.
    expires: Option<u64>,
}

impl Model {
    pub(crate) fn new(mut rng: Rng, has_shards: bool) -> Model {
        Model {
            prefix: format!("{:x}", rng.u64(..)),
            rng,
            protocol: Protocol::Resp2,
            database: 0,
            name: Vec::new(),
            keys: HashMap::new(),
            brief_count: 0,
            expiring: Vec::new(),
            expired: VecDeque::new(),
            only_accepted: false,
            has_shards,
        }
    }

    /// Resets the state of the connection, but not the keys.
    pub(crate) fn connected(&mut self, protocol: Protocol) {
        self.protocol = protocol;
        self.database = 0;
        self.name.clear();
    }

    /// Generates at most `depth` commands.
    pub(crate) fn batch(&mut self, depth: usize) -> Batch {
        let mut batch = Batch::default();
        while batch.len() < depth && batch.replies.len() < MAX_REPLIES_LEN {
            self.command(&mut batch);
        }
        batch
    }

    /// Generates at most `depth` commands that the server accepts into a transaction.
    pub(crate) fn accepted_batch(&mut self, depth: usize) -> Batch {
        self.only_accepted = true;
        let batch = self.batch(depth);
        self.only_accepted = false;
        batch
    }

    /// Sets, reads and deletes a value that is too large for other batches.
    pub(crate) fn large_batch(&mut self, len: usize) -> Batch {
        let value = self.bytes(len);
        let key = format!("{}large", self.prefix).into_bytes();
        let mut batch = Batch::default();
        batch.push(&request(&[b"SET", &key, &value]), OK);
        batch.push(&request(&[b"STRLEN", &key]), count(len));
        batch.push(&request(&[b"GETDEL", &key]), bulk(&value));
        batch
    }

    /// Reads all keys of all databases.
    pub(crate) fn audit(&mut self) -> Vec<Batch> {
        let mut batches = Vec::new();
        for database in 0..DATABASES {
            let mut batch = Batch::default();
            batch.push(&request(&[b"SELECT", &[b'0' + database]]), OK);
            self.database = database;
            batches.push(batch);
            for key in 0..KEYS {
                let reply = self.value_reply(key);
                batches.push(Batch::of(&[b"GET", &self.key(key)], reply));
            }
        }
        batches
    }

    /// Sets all keys of all databases, after a batch of which it is unknown how much has run.
    pub(crate) fn set_all(&mut self) -> Vec<Batch> {
        self.answered();
        let databases = 0..DATABASES;
        let set_all = |database| {
            let mut batch = Batch::of(&[b"SELECT", &[b'0' + database]], OK);
            self.database = database;
            for key in 0..KEYS {
                let value = self.short();
                batch.push(&request(&[b"SET", &self.key(key), &value]), OK);
                self.insert(key, value.into());
            }
            batch
        };
        databases.map(set_all).collect()
    }

    /// Notes that all replies to the batch have arrived.
    pub(crate) fn answered(&mut self) {
        let now = Instant::now();
        self.expired.extend(self.expiring.drain(..).map(|(number, life)| (number, now + life + MARGIN)));
    }

    fn command(&mut self, batch: &mut Batch) {
        let key = self.rng.u8(..KEYS);
        match self.rng.u8(..100) {
            0..15 => self.get(key, batch),
            15..30 => self.set(key, batch),
            30..34 => self.set_conditionally(key, batch),
            34..44 => self.add(key, batch),
            44..49 => self.append(key, batch),
            49..54 => self.set_range(key, batch),
            54..59 => self.get_range(key, batch),
            59..64 => self.delete(batch),
            64..68 => self.several(batch),
            68..72 if !self.has_shards => self.rename(key, batch),
            72..75 if !self.has_shards => self.copy(key, batch),
            75..80 => self.expire(key, batch),
            80..84 if self.database == 0 => self.brief(batch),
            84..88 => self.get_and_change(key, batch),
            88..92 => self.mistake(batch),
            _ => self.session(batch),
        }
    }

    fn get(&mut self, key: u8, batch: &mut Batch) {
        let name = self.key(key);
        match self.rng.u8(..4) {
            0 => self.push(batch, &[b"EXISTS", &name], yes_or_no(self.entry(key).is_some())),
            1 => self.push(batch, &[b"STRLEN", &name], count(self.len(key))),
            _ => self.push(batch, &[b"GET", &name], self.value_reply(key)),
        }
    }

    fn set(&mut self, key: u8, batch: &mut Batch) {
        let value = self.value();
        let name = self.key(key);
        match self.rng.u8(..5) {
            0 => {
                self.push(batch, &[b"set", &name, &value, b"KEEPTTL"], OK);
                let expires = self.entry(key).and_then(|entry| entry.expires);
                self.insert(key, Entry { value, expires });
            }
            1 => {
                let before = self.value_reply(key);
                self.push(batch, &[b"SET", &name, &value, b"GET"], before);
                self.insert(key, value.into());
            }
            _ => {
                self.push(batch, &[b"SET", &name, &value], OK);
                self.insert(key, value.into());
            }
        }
    }

    fn set_conditionally(&mut self, key: u8, batch: &mut Batch) {
        let value = self.value();
        let name = self.key(key);
        let exists = self.entry(key).is_some();
        let (condition, is_set): (&[u8], bool) = match self.rng.u8(..3) {
            0 => (b"SETNX", !exists),
            1 => (b"NX", !exists),
            _ => (b"XX", exists),
        };
        if condition == b"SETNX" {
            self.push(batch, &[b"SETNX", &name, &value], yes_or_no(is_set));
        } else {
            let reply = if is_set { OK } else { self.null() };
            self.push(batch, &[b"SET", &name, &value, condition], reply);
        }
        if is_set {
            self.insert(key, value.into());
        }
    }

    fn add(&mut self, key: u8, batch: &mut Batch) {
        let name = self.key(key);
        let step = self.rng.i64(-1000..1000);
        let text = step.to_string();
        let (words, by): (&[&[u8]], i64) = match self.rng.u8(..4) {
            0 => (&[b"INCR", &name], 1),
            1 => (&[b"DECR", &name], -1),
            2 => (&[b"INCRBY", &name, text.as_bytes()], step),
            _ => (&[b"DECRBY", &name, text.as_bytes()], -step),
        };
        let before = match self.entry(key) {
            None => Some(0),
            Some(entry) => number(&entry.value),
        };
        let reply = match before.map(|before| before.checked_add(by)) {
            None => NOT_AN_INTEGER.to_vec(),
            Some(None) => OVERFLOW.to_vec(),
            Some(Some(sum)) => {
                self.keys.entry((self.database, key)).or_default().value = sum.to_string().into_bytes();
                integer(sum)
            }
        };
        self.push(batch, words, reply);
    }

    fn append(&mut self, key: u8, batch: &mut Batch) {
        if self.len(key) > MAX_VALUE_LEN {
            return self.set(key, batch);
        }
        let more = self.value();
        let value = &mut self.keys.entry((self.database, key)).or_default().value;
        value.extend(&more);
        let len = value.len();
        self.push(batch, &[b"APPEND", &self.key(key), &more], count(len));
    }

    fn set_range(&mut self, key: u8, batch: &mut Batch) {
        let offset = self.rng.usize(..MAX_VALUE_LEN / 10);
        let patch = self.short();
        let name = self.key(key);
        if !patch.is_empty() {
            let value = &mut self.keys.entry((self.database, key)).or_default().value;
            value.resize(value.len().max(offset + patch.len()), 0);
            value[offset..offset + patch.len()].copy_from_slice(&patch);
        }
        let offset = offset.to_string();
        self.push(batch, &[b"SETRANGE", &name, offset.as_bytes(), &patch], count(self.len(key)));
    }

    fn get_range(&mut self, key: u8, batch: &mut Batch) {
        let (from, to) = (self.rng.i64(-40..40), self.rng.i64(-40..40));
        let value = self.entry(key).map_or(&[][..], |entry| &entry.value);
        let len = value.len() as i64;
        let index = |at: i64| if at < 0 { (at + len).max(0) } else { at };
        let (start, end) = (index(from), index(to).min(len - 1));
        // As in Redis, a negative range that ends before it begins is empty.
        let is_empty = start > end || (from < 0 && to < 0 && from > to);
        let part = if is_empty { &[] } else { &value[start as usize..=end as usize] };
        let reply = bulk(part);
        let (from, to) = (from.to_string(), to.to_string());
        self.push(batch, &[b"GETRANGE", &self.key(key), from.as_bytes(), to.as_bytes()], reply);
    }

    fn delete(&mut self, batch: &mut Batch) {
        let keys = self.some_keys();
        let name: &[u8] = if self.rng.bool() { b"DEL" } else { b"UNLINK" };
        let deleted = keys.iter().filter(|key| self.keys.remove(&(self.database, **key)).is_some()).count();
        self.push_with_keys(batch, name, &keys, count(deleted));
    }

    fn several(&mut self, batch: &mut Batch) {
        let keys = self.some_keys();
        if self.rng.bool() {
            let replies: Vec<u8> = keys.iter().flat_map(|key| self.value_reply(*key)).collect();
            let reply = [format!("*{}\r\n", keys.len()).as_bytes(), &replies].concat();
            return self.push_with_keys(batch, b"MGET", &keys, reply);
        }
        let is_conditional = !self.has_shards && self.rng.bool();
        let mut words = vec![if is_conditional { b"MSETNX".to_vec() } else { b"MSET".to_vec() }];
        let mut entries = Vec::new();
        for key in &keys {
            let value = self.short();
            words.extend([self.key(*key), value.clone()]);
            entries.push((*key, value));
        }
        let is_set = !is_conditional || keys.iter().all(|key| self.entry(*key).is_none());
        if is_set {
            entries.into_iter().for_each(|(key, value)| self.insert(key, value.into()));
        }
        let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
        let reply = if is_conditional { yes_or_no(is_set) } else { OK.to_vec() };
        self.push(batch, &words, reply);
    }

    fn rename(&mut self, key: u8, batch: &mut Batch) {
        let other = self.rng.u8(..KEYS);
        let (from, to) = (self.key(key), self.key(other));
        let is_conditional = self.rng.bool();
        let is_renamed = self.entry(key).is_some() && !(is_conditional && self.entry(other).is_some());
        let reply = match self.entry(key) {
            None => NO_SUCH_KEY.to_vec(),
            Some(_) if is_conditional => yes_or_no(is_renamed),
            Some(_) => OK.to_vec(),
        };
        if is_renamed && let Some(entry) = self.keys.remove(&(self.database, key)) {
            self.insert(other, entry);
        }
        self.push(batch, &[if is_conditional { b"RENAMENX" } else { b"RENAME" }, &from, &to], reply);
    }

    fn copy(&mut self, key: u8, batch: &mut Batch) {
        let other = (key + self.rng.u8(1..KEYS)) % KEYS;
        let (from, to) = (self.key(key), self.key(other));
        let is_replacing = self.rng.bool();
        let copied = self.entry(key).filter(|_| is_replacing || self.entry(other).is_none()).cloned();
        let words: &[&[u8]] =
            if is_replacing { &[b"COPY", &from, &to, b"REPLACE"] } else { &[b"COPY", &from, &to] };
        self.push(batch, words, yes_or_no(copied.is_some()));
        if let Some(entry) = copied {
            self.insert(other, entry);
        }
    }

    /// Uses expiry times in the far future or past, so that the current time does not matter.
    fn expire(&mut self, key: u8, batch: &mut Batch) {
        let name = self.key(key);
        let exists = self.entry(key).is_some();
        match self.rng.u8(..5) {
            0 => {
                let was_set = self.entry_mut(key).is_some_and(|entry| entry.expires.take().is_some());
                self.push(batch, &[b"PERSIST", &name], yes_or_no(was_set));
            }
            1 => {
                self.keys.remove(&(self.database, key));
                self.push(batch, &[b"EXPIREAT", &name, b"1000000000"], yes_or_no(exists));
            }
            2 => {
                let at = self.rng.u64(5_000_000_000..9_000_000_000);
                self.push(batch, &[b"EXPIREAT", &name, at.to_string().as_bytes()], yes_or_no(exists));
                if let Some(entry) = self.entry_mut(key) {
                    entry.expires = Some(at);
                }
            }
            _ => {
                let reply = match self.entry(key) {
                    None => -2,
                    Some(entry) => entry.expires.map_or(-1, |at| at as i64),
                };
                self.push(batch, &[b"EXPIRETIME", &name], integer(reply));
            }
        }
    }

    /// Creates a key that lives for some milliseconds, and checks that earlier ones have expired.
    ///
    /// Short-lived keys are in database 0 only.
    fn brief(&mut self, batch: &mut Batch) {
        while self.expired.front().is_some_and(|(_, at)| *at <= Instant::now()) {
            let Some((number, _)) = self.expired.pop_front() else { break };
            let name = self.brief_key(number);
            self.push(batch, &[b"GET", &name], self.null());
        }
        let life = self.rng.u64(1..200);
        let name = self.brief_key(self.brief_count);
        self.expiring.push((self.brief_count, Duration::from_millis(life)));
        self.brief_count += 1;
        let value = self.short();
        self.push(batch, &[b"SET", &name, &value, b"PX", life.to_string().as_bytes()], OK);
    }

    fn get_and_change(&mut self, key: u8, batch: &mut Batch) {
        let name = self.key(key);
        let before = self.value_reply(key);
        if self.rng.bool() {
            self.push(batch, &[b"GETDEL", &name], before);
            self.keys.remove(&(self.database, key));
        } else {
            let value = self.short();
            self.push(batch, &[b"GETSET", &name, &value], before);
            self.insert(key, value.into());
        }
    }

    fn session(&mut self, batch: &mut Batch) {
        match self.rng.u8(..6) {
            0 => self.push(batch, &[b"PING"], b"+PONG\r\n"),
            1 | 2 => {
                let text = self.value();
                self.push(batch, &[b"ECHO", &text], bulk(&text));
            }
            3 => {
                self.database = self.rng.u8(..DATABASES);
                self.push(batch, &[b"SELECT", &[b'0' + self.database]], OK);
            }
            4 => {
                self.name = format!("client-{}", self.rng.u16(..)).into_bytes();
                let name = self.name.clone();
                self.push(batch, &[b"CLIENT", b"SETNAME", &name], OK);
            }
            _ => {
                let reply = if self.name.is_empty() { self.null().to_vec() } else { bulk(&self.name) };
                self.push(batch, &[b"CLIENT", b"GETNAME"], reply);
            }
        }
    }

    fn mistake(&mut self, batch: &mut Batch) {
        let name = self.key(0);
        // The server rejects the first two before it runs a row, which aborts a transaction.
        let first = if self.only_accepted { 2 } else { 0 };
        let (words, reply): (&[&[u8]], &str) = match self.rng.u8(first..5) {
            0 => (&[b"GET"], "wrong number of arguments for 'get' command"),
            1 => (&[b"NOPE", b"a"], "unknown command 'NOPE', with args beginning with: 'a' "),
            2 => (&[b"SET", &name, b"v", b"NX", b"XX"], "syntax error"),
            3 => (&[b"SET", &name, b"v", b"EX", b"0"], "invalid expire time in 'set' command"),
            _ => (&[b"EXPIRE", &name, b"soon"], "value is not an integer or out of range"),
        };
        self.push(batch, words, format!("-ERR {reply}\r\n"));
    }

    /// Appends a request. If all words are alphanumeric, it is sometimes an inline command.
    fn push(&mut self, batch: &mut Batch, words: &[&[u8]], reply: impl AsRef<[u8]>) {
        let plain = |word: &&[u8]| !word.is_empty() && word.iter().all(u8::is_ascii_alphanumeric);
        if self.rng.u8(..4) == 0 && words.iter().all(plain) {
            batch.push(&[&words.join(&b' '), &b"\r\n"[..]].concat(), reply);
        } else {
            batch.push(&request(words), reply);
        }
    }

    fn push_with_keys(&mut self, batch: &mut Batch, command: &[u8], keys: &[u8], reply: Vec<u8>) {
        let names: Vec<Vec<u8>> = keys.iter().map(|key| self.key(*key)).collect();
        let words: Vec<&[u8]> = std::iter::once(command).chain(names.iter().map(Vec::as_slice)).collect();
        self.push(batch, &words, reply);
    }

    fn entry(&self, key: u8) -> Option<&Entry> {
        self.keys.get(&(self.database, key))
    }

    fn entry_mut(&mut self, key: u8) -> Option<&mut Entry> {
        self.keys.get_mut(&(self.database, key))
    }

    fn insert(&mut self, key: u8, entry: Entry) {
        self.keys.insert((self.database, key), entry);
    }

    fn len(&self, key: u8) -> usize {
        self.entry(key).map_or(0, |entry| entry.value.len())
    }

    fn value_reply(&self, key: u8) -> Vec<u8> {
        self.entry(key).map_or_else(|| self.null().to_vec(), |entry| bulk(&entry.value))
    }

    fn null(&self) -> &'static [u8] {
        if self.protocol == Protocol::Resp3 { b"_\r\n" } else { b"$-1\r\n" }
    }

    fn key(&self, key: u8) -> Vec<u8> {
        format!("{}k{key}", self.prefix).into_bytes()
    }

    fn brief_key(&self, number: u64) -> Vec<u8> {
        format!("{}brief{number}", self.prefix).into_bytes()
    }

    fn some_keys(&mut self) -> Vec<u8> {
        let count = self.rng.usize(1..6);
        self.rng.choose_multiple(0..KEYS, count)
    }

    /// Generates a value: mostly short, and sometimes close to the server's threshold for large bulk strings.
    fn value(&mut self) -> Vec<u8> {
        match self.rng.u8(..100) {
            0..20 => self.rng.i32(..).to_string().into_bytes(),
            20 => (i64::MAX - i64::from(self.rng.u8(..))).to_string().into_bytes(),
            21..96 => self.short(),
            96..99 => {
                let len = self.rng.usize(..3000);
                self.bytes(len)
            }
            _ => {
                let len = self.rng.usize(16_380..16_390);
                self.bytes(len)
            }
        }
    }

    fn short(&mut self) -> Vec<u8> {
        let len = self.rng.usize(..50);
        if self.rng.bool() {
            return std::iter::repeat_with(|| self.rng.alphanumeric() as u8).take(len).collect();
        }
        self.bytes(len)
    }

    /// Generates random bytes.
    fn bytes(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.rng.fill(&mut bytes);
        bytes
    }
}

impl From<Vec<u8>> for Entry {
    fn from(value: Vec<u8>) -> Entry {
        Entry { value, expires: None }
    }
}

fn integer(number: i64) -> Vec<u8> {
    format!(":{number}\r\n").into_bytes()
}

/// Encodes a count.
fn count(number: usize) -> Vec<u8> {
    integer(number as i64)
}

/// Encodes a boolean as 1 or 0.
fn yes_or_no(yes: bool) -> Vec<u8> {
    integer(i64::from(yes))
}

/// Parses a value as an integer, if it is in canonical form.
fn number(value: &[u8]) -> Option<i64> {
    let number: i64 = std::str::from_utf8(value).ok()?.parse().ok()?;
    (number.to_string().as_bytes() == value).then_some(number)
}
