//! Events on disk.

use rusqlite::{OptionalExtension, params};

use super::{Event, Range, ReadError, Result, Store, database::id};
use crate::{checksum, fields::Fields, id::Id};

impl Store {
    pub(crate) fn add(&mut self, stream: i64, id: Id, fields: &Fields) -> Result<()> {
        let stored = fields.stored();
        let crc = checksum::of(stream, id, (&stored).into());
        self.change(
            "INSERT INTO entries (stream, ms, seq, fields, crc) VALUES (?, ?, ?, ?, ?)",
            params![stream, id.ms, id.seq, stored, crc],
        )?;
        Ok(())
    }

    /// Returns events.
    ///
    /// # Errors
    /// Returns an error if any of the events is damaged.
    pub(crate) fn range(&self, stream: i64, range: Range) -> std::result::Result<Vec<Event>, ReadError> {
        let sql = if range.is_reverse {
            "SELECT ms, seq, fields, crc FROM entries WHERE stream = ? AND (ms, seq) BETWEEN (?, ?) AND (?, ?)
             ORDER BY ms DESC, seq DESC LIMIT ?"
        } else {
            "SELECT ms, seq, fields, crc FROM entries WHERE stream = ? AND (ms, seq) BETWEEN (?, ?) AND (?, ?)
             ORDER BY ms, seq LIMIT ?"
        };
        let Range { first, last, count, .. } = range;
        let mut select = self.read(sql)?;
        let values = params![stream, first.ms, first.seq, last.ms, last.seq, count.unwrap_or(-1)];
        let mut rows = select.query(values)?;
        let mut events = Vec::new();
        while let Some(row) = rows.next()? {
            let (id, fields) = (id(row, 0)?, row.get_ref(2)?);
            let is_right = checksum::is_right(stream, id, fields, row.get(3)?);
            let read = Fields::read(fields).filter(|_| is_right);
            events.push((id, read.ok_or(ReadError::Damaged(id))?));
        }
        Ok(events)
    }

    /// Returns the id of the first or of the last event of a stream.
    pub(crate) fn end(&self, stream: i64, is_last: bool) -> Result<Option<Id>> {
        let sql = match is_last {
            false => "SELECT ms, seq FROM entries WHERE stream = ? ORDER BY ms, seq LIMIT 1",
            true => "SELECT ms, seq FROM entries WHERE stream = ? ORDER BY ms DESC, seq DESC LIMIT 1",
        };
        self.read(sql)?.query_row([stream], |row| id(row, 0)).optional()
    }

    /// Returns the id of the first event after an id.
    pub(crate) fn first_after(&self, stream: i64, last: Id) -> Result<Option<Id>> {
        let sql =
            "SELECT ms, seq FROM entries WHERE stream = ? AND (ms, seq) > (?, ?) ORDER BY ms, seq LIMIT 1";
        self.read(sql)?.query_row([stream, last.ms, last.seq], |row| id(row, 0)).optional()
    }

    /// Removes an event, and returns whether it existed.
    pub(crate) fn remove(&mut self, stream: i64, id: Id) -> Result<bool> {
        let sql = "DELETE FROM entries WHERE stream = ? AND ms = ? AND seq = ?";
        Ok(self.change(sql, params![stream, id.ms, id.seq])? > 0)
    }

    /// Removes at most `at_most` of the oldest events up to this id, and returns how many it removed.
    pub(crate) fn remove_oldest(&mut self, stream: i64, last: Id, at_most: i64) -> Result<i64> {
        let nth = self
            .read("SELECT ms, seq FROM entries WHERE stream = ? ORDER BY ms, seq LIMIT 1 OFFSET ?")?
            .query_row(params![stream, at_most - 1], |row| id(row, 0))
            .optional()?;
        let last = nth.map_or(last, |nth| nth.min(last));
        let sql = "DELETE FROM entries WHERE stream = ? AND (ms, seq) <= (?, ?)";
        Ok(self.change(sql, params![stream, last.ms, last.seq])? as i64)
    }

    /// Removes events of removed streams, and returns whether more may remain.
    pub(crate) fn remove_garbage(&mut self, at_most: i64) -> Result<bool> {
        let number: Option<i64> =
            self.read("SELECT min(stream) FROM garbage")?.query_row([], |row| row.get(0))?;
        let Some(number) = number else { return Ok(false) };
        let removed = self.remove_oldest(number, Id::MAX, at_most)?;
        if removed == 0 {
            self.change("UPDATE meta SET last_removed = max(last_removed, ?)", [number])?;
            self.change("DELETE FROM garbage WHERE stream = ?", [number])?;
        }
        Ok(true)
    }
}
