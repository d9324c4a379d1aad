//! The checksum of an event, and the search for damage.

use rusqlite::{Connection, types::ValueRef};

use crate::{id::Id, store::Result};

/// Returns the checksum of an event: the CRC-32 of its stream, its id and its stored fields.
pub(crate) fn of(stream: i64, id: Id, fields: ValueRef<'_>) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    for part in [stream, id.ms, id.seq] {
        hasher.update(&part.to_be_bytes());
    }
    if let ValueRef::Text(bytes) | ValueRef::Blob(bytes) = fields {
        hasher.update(bytes);
    }
    hasher.finalize()
}

/// Returns whether an event has this checksum. Events that an earlier version has stored have none.
pub(crate) fn is_right(stream: i64, id: Id, fields: ValueRef<'_>, expected: Option<i64>) -> bool {
    expected.is_none_or(|expected| i64::from(of(stream, id, fields)) == expected)
}

/// Reads the whole database. Returns the first damage that it finds: in the structure, or in an event.
pub(crate) fn first_damage(connection: &Connection) -> Result<Option<String>> {
    let found: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if found != "ok" {
        return Ok(Some(found.replace('\n', " ")));
    }
    let mut select = connection.prepare("SELECT stream, ms, seq, fields, crc FROM entries")?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        let (stream, id) = (row.get(0)?, Id { ms: row.get(1)?, seq: row.get(2)? });
        if !is_right(stream, id, row.get_ref(3)?, row.get(4)?) {
            let name = "SELECT name FROM streams WHERE id = ?";
            let name: Vec<u8> = connection.query_row(name, [stream], |row| row.get(0)).unwrap_or_default();
            return Ok(Some(format!("event {id} of the stream {}", String::from_utf8_lossy(&name))));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXPECTED: u32 = 0x5a42_8c67;

    /// The checksums are on disk, so they stay the same in the next version. Python's `zlib.crc32` returns them, too.
    #[test]
    fn the_checksum_does_not_change() {
        let id = Id { ms: 1_700_000_000_000, seq: 7 };
        assert_eq!(of(3, id, ValueRef::Text(br#"{"a":"1"}"#)), EXPECTED);
        assert_eq!(of(3, id, ValueRef::Blob(br#"{"a":"1"}"#)), EXPECTED);
        assert!(is_right(3, id, ValueRef::Text(b"{}"), None));
        assert!(!is_right(4, id, ValueRef::Text(br#"{"a":"1"}"#), Some(EXPECTED.into())));
    }
}
