//! The events on the local disk, as the thread of the warehouse reads them.

use std::path::Path;

use bytes::Bytes;
use rusqlite::{Connection, OpenFlags, params};

use crate::{
    checksum,
    fields::Fields,
    id::Id,
    store::{BUSY_TIMEOUT, Result},
};

/// A second connection to the local database. It sees what is committed.
///
/// Each read is short, so the write-ahead log can be emptied between two.
pub(super) struct Source {
    connection: Connection,
    /// The version of the data when its streams were last read.
    version: Option<i64>,
}

/// A stream with its last event.
#[derive(Debug)]
pub(super) struct CommittedStream {
    pub(super) number: i64,
    pub(super) name: Bytes,
    pub(super) last: Id,
    pub(super) added: i64,
}

/// Events that follow each other in a stream. A damaged event has no fields.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) events: Vec<(Id, Option<Fields>)>,
    /// Whether these are the last ones that were wanted.
    pub(super) is_last: bool,
}

impl Source {
    pub(super) fn open(path: &Path) -> Result<Self> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        Ok(Source { connection, version: None })
    }

    /// Returns all streams, if there may be new events since the last call.
    pub(super) fn changed_streams(&mut self) -> Result<Option<Vec<CommittedStream>>> {
        let version = self.connection.pragma_query_value(None, "data_version", |row| row.get(0))?;
        if self.version == Some(version) {
            return Ok(None);
        }
        // Changes after this are another version.
        self.version = Some(version);
        self.streams().map(Some)
    }

    /// Forgets which changes it has seen.
    pub(super) fn start_again(&mut self) {
        self.version = None;
    }

    pub(super) fn streams(&self) -> Result<Vec<CommittedStream>> {
        let mut select =
            self.connection.prepare_cached("SELECT id, name, last_ms, last_seq, added FROM streams")?;
        let streams = select.query_map([], |row| {
            Ok(CommittedStream {
                number: row.get(0)?,
                name: row.get::<_, Vec<u8>>(1)?.into(),
                last: Id { ms: row.get(2)?, seq: row.get(3)? },
                added: row.get(4)?,
            })
        })?;
        streams.collect()
    }

    /// Returns the events after an id, up to another one: at most `count`, and not many more than `bytes`.
    pub(super) fn events(
        &self,
        stream: i64,
        after: Id,
        last: Id,
        count: usize,
        bytes: usize,
    ) -> Result<Page> {
        let mut select = self.connection.prepare_cached(
            "SELECT ms, seq, fields, crc FROM entries WHERE stream = ? AND (ms, seq) > (?, ?) AND (ms, seq) <= (?, ?)
             ORDER BY ms, seq",
        )?;
        let mut rows = select.query(params![stream, after.ms, after.seq, last.ms, last.seq])?;
        let (mut events, mut size) = (Vec::new(), 0);
        while let Some(row) = rows.next()? {
            let (id, fields) = (Id { ms: row.get(0)?, seq: row.get(1)? }, row.get_ref(2)?);
            let is_right = checksum::is_right(stream, id, fields, row.get(3)?);
            let fields = Fields::read(fields).filter(|_| is_right);
            size += fields.iter().flat_map(|fields| &fields.0).map(Bytes::len).sum::<usize>();
            events.push((id, fields));
            if events.len() >= count || size >= bytes {
                return Ok(Page { events, is_last: id == last });
            }
        }
        Ok(Page { events, is_last: true })
    }
}
