//! Questions that the balancer repeats, such as which node has a slot.

use std::{cell::RefCell, mem, time::Duration};

use thegiant::proxy::Refresh;
use tokio::{
    sync::{Notify, oneshot},
    time,
};

/// Wakes the task that asks a question, and lets requests wait for its next answer.
#[derive(Debug, Default)]
pub(crate) struct Inquiry {
    /// The last answer may be wrong.
    doubted: Notify,
    /// Each request waits for the end of its sender, which is the next answer.
    waiting: RefCell<Vec<Waiting>>,
}

/// A request that waits for an answer.
pub(crate) type Waiting = oneshot::Sender<()>;

/// Minimum interval between two questions, and between two attempts to get the first answer.
pub(crate) const AT_MOST_EVERY: Duration = Duration::from_millis(100);

/// Maximum time for which a request waits for an answer.
const MAX_WAIT: Duration = Duration::from_secs(2);

impl Inquiry {
    /// Asks soon.
    pub(crate) fn hurry(&self) {
        self.doubted.notify_one();
    }

    /// Asks soon, and waits for the answer.
    pub(crate) fn refresh(&self) -> Refresh {
        let (waiting, answered) = oneshot::channel();
        self.waiting.borrow_mut().push(waiting);
        self.hurry();
        // The end of the sender is the answer, and there may be nobody who asks.
        Box::pin(async { drop(time::timeout(MAX_WAIT, answered).await) })
    }

    /// Returns the requests that wait. Dropping them wakes them.
    ///
    /// A request that begins to wait during a question needs a newer answer.
    pub(crate) fn take_waiting(&self) -> Vec<Waiting> {
        mem::take(&mut *self.waiting.borrow_mut())
    }

    /// Waits until it is time for the next question, which is at the latest after `interval`.
    pub(crate) async fn next(&self, interval: Duration) {
        time::sleep(AT_MOST_EVERY).await;
        let _ = time::timeout(interval, self.doubted.notified()).await;
    }
}
