//! The jobs in a database: all access to SQLite and PostgreSQL.
//!
//! - `rows`: the rows of the tables, which the queues make and read
//! - `meta`: the version of the tables, and who may write to them
//! - `sqlite`, `postgres`: the databases; each reads all rows at the start, and writes [`Changes`] in one transaction
//! - `log`: the log of PostgreSQL; `entry`: the form of an entry; `pending`: the changes that the tables do not have yet;
//!   `columns`: changes as parameters of a statement
//! - `writer`: the thread that opens the database, and writes

mod columns;
mod entry;
mod log;
mod meta;
mod pending;
mod postgres;
mod rows;
mod sqlite;
mod writer;

use std::{
    fmt, io,
    path::{Path, PathBuf},
    time::Instant,
};

use cli::usage_error;
use folder::DataFile;
use postgres::Postgres;
use sqlite::Sqlite;
use thegiant_postgres::Failure;

pub(crate) use meta::Scope;
pub(crate) use rows::{
    Changes, Contents, JobChange, JobRow, QueueRow, ResultRow, ScheduleRow, duration, millis,
};
pub(crate) use writer::{Writer, Written};

type Result<T, E = Failure> = std::result::Result<T, E>;

/// Jobs in a database that belong to this process.
trait Database {
    /// Writes changes in one transaction, in their order.
    ///
    /// # Errors
    /// Returns an error if it is not known that the changes are on disk.
    fn commit(&mut self, changes: Vec<Changes>) -> Result<()>;

    /// Returns when [`Database::fold`] is due, if there is no commit before.
    fn fold_at(&self) -> Option<Instant> {
        None
    }

    /// Writes committed changes to the tables, if they are elsewhere.
    fn fold(&mut self) {}
}

/// Opens the jobs of a database, `sqlite:FILE` or `postgres://…`, and creates their tables if there are none.
///
/// Returns all jobs.
///
/// # Errors
/// Returns an error if the URL is wrong, if another process owns the jobs, or if the tables have an unknown version.
pub(crate) async fn open(url: &str, scope: Scope) -> io::Result<(Writer, Contents)> {
    if scope != Scope::All {
        check_shared(url)?;
    }
    let url = url.to_owned();
    if let Some(path) = url.strip_prefix("sqlite:").map(PathBuf::from).filter(|path| path != Path::new("")) {
        let open =
            move || Sqlite::open(DataFile::open(&path)?).map_err(|error| named(&path.display(), error));
        Writer::start(open).await
    } else if thegiant_postgres::is_url(&url) {
        // The URL may have a password, so errors do not show it.
        Writer::start(move || Postgres::open(&url, scope).map_err(|error| named(&"postgres", error))).await
    } else {
        Err(usage_error(NO_URL))
    }
}

/// Checks that several processes can share a database.
///
/// # Errors
/// Returns an error if they cannot.
pub(crate) fn check_shared(url: &str) -> io::Result<()> {
    match thegiant_postgres::is_url(url) {
        true => Ok(()),
        false => Err(usage_error(NOT_SHARED)),
    }
}

fn named(name: &dyn fmt::Display, error: Failure) -> io::Error {
    io::Error::other(format!("{name}: {error}"))
}

const NO_URL: &str = "--database: expected sqlite:FILE or postgres://USER@HOST/NAME";
const NOT_SHARED: &str = "--database: several instances cannot share a file: use postgres://USER@HOST/NAME";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shard::Shard;

    async fn error(url: &str, scope: Scope) -> Option<String> {
        open(url, scope).await.err().map(|error| error.to_string())
    }

    #[thegiant::test]
    async fn a_url_names_a_database() {
        for url in ["", "sqlite:", "jobs.db", "mysql://host/name"] {
            assert_eq!(error(url, Scope::All).await.as_deref(), Some(NO_URL), "{url}");
        }
    }

    #[thegiant::test]
    async fn several_processes_share_no_file() {
        let scope = Scope::Partition(Shard { number: 0, count: 2 }, 1);
        assert_eq!(error("sqlite:jobs.db", scope).await.as_deref(), Some(NOT_SHARED));
    }
}
