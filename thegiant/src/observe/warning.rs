//! Warnings about a state that may last or return.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use actix_rt::time::Instant;

/// Minimum time between two events in the log.
const INTERVAL: Duration = Duration::from_secs(60);

/// Logs one kind of warning at most once a minute, so that nobody can fill the log with it.
#[derive(Debug, Default)]
pub(crate) struct Warning {
    last: Mutex<Option<Instant>>,
}

impl Warning {
    /// Calls `log`, unless it was called within the last minute.
    pub(crate) fn log(&self, log: impl FnOnce()) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.is_none_or(|last| last.elapsed() >= INTERVAL) {
            *last = Some(Instant::now());
            drop(last);
            log();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[thegiant::test]
    async fn a_warning_is_logged_once_a_minute() {
        tokio::time::pause();
        let (warning, mut logged) = (Warning::default(), 0);
        for second in 0..=120 {
            warning.log(|| logged += 1);
            warning.log(|| logged += 1);
            assert_eq!(logged, 1 + second / 60);
            tokio::time::advance(Duration::from_secs(1)).await;
        }
    }
}
