//! Consumer groups on disk, and the events that they have not acknowledged.

use std::collections::BTreeMap;

use bytes::Bytes;
use rusqlite::{OptionalExtension, params};

use super::{
    Consumer, Group, Of, Pending, Result, Store,
    database::{bytes, id},
};
use crate::id::Id;

impl Store {
    pub(super) fn groups(&self, stream: i64) -> Result<BTreeMap<Bytes, Group>> {
        let mut select =
            self.read("SELECT name, id, last_ms, last_seq, read FROM groups WHERE stream = ?")?;
        let groups = select.query_map([stream], |row| {
            let number = row.get(1)?;
            let consumers = self.consumers(number)?;
            Ok((bytes(row, 0)?, Group { number, last: id(row, 2)?, read: row.get(4)?, consumers }))
        })?;
        groups.collect()
    }

    pub(super) fn consumers(&self, group: i64) -> Result<BTreeMap<Bytes, Consumer>> {
        let mut select = self.read("SELECT name, id, seen, active FROM consumers WHERE group_id = ?")?;
        let consumers = select.query_map([group], |row| {
            Ok((bytes(row, 0)?, Consumer { number: row.get(1)?, seen: row.get(2)?, active: row.get(3)? }))
        })?;
        consumers.collect()
    }

    /// Creates a group.
    pub(crate) fn add_group(
        &mut self,
        stream: i64,
        name: &[u8],
        last: Id,
        read: Option<i64>,
    ) -> Result<Group> {
        self.change(
            "INSERT INTO groups (stream, name, last_ms, last_seq, read) VALUES (?, ?, ?, ?, ?)",
            params![stream, name, last.ms, last.seq, read],
        )?;
        let number = self.connection.last_insert_rowid();
        Ok(Group { number, last, read, consumers: BTreeMap::new() })
    }

    /// Writes the position of a group.
    pub(crate) fn set_group(&mut self, number: i64, last: Id, read: Option<i64>) -> Result<()> {
        self.change(
            "UPDATE groups SET last_ms = ?, last_seq = ?, read = ? WHERE id = ?",
            params![last.ms, last.seq, read, number],
        )?;
        Ok(())
    }

    /// Removes a group, its consumers and its pending events.
    pub(crate) fn remove_group(&mut self, number: i64) -> Result<()> {
        for sql in [
            "DELETE FROM pending WHERE group_id = ?",
            "DELETE FROM consumers WHERE group_id = ?",
            "DELETE FROM groups WHERE id = ?",
        ] {
            self.change(sql, [number])?;
        }
        Ok(())
    }

    /// Creates a consumer.
    pub(crate) fn add_consumer(&mut self, group: i64, name: &[u8], seen: i64) -> Result<Consumer> {
        self.change(
            "INSERT INTO consumers (group_id, name, seen) VALUES (?, ?, ?)",
            params![group, name, seen],
        )?;
        Ok(Consumer { number: self.connection.last_insert_rowid(), seen, active: None })
    }

    /// Writes the time when a consumer got an event, which is also the time of its last command.
    pub(crate) fn set_active(&mut self, consumer: i64, active: i64) -> Result<()> {
        self.change("UPDATE consumers SET seen = ?1, active = ?1 WHERE id = ?2", [active, consumer])?;
        Ok(())
    }

    /// Removes a consumer, and returns the number of its pending events.
    pub(crate) fn remove_consumer(&mut self, consumer: i64) -> Result<usize> {
        let pending = self.change("DELETE FROM pending WHERE consumer = ?", [consumer])?;
        self.change("DELETE FROM consumers WHERE id = ?", [consumer])?;
        Ok(pending)
    }

    /// Records the delivery of an event.
    pub(crate) fn set_pending(&mut self, group: i64, pending: Pending) -> Result<()> {
        let Pending { id, consumer, delivered, deliveries } = pending;
        self.change(
            "INSERT OR REPLACE INTO pending VALUES (?, ?, ?, ?, ?, ?)",
            params![group, id.ms, id.seq, consumer, delivered, deliveries],
        )?;
        Ok(())
    }

    /// Removes a pending event, and returns whether it was pending.
    pub(crate) fn remove_pending(&mut self, group: i64, id: Id) -> Result<bool> {
        let sql = "DELETE FROM pending WHERE group_id = ? AND ms = ? AND seq = ?";
        Ok(self.change(sql, [group, id.ms, id.seq])? > 0)
    }

    /// Returns at most `count` pending events (-1: all) in this range that were last delivered at `until` or
    /// before.
    pub(crate) fn pending(
        &self,
        of: Of,
        first: Id,
        last: Id,
        until: i64,
        count: i64,
    ) -> Result<Vec<Pending>> {
        let (sql, number) = match of {
            Of::Group(number) => (
                "SELECT ms, seq, consumer, delivered, deliveries FROM pending WHERE group_id = ?
                 AND (ms, seq) BETWEEN (?, ?) AND (?, ?) AND delivered <= ? ORDER BY ms, seq LIMIT ?",
                number,
            ),
            Of::Consumer(number) => (
                "SELECT ms, seq, consumer, delivered, deliveries FROM pending WHERE consumer = ?
                 AND (ms, seq) BETWEEN (?, ?) AND (?, ?) AND delivered <= ? ORDER BY ms, seq LIMIT ?",
                number,
            ),
        };
        let mut select = self.read(sql)?;
        let values = params![number, first.ms, first.seq, last.ms, last.seq, until, count];
        let pending = select.query_map(values, |row| {
            Ok(Pending {
                id: id(row, 0)?,
                consumer: row.get(2)?,
                delivered: row.get(3)?,
                deliveries: row.get(4)?,
            })
        })?;
        pending.collect()
    }

    /// Returns the number of pending events.
    pub(crate) fn count_pending(&self, of: Of) -> Result<i64> {
        let (sql, number) = match of {
            Of::Group(number) => ("SELECT count(*) FROM pending WHERE group_id = ?", number),
            Of::Consumer(number) => ("SELECT count(*) FROM pending WHERE consumer = ?", number),
        };
        self.read(sql)?.query_row([number], |row| row.get(0))
    }

    /// Returns the first or the last pending event of a group.
    pub(crate) fn end_of_pending(&self, group: i64, is_last: bool) -> Result<Option<Id>> {
        let sql = match is_last {
            false => "SELECT ms, seq FROM pending WHERE group_id = ? ORDER BY ms, seq LIMIT 1",
            true => "SELECT ms, seq FROM pending WHERE group_id = ? ORDER BY ms DESC, seq DESC LIMIT 1",
        };
        self.read(sql)?.query_row([group], |row| id(row, 0)).optional()
    }
}
