//! What a server logs.

use std::{
    io,
    sync::{Arc, Mutex},
};

use tracing::{Dispatch, Level};

/// The log of a server that runs in its own thread.
#[derive(Clone, Debug, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// Keeps what this thread logs from now on, at this level or above.
    pub(crate) fn keep(&self, level: Level) {
        let log = self.clone();
        let format = tracing_subscriber::fmt().with_ansi(false).without_time().with_target(false);
        let subscriber = format.with_max_level(level).with_writer(move || log.clone()).finish();
        // As long as there is just one subscriber, an event is for nobody if a thread that has none is
        // the first to come by it. So there are two.
        std::mem::forget(Dispatch::new(tracing_subscriber::fmt().with_writer(io::sink).finish()));
        // For as long as the thread lives.
        std::mem::forget(tracing::subscriber::set_default(subscriber));
    }

    /// The events up to now, a line each.
    pub(crate) fn lines(&self) -> Vec<String> {
        let log = self.0.lock().expect("nobody panics with it");
        let text = str::from_utf8(&log).expect("text");
        text.lines().map(|line| line.trim().to_owned()).collect()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("nobody panics with it").write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
