//! A limit on the time of a wait, by the clock of the system.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    sync::{
        Arc, Mutex, OnceLock, PoisonError, Weak,
        mpsc::{self, Receiver, RecvTimeoutError, Sender},
    },
    task::{Poll, Waker},
    thread,
    time::{Duration, Instant},
};

/// Interval in which the thread looks for waits that are over, while there are any.
const TICK: Duration = Duration::from_millis(10);

/// Waits for a future at most this long. Returns `None` if the time is over.
///
/// The time is that of the system: a paused clock of tokio, which jumps, does not end the wait.
pub(super) async fn within<F: Future>(limit: Duration, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    // A limit beyond the range of the clock is none.
    let deadline = Instant::now().checked_add(limit);
    let mut alarm = None;
    poll_fn(|cx| {
        if let Poll::Ready(output) = future.as_mut().poll(cx) {
            return Poll::Ready(Some(output));
        }
        let Some(deadline) = deadline else { return Poll::Pending };
        if deadline <= Instant::now() {
            return Poll::Ready(None);
        }
        alarm.get_or_insert_with(|| Alarm::set(deadline)).wakes(cx.waker());
        Poll::Pending
    })
    .await
}

/// Wakes a task at a deadline, unless it is dropped before.
struct Alarm {
    deadline: Instant,
    waker: Mutex<Option<Waker>>,
}

impl Alarm {
    fn set(deadline: Instant) -> Arc<Self> {
        static ALARMS: OnceLock<Sender<Weak<Alarm>>> = OnceLock::new();
        let alarms = ALARMS.get_or_init(|| {
            let (sender, alarms) = mpsc::channel();
            thread::spawn(move || run(&alarms));
            sender
        });
        let alarm = Arc::new(Alarm { deadline, waker: Mutex::default() });
        alarms.send(Arc::downgrade(&alarm)).expect("the thread runs as long as the process");
        alarm
    }

    fn wakes(&self, waker: &Waker) {
        *self.waker.lock().unwrap_or_else(PoisonError::into_inner) = Some(waker.clone());
    }

    /// Wakes the task if the time is over. Returns whether it is.
    fn ring(&self) -> bool {
        let is_over = self.deadline <= Instant::now();
        if is_over && let Some(waker) = &*self.waker.lock().unwrap_or_else(PoisonError::into_inner) {
            waker.wake_by_ref();
        }
        is_over
    }
}

/// Rings the alarms, each once.
fn run(alarms: &Receiver<Weak<Alarm>>) {
    let mut waiting: Vec<Weak<Alarm>> = Vec::new();
    loop {
        let next = if waiting.is_empty() {
            alarms.recv().map_err(|_| RecvTimeoutError::Disconnected)
        } else {
            alarms.recv_timeout(TICK)
        };
        match next {
            Ok(alarm) => waiting.push(alarm),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        waiting.extend(alarms.try_iter());
        waiting.retain(|alarm| alarm.upgrade().is_some_and(|alarm| !alarm.ring()));
    }
}
