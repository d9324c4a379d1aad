//! The tables in PostgreSQL, and the connection that fills them.

use std::{
    collections::{HashMap, HashSet},
    fmt,
    pin::pin,
};

use bytes::Bytes;
use thegiant::now;
use thegiant_postgres::{BlockingClient, Target};
use tokio_postgres::{
    Client, Transaction,
    binary_copy::BinaryCopyInWriter,
    types::{ToSql, Type},
};

use super::rows::{DAY, EventRow, Jsonb, Time, name};
use crate::{id::Id, store::Shipped};

/// Version of the tables. A change of them needs a new one, and code that brings tables of this version there.
const VERSION: i64 = 1;

/// Key of the lock under which tables and partitions are created: "coll" in ASCII.
const LOCK: i64 = 0x636f_6c6c;

/// The number of days before the creation of the tables that can have a partition of their own.
const DAYS_BEFORE: i64 = 366;

/// A commit must survive a crash of the server: retention removes events that were shipped. And the server must notice
/// when a collector has vanished in the middle of a transaction, since the next connection waits for its end.
const SETTINGS: &str = "SET synchronous_commit TO on; SET tcp_keepalives_idle TO 30; SET tcp_keepalives_interval TO 10; \
                        SET tcp_keepalives_count TO 3; SET idle_in_transaction_session_timeout TO '60s'";

/// The reason why events could not be shipped.
#[derive(Debug)]
pub(super) enum Failure {
    /// A reason that may pass: the server is not there, or it is busy.
    Passing(String),
    /// A reason that an operator has to remove.
    Lasting(String),
    /// Another process ships the events of the same folder.
    Taken,
}

pub(super) type Result<T> = std::result::Result<T, Failure>;

/// Events that are shipped in one transaction.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// The streams, with the rows of each.
    pub(super) streams: Vec<BatchOfStream>,
    pub(super) rows: usize,
    pub(super) bytes: usize,
}

impl Batch {
    pub(super) fn push(&mut self, stream: BatchOfStream) {
        self.rows += stream.rows.len();
        self.bytes += stream.rows.iter().map(EventRow::size).sum::<usize>();
        self.streams.push(stream);
    }
}

/// Events of one stream, and its position behind them.
#[derive(Debug)]
pub(super) struct BatchOfStream {
    pub(super) number: i64,
    pub(super) name: Bytes,
    pub(super) rows: Vec<EventRow>,
    pub(super) shipped: Shipped,
}

/// A connection that is the last one which ships the events of a folder.
pub(super) struct Session {
    client: BlockingClient,
    name: String,
    collector: i64,
    epoch: i64,
    first_day: i64,
    /// Days that have a partition.
    days: HashSet<i64>,
}

impl Session {
    /// Connects, creates the tables if there are none, and ends the right of earlier connections to ship.
    ///
    /// Returns the positions of the streams, too, by the number of the stream. A transaction of an earlier connection,
    /// whose outcome nobody knows, has ended then.
    pub(super) fn open(target: &Target, name: &str, folder: &str) -> Result<(Self, HashMap<i64, Shipped>)> {
        let mut client = target.connect_blocking()?;
        let (first_day, (collector, epoch), positions) = client.run(async |client| -> Result<_> {
            client.batch_execute(SETTINGS).await?;
            let first_day = create_tables(client).await?;
            let (collector, epoch) = take_over(client, name, folder).await?;
            Ok((first_day, (collector, epoch), positions(client, collector).await?))
        })?;
        let name = name.to_owned();
        Ok((Session { client, name, collector, epoch, first_day, days: HashSet::new() }, positions))
    }

    /// Creates the partitions of today and tomorrow, so that no event waits for them. Checks the connection.
    pub(super) fn prepare(&mut self) -> Result<()> {
        let today = now().div_euclid(DAY);
        if self.create_partition(today)? | self.create_partition(today + 1)? {
            return Ok(());
        }
        self.client.run(async |client| Ok(client.simple_query("").await.map(drop)?))
    }

    /// Writes events, and the positions behind them, in one transaction.
    ///
    /// # Errors
    /// After an error, it is not known whether they are written. A new session knows.
    pub(super) fn ship(&mut self, batch: &Batch) -> Result<()> {
        let now = now();
        for row in batch.streams.iter().flat_map(|stream| &stream.rows) {
            if let Some(day) = Time::of(row.id, now).day() {
                self.create_partition(day)?;
            }
        }
        let Session { name, collector, epoch, .. } = self;
        self.client.run(async |client| {
            let transaction = client.transaction().await?;
            let mine = "UPDATE collector.collectors SET shipped = now() WHERE id = $1 AND epoch = $2";
            if transaction.execute(mine, &[collector, epoch]).await? == 0 {
                return Err(Failure::Taken);
            }
            copy(&transaction, batch, name, now).await?;
            set_positions(&transaction, batch, *collector).await?;
            Ok(transaction.commit().await?)
        })
    }

    /// Creates the partition of a day if it is missing. Returns whether it may have been.
    fn create_partition(&mut self, day: i64) -> Result<bool> {
        if day < self.first_day || self.days.contains(&day) {
            return Ok(false);
        }
        self.client.run(async |client| create_partition(client, day).await)?;
        self.days.insert(day);
        Ok(true)
    }
}

/// Creates the partition of a day if it is missing.
async fn create_partition(client: &mut Client, day: i64) -> Result<()> {
    let transaction = locked(client).await?;
    let names =
        "SELECT to_char(date 'epoch' + $1::int, 'YYYYMMDD'), to_char(date 'epoch' + $1::int + 1, 'YYYYMMDD')";
    let row = transaction.query_one(names, &[&i32::try_from(day).unwrap_or(i32::MAX)]).await?;
    let (from, to): (String, String) = (row.try_get(0)?, row.try_get(1)?);
    if !exists(&transaction, &format!("collector.events_{from}")).await? {
        // The only locks that this takes let other collectors write, and everybody read.
        transaction
            .batch_execute(&format!(
                "CREATE TABLE collector.events_{from} (LIKE collector.events INCLUDING ALL);
                 ALTER TABLE collector.events ATTACH PARTITION collector.events_{from}
                 FOR VALUES FROM ('{from} 00:00+00') TO ('{to} 00:00+00')"
            ))
            .await?;
    }
    Ok(transaction.commit().await?)
}

/// Begins a transaction in which no other collector creates tables.
async fn locked(client: &mut Client) -> Result<Transaction<'_>> {
    let transaction = client.transaction().await?;
    transaction.execute("SELECT pg_advisory_xact_lock($1)", &[&LOCK]).await?;
    Ok(transaction)
}

/// Creates the tables if there are none. Returns the first day that can have a partition.
async fn create_tables(client: &mut Client) -> Result<i64> {
    let transaction = locked(client).await?;
    let encoding: String = transaction.query_one("SHOW server_encoding", &[]).await?.try_get(0)?;
    if encoding != "UTF8" {
        return Err(Failure::Lasting(format!(
            "the database has the encoding {encoding}: create one with ENCODING 'UTF8'"
        )));
    }
    // To create a schema that exists needs a right that a user may lack.
    if !transaction.query_one("SELECT to_regnamespace('collector') IS NOT NULL", &[]).await?.try_get(0)? {
        transaction.batch_execute("CREATE SCHEMA collector").await?;
    }
    if !exists(&transaction, "collector.meta").await? {
        let first_day = now().div_euclid(DAY) - DAYS_BEFORE;
        transaction.batch_execute(include_str!("schema.sql")).await?;
        transaction
            .batch_execute(&format!(
                "INSERT INTO collector.meta VALUES ({VERSION}, {first_day});
                 CREATE TABLE collector.events_before PARTITION OF collector.events
                 FOR VALUES FROM (MINVALUE) TO (timestamptz 'epoch' + interval '{} hours');
                 CREATE TABLE collector.events_without_time PARTITION OF collector.events
                 FOR VALUES FROM ('infinity') TO (MAXVALUE)",
                first_day * 24
            ))
            .await?;
    }
    let row = transaction.query_one("SELECT version, first_day FROM collector.meta", &[]).await?;
    let (version, first_day): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
    if version != VERSION {
        return Err(Failure::Lasting(format!(
            "the tables have version {version}, and this program knows version {VERSION}: use the program that wrote them, \
             or another database"
        )));
    }
    transaction.commit().await?;
    Ok(first_day)
}

/// Makes this connection the last one that ships the events of a folder under a name. Returns the number of the collector,
/// and its epoch.
async fn take_over(client: &mut Client, name: &str, folder: &str) -> Result<(i64, i64)> {
    let transaction = client.transaction().await?;
    let row = transaction.query_opt(
        "INSERT INTO collector.collectors (name, folder, epoch) VALUES ($1, $2, 1) ON CONFLICT (name) \
         DO UPDATE SET epoch = collectors.epoch + 1 WHERE collectors.folder = excluded.folder RETURNING id, epoch",
        &[&name, &folder],
    ).await?;
    let row = row.ok_or_else(|| Failure::name_is_used(name))?;
    let (collector, epoch): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
    if epoch == 1 {
        // The folder had another name, or was copied: its streams begin with the positions that they had.
        transaction.execute(
            "INSERT INTO collector.positions SELECT $1, number, stream, ms, seq, added FROM collector.positions \
             WHERE collector = (SELECT id FROM collector.collectors WHERE folder = $2 AND id <> $1 \
             ORDER BY shipped DESC NULLS LAST, id DESC LIMIT 1)",
            &[&collector, &folder],
        ).await?;
    }
    transaction.commit().await?;
    Ok((collector, epoch))
}

/// Returns the positions of the streams of a collector.
async fn positions(client: &Client, collector: i64) -> Result<HashMap<i64, Shipped>> {
    let select = "SELECT number, ms, seq, added FROM collector.positions WHERE collector = $1";
    let positions = client.query(select, &[&collector]).await?.into_iter().map(|row| {
        let id = Id { ms: row.try_get(1)?, seq: row.try_get(2)? };
        Ok((row.try_get(0)?, Shipped { id, added: row.try_get(3)? }))
    });
    positions.collect()
}

async fn exists(client: &Transaction<'_>, table: &str) -> Result<bool> {
    Ok(client.query_one("SELECT to_regclass($1) IS NOT NULL", &[&table]).await?.try_get(0)?)
}

async fn copy(transaction: &Transaction<'_>, batch: &Batch, collector: &str, now: i64) -> Result<()> {
    const TYPES: [Type; 7] =
        [Type::TIMESTAMPTZ, Type::TEXT, Type::TEXT, Type::INT8, Type::INT8, Type::JSONB, Type::BYTEA_ARRAY];
    let copy = "COPY collector.events (time, collector, stream, ms, seq, fields, raw) FROM STDIN WITH (FORMAT binary)";
    let mut writer = pin!(BinaryCopyInWriter::new(transaction.copy_in(copy).await?, &TYPES));
    for stream in &batch.streams {
        let name = name(&stream.name);
        for EventRow { id, fields, raw } in &stream.rows {
            let raw: Option<Vec<&[u8]>> =
                raw.as_ref().map(|raw| raw.iter().map(|bytes| &bytes[..]).collect());
            let row: [&(dyn ToSql + Sync); 7] =
                [&Time::of(*id, now), &collector, &name, &id.ms, &id.seq, &Jsonb(fields), &raw];
            writer.as_mut().write(&row).await?;
        }
    }
    writer.as_mut().finish().await?;
    Ok(())
}

async fn set_positions(transaction: &Transaction<'_>, batch: &Batch, collector: i64) -> Result<()> {
    transaction.execute(
        "INSERT INTO collector.positions (collector, number, stream, ms, seq, added) \
         SELECT $1, * FROM unnest($2::bigint[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[]) \
         ON CONFLICT (collector, number) DO UPDATE SET stream = excluded.stream, ms = excluded.ms, seq = excluded.seq, \
         added = excluded.added",
        &[
            &collector,
            &column(batch, |stream| stream.number),
            &column(batch, |stream| name(&stream.name)),
            &column(batch, |stream| stream.shipped.id.ms),
            &column(batch, |stream| stream.shipped.id.seq),
            &column(batch, |stream| stream.shipped.added),
        ],
    ).await?;
    Ok(())
}

/// Returns a column of rows, as an array for `UNNEST`.
fn column<T: ToSql>(batch: &Batch, value: impl Fn(&BatchOfStream) -> T) -> Vec<T> {
    batch.streams.iter().map(value).collect()
}

impl Failure {
    fn name_is_used(name: &str) -> Self {
        Failure::Lasting(format!(
            "another collector has the name {name}: choose another --name, or, if that collector and its disk are gone, \
             remove its row from collector.collectors"
        ))
    }
}

impl From<tokio_postgres::Error> for Failure {
    fn from(error: tokio_postgres::Error) -> Self {
        thegiant_postgres::Failure::from(error).into()
    }
}

impl From<thegiant_postgres::Failure> for Failure {
    fn from(error: thegiant_postgres::Failure) -> Self {
        // The server refuses the user, the database, a name or a right, or cannot do something.
        const CLASSES: [&str; 4] = ["28", "3D", "42", "0A"];
        let code = error.downcast_ref().and_then(tokio_postgres::Error::code);
        let is_lasting = code.is_some_and(|code| CLASSES.iter().any(|class| code.code().starts_with(class)));
        let text = thegiant_postgres::described(error).to_string().replace('\n', " ");
        if is_lasting { Failure::Lasting(text) } else { Failure::Passing(text) }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Passing(text) | Failure::Lasting(text) => f.write_str(text),
            Failure::Taken => f.write_str(
                "another process ships the events of this folder, or of a copy of it, under the same name",
            ),
        }
    }
}
