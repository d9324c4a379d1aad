//! The time of a command, which stands still while an actor runs a batch.

use std::{
    cell::Cell,
    time::{SystemTime, UNIX_EPOCH},
};

/// Returns the time of the current command, in milliseconds since 1970.
///
/// While an actor runs a batch, this time stands still: the commands of one client that arrived together, and those of
/// one transaction, run at the same time. Everywhere else, it is the present.
///
/// With tokio's paused clock, it is the time of that clock.
#[inline]
pub fn now() -> i64 {
    match CLOCK.get() {
        Clock::StoppedAt(time) => time,
        Clock::Stopped => {
            let time = present();
            CLOCK.set(Clock::StoppedAt(time));
            time
        }
        Clock::Runs => present(),
    }
}

/// The clock of a thread.
#[derive(Clone, Copy)]
enum Clock {
    Runs,
    /// The clock stands still, but nobody has looked at it.
    Stopped,
    StoppedAt(i64),
}

thread_local! {
    static CLOCK: Cell<Clock> = const { Cell::new(Clock::Runs) };
}

/// Stops the clock of this thread until it is dropped.
pub(crate) struct StoppedClock(());

impl StoppedClock {
    /// Stops the clock at this time, or at the time at which it is read first.
    #[inline]
    pub(crate) fn new(time: Option<i64>) -> Self {
        CLOCK.set(time.map_or(Clock::Stopped, Clock::StoppedAt));
        StoppedClock(())
    }

    /// Returns the time at which the clock stands, or `None` if nobody has read it.
    #[inline]
    pub(crate) fn time(&self) -> Option<i64> {
        match CLOCK.get() {
            Clock::StoppedAt(time) => Some(time),
            _ => None,
        }
    }
}

impl Drop for StoppedClock {
    #[inline]
    fn drop(&mut self) {
        CLOCK.set(Clock::Runs);
    }
}

fn present() -> i64 {
    let present = on_clock_of_tokio(SystemTime::now());
    let since_1970 = present.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_1970.as_millis()).unwrap_or(i64::MAX)
}

/// Returns the time of day on tokio's clock, which is ahead or behind if it is paused.
#[cfg(feature = "test-util")]
fn on_clock_of_tokio(time: SystemTime) -> SystemTime {
    use std::time::Instant;

    let (tokio, real) = (actix_rt::time::Instant::now().into_std(), Instant::now());
    time + tokio.saturating_duration_since(real) - real.saturating_duration_since(tokio)
}

#[cfg(not(feature = "test-util"))]
fn on_clock_of_tokio(time: SystemTime) -> SystemTime {
    time
}

#[cfg(test)]
mod tests {
    use std::{thread::sleep, time::Duration};

    use super::*;

    #[test]
    fn a_stopped_clock_shows_one_time() {
        let before = now();
        let clock = StoppedClock::new(None);
        let stopped = now();
        sleep(Duration::from_millis(3));
        assert_eq!(now(), stopped);
        drop(clock);
        assert!(before <= stopped && stopped < now());
        let _clock = StoppedClock::new(Some(7));
        assert_eq!(now(), 7);
    }

    #[actix_rt::test]
    async fn the_time_follows_a_paused_clock() {
        tokio::time::pause();
        let before = now();
        tokio::time::advance(Duration::from_secs(3600)).await;
        let passed = now() - before;
        // The clock of tokio stands still, but the three clocks are not read at the same time.
        assert!((3_599_000..3_601_000).contains(&passed), "{passed}");
    }
}
