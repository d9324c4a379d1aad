//! Strings: `SET`, `GET` and `GETDEL`. Libraries that use streams keep sessions in them.

use thegiant::{Expire, now, prelude::*};

use crate::{
    collector::{Collector, Result, unwritable},
    store::StoredString,
};

#[commands(rows = STRINGS, group = "string")]
impl Collector {
    /// Sets the value of a string, and when it expires. A stream with this name is removed.
    #[command("SET", write, denyoom)]
    fn set(&mut self, #[key(OW, update)] key: Key, value: Bytes, options: SetOptions) -> Result<()> {
        let key = Bytes::from(key);
        let deadline = options.expiration.map(|expiration| expiration.deadline()).transpose()?;
        if self.strings.get(&key).is_none() {
            self.remove_key(&key)?;
        }
        let string = StoredString { value, deadline };
        self.store.set_string(&key, &string).map_err(unwritable)?;
        self.strings.insert(key, string);
        Ok(())
    }

    /// Returns the value of a string.
    #[command("GET", readonly, fast)]
    fn get(&self, key: Key<&[u8]>) -> Result<Option<Bytes>> {
        self.check_string(*key)?;
        Ok(self.strings.get(*key).map(|string| string.value.clone()))
    }

    /// Removes a string, and returns its value.
    #[command("GETDEL", write, fast, event = "del")]
    fn getdel(&mut self, #[key(RW, access, delete)] key: Key<&[u8]>) -> Result<Option<Bytes>> {
        self.check_string(*key)?;
        self.remove_string(*key)
    }
}

impl Collector {
    /// Refuses a name that is that of a string.
    pub(crate) fn check_stream(&self, name: &[u8]) -> Result<()> {
        self.strings.get(name).map_or(Ok(()), |_| Err(Error::WRONG_TYPE))
    }

    fn check_string(&self, name: &[u8]) -> Result<()> {
        self.stream(name).map_or(Ok(()), |_| Err(Error::WRONG_TYPE))
    }

    /// Removes a stream or a string. Returns whether it existed.
    pub(crate) fn remove_key(&mut self, name: &[u8]) -> Result<bool> {
        Ok(self.remove_stream(name)? || self.remove_string(name)?.is_some())
    }

    /// Removes the streams and strings that were moved to another instance, and commits this. Returns their number.
    pub(crate) fn remove_keys(&mut self, is_moved: impl Fn(&[u8]) -> bool) -> Result<usize> {
        let moved: Vec<Bytes> = self.keys().filter(|name| is_moved(name)).cloned().collect();
        moved.iter().try_for_each(|name| self.remove_key(name).map(drop))?;
        self.write_changed()?;
        Ok(moved.len())
    }

    fn remove_string(&mut self, key: &[u8]) -> Result<Option<Bytes>> {
        let Some(string) = self.strings.remove(key) else { return Ok(None) };
        self.store.remove_string(key).map_err(unwritable)?;
        if let Some(deadline) = string.deadline.filter(|_| !string.is_live()) {
            self.keyspace.expired(0, key, deadline);
            return Ok(None);
        }
        Ok(Some(string.value))
    }

    /// Removes expired strings from the disk.
    pub(crate) fn remove_garbage_strings(&mut self) -> Result<()> {
        if self.strings.has_garbage {
            self.store.remove_strings_before(now()).map_err(unwritable)?;
            self.strings.has_garbage = false;
        }
        Ok(())
    }
}

impl Expire for Collector {
    fn first_deadline(&self) -> Option<i64> {
        self.strings.deadlines.first().map(|(deadline, _)| *deadline)
    }

    /// Removes them from memory. The next [`sweep`](Collector::sweep) removes them from the disk.
    fn remove_expired(&mut self, limit: usize) -> usize {
        for removed in 0..limit {
            let Some((deadline, key)) =
                self.strings.deadlines.first().filter(|(deadline, _)| *deadline < now()).cloned()
            else {
                return removed;
            };
            self.strings.remove(&key);
            self.strings.has_garbage = true;
            self.keyspace.expired(0, &key, deadline);
        }
        limit
    }
}

/// `[EX seconds | PX milliseconds]`
#[derive(Args)]
struct SetOptions {
    expiration: Option<Expiration>,
}

#[derive(Args)]
enum Expiration {
    #[arg(name = "seconds")]
    Ex(i64),
    #[arg(name = "milliseconds")]
    Px(i64),
}

impl Expiration {
    fn deadline(&self) -> Result<i64> {
        let milliseconds = match self {
            Expiration::Ex(seconds) => seconds.checked_mul(1000),
            Expiration::Px(milliseconds) => Some(*milliseconds),
        };
        let positive = milliseconds.filter(|milliseconds| *milliseconds > 0);
        positive.and_then(|milliseconds| now().checked_add(milliseconds)).ok_or(INVALID_TIME)
    }
}

const INVALID_TIME: Error = Error::from_static("ERR invalid expire time in 'set' command");
