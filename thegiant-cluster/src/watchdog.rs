//! Ends the service of an instance at the end of its lease.
//!
//! It does so even if the event loop of the instance is blocked.

use std::{
    io,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Instant,
};

/// A thread that waits for the end of the lease. It ends when the watchdog is dropped.
pub(crate) struct Watchdog(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Clone, Copy, Default)]
enum State {
    /// The instance serves nothing.
    #[default]
    Idle,
    /// The instance may serve until then.
    Until(Instant),
    /// The time has come before another one was set.
    Expired,
    Ended,
}

impl Watchdog {
    /// Starts the thread, which calls `stop_serving` when the time has come.
    ///
    /// # Errors
    /// If the system has no thread left.
    pub(crate) fn start(stop_serving: impl Fn() + Send + 'static) -> io::Result<Self> {
        let shared = Arc::<Shared>::default();
        let watched = Arc::clone(&shared);
        thread::Builder::new().name("lease".to_owned()).spawn(move || watched.watch(stop_serving))?;
        Ok(Watchdog(shared))
    }

    /// Sets the time until which the instance may serve, if it serves anything.
    ///
    /// Returns whether it has been stopped since the last call.
    pub(crate) fn set(&self, until: Option<Instant>) -> bool {
        let next = until.map_or(State::Idle, State::Until);
        matches!(self.0.change(next), State::Expired)
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.0.change(State::Ended);
    }
}

impl Shared {
    fn change(&self, next: State) -> State {
        let last = std::mem::replace(&mut *self.lock(), next);
        self.changed.notify_one();
        last
    }

    fn watch(&self, stop_serving: impl Fn()) {
        let mut state = self.lock();
        loop {
            let wait = match *state {
                State::Until(until) => match until.checked_duration_since(Instant::now()) {
                    Some(wait) if !wait.is_zero() => Some(wait),
                    _ => {
                        // With the lock: the event loop lets the server serve again only after it has seen this.
                        stop_serving();
                        *state = State::Expired;
                        None
                    }
                },
                State::Idle | State::Expired => None,
                State::Ended => return,
            };
            state = match wait {
                Some(wait) => self
                    .changed
                    .wait_timeout(state, wait)
                    .map_or_else(|e| e.into_inner().0, |(state, _)| state),
                None => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code panics while it holds the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::mpsc, time::Duration};

    use super::*;

    #[test]
    fn the_service_is_stopped_when_no_later_time_is_set() {
        let (stop, stopped) = mpsc::channel();
        let watchdog = Watchdog::start(move || stop.send(()).expect("the test waits")).expect("a thread");
        let in_an_hour = Instant::now() + Duration::from_secs(3600);
        assert!(!watchdog.set(Some(in_an_hour)));
        assert!(!watchdog.set(Some(Instant::now() + Duration::from_millis(1))));
        stopped.recv().expect("it is stopped");
        assert!(watchdog.set(Some(in_an_hour)));
        assert!(!watchdog.set(None));
        drop(watchdog);
        assert!(stopped.recv().is_err(), "the thread ends");
    }
}
