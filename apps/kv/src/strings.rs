//! The string commands.

use std::ops::Range;

use thegiant::{
    EventClass, KeyEvents, now,
    prelude::*,
    resp::{Encoder, parse_integer},
};

use crate::{
    cow::CowBytes,
    databases::{Databases, Expiry, Result},
    events::changed,
    expiry::{Expiration, MILLISECOND, Number, SECOND, lifetime},
    lcs::{Lcs, LcsReply},
    numbers::LongDouble,
    store::Store,
};

#[commands(rows = STRINGS, group = "string")]
impl<D: Databases> Store<D> {
    /// Returns the value of a key.
    #[command("GET", readonly, fast)]
    fn get(&self, client: &Client, key: Key<&[u8]>) -> Result<Option<CowBytes<'_>>> {
        self.data.get(client.db(), *key)
    }

    /// Sets the value of a key.
    #[command("SET", write, denyoom)]
    fn set(
        &mut self,
        client: &Client,
        #[key(OW, update)]
        #[key(RW, access, update, with = "GET")]
        key: Key<&[u8]>,
        value: CowBytes<'_>,
        options: SetOptions<'_>,
        events: &mut KeyEvents,
    ) -> Result<SetReply> {
        let expiry = options.expiry()?;
        let needs_old = options.get || options.condition.is_some();
        let old = if needs_old { self.old(client, *key)? } else { None };
        let refused = options.condition.is_some_and(|condition| condition.refuses(old.as_ref()));
        if !refused {
            self.put(client, *key, value, expiry, events)?;
        }
        Ok(match options.get {
            true => SetReply::Value(old),
            false if refused => SetReply::Value(None),
            false => SetReply::Done,
        })
    }

    /// Sets the value of a key that does not exist.
    #[command("SETNX", write, denyoom, fast)]
    fn setnx(
        &mut self,
        client: &Client,
        #[key(OW, insert)] key: Key<&[u8]>,
        value: CowBytes<'_>,
        events: &mut KeyEvents,
    ) -> Result<i64> {
        self.msetnx(client, vec![(key, value)], events)
    }

    /// Sets the value of a key, and its time to live in seconds.
    #[command("SETEX", write, denyoom)]
    fn setex(
        &mut self,
        client: &Client,
        #[key(OW, update)] key: Key<&[u8]>,
        seconds: Number<'_>,
        value: CowBytes<'_>,
        events: &mut KeyEvents,
    ) -> Result<()> {
        let time = lifetime("setex", &seconds, SECOND, now())?;
        self.put(client, *key, value, Expiry::At(time), events)
    }

    /// Sets the value of a key, and its time to live in milliseconds.
    #[command("PSETEX", write, denyoom)]
    fn psetex(
        &mut self,
        client: &Client,
        #[key(OW, update)] key: Key<&[u8]>,
        milliseconds: Number<'_>,
        value: CowBytes<'_>,
        events: &mut KeyEvents,
    ) -> Result<()> {
        let time = lifetime("psetex", &milliseconds, MILLISECOND, now())?;
        self.put(client, *key, value, Expiry::At(time), events)
    }

    /// Sets the value of a key, and returns the old value.
    #[command("GETSET", write, denyoom, fast)]
    fn getset(
        &mut self,
        client: &Client,
        key: Key<&[u8]>,
        value: CowBytes<'_>,
        events: &mut KeyEvents,
    ) -> Result<Option<Bytes>> {
        let old = self.old(client, *key)?;
        self.put(client, *key, value, Expiry::Never, events)?;
        Ok(old)
    }

    /// Removes a key, and returns its value.
    #[command("GETDEL", write, fast)]
    fn getdel(
        &mut self,
        client: &Client,
        #[key(RW, access, delete)] key: Key<&[u8]>,
        events: &mut KeyEvents,
    ) -> Result<Option<Bytes>> {
        let value = self.old(client, *key)?;
        if value.is_some() {
            self.data.remove(client.db(), *key)?;
            events.add(EventClass::Generic, "del", client.db(), *key);
        }
        Ok(value)
    }

    /// Returns the value of a key, and sets when it expires.
    #[command("GETEX", write, fast)]
    fn getex(
        &mut self,
        client: &Client,
        key: Key<&[u8]>,
        options: GetexOptions<'_>,
        events: &mut KeyEvents,
    ) -> Result<Option<Bytes>> {
        let GetexOptions { expiration, persist } = options;
        if persist && expiration.is_some() {
            return Err(Error::SYNTAX);
        }
        let Some(value) = self.old(client, *key)? else { return Ok(None) };
        if let Some(expiration) = expiration {
            self.change_deadline(client, *key, expiration.time("getex")?, events)?;
        } else if persist {
            self.persist(client, key, events)?;
        }
        Ok(Some(value))
    }

    /// Removes a key, if it has this value.
    #[command("DELIFEQ", write, fast)]
    fn delifeq(
        &mut self,
        client: &Client,
        #[key(RM, access, delete)] key: Key<&[u8]>,
        value: &[u8],
        events: &mut KeyEvents,
    ) -> Result<i64> {
        let is_equal = self.data.get(client.db(), *key)?.is_some_and(|stored| stored.as_ref() == value);
        if is_equal {
            self.data.remove(client.db(), *key)?;
            events.add(EventClass::Generic, "del", client.db(), *key);
        }
        Ok(i64::from(is_equal))
    }

    /// Returns the longest common subsequence of the values of two keys.
    #[command("LCS", readonly)]
    fn lcs(
        &self,
        client: &Client,
        key1: Key<&[u8]>,
        key2: Key<&[u8]>,
        options: LcsOptions,
    ) -> Result<LcsReply> {
        let LcsOptions { len, idx, minmatchlen, withmatchlen } = options;
        if len && idx {
            return Err(LEN_AND_IDX);
        }
        let [one, other] = [self.data.get(client.db(), *key1)?, self.data.get(client.db(), *key2)?];
        let [one, other] = [&one, &other].map(|value| value.as_ref().map_or(&[][..], AsRef::as_ref));
        let lcs = Lcs::of(one, other).ok_or(LCS_TOO_LONG)?;
        let min = usize::try_from(minmatchlen.unwrap_or_default()).unwrap_or(0);
        Ok(match (len, idx) {
            (true, _) => LcsReply::Len(lcs.len()),
            (_, true) => LcsReply::Matches { lcs, min, with_len: withmatchlen },
            _ => LcsReply::Text(lcs.text(one).into()),
        })
    }

    /// Appends to the value of a key, and returns its length.
    #[command("APPEND", write, denyoom, fast)]
    fn append(
        &mut self,
        client: &Client,
        #[key(RW, insert)] key: Key<&[u8]>,
        value: &[u8],
        events: &mut KeyEvents,
    ) -> Result<usize> {
        let is_new = self.is_new(client.db(), *key, events)?;
        let len = self.data.update(client.db(), *key, |stored| {
            let len = checked_len(stored.len(), value.len())?;
            stored.extend_from_slice(value);
            Ok(len)
        })?;
        changed("append", client.db(), *key, is_new, events);
        Ok(len)
    }

    /// Returns the length of the value of a key.
    #[command("STRLEN", readonly, fast)]
    fn strlen(&self, client: &Client, #[key(RO)] key: Key<&[u8]>) -> Result<usize> {
        Ok(self.data.get(client.db(), *key)?.map_or(0, |value| value.as_ref().len()))
    }

    /// Adds one to the integer value of a key.
    #[command("INCR", write, denyoom, fast)]
    fn incr(&mut self, client: &Client, key: Key<&[u8]>, events: &mut KeyEvents) -> Result<i64> {
        self.add(client, *key, 1, events)
    }

    /// Subtracts one from the integer value of a key.
    #[command("DECR", write, denyoom, fast)]
    fn decr(&mut self, client: &Client, key: Key<&[u8]>, events: &mut KeyEvents) -> Result<i64> {
        self.add(client, *key, -1, events)
    }

    /// Adds to the integer value of a key.
    #[command("INCRBY", write, denyoom, fast)]
    fn incrby(
        &mut self,
        client: &Client,
        key: Key<&[u8]>,
        increment: i64,
        events: &mut KeyEvents,
    ) -> Result<i64> {
        self.add(client, *key, increment, events)
    }

    /// Subtracts from the integer value of a key.
    #[command("DECRBY", write, denyoom, fast)]
    fn decrby(
        &mut self,
        client: &Client,
        key: Key<&[u8]>,
        decrement: i64,
        events: &mut KeyEvents,
    ) -> Result<i64> {
        self.add(client, *key, decrement.checked_neg().ok_or(DECREMENT_OVERFLOW)?, events)
    }

    /// Adds to the floating point value of a key.
    #[command("INCRBYFLOAT", write, denyoom, fast)]
    fn incrbyfloat(
        &mut self,
        client: &Client,
        key: Key<&[u8]>,
        increment: LongDouble,
        events: &mut KeyEvents,
    ) -> Result<Bytes> {
        let value = self.data.get(client.db(), *key)?;
        let number = value.map_or(Ok(LongDouble::ZERO), |value| LongDouble::parse(value.as_ref()))?;
        let sum = number.checked_add(increment).ok_or(NOT_FINITE)?.to_string();
        self.write("incrbyfloat", client.db(), *key, sum.as_bytes().into(), Expiry::Keep, events)?;
        Ok(sum.into())
    }

    /// Returns the values of several keys.
    #[command("MGET", readonly, fast, split)]
    fn mget(&self, client: &Client, keys: Vec<Key<&[u8]>>) -> impl Reply {
        Array(keys.into_iter().map(|key| self.data.get(client.db(), *key)))
    }

    /// Sets the values of several keys.
    ///
    /// The row reports the changes, so that a command over several shards is one change. Only new keys are reported here.
    #[command("MSET", write, denyoom, split = "all_succeeded", event = "set")]
    fn mset(
        &mut self,
        client: &Client,
        #[key(OW, update)] pairs: Vec<(Key<&[u8]>, CowBytes<'_>)>,
    ) -> Result<()> {
        for (key, value) in pairs {
            if self.data.keyspace().is_published(EventClass::New) && !self.data.contains(client.db(), *key)? {
                self.data.keyspace().notify(EventClass::New, "new", client.db(), *key);
            }
            self.data.set(client.db(), *key, value, Expiry::Never)?;
        }
        Ok(())
    }

    /// Sets the values of several keys, if none of them exists.
    #[command("MSETNX", write, denyoom)]
    fn msetnx(
        &mut self,
        client: &Client,
        #[key(OW, insert)] pairs: Vec<(Key<&[u8]>, CowBytes<'_>)>,
        events: &mut KeyEvents,
    ) -> Result<i64> {
        for (key, _) in &pairs {
            if self.data.contains(client.db(), key)? {
                return Ok(0);
            }
        }
        for (key, value) in pairs {
            self.put(client, *key, value, Expiry::Never, events)?;
        }
        Ok(1)
    }

    /// Returns a part of the value of a key.
    #[command("GETRANGE", readonly)]
    fn getrange(&self, client: &Client, key: Key<&[u8]>, start: i64, end: i64) -> Result<Bytes> {
        let Some(value) = self.data.get(client.db(), *key)? else { return Ok(Bytes::new()) };
        let range = range(value.as_ref().len(), start, end);
        Ok(value.into_bytes().slice(range))
    }

    /// Returns a part of the value of a key, as GETRANGE does.
    #[command("SUBSTR", readonly)]
    fn substr(&self, client: &Client, key: Key<&[u8]>, start: i64, end: i64) -> Result<Bytes> {
        self.getrange(client, key, start, end)
    }

    /// Overwrites a part of the value of a key, and returns its length.
    #[command("SETRANGE", write, denyoom)]
    fn setrange(
        &mut self,
        client: &Client,
        #[key(RW, update)] key: Key<&[u8]>,
        offset: i64,
        value: &[u8],
        events: &mut KeyEvents,
    ) -> Result<usize> {
        let offset = usize::try_from(offset).map_err(|_| OFFSET_OUT_OF_RANGE)?;
        if value.is_empty() {
            return self.strlen(client, key);
        }
        let end = checked_len(offset, value.len())?;
        let is_new = self.is_new(client.db(), *key, events)?;
        let len = self.data.update(client.db(), *key, |bytes| {
            bytes.resize(bytes.len().max(end), 0);
            bytes[offset..end].copy_from_slice(value);
            Ok(bytes.len())
        })?;
        changed("setrange", client.db(), *key, is_new, events);
        Ok(len)
    }
}

impl<D: Databases> Store<D> {
    /// Returns a copy of the present value of a key.
    fn old(&self, client: &Client, key: &[u8]) -> Result<Option<Bytes>> {
        Ok(self.data.get(client.db(), key)?.map(CowBytes::into_bytes))
    }

    fn add(&mut self, client: &Client, key: &[u8], increment: i64, events: &mut KeyEvents) -> Result<i64> {
        let value = self.data.get(client.db(), key)?;
        let number: i64 =
            value.map_or(Some(0), |value| parse_integer(value.as_ref())).ok_or(Error::NOT_AN_INTEGER)?;
        let sum = number.checked_add(increment).ok_or(Error::OVERFLOW)?;
        let digits = sum.to_string();
        self.write("incrby", client.db(), key, digits.as_bytes().into(), Expiry::Keep, events)?;
        Ok(sum)
    }
}

/// The options of `SET`.
#[derive(Args)]
struct SetOptions<'a> {
    condition: Option<Condition<'a>>,
    get: bool,
    expiration: Option<Expiration<'a>>,
    keepttl: bool,
}

impl SetOptions<'_> {
    fn expiry(&self) -> Result<Expiry> {
        match (&self.expiration, self.keepttl) {
            (None, false) => Ok(Expiry::Never),
            (None, true) => Ok(Expiry::Keep),
            (Some(expiration), false) => expiration.time("set").map(Expiry::At),
            (Some(_), true) => Err(Error::SYNTAX),
        }
    }
}

/// The condition that the key does not exist, that it exists, or that it has this value (Valkey 8.1).
#[derive(Args)]
enum Condition<'a> {
    Nx,
    Xx,
    #[arg("IFEQ", name = "comparison-value")]
    IfEq(&'a [u8]),
}

impl Condition<'_> {
    fn refuses(&self, old: Option<&Bytes>) -> bool {
        match self {
            Condition::Nx => old.is_some(),
            Condition::Xx => old.is_none(),
            Condition::IfEq(value) => old.is_none_or(|old| old != value),
        }
    }
}

/// The options of `GETEX`. At most one may be set.
#[derive(Args)]
struct GetexOptions<'a> {
    expiration: Option<Expiration<'a>>,
    persist: bool,
}

/// The reply of `SET`: OK, or a value that may be missing.
enum SetReply {
    Done,
    Value(Option<Bytes>),
}

impl Reply for SetReply {
    #[inline]
    fn write_to(self, out: &mut Encoder) {
        match self {
            SetReply::Done => ().write_to(out),
            SetReply::Value(value) => value.write_to(out),
        }
    }
}

/// The options of `LCS`.
#[derive(Args)]
struct LcsOptions {
    len: bool,
    idx: bool,
    #[arg("MINMATCHLEN", name = "min-match-len")]
    minmatchlen: Option<i64>,
    withmatchlen: bool,
}

const LEN_AND_IDX: Error =
    Error::from_static("ERR If you want both the length and indexes, please just use IDX.");
const LCS_TOO_LONG: Error =
    Error::from_static("ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len");
const DECREMENT_OVERFLOW: Error = Error::from_static("ERR decrement would overflow");
const NOT_FINITE: Error = Error::from_static("ERR increment would produce NaN or Infinity");
const OFFSET_OUT_OF_RANGE: Error = Error::from_static("ERR offset is out of range");
const TOO_LONG: Error = Error::from_static("ERR string exceeds maximum allowed size (proto-max-bulk-len)");

/// Maximum length of a value: the same as of an argument.
const MAX_LEN: usize = 512 * 1024 * 1024;

/// Returns the length after growth by `more` bytes, or an error if it exceeds the maximum.
fn checked_len(len: usize, more: usize) -> Result<usize> {
    len.checked_add(more).filter(|sum| *sum <= MAX_LEN).ok_or(TOO_LONG)
}

/// Returns the bytes from `start` to `end`, both included, of a value of `len` bytes. Negative positions
/// count from the end of the value.
fn range(len: usize, start: i64, end: i64) -> Range<usize> {
    let len = len as i64;
    let from_front = |index: i64| if index < 0 { (len + index).max(0) } else { index };
    let (first, last) = (from_front(start), from_front(end).min(len - 1));
    // Both positions may lie before the first byte. They must not both become position 0.
    let reversed = start < 0 && end < 0 && start > end;
    if reversed || first > last { 0..0 } else { first as usize..last as usize + 1 }
}
