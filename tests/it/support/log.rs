//! The log of a server.

use std::{
    io,
    sync::{Arc, Mutex},
};

use tracing::{Dispatch, Level};

/// Beginning of the line that a server logs for each of its addresses.
const LISTENING: &str = "INFO listening on ";

/// Collects the log of a server that runs on its own thread.
#[derive(Clone, Debug, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// Collects the events of this thread at this level or above, until the thread ends.
    pub(crate) fn keep(&self, level: Level) {
        let log = self.clone();
        let format = tracing_subscriber::fmt().with_ansi(false).without_time().with_target(false);
        let subscriber = format.with_max_level(level).with_writer(move || log.clone()).finish();
        // With a single subscriber, `tracing` caches for each event whether the first thread that reaches it has a
        // subscriber. A second subscriber disables that cache.
        std::mem::forget(Dispatch::new(tracing_subscriber::fmt().with_writer(io::sink).finish()));
        // Dropping the guard would end the collection.
        std::mem::forget(tracing::subscriber::set_default(subscriber));
    }

    /// Returns the events so far, one per line, without those of [`addresses`](Self::addresses).
    pub(crate) fn lines(&self) -> Vec<String> {
        self.all().into_iter().filter(|line| !line.starts_with(LISTENING)).collect()
    }

    /// Returns the addresses of the server, with the notes behind them.
    pub(crate) fn addresses(&self) -> Vec<String> {
        let address = |line: &String| line.strip_prefix(LISTENING).map(str::to_owned);
        self.all().iter().filter_map(address).collect()
    }

    fn all(&self) -> Vec<String> {
        let log = self.0.lock().expect("no thread panics with the lock");
        let text = str::from_utf8(&log).expect("text");
        text.lines().map(|line| line.trim().to_owned()).collect()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no thread panics with the lock").write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
