//! The database behind the cache.

use std::{fmt, slice, str::FromStr, time::Duration};

use bytes::Bytes;
use sqlx::{
    Any, AnyPool, AssertSqlSafe, Row,
    any::{AnyArguments, AnyConnectOptions, AnyPoolOptions, AnyRow, install_default_drivers},
    query::Query,
};

/// A connection pool of the database that holds the table of keys and values.
#[derive(Clone, Debug)]
pub(crate) struct Database {
    pool: AnyPool,
    /// Maximum time to wait for a query or a free connection.
    timeout: Duration,
}

/// Minimum time to wait for the first connection. The query timeout may be too short to open one.
const OPEN_TIMEOUT: Duration = Duration::from_secs(10);

/// The error text of a failed query, in one line.
pub(crate) type Failure = String;

impl Database {
    /// Connects to the database, and creates the table if it does not exist.
    pub(crate) async fn open(url: &str, connections: u32, timeout: Duration) -> Result<Self, Failure> {
        install_default_drivers();
        let is_sqlite = url.starts_with("sqlite:");
        // SQLite creates the file if it does not exist.
        let url = if is_sqlite && !url.contains('?') { format!("{url}?mode=rwc") } else { url.to_owned() };
        let options = AnyConnectOptions::from_str(&url).map_err(one_line)?;
        let open_timeout = timeout.max(OPEN_TIMEOUT);
        let pool = AnyPoolOptions::new()
            .max_connections(connections)
            .acquire_timeout(open_timeout)
            .connect_with(options)
            .await
            .map_err(one_line)?;
        let database = Database { pool, timeout: open_timeout };
        let bytes = if is_sqlite { "BLOB" } else { "BYTEA" };
        let table =
            format!("CREATE TABLE IF NOT EXISTS entries (key {bytes} PRIMARY KEY, value {bytes} NOT NULL)");
        database.run(table, &[]).await?;
        Ok(Database { timeout, ..database })
    }

    /// Returns the value of a key.
    pub(crate) async fn get(&self, key: &Bytes) -> Result<Option<Bytes>, Failure> {
        let sql = "SELECT value FROM entries WHERE key = $1".to_owned();
        let row = self.within(query(sql, slice::from_ref(key)).fetch_optional(&self.pool)).await?;
        row.map(|row| bytes(&row, 0)).transpose()
    }

    /// Returns the existing ones of these keys with their values, by one query.
    pub(crate) async fn get_all(&self, keys: &[Bytes]) -> Result<Vec<(Bytes, Bytes)>, Failure> {
        let sql = format!("SELECT key, value FROM entries WHERE key IN {}", placeholders(keys.len()));
        let rows = self.within(query(sql, keys).fetch_all(&self.pool)).await?;
        rows.iter().map(|row| Ok((bytes(row, 0)?, bytes(row, 1)?))).collect()
    }

    /// Sets the value of a key.
    pub(crate) async fn set(&self, key: Bytes, value: Bytes) -> Result<(), Failure> {
        let sql = "INSERT INTO entries (key, value) VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET value = excluded.value";
        self.run(sql.to_owned(), &[key, value]).await.map(drop)
    }

    /// Removes keys, and returns how many existed.
    pub(crate) async fn delete(&self, keys: &[Bytes]) -> Result<u64, Failure> {
        self.run(format!("DELETE FROM entries WHERE key IN {}", placeholders(keys.len())), keys).await
    }

    async fn run(&self, sql: String, arguments: &[Bytes]) -> Result<u64, Failure> {
        self.within(query(sql, arguments).execute(&self.pool)).await.map(|done| done.rows_affected())
    }

    async fn within<T>(&self, query: impl Future<Output = sqlx::Result<T>>) -> Result<T, Failure> {
        match tokio::time::timeout(self.timeout, query).await {
            Ok(answered) => answered.map_err(one_line),
            Err(_) => Err("the query timed out".to_owned()),
        }
    }
}

/// Returns a query with byte arguments. Data from clients is only in the arguments, never in the SQL text.
fn query(sql: String, arguments: &[Bytes]) -> Query<'static, Any, AnyArguments> {
    let query = sqlx::query(AssertSqlSafe(sql));
    arguments.iter().fold(query, |query, argument| query.bind(argument.to_vec()))
}

/// Returns `count` placeholders: `($1, $2, $3)`.
fn placeholders(count: usize) -> String {
    let placeholders: Vec<String> = (1..=count).map(|number| format!("${number}")).collect();
    format!("({})", placeholders.join(", "))
}

/// Returns the bytes in a column of a row.
fn bytes(row: &AnyRow, column: usize) -> Result<Bytes, Failure> {
    row.try_get::<Vec<u8>, _>(column).map(Bytes::from).map_err(one_line)
}

/// Converts an error to one line of text.
fn one_line(error: impl fmt::Display) -> Failure {
    error.to_string().replace(['\r', '\n'], " ")
}
