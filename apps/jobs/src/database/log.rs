//! The log of PostgreSQL: the entries that it has, and when they become rows of the tables.

use std::time::{Duration, Instant};

use super::{entry::encode, pending::Pending, rows::Changes};

/// Time after which the tables have what is in the log.
const FOLD_AFTER: Duration = Duration::from_secs(1);

/// Bytes of the log, and number of rows, that are written to the tables at the latest. A start reads the log, and replies wait for
/// the rows.
const MAX_LOG_BYTES: usize = 4 << 20;
const MAX_ROWS: usize = 4096;

/// Bytes of bodies and results that one statement has. PostgreSQL takes messages of less than 1 GiB, and a body has up to
/// half of this.
const MAX_BYTES: usize = 16 << 20;

/// The log since its changes were last written to the tables.
#[derive(Debug)]
pub(super) struct Log {
    entries: Entries,
    bytes: usize,
    pending: Pending,
    fold_at: Option<Instant>,
}

/// The positions of entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entries {
    pub(super) first: i64,
    pub(super) last: i64,
}

/// The contents of one transaction.
#[derive(Debug)]
pub(super) enum Write {
    /// An entry at this position.
    Entry(i64, Vec<u8>),
    /// Changes of rows, in parts, instead of these entries.
    Rows(Entries, Vec<Changes>),
}

impl Entries {
    pub(super) const ALL: Entries = Entries { first: i64::MIN, last: i64::MAX };
}

impl Log {
    /// Returns an empty log.
    pub(super) fn new() -> Self {
        Log { entries: Entries { first: 1, last: 0 }, bytes: 0, pending: Pending::default(), fold_at: None }
    }

    /// Adds changes. Returns how they are written: as an entry, or as rows together with all entries.
    pub(super) fn add(&mut self, changes: Vec<Changes>) -> Write {
        let mut entry = Vec::new();
        if self.bytes + changes.iter().map(Changes::bytes).sum::<usize>() < MAX_LOG_BYTES {
            changes.iter().for_each(|changes| encode(changes, &mut entry));
        }
        changes.into_iter().for_each(|changes| self.pending.add(changes));
        let is_due = self.fold_at.is_some_and(|at| Instant::now() >= at);
        if entry.is_empty() || is_due || self.pending.rows() > MAX_ROWS {
            self.rows()
        } else {
            Write::Entry(self.entries.last + 1, entry)
        }
    }

    /// Returns when the entries should become rows, if there are any.
    pub(super) fn fold_at(&self) -> Option<Instant> {
        self.fold_at
    }

    /// Returns the rows of all entries.
    pub(super) fn rows(&self) -> Write {
        Write::Rows(self.entries, parts(&self.pending))
    }

    /// Notes that the database has an entry, or rows instead of all entries.
    pub(super) fn written(&mut self, write: Write) {
        match write {
            Write::Entry(position, entry) => {
                self.entries.last = position;
                self.bytes += entry.len();
                self.fold_at.get_or_insert_with(|| Instant::now() + FOLD_AFTER);
            }
            Write::Rows(Entries { last, .. }, _) => {
                *self = Log { entries: Entries { first: last + 1, last }, ..Log::new() };
            }
        }
    }

    /// Notes that it is not known whether the database has the rows. It has the entries otherwise.
    pub(super) fn doubt(&mut self) {
        self.pending.doubt();
        self.fold_at = Some(Instant::now() + FOLD_AFTER);
    }
}

/// Returns changes in parts, with a statement for each.
pub(super) fn parts(pending: &Pending) -> Vec<Changes> {
    pending.changes().split(MAX_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::database::rows::ResultRow;

    fn removed(number: i64) -> Vec<Changes> {
        vec![Changes { removed_jobs: vec![number], ..Changes::default() }]
    }

    fn result(bytes: usize) -> Vec<Changes> {
        let result = Some(vec![b'x'; bytes].into());
        let row = ResultRow { number: 1, run: 1, queue: None, name: None, until: 0, result, failure: None };
        vec![Changes { results: vec![row], ..Changes::default() }]
    }

    /// Adds changes, and returns the position of their entry, or the entries that their rows stand for.
    fn add(log: &mut Log, changes: Vec<Changes>) -> Result<i64, Entries> {
        let write = log.add(changes);
        let place = match &write {
            Write::Entry(position, _) => Ok(*position),
            Write::Rows(entries, _) => Err(*entries),
        };
        log.written(write);
        place
    }

    #[test]
    fn small_changes_are_entries_until_their_rows_are_written() {
        let mut log = Log::new();
        assert_eq!([add(&mut log, removed(1)), add(&mut log, removed(2))], [Ok(1), Ok(2)]);
        assert!(log.fold_at().is_some());
        let write = log.rows();
        let Write::Rows(entries, parts) = &write else { panic!("{write:?}") };
        assert_eq!(*entries, Entries { first: 1, last: 2 });
        assert_eq!(*parts, [Changes { removed_jobs: vec![1, 2], ..Changes::default() }]);
        log.written(write);
        assert_eq!((log.fold_at(), log.pending.rows()), (None, 0));
        assert_eq!(add(&mut log, removed(3)), Ok(3));
    }

    #[test]
    fn changes_with_many_bytes_or_rows_are_rows_at_once() {
        let mut log = Log::new();
        assert_eq!(add(&mut log, result(MAX_LOG_BYTES)), Err(Entries { first: 1, last: 0 }));
        assert_eq!(add(&mut log, result(MAX_LOG_BYTES / 2)), Ok(1));
        assert_eq!(add(&mut log, result(MAX_LOG_BYTES / 2)), Err(Entries { first: 1, last: 1 }));
        let numbers = (0..=MAX_ROWS as i64).collect();
        let many = vec![Changes { removed_jobs: numbers, ..Changes::default() }];
        assert_eq!(add(&mut log, many), Err(Entries { first: 2, last: 1 }));
        assert_eq!(add(&mut log, removed(1)), Ok(2));
    }

    #[test]
    fn old_entries_become_rows_with_the_next_changes() {
        let mut log = Log::new();
        assert_eq!(add(&mut log, removed(1)), Ok(1));
        log.fold_at = Some(Instant::now());
        assert_eq!(add(&mut log, removed(2)), Err(Entries { first: 1, last: 1 }));
    }
}
