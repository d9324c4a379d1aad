//! The databases of `kv`, on disk.

use std::{collections::BTreeMap, iter, mem, sync::Arc};

use bytes::{Bytes, BytesMut};
use folder::DataFolder;
use kv::{Counts, CowBytes, DATABASES, Databases, Entry, Expiry, Result, Time};
use thegiant::{Commit, Error, Keyspace, now};

use crate::{
    engine::{self, Changes, Engine},
    layout::{self, LAST_POSITION, Positions, Slot, Summary},
};

/// Databases in a storage engine, with their uncommitted changes.
///
/// Commands see a change at once. The engine gets all changes of a group in one commit.
pub(crate) struct Disk<E> {
    engine: E,
    folder: DataFolder,
    /// Whether every commit syncs the disk.
    is_sync: bool,
    positions: Positions,
    changes: Changes,
    databases: [Summary; DATABASES],
    /// The summaries on disk.
    committed: [Summary; DATABASES],
    /// The next unused slot.
    next_slot: Slot,
    counts: Arc<[Counts; DATABASES]>,
    /// Hears of each expired key.
    keyspace: Keyspace,
    /// No key has an earlier deadline.
    first_deadline: Option<Time>,
}

/// The time after which expired keys are removed that could not be removed because of an error, in milliseconds.
const RETRY_AFTER: Time = 1000;

/// Maximum number of entries that a search for a random key reads. Expired keys are not returned.
const MAX_TRIES: usize = 1000;

impl<E: Engine> Disk<E> {
    /// Opens the databases of an engine, or creates them. With `is_sync`, every commit syncs the disk.
    ///
    /// `keyspace` hears of each expired key.
    pub(crate) fn open(
        mut engine: E,
        folder: DataFolder,
        is_sync: bool,
        keyspace: Keyspace,
    ) -> engine::Result<Self> {
        let mut changes = Changes::new();
        let seed = match engine.get(&layout::SEED)? {
            Some(seed) => seed[..].try_into()?,
            None => {
                let seed: [u8; 16] = fastrand::u128(..).to_be_bytes();
                changes.insert(layout::SEED, Some(Bytes::copy_from_slice(&seed)));
                seed
            }
        };
        let mut databases = [Summary::default(); DATABASES];
        for (number, database) in (0..).zip(&mut databases) {
            match engine.get(&layout::database(number))? {
                Some(summary) => *database = Summary::read(&summary)?,
                None => {
                    database.slot = number.into();
                    changes.insert(layout::database(number), Some(database.to_bytes()));
                }
            }
        }
        engine.commit(&changes, true)?;
        let next_slot = databases.iter().map(|database| database.slot).max().unwrap_or_default() + 1;
        let mut disk = Disk {
            engine,
            folder,
            is_sync,
            positions: Positions::new(seed),
            changes: Changes::new(),
            databases,
            committed: databases,
            next_slot,
            counts: Arc::default(),
            keyspace,
            first_deadline: None,
        };
        disk.count();
        disk.first_deadline = disk.find_first_deadline().map_err(|error| error.to_string())?;
        Ok(disk)
    }

    /// Returns a function that syncs all committed changes to disk.
    pub(crate) fn syncer(&self) -> impl Fn() -> engine::Result<()> + Clone + Send + 'static + use<E> {
        self.engine.syncer()
    }

    fn slot(&self, db: u16) -> Slot {
        self.databases[usize::from(db)].slot
    }

    /// Returns the value of a map key, including uncommitted changes.
    fn look_up(&self, key: &[u8]) -> Result<Option<Bytes>> {
        match self.changes.get(key) {
            Some(changed) => Ok(changed.clone()),
            None => self.engine.get(key).map_err(unreadable),
        }
    }

    /// Returns all entries from a map key on, including uncommitted changes.
    fn range(&self, start: Bytes) -> impl Iterator<Item = Result<(Bytes, Bytes)>> {
        let mut stored = self.engine.range(&start).peekable();
        let mut changed = self.changes.range(start..).peekable();
        iter::from_fn(move || {
            loop {
                let is_changed = match (changed.peek(), stored.peek()) {
                    (Some((changed, _)), Some(Ok((stored, _)))) => *changed <= stored,
                    (Some(_), None) => true,
                    _ => false,
                };
                if !is_changed {
                    return Some(stored.next()?.map_err(unreadable));
                }
                let (key, value) = changed.next()?;
                stored.next_if(|entry| entry.as_ref().is_ok_and(|(stored, _)| stored == key));
                if let Some(value) = value {
                    return Some(Ok((key.clone(), value.clone())));
                }
            }
        })
    }

    /// Returns the keys from a position on, each with its position.
    fn keys_from(
        &self,
        db: u16,
        position: layout::Position,
    ) -> impl Iterator<Item = Result<(layout::Position, Bytes)>> {
        let slot = self.slot(db);
        let entries = self.range(layout::first(slot, position));
        let keys = entries.map_while(move |found| match found {
            Ok((at, value)) => Some(Ok((layout::key(slot, &at)?, value))),
            Err(error) => Some(Err(error)),
        });
        keys.filter_map(|found| {
            let live = found.and_then(|(key, value)| {
                let entry = layout::entry(&value).map_err(unreadable)?;
                Ok(entry.is_live().then(|| (self.positions.of(&key), key)))
            });
            live.transpose()
        })
    }

    /// Returns the first deadline, including uncommitted ones.
    fn find_first_deadline(&self) -> Result<Option<Time>> {
        let first = self.range(Bytes::from_static(layout::DEADLINES)).next().transpose()?;
        Ok(first.and_then(|(at, _)| layout::read_deadline(&at)).map(|(time, ..)| time))
    }

    /// Returns the entry of a key, even if it has expired.
    fn stored(&self, at: &[u8]) -> Result<Option<Entry<Bytes>>> {
        self.look_up(at)?.map(|value| layout::entry(&value).map_err(unreadable)).transpose()
    }

    /// Sets or removes the entry of a key. Returns the old entry. An expired entry is reported and counts as missing.
    fn put(
        &mut self,
        db: u16,
        key: &[u8],
        change: impl FnOnce(Option<&Entry<Bytes>>) -> Result<Option<(Bytes, Option<Time>)>>,
    ) -> Result<Option<Entry<Bytes>>> {
        let slot = self.slot(db);
        let at = self.positions.entry(slot, key);
        let before = self.stored(&at)?;
        let live = before.as_ref().filter(|entry| entry.is_live());
        let after = change(live)?;
        let expired = if live.is_none() { before.as_ref().and_then(|entry| entry.deadline) } else { None };
        let deadlines = [
            before.as_ref().and_then(|entry| entry.deadline),
            after.as_ref().and_then(|(_, deadline)| *deadline),
        ];
        let database = &mut self.databases[usize::from(db)];
        database.keys = database.keys - u64::from(before.is_some()) + u64::from(after.is_some());
        let [old, new] = deadlines.map(|deadline| u64::from(deadline.is_some()));
        database.deadlines = database.deadlines - old + new;
        if deadlines[0] != deadlines[1] {
            for (deadline, value) in deadlines.into_iter().zip([None, Some(Bytes::new())]) {
                if let Some(time) = deadline {
                    self.first_deadline = Some(self.first_deadline.map_or(time, |first| first.min(time)));
                    self.changes.insert(layout::deadline(time, slot, key), value);
                }
            }
        }
        if before.is_some() || after.is_some() {
            let value = after.map(|(value, deadline)| layout::value(&value, deadline));
            self.changes.insert(at, value);
        }
        if let Some(deadline) = expired {
            self.keyspace.expired(db, key, deadline);
        }
        Ok(before.filter(Entry::is_live))
    }

    /// Commits changes, together with the summaries that they result in.
    fn commit(&mut self, mut changes: Changes, databases: [Summary; DATABASES], sync: bool) -> Result<()> {
        for (number, (now, before)) in (0..).zip(databases.iter().zip(&self.committed)) {
            if now != before {
                changes.insert(layout::database(number), Some(now.to_bytes()));
            }
        }
        if !changes.is_empty() {
            self.folder.check().map_err(|error| unwritable(error.into()))?;
            self.engine.commit(&changes, sync).map_err(unwritable)?;
        }
        self.committed = databases;
        self.count();
        Ok(())
    }

    /// Commits all changes.
    pub(crate) fn commit_all(&mut self) -> Result<()> {
        let changes = mem::take(&mut self.changes);
        self.commit(changes, self.databases, self.is_sync)
    }

    fn count(&self) {
        for (counts, database) in self.counts.iter().zip(&self.databases) {
            counts.set(database.keys as usize, database.deadlines as usize);
        }
    }

    /// Removes at most `limit` expired keys, and returns the number of removed deadlines.
    ///
    /// The removals are not part of any command, so they have a commit of their own, which does not sync the disk. The
    /// removal of a key with uncommitted changes joins them.
    fn commit_expired(&mut self, limit: usize) -> Result<usize> {
        let numbers: BTreeMap<Slot, u16> =
            self.databases.iter().map(|database| database.slot).zip(0..).collect();
        let now = now();
        let deadlines = self.range(Bytes::from_static(layout::DEADLINES)).take(limit);
        let due = deadlines.map_while(|found| match found {
            Ok((at, _)) => {
                layout::read_deadline(&at).filter(|(time, ..)| *time < now).map(|due| Ok((at, due)))
            }
            Err(error) => Some(Err(error)),
        });
        let due = due.collect::<Result<Vec<_>>>()?;
        let (mut changes, mut removed) = (Changes::new(), Vec::new());
        for (at, (time, slot, key)) in &due {
            let entry = self.positions.entry(*slot, key);
            let number = numbers.get(slot);
            if let Some(number) = number
                && (self.changes.contains_key(at) || self.changes.contains_key(&entry))
            {
                self.put(*number, key, |_| Ok(None))?;
                continue;
            }
            changes.insert(at.clone(), None);
            // In a cleared database, the entry itself is removed as garbage.
            if let Some(number) = number {
                changes.insert(entry, None);
                removed.push((*number, key, *time));
            }
        }
        if !changes.is_empty() {
            let mut committed = self.committed;
            let before = self.databases;
            for databases in [&mut committed, &mut self.databases] {
                for (number, ..) in &removed {
                    let database = &mut databases[usize::from(*number)];
                    database.keys -= 1;
                    database.deadlines -= 1;
                }
            }
            self.commit(changes, committed, false).inspect_err(|_| self.databases = before)?;
        }
        removed.iter().for_each(|(number, key, time)| self.keyspace.expired(*number, key, *time));
        self.first_deadline = self.find_first_deadline()?;
        Ok(due.len())
    }
}

impl<E: Engine> Disk<E> {
    /// Returns the numbers of keys, which the store keeps up to date.
    pub(crate) fn counts(&self) -> Arc<[Counts; DATABASES]> {
        Arc::clone(&self.counts)
    }
}

impl<E: Engine> Databases for Disk<E> {
    const USES_GROUP_COMMIT: bool = true;

    const HAS_GARBAGE: bool = true;

    fn len(&self, db: u16) -> usize {
        self.databases[usize::from(db)].keys as usize
    }

    fn entry(&self, db: u16, key: &[u8]) -> Result<Option<Entry<CowBytes<'_>>>> {
        let entry = self.stored(&self.positions.entry(self.slot(db), key))?.filter(Entry::is_live);
        Ok(entry.map(|Entry { value, deadline }| Entry { value: value.into(), deadline }))
    }

    fn set(&mut self, db: u16, key: &[u8], value: CowBytes<'_>, expiry: Expiry) -> Result<()> {
        self.put(db, key, |before| {
            let deadline = expiry.deadline(|| before.and_then(|entry| entry.deadline));
            Ok(Some((value.into_bytes(), deadline)))
        })?;
        Ok(())
    }

    fn update<T>(
        &mut self,
        db: u16,
        key: &[u8],
        change: impl FnOnce(&mut BytesMut) -> Result<T>,
    ) -> Result<T> {
        let mut changed = None;
        self.put(db, key, |before| {
            let mut value = before.map_or_else(BytesMut::new, |entry| BytesMut::from(&entry.value[..]));
            changed = Some(change(&mut value)?);
            Ok(Some((value.freeze(), before.and_then(|entry| entry.deadline))))
        })?;
        changed.ok_or(Error::INTERNAL)
    }

    fn set_deadline(&mut self, db: u16, key: &[u8], deadline: Option<Time>) -> Result<()> {
        self.put(db, key, |before| {
            let stays = deadline.is_none_or(|deadline| deadline > now());
            Ok(before.filter(|_| stays).map(|entry| (entry.value.clone(), deadline)))
        })?;
        Ok(())
    }

    fn remove(&mut self, db: u16, key: &[u8]) -> Result<bool> {
        self.put(db, key, |_| Ok(None)).map(|before| before.is_some())
    }

    fn keyspace(&self) -> &Keyspace {
        &self.keyspace
    }

    fn clear(&mut self, db: u16) -> Result<impl Send + 'static + use<E>> {
        let database = &mut self.databases[usize::from(db)];
        if database.keys > 0 {
            self.changes.insert(layout::garbage(database.slot), Some(Bytes::new()));
            *database = Summary { slot: self.next_slot, ..Summary::default() };
            self.next_slot += 1;
        }
        Ok(())
    }

    fn keys(&self, db: u16) -> impl Iterator<Item = Result<CowBytes<'_>>> {
        self.keys_from(db, 0).map(|found| found.map(|(_, key)| key.into()))
    }

    fn random_key(&self, db: u16) -> Result<Option<CowBytes<'_>>> {
        let from = self.keys_from(db, fastrand::u64(..=LAST_POSITION));
        let mut around = from.chain(self.keys_from(db, 0)).take(MAX_TRIES);
        Ok(around.next().transpose()?.map(|(_, key)| key.into()))
    }

    /// Keys with the same position are on the same page. The cursor is the position of the next key.
    fn scan(&self, db: u16, cursor: u64, count: usize) -> Result<(u64, Vec<CowBytes<'_>>)> {
        let mut page = Vec::new();
        let mut last = 0;
        for found in self.keys_from(db, cursor.min(LAST_POSITION)) {
            let (position, key) = found?;
            if page.len() >= count && position > last {
                return Ok((position, page));
            }
            last = position;
            page.push(key.into());
        }
        Ok((0, page))
    }

    fn first_deadline(&self) -> Option<Time> {
        self.first_deadline
    }

    fn remove_expired(&mut self, limit: usize) -> usize {
        self.commit_expired(limit).unwrap_or_else(|error| {
            self.first_deadline = Some(now() + RETRY_AFTER);
            tracing::error!(%error, "expired keys could not be removed");
            0
        })
    }

    /// Removes at most `limit` entries of cleared databases.
    fn drop_garbage(&mut self, limit: usize) -> Result<usize> {
        let slots = self
            .engine
            .range(layout::ALL_GARBAGE)
            .map(|found| found.map(|(key, _)| layout::read_garbage(&key)));
        let Some(slot) = slots.map(|slot| slot.map_err(unreadable)).next().transpose()?.flatten() else {
            return Ok(0);
        };
        let mut changes = Changes::new();
        for found in self.engine.range(&layout::first(slot, 0)).take(limit) {
            let (at, value) = found.map_err(unreadable)?;
            let Some(key) = layout::key(slot, &at) else { break };
            if let Some(time) = layout::entry(&value).map_err(unreadable)?.deadline {
                changes.insert(layout::deadline(time, slot, &key), None);
            }
            changes.insert(at, None);
        }
        let dropped = changes.len();
        if dropped == 0 {
            changes.insert(layout::garbage(slot), None);
        }
        self.commit(changes, self.committed, false)?;
        Ok(dropped)
    }

    fn commit(&mut self) -> Commit {
        self.commit_all().into()
    }

    fn rollback(&mut self) -> Result<()> {
        self.changes.clear();
        self.databases = self.committed;
        self.count();
        Ok(())
    }
}

/// Uses the error texts of Redis, which clients know.
fn unwritable(error: engine::Error) -> Error {
    Error::new("MISCONF", format_args!("Errors writing to the disk: {error}"))
}

fn unreadable(error: engine::Error) -> Error {
    Error::err(format_args!("Error reading from the disk: {error}"))
}
