//! The thread that ships events.

use std::{
    collections::HashMap,
    io, mem,
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use thegiant_postgres::Target;

use super::{
    rows::EventRow,
    session::{Batch, BatchOfStream, Failure, Result, Session},
    source::{CommittedStream, Source},
    status::Status,
};
use crate::{id::now, store::Shipped};

/// Delay between two looks for new events. Events that come meanwhile share a transaction.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Time for which the start waits for the database.
const START_PATIENCE: Duration = Duration::from_secs(10);

/// The first and the greatest delay after an attempt that failed.
const FIRST_DELAY: Duration = Duration::from_secs(1);
const MAX_DELAY: Duration = Duration::from_secs(30);

/// The size at which a transaction has enough events.
const MAX_ROWS: usize = 10_000;
const MAX_BYTES: usize = 8 << 20;

/// Ships the events of a store.
pub(super) struct Shipper {
    target: Target,
    name: String,
    folder: String,
    source: Source,
    status: Arc<Status>,
    /// The positions of the streams by their numbers, as of the current session.
    positions: HashMap<i64, Shipped>,
    link: Link,
}

/// The connection to the database.
enum Link {
    Up(Box<Session>),
    Down { delay: Duration, reason: String },
}

impl Shipper {
    pub(super) fn new(
        target: Target,
        name: String,
        folder: String,
        source: Source,
        status: Arc<Status>,
    ) -> Self {
        let link = Link::Down { delay: FIRST_DELAY, reason: String::new() };
        Shipper { target, name, folder, source, status, positions: HashMap::new(), link }
    }

    /// Starts the thread, and waits for its first attempt to connect, for some seconds.
    ///
    /// # Errors
    /// Returns an error if the database refuses the collector. If it cannot be reached, the thread tries again.
    pub(super) fn start(mut self) -> io::Result<()> {
        let (sender, outcome) = mpsc::channel();
        thread::Builder::new().name("warehouse".to_owned()).spawn(move || {
            match self.connect() {
                Ok(session) => self.link = Link::Up(Box::new(session)),
                Err(Failure::Passing(reason)) => self.on_failure(reason),
                Err(failure) => {
                    let _ = sender.send(failure.to_string());
                    // If the start has not waited for this, the next attempt logs it.
                    thread::sleep(FIRST_DELAY);
                }
            }
            drop(sender);
            self.run();
        })?;
        // Without an answer, events are collected all the same.
        let refusal = outcome.recv_timeout(START_PATIENCE).ok();
        refusal.map_or(Ok(()), |refusal| Err(io::Error::other(format!("postgres: {refusal}"))))
    }

    fn run(mut self) {
        loop {
            match self.ship_all() {
                Ok(()) => {}
                Err(Failure::Taken) => {
                    self.status.connected.set(0);
                    tracing::error!(
                        "{}: this one ships no more events until it is started again",
                        Failure::Taken
                    );
                    return;
                }
                Err(failure) => self.on_failure(failure.to_string()),
            }
            thread::sleep(match &self.link {
                Link::Up(_) => LOOK_EVERY,
                Link::Down { delay, .. } => *delay,
            });
        }
    }

    /// Logs a failure if it is new, and doubles the delay.
    fn on_failure(&mut self, error: String) {
        self.status.connected.set(0);
        let (delay, is_known) = match &self.link {
            Link::Up(_) => (FIRST_DELAY, false),
            Link::Down { delay, reason } => ((*delay * 2).min(MAX_DELAY), *reason == error),
        };
        if !is_known {
            tracing::error!(%error, "events cannot be shipped: they stay on the disk, and attempts go on");
        }
        self.link = Link::Down { delay, reason: error };
    }

    fn connect(&mut self) -> Result<Session> {
        let (session, positions) = Session::open(&self.target, &self.name, &self.folder)?;
        self.positions = positions;
        // The database may be another one, or have lost something.
        let streams = self.source.streams()?.into_iter().map(|stream| {
            let position = self.positions.get(&stream.number).copied().unwrap_or_default();
            (stream.number, (stream.name, position))
        });
        self.status.tell(streams);
        self.source.start_again();
        self.status.connected.set(1);
        Ok(session)
    }

    /// Ships all events that are on the disk at the beginning.
    fn ship_all(&mut self) -> Result<()> {
        if let Link::Down { reason, .. } = &self.link {
            let reason = reason.clone();
            let session = self.connect()?;
            tracing::info!(after = %reason, "events are shipped again");
            self.link = Link::Up(Box::new(session));
        }
        let Link::Up(session) = &mut self.link else { return Ok(()) };
        session.prepare()?;
        let begin = now();
        if let Some(streams) = self.source.changed_streams()? {
            let mut shipment = Shipment {
                session,
                source: &self.source,
                status: &self.status,
                positions: &mut self.positions,
                batch: Batch::default(),
                skipped: 0,
            };
            for stream in streams {
                shipment.add(stream)?;
            }
            shipment.send()?;
        }
        self.status.complete_until(begin);
        Ok(())
    }
}

/// Events on their way.
struct Shipment<'s> {
    session: &'s mut Session,
    source: &'s Source,
    status: &'s Status,
    positions: &'s mut HashMap<i64, Shipped>,
    batch: Batch,
    /// Number of events that the batch leaves out.
    skipped: u64,
}

impl Shipment<'_> {
    /// Adds the new events of a stream, and sends batches that are full.
    fn add(&mut self, stream: CommittedStream) -> Result<()> {
        let mut shipped = self.positions.get(&stream.number).copied().unwrap_or_default();
        while shipped.id < stream.last {
            let (count, bytes) = (MAX_ROWS - self.batch.rows, MAX_BYTES - self.batch.bytes);
            let page = self.source.events(stream.number, shipped.id, stream.last, count, bytes)?;
            shipped.added += page.events.len() as i64;
            shipped.id = page.events.last().map_or(shipped.id, |(id, _)| *id);
            if page.is_last {
                // Events that were removed meanwhile count, too.
                shipped = Shipped { id: stream.last, added: stream.added };
            }
            let mut rows = Vec::with_capacity(page.events.len());
            for (id, fields) in page.events {
                match fields.and_then(|fields| EventRow::new(id, fields)) {
                    Some(row) => rows.push(row),
                    None => {
                        self.skipped += 1;
                        let stream = String::from_utf8_lossy(&stream.name);
                        tracing::error!(%stream, %id, "an event is damaged or too large, so it is not shipped");
                    }
                }
            }
            self.batch.push(BatchOfStream {
                number: stream.number,
                name: stream.name.clone(),
                rows,
                shipped,
            });
            // A batch has one position of a stream.
            if !page.is_last || self.batch.rows >= MAX_ROWS || self.batch.bytes >= MAX_BYTES {
                self.send()?;
            }
        }
        Ok(())
    }

    /// Sends the batch.
    fn send(&mut self) -> Result<()> {
        let batch = mem::take(&mut self.batch);
        if batch.streams.is_empty() {
            return Ok(());
        }
        self.session.ship(&batch)?;
        self.status.shipped.add(batch.rows as u64);
        self.status.skipped.add(mem::take(&mut self.skipped));
        for stream in batch.streams {
            self.positions.insert(stream.number, stream.shipped);
            self.status.tell([(stream.number, (stream.name, stream.shipped))]);
        }
        Ok(())
    }
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Failure::Passing(format!("the local events cannot be read: {error}"))
    }
}
