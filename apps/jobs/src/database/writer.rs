//! The thread that writes to the database.

use std::{
    io, iter,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc::{self, RecvTimeoutError},
    },
    thread,
    time::Instant,
};

use thegiant::Error;
use tokio::sync::oneshot;

use super::{Changes, Contents, Database, Failure};

/// Hands changes to the thread that writes them, in their order.
///
/// The thread ends when the writer is dropped and everything is written.
#[derive(Debug)]
pub(crate) struct Writer {
    orders: mpsc::Sender<Order>,
    /// Number of orders that are not on disk. After a failure, it is never 0 again.
    unfinished: Arc<AtomicUsize>,
}

/// Changes, and the sender of their outcome.
type Order = (Changes, oneshot::Sender<Result<(), Error>>);

/// Ends when changes, and all changes before them, are on disk.
///
/// It ends with an error when the database has refused one of them.
pub(crate) type Written = Pin<Box<dyn Future<Output = Result<(), Error>>>>;

impl Writer {
    /// Starts a thread that opens a database with `open`. Returns its contents, too.
    pub(super) async fn start<D: Database>(
        open: impl FnOnce() -> io::Result<(D, Contents)> + Send + 'static,
    ) -> io::Result<(Self, Contents)> {
        let (orders, received) = mpsc::channel();
        let (opened, contents) = oneshot::channel();
        let unfinished = Arc::new(AtomicUsize::new(0));
        let writer = Writer { orders, unfinished: Arc::clone(&unfinished) };
        thread::Builder::new().name("database".to_owned()).spawn(move || match open() {
            Ok((database, contents)) => {
                let _ = opened.send(Ok(contents));
                run(database, received, &unfinished);
            }
            Err(error) => drop(opened.send(Err(error))),
        })?;
        let contents = contents.await.map_err(io::Error::other)??;
        Ok((writer, contents))
    }

    /// Returns whether everything is on disk.
    pub(crate) fn is_idle(&self) -> bool {
        self.unfinished.load(Ordering::Acquire) == 0
    }

    /// Writes changes in one transaction, with others that wait.
    ///
    /// After a failure, all later changes are refused: they assume that the earlier ones are on disk.
    pub(crate) fn write(&self, changes: Changes) -> Written {
        self.unfinished.fetch_add(1, Ordering::Relaxed);
        let (sender, outcome) = oneshot::channel();
        // A thread that has ended drops the sender.
        let _ = self.orders.send((changes, sender));
        Box::pin(async { outcome.await.unwrap_or(Err(ENDED)) })
    }
}

fn run(mut database: impl Database, orders: mpsc::Receiver<Order>, unfinished: &AtomicUsize) {
    let mut outcome = Ok(());
    loop {
        let fold_at = database.fold_at().filter(|_| outcome.is_ok());
        let first = match next(&orders, fold_at) {
            Ok(first) => first,
            Err(RecvTimeoutError::Timeout) => {
                database.fold();
                continue;
            }
            Err(RecvTimeoutError::Disconnected) => break,
        };
        // All changes that came during the last transaction are one transaction.
        let (mut changes, senders): (Vec<_>, Vec<_>) = iter::once(first).chain(orders.try_iter()).unzip();
        changes.retain(|changes| !changes.is_empty());
        if outcome.is_ok() && !changes.is_empty() {
            outcome = database.commit(changes).map_err(unwritable);
        }
        if outcome.is_ok() {
            unfinished.fetch_sub(senders.len(), Ordering::Release);
        }
        for sender in senders {
            // Nobody waits if the server has stopped.
            let _ = sender.send(outcome.clone());
        }
    }
    // After a failure, the database has what was acknowledged, and no more.
    if outcome.is_ok() {
        database.fold();
    }
}

fn next(orders: &mpsc::Receiver<Order>, until: Option<Instant>) -> Result<Order, RecvTimeoutError> {
    match until {
        None => Ok(orders.recv()?),
        Some(until) => orders.recv_timeout(until.saturating_duration_since(Instant::now())),
    }
}

/// Uses the code of Redis for data that cannot be written.
fn unwritable(error: Failure) -> Error {
    Error::new("MISCONF", format_args!("Errors writing to the database: {error}"))
}

const ENDED: Error = Error::from_static("MISCONF Errors writing to the database: its thread has ended");
