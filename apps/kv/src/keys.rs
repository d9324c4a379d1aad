//! The commands for keys with values of any type.

use thegiant::{
    EventClass, FromArg, KeyEvents, KeyPattern,
    command::{ArgKind, ArgSpec, Arguments},
    prelude::*,
    resp::parse_integer,
};

use crate::{
    cow::CowBytes,
    databases::{DATABASES, Databases, Entry, Result},
    events::created,
    store::Store,
};

#[commands(rows = KEYS, group = "generic")]
impl<D: Databases> Store<D> {
    /// Removes keys, and returns how many existed.
    #[command("DEL", write, split = "agg_sum")]
    fn del(
        &mut self,
        client: &Client,
        #[key(RM, delete)] keys: Vec<Key<&[u8]>>,
        events: &mut KeyEvents,
    ) -> Result<usize> {
        count(keys, |key| {
            let existed = self.data.remove(client.db(), key)?;
            if existed {
                events.add(EventClass::Generic, "del", client.db(), key);
            }
            Ok(existed)
        })
    }

    /// Removes keys, and returns how many existed.
    #[command("UNLINK", write, fast, split = "agg_sum")]
    fn unlink(
        &mut self,
        client: &Client,
        #[key(RM, delete)] keys: Vec<Key<&[u8]>>,
        events: &mut KeyEvents,
    ) -> Result<usize> {
        self.del(client, keys, events)
    }

    /// Returns how many of these keys exist.
    #[command("EXISTS", readonly, fast, split = "agg_sum")]
    fn exists(&self, client: &Client, #[key(RO)] keys: Vec<Key<&[u8]>>) -> Result<usize> {
        count(keys, |key| self.data.contains(client.db(), key))
    }

    /// Returns how many of these keys exist.
    #[command("TOUCH", readonly, fast, split = "agg_sum")]
    fn touch(&self, client: &Client, #[key(RO)] keys: Vec<Key<&[u8]>>) -> Result<usize> {
        self.exists(client, keys)
    }

    /// Returns the type of the value of a key.
    #[command("TYPE", readonly, fast)]
    fn r#type(&self, client: &Client, #[key(RO)] key: Key<&[u8]>) -> Result<Simple> {
        let exists = self.data.contains(client.db(), *key)?;
        Ok(Simple(if exists { STRING } else { "none" }))
    }

    /// Returns the keys that match a pattern.
    #[command("KEYS", readonly, all, tenant_safe, categories("dangerous"))]
    fn keys(&self, client: &Client, pattern: KeyPattern<'_>) -> Result<Vec<Key<CowBytes<'_>>>> {
        self.keys_like(client.db(), &pattern).collect()
    }

    /// Returns a page of keys, and the cursor of the next page.
    #[command("SCAN", readonly, all = "scan", tenant_safe)]
    fn scan(
        &self,
        client: &Client,
        cursor: Cursor,
        options: ScanOptions<'_>,
    ) -> Result<(String, Vec<Key<CowBytes<'_>>>)> {
        let count = options.count.unwrap_or(10);
        let count = usize::try_from(count).ok().filter(|count| *count > 0).ok_or(Error::SYNTAX)?;
        let (next, page) = self.data.scan(client.db(), cursor.0, count)?;
        let has_type = options.kind.is_none_or(|kind| kind.eq_ignore_ascii_case(STRING.as_bytes()));
        let pattern = options.pattern.unwrap_or_else(|| KeyPattern::all(client));
        let page = page.into_iter().filter(|key| has_type && pattern.matches(key.as_ref()));
        Ok((next.to_string(), page.map(Key).collect()))
    }

    /// Returns a random key.
    #[command("RANDOMKEY", readonly, all = "random", tenant_safe)]
    fn randomkey(&self, client: &Client) -> Result<Option<Key<CowBytes<'_>>>> {
        if client.key_prefix().is_empty() {
            return Ok(self.data.random_key(client.db())?.map(Key));
        }
        let mut keys = self.keys_like(client.db(), &KeyPattern::all(client)).collect::<Result<Vec<_>>>()?;
        Ok((!keys.is_empty()).then(|| keys.swap_remove(fastrand::usize(..keys.len()))))
    }

    /// Renames a key, and overwrites the destination.
    #[command("RENAME", write)]
    fn rename(
        &mut self,
        client: &Client,
        #[key(RW, access, delete)] key: Key<&[u8]>,
        #[key(OW, update)] newkey: Key<&[u8]>,
        events: &mut KeyEvents,
    ) -> Result<()> {
        let db = client.db();
        // The key keeps its position, so a scan in progress does not miss it.
        if key == newkey {
            return self.data.contains(db, *key)?.then_some(()).ok_or(Error::NO_SUCH_KEY);
        }
        if !self.relocate((db, *key), (db, *newkey), events)? {
            return Err(Error::NO_SUCH_KEY);
        }
        events.add(EventClass::Generic, "rename_from", db, *key);
        events.add(EventClass::Generic, "rename_to", db, *newkey);
        Ok(())
    }

    /// Renames a key, if the destination does not exist.
    #[command("RENAMENX", write, fast)]
    fn renamenx(
        &mut self,
        client: &Client,
        #[key(RW, access, delete)] key: Key<&[u8]>,
        #[key(OW, insert)] newkey: Key<&[u8]>,
        events: &mut KeyEvents,
    ) -> Result<i64> {
        let db = client.db();
        if self.data.contains(db, *key)? && self.data.contains(db, *newkey)? {
            return Ok(0);
        }
        self.rename(client, key, newkey, events).map(|()| 1)
    }

    /// Moves a key to another database that does not have it.
    #[command("MOVE", write, fast)]
    fn r#move(
        &mut self,
        client: &Client,
        key: Key<&[u8]>,
        db: UnreadDatabase<'_>,
        events: &mut KeyEvents,
    ) -> Result<i64> {
        if self.is_in_cluster {
            return Err(NO_MOVE_IN_CLUSTER);
        }
        let (from, Database(to)) = (client.db(), Database::parse(db.0)?);
        if from == to {
            return Err(SAME_OBJECT);
        }
        if self.data.contains(to, *key)? {
            return Ok(0);
        }
        if !self.relocate((from, *key), (to, *key), events)? {
            return Ok(0);
        }
        events.add(EventClass::Generic, "move_from", from, *key);
        events.add(EventClass::Generic, "move_to", to, *key);
        Ok(1)
    }

    /// Copies a value to another key, in the same or another database.
    #[command("COPY", write, denyoom)]
    fn copy(
        &mut self,
        client: &Client,
        #[key(RO, access)] source: Key<&[u8]>,
        #[key(OW, update)] destination: Key<&[u8]>,
        options: CopyOptions,
        events: &mut KeyEvents,
    ) -> Result<i64> {
        let from = client.db();
        let to = options.db.map_or(from, |Database(number)| number);
        if self.is_in_cluster && to != 0 {
            return Err(NO_COPY_IN_CLUSTER);
        }
        if from == to && source == destination {
            return Err(SAME_OBJECT);
        }
        let entry = self.data.entry(from, *source)?;
        let copy = entry.map(|entry| (entry.value.into_bytes(), entry.deadline.into()));
        let Some((value, expiry)) = copy else { return Ok(0) };
        if self.data.contains(to, *destination)? && !options.replace {
            return Ok(0);
        }
        self.data.set(to, *destination, value.into(), expiry)?;
        created(to, *destination, true, events);
        events.add(EventClass::Generic, "copy_to", to, *destination);
        Ok(1)
    }
}

impl<D: Databases> Store<D> {
    /// Returns the keys of a database that match a pattern.
    pub(crate) fn keys_like(
        &self,
        db: u16,
        pattern: &KeyPattern<'_>,
    ) -> impl Iterator<Item = Result<Key<CowBytes<'_>>>> {
        let matches =
            |key: &Result<CowBytes<'_>>| key.as_ref().map_or(true, |key| pattern.matches(key.as_ref()));
        self.data.keys(db).filter(matches).map(|key| key.map(Key))
    }

    /// Gives the value and the deadline of a key to another key, which is overwritten. Returns whether the first key existed.
    ///
    /// Each key is given with its database.
    fn relocate(&mut self, from: (u16, &[u8]), to: (u16, &[u8]), events: &mut KeyEvents) -> Result<bool> {
        let Some(Entry { value, deadline }) = self.data.entry(from.0, from.1)? else { return Ok(false) };
        let value = value.into_bytes();
        self.data.remove(from.0, from.1)?;
        self.data.set(to.0, to.1, value.into(), deadline.into())?;
        created(to.0, to.1, true, events);
        Ok(true)
    }
}

/// Counts the keys for which `matches` returns true.
fn count(keys: Vec<Key<&[u8]>>, mut matches: impl FnMut(&[u8]) -> Result<bool>) -> Result<usize> {
    keys.iter().try_fold(0, |count, key| Ok(count + usize::from(matches(key)?)))
}

/// The type of all values.
const STRING: &str = "string";

/// The position at which a scan continues.
struct Cursor(u64);

impl<'a> FromArg<'a> for Cursor {
    const ARG: ArgSpec = <u64 as FromArg<'_>>::ARG;

    /// Accepts the same texts as Redis, which calls C's `strtoul`: also `""`, `00` and `-1`.
    fn from_arg(args: &mut Arguments<'a>) -> Result<Self> {
        let text = args.take_str().map_err(|_| INVALID_CURSOR)?;
        let (digits, is_negative) = match text.strip_prefix(['+', '-']) {
            Some(digits) => (digits, text.starts_with('-')),
            None => (text, false),
        };
        let only_digits = digits.bytes().all(|byte| byte.is_ascii_digit());
        let number = match digits.parse::<u64>() {
            _ if text.is_empty() => 0,
            Ok(number) if only_digits => number,
            _ => return Err(INVALID_CURSOR),
        };
        Ok(Cursor(if is_negative { number.wrapping_neg() } else { number }))
    }
}

/// The options of `SCAN`.
#[derive(Args)]
struct ScanOptions<'a> {
    #[arg("MATCH")]
    pattern: Option<KeyPattern<'a>>,
    #[arg("COUNT")]
    count: Option<i64>,
    #[arg("TYPE", name = "type")]
    kind: Option<&'a [u8]>,
}

/// The options of `COPY`.
#[derive(Args)]
struct CopyOptions {
    #[arg("DB", name = "destination-db")]
    db: Option<Database>,
    replace: bool,
}

/// The number of a database.
struct Database(u16);

impl Database {
    fn parse(word: &[u8]) -> Result<Self> {
        let number: i64 = parse_integer(word).ok_or(Error::NOT_AN_INTEGER)?;
        i32::try_from(number).map_err(|_| Error::OUT_OF_INT_RANGE)?;
        let number = u16::try_from(number).ok().filter(|number| usize::from(*number) < DATABASES);
        number.map(Database).ok_or(Error::DB_OUT_OF_RANGE)
    }
}

impl<'a> FromArg<'a> for Database {
    const ARG: ArgSpec = ArgSpec::new(ArgKind::Integer);

    fn from_arg(args: &mut Arguments<'a>) -> Result<Self> {
        Database::parse(args.take()?)
    }
}

/// The number of a database that the command reads later, because another error comes first.
struct UnreadDatabase<'a>(&'a [u8]);

impl<'a> FromArg<'a> for UnreadDatabase<'a> {
    const ARG: ArgSpec = Database::ARG;

    fn from_arg(args: &mut Arguments<'a>) -> Result<Self> {
        args.take().map(UnreadDatabase)
    }
}

const INVALID_CURSOR: Error = Error::from_static("ERR invalid cursor");
const NO_MOVE_IN_CLUSTER: Error = Error::from_static("ERR MOVE is not allowed in cluster mode");
const NO_COPY_IN_CLUSTER: Error =
    Error::from_static("ERR Copying to another database is not allowed in cluster mode");
const SAME_OBJECT: Error = Error::from_static("ERR source and destination objects are the same");
