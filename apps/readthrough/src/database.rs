//! The table that is read through.

use std::{fmt, slice, str::FromStr, time::Duration};

use bytes::Bytes;
use sqlx::{
    Any, AnyPool, AssertSqlSafe, Row,
    any::{AnyArguments, AnyConnectOptions, AnyPoolOptions, AnyRow, install_default_drivers},
    query::Query,
};
use tokio::time::timeout;

/// A table of keys and values, in a database that is known by its URL.
#[derive(Clone, Debug)]
pub(crate) struct Database {
    pool: AnyPool,
    /// An answer that takes longer is not waited for.
    patience: Duration,
}

/// Why the database does not answer, as it is told.
pub(crate) type Failure = String;

impl Database {
    /// Connects, and makes the table if it is not there.
    pub(crate) async fn open(url: &str, connections: u32, patience: Duration) -> Result<Self, Failure> {
        install_default_drivers();
        let is_sqlite = url.starts_with("sqlite:");
        // A file is made if it is not there.
        let url = if is_sqlite && !url.contains('?') { format!("{url}?mode=rwc") } else { url.to_owned() };
        let options = AnyConnectOptions::from_str(&url).map_err(told)?;
        let pool = AnyPoolOptions::new()
            .max_connections(connections)
            .acquire_timeout(patience)
            .connect_with(options)
            .await
            .map_err(told)?;
        let database = Database { pool, patience };
        let bytes = if is_sqlite { "BLOB" } else { "BYTEA" };
        let table =
            format!("CREATE TABLE IF NOT EXISTS entries (key {bytes} PRIMARY KEY, value {bytes} NOT NULL)");
        database.run(table, &[]).await?;
        Ok(database)
    }

    /// The value of a key.
    pub(crate) async fn get(&self, key: &Bytes) -> Result<Option<Bytes>, Failure> {
        let sql = "SELECT value FROM entries WHERE key = $1".to_owned();
        let row = self.within(query(sql, slice::from_ref(key)).fetch_optional(&self.pool)).await?;
        row.map(|row| bytes(&row, 0)).transpose()
    }

    /// Those keys that there are, with their values, by one query.
    pub(crate) async fn get_all(&self, keys: &[Bytes]) -> Result<Vec<(Bytes, Bytes)>, Failure> {
        let sql = format!("SELECT key, value FROM entries WHERE key IN {}", places(keys.len()));
        let rows = self.within(query(sql, keys).fetch_all(&self.pool)).await?;
        rows.iter().map(|row| Ok((bytes(row, 0)?, bytes(row, 1)?))).collect()
    }

    /// Gives a key a value.
    pub(crate) async fn set(&self, key: Bytes, value: Bytes) -> Result<(), Failure> {
        let sql = "INSERT INTO entries (key, value) VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET value = excluded.value";
        self.run(sql.to_owned(), &[key, value]).await.map(drop)
    }

    /// Removes keys; returns how many there were.
    pub(crate) async fn delete(&self, keys: &[Bytes]) -> Result<u64, Failure> {
        self.run(format!("DELETE FROM entries WHERE key IN {}", places(keys.len())), keys).await
    }

    async fn run(&self, sql: String, arguments: &[Bytes]) -> Result<u64, Failure> {
        self.within(query(sql, arguments).execute(&self.pool)).await.map(|done| done.rows_affected())
    }

    async fn within<T>(&self, query: impl Future<Output = sqlx::Result<T>>) -> Result<T, Failure> {
        match timeout(self.patience, query).await {
            Ok(answered) => answered.map_err(told),
            Err(_) => Err("it does not answer in time".to_owned()),
        }
    }
}

/// A query whose arguments are bytes. What clients have sent is in these, and never in the SQL.
fn query(sql: String, arguments: &[Bytes]) -> Query<'static, Any, AnyArguments> {
    let query = sqlx::query(AssertSqlSafe(sql));
    arguments.iter().fold(query, |query, argument| query.bind(argument.to_vec()))
}

/// The places of so many arguments: `($1, $2, $3)`.
fn places(count: usize) -> String {
    let places: Vec<String> = (1..=count).map(|place| format!("${place}")).collect();
    format!("({})", places.join(", "))
}

/// What a row has in a column.
fn bytes(row: &AnyRow, column: usize) -> Result<Bytes, Failure> {
    row.try_get::<Vec<u8>, _>(column).map(Bytes::from).map_err(told)
}

/// In one line.
fn told(error: impl fmt::Display) -> Failure {
    error.to_string().replace(['\r', '\n'], " ")
}
