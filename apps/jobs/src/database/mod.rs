//! The jobs in a database: all access to SQLite and PostgreSQL.
//!
//! - `rows`: the rows of the tables, which the queues make and read
//! - `sqlite`, `postgres`: the databases; each reads all rows at the start, and writes [`Changes`] in one transaction
//! - `writer`: the thread that opens the database, and writes

mod postgres;
mod rows;
mod sqlite;
mod writer;

use std::{
    fmt, io,
    path::{Path, PathBuf},
};

use folder::DataFile;
use pg::Failure;
use postgres::Postgres;
use sqlite::Sqlite;

pub(crate) use rows::{
    Changes, Contents, JobChange, JobRow, QueueRow, ResultRow, ScheduleRow, duration, millis,
};
pub(crate) use writer::{Writer, Written};

/// Version of the tables. A change of them needs a new one, and code that brings a database of this version there.
const VERSION: i64 = 1;

const SELECT_META: &str = "SELECT version, run FROM meta";

type Result<T, E = Failure> = std::result::Result<T, E>;

/// A database that belongs to this process.
trait Database {
    /// Writes changes in one transaction, in their order.
    ///
    /// # Errors
    /// Returns an error if it is not known that the changes are on disk.
    fn commit(&mut self, changes: Vec<Changes>) -> Result<()>;
}

/// Opens a database, `sqlite:FILE` or `postgres://…`, and creates its tables if it has none. Returns all that is in it.
///
/// # Errors
/// Returns an error if the URL is wrong, if another process uses the database, or if the database has tables of another
/// version.
pub(crate) fn open(url: &str) -> io::Result<(Writer, Contents)> {
    let url = url.to_owned();
    if let Some(path) = url.strip_prefix("sqlite:").map(PathBuf::from).filter(|path| path != Path::new("")) {
        Writer::start(move || {
            Sqlite::open(DataFile::open(&path)?).map_err(|error| named(&path.display(), error))
        })
    } else if pg::is_url(&url) {
        // The URL may have a password, so errors do not show it.
        Writer::start(move || Postgres::open(&url).map_err(|error| named(&"postgres", error)))
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidInput, NO_URL))
    }
}

fn named(name: &dyn fmt::Display, error: Failure) -> io::Error {
    io::Error::other(format!("{name}: {error}"))
}

/// Returns the run of this start: one more than the last, or a random one for a new database.
///
/// `known` has the version of the tables and the last run.
///
/// # Errors
/// Returns an error if this program does not know the tables.
fn next_run(known: Option<(i64, i64)>) -> Result<u32> {
    match known {
        // Ids of run 0 name no job.
        None => Ok(fastrand::u32(1..)),
        Some((VERSION, run)) => Ok(u32::try_from(run)?.wrapping_add(1).max(1)),
        Some((version, _)) => Err(format!(
            "the tables have version {version}, and this program knows version {VERSION}: use the program that wrote them, \
             or another database"
        )
        .into()),
    }
}

const NO_URL: &str = "--database: expected sqlite:FILE or postgres://USER@HOST/NAME";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_start_has_a_run_of_its_own() {
        assert_ne!(next_run(None).ok(), Some(0));
        assert_eq!(next_run(Some((VERSION, 7))).ok(), Some(8));
        assert_eq!(next_run(Some((VERSION, u32::MAX.into()))).ok(), Some(1));
        let error = next_run(Some((2, 7))).expect_err("another version").to_string();
        assert!(
            error.starts_with("the tables have version 2, and this program knows version 1: "),
            "{error}"
        );
    }

    #[test]
    fn a_url_names_a_database() {
        for url in ["", "sqlite:", "jobs.db", "mysql://host/name"] {
            assert_eq!(open(url).err().map(|error| error.to_string()).as_deref(), Some(NO_URL), "{url}");
        }
    }
}
