//! The database behind the cache.

use std::{error, fmt::Write, sync::Arc, time::Duration};

use bytes::Bytes;
use sqlx::{
    Any, AnyConnection, Arguments, AssertSqlSafe, Execute, Executor, Row, SqlSafeStr, SqlStr,
    any::{AnyArguments, AnyRow, AnyStatement, install_default_drivers},
};
use tokio::time::{Instant, timeout_at};

use crate::{
    failure::{Failure, one_line},
    hosts,
    servers::{OPEN_TIMEOUT, Servers},
};

/// The database that holds the table of keys and values.
#[derive(Clone, Debug)]
pub(crate) struct Database {
    pub(crate) servers: Arc<Servers>,
    /// Maximum time to wait for a query or a free connection.
    timeout: Duration,
    dialect: Dialect,
    /// Whether queries are prepared statements.
    prepares: bool,
}

/// The kind of the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dialect {
    Sqlite,
    Postgres,
}

impl Database {
    /// Connects to the database, and creates the table if it does not exist.
    ///
    /// Without `prepares`, queries are plain text that the database keeps no statement of.
    pub(crate) async fn open(
        url: &str,
        connections: u32,
        timeout: Duration,
        prepares: bool,
    ) -> Result<Self, Failure> {
        install_default_drivers();
        let is_sqlite = url.starts_with("sqlite:");
        let dialect = if is_sqlite { Dialect::Sqlite } else { Dialect::Postgres };
        // SQLite creates the file if it does not exist.
        let url = if is_sqlite && !url.contains('?') { format!("{url}?mode=rwc") } else { url.to_owned() };
        let (hosts, is_watched) = hosts::parse(&url)?;
        let servers = Servers::open(hosts, is_watched, connections, timeout).await?;
        let database = Database { servers, timeout: timeout.max(OPEN_TIMEOUT), dialect, prepares };
        let bytes = if is_sqlite { "BLOB" } else { "BYTEA" };
        let table =
            format!("CREATE TABLE IF NOT EXISTS entries (key {bytes} PRIMARY KEY, value {bytes} NOT NULL)");
        database.run(|| Ok(Query { sql: table.clone(), arguments: None })).await?;
        Ok(Database { timeout, ..database })
    }

    /// Returns the existing ones of these keys with their values, by one query.
    pub(crate) async fn get(&self, keys: &[Bytes]) -> Result<Vec<(Bytes, Bytes)>, Failure> {
        let query = || self.query("SELECT key, value FROM entries WHERE key IN", keys, "");
        let rows = self.within(async |connection| Ok(connection.fetch_all(query()?).await)).await?;
        rows.iter().map(|row| Ok((bytes(row, 0)?, bytes(row, 1)?))).collect()
    }

    /// Sets the value of a key.
    pub(crate) async fn set(&self, key: Bytes, value: Bytes) -> Result<(), Failure> {
        let replace = "ON CONFLICT (key) DO UPDATE SET value = excluded.value";
        let row = [key, value];
        let query = || self.query("INSERT INTO entries (key, value) VALUES", &row, replace);
        self.run(query).await.map(drop)
    }

    /// Removes keys, and returns how many existed.
    pub(crate) async fn delete(&self, keys: &[Bytes]) -> Result<u64, Failure> {
        self.run(|| self.query("DELETE FROM entries WHERE key IN", keys, "")).await
    }

    /// Returns a query with a list of arguments between two pieces of SQL.
    fn query(&self, before: &str, arguments: &[Bytes], after: &str) -> Result<Query, Failure> {
        let list: Vec<String> = match self.prepares {
            true => (1..=arguments.len()).map(|number| format!("${number}")).collect(),
            false => arguments.iter().map(|argument| self.dialect.literal(argument)).collect(),
        };
        let sql = format!("{before} ({}) {after}", list.join(", "));
        if !self.prepares {
            return Ok(Query { sql, arguments: None });
        }
        let mut values = AnyArguments::default();
        arguments.iter().try_for_each(|argument| values.add(argument.to_vec())).map_err(one_line)?;
        Ok(Query { sql, arguments: Some(values) })
    }

    async fn run(&self, query: impl Fn() -> Result<Query, Failure>) -> Result<u64, Failure> {
        self.within(async |connection| Ok(connection.execute(query()?).await))
            .await
            .map(|done| done.rows_affected())
    }

    /// Runs a query on the present server.
    async fn within<T>(
        &self,
        query: impl AsyncFn(&mut AnyConnection) -> Result<sqlx::Result<T>, Failure>,
    ) -> Result<T, Failure> {
        let deadline = Instant::now() + self.timeout;
        loop {
            let pool = self.servers.pool()?;
            let connected = async {
                // Otherwise, a wait for a lost server goes on when there is another one.
                match pool.close_event().do_until(pool.acquire()).await {
                    Ok(Ok(mut connection)) => query(&mut connection).await,
                    Ok(Err(error)) | Err(error) => Ok(Err(error)),
                }
            };
            match timeout_at(deadline, self.servers.watch(connected)).await {
                Ok(Ok(Ok(answer))) => return Ok(answer),
                // The server has changed before the query got a connection. So it is sent to the present one.
                Ok(Ok(Err(sqlx::Error::PoolClosed))) => {}
                Ok(Ok(Err(error))) => {
                    self.servers.on_error(&error);
                    return Err(one_line(error));
                }
                Ok(Err(failure)) => return Err(failure),
                Err(_) => return Err("the query timed out".to_owned()),
            }
        }
    }
}

impl Dialect {
    /// Returns SQL for these bytes. It consists of hexadecimal digits, so it needs no quoting.
    fn literal(self, bytes: &[u8]) -> String {
        let (before, after) = match self {
            Dialect::Sqlite => ("x'", "'"),
            Dialect::Postgres => ("decode('", "', 'hex')"),
        };
        let mut literal = String::with_capacity(before.len() + 2 * bytes.len() + after.len());
        literal.push_str(before);
        for byte in bytes {
            // Writing to a string cannot fail.
            let _ = write!(literal, "{byte:02x}");
        }
        literal + after
    }
}

/// A query. Data from clients is in the arguments, or in the SQL as hexadecimal digits.
struct Query {
    sql: String,
    /// The arguments of a prepared statement, or `None` for plain text, which needs no statement.
    arguments: Option<AnyArguments>,
}

impl Execute<'_, Any> for Query {
    fn sql(self) -> SqlStr {
        AssertSqlSafe(self.sql).into_sql_str()
    }

    fn statement(&self) -> Option<&AnyStatement> {
        None
    }

    fn take_arguments(&mut self) -> Result<Option<AnyArguments>, Box<dyn error::Error + Send + Sync>> {
        Ok(self.arguments.take())
    }

    fn persistent(&self) -> bool {
        true
    }
}

/// Returns the bytes in a column of a row.
fn bytes(row: &AnyRow, column: usize) -> Result<Bytes, Failure> {
    row.try_get::<Vec<u8>, _>(column).map(Bytes::from).map_err(one_line)
}
