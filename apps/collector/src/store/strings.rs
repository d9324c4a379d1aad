//! Strings on disk.

use bytes::Bytes;
use rusqlite::params;
use thegiant::now;

use super::{Result, Store, database::bytes};

/// The value of a string, and its last millisecond.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StoredString {
    pub(crate) value: Bytes,
    pub(crate) deadline: Option<i64>,
}

impl StoredString {
    pub(crate) fn is_live(&self) -> bool {
        self.deadline.is_none_or(|deadline| deadline >= now())
    }
}

impl Store {
    /// Returns all strings, also those that have expired.
    pub(crate) fn strings(&self) -> Result<Vec<(Bytes, StoredString)>> {
        let mut select = self.connection.prepare("SELECT key, value, deadline FROM strings")?;
        let strings = select.query_map([], |row| {
            Ok((bytes(row, 0)?, StoredString { value: bytes(row, 1)?, deadline: row.get(2)? }))
        })?;
        strings.collect()
    }

    pub(crate) fn set_string(&mut self, key: &[u8], string: &StoredString) -> Result<()> {
        let sql = "INSERT OR REPLACE INTO strings VALUES (?, ?, ?)";
        self.change(sql, params![key, &string.value[..], string.deadline])?;
        Ok(())
    }

    pub(crate) fn remove_string(&mut self, key: &[u8]) -> Result<()> {
        self.change("DELETE FROM strings WHERE key = ?", [key])?;
        Ok(())
    }

    /// Removes the strings that expired before this time.
    pub(crate) fn remove_strings_before(&mut self, time: i64) -> Result<()> {
        self.change("DELETE FROM strings WHERE deadline < ?", [time])?;
        Ok(())
    }
}
