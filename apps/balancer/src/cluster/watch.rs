//! Asks a cluster for its slots.

use std::{cell::RefCell, mem, rc::Rc, time::Duration};

use thegiant::{Error, UpstreamHandle, Value, proxy::Refresh};
use tokio::{
    sync::{Notify, oneshot},
    time,
};

use super::answer::Answer;

/// Asks a cluster for its slots periodically.
#[derive(Debug)]
pub struct Watch(pub(super) Rc<ClusterState>);

/// The state that the router shares with the task that asks the cluster for its slots.
#[derive(Debug, Default)]
pub(super) struct ClusterState {
    /// The last answer, until the router has taken it.
    pub(super) answer: RefCell<Option<Answer>>,
    /// The address of the node to which the router sent the last question.
    pub(super) asked: RefCell<String>,
    /// The slots may have moved.
    pub(super) changed: Notify,
    /// Redirects to unknown addresses wait for the end of these, which is the next answer.
    hints: RefCell<Vec<oneshot::Sender<()>>>,
}

/// Interval between two questions for the slots.
const EVERY: Duration = Duration::from_secs(2);
/// Minimum interval between two questions after a redirect or a lost server.
const AT_MOST_EVERY: Duration = Duration::from_millis(100);

/// Number of attempts to get the slots before clients are served.
const ATTEMPTS: usize = 10;

impl ClusterState {
    /// Asks for the slots, and waits for the answer.
    pub(super) fn refresh(&self) -> Refresh {
        let (hint, answered) = oneshot::channel();
        self.hints.borrow_mut().push(hint);
        self.changed.notify_one();
        // The end of the hint is the answer, and there may be nobody who asks.
        Box::pin(async { drop(time::timeout(EVERY, answered).await) })
    }
}

impl Watch {
    /// Asks for the slots until there is an answer, at most ten times.
    pub async fn begin(&self, nodes: &UpstreamHandle) {
        for _ in 0..ATTEMPTS {
            match self.ask(nodes).await {
                Ok(()) => return,
                Err(error) => tracing::warn!(%error, "the cluster does not say where its slots are"),
            }
            time::sleep(AT_MOST_EVERY).await;
        }
    }

    /// Asks for the slots periodically, and after each redirect. It never returns.
    pub async fn run(self, nodes: UpstreamHandle) {
        loop {
            time::sleep(AT_MOST_EVERY).await;
            let _ = time::timeout(EVERY, self.0.changed.notified()).await;
            if let Err(error) = self.ask(&nodes).await {
                tracing::debug!(%error, "the cluster does not say where its slots are");
            }
        }
    }

    async fn ask(&self, nodes: &UpstreamHandle) -> Result<(), Error> {
        // Wakes the waiting requests at the end. A hint that arrives meanwhile needs a newer answer.
        let _hints = mem::take(&mut *self.0.hints.borrow_mut());
        let slots = nodes.call(["CLUSTER", "SLOTS"]).await?;
        let mut answer = Answer::of_slots(&slots, &self.0.asked.borrow());
        if answer.ranges.is_empty() {
            return Err(Error::new("CLUSTERDOWN", "no slot is served"));
        }
        // CLUSTER SLOTS leaves out nodes that have no slots, such as one that has just joined.
        if let Ok(Value::Bulk(list)) = nodes.call(["CLUSTER", "NODES"]).await {
            answer.add_nodes(&String::from_utf8_lossy(&list), &self.0.asked.borrow());
        }
        *self.0.answer.borrow_mut() = Some(answer);
        Ok(())
    }
}
