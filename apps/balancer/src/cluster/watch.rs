//! Asks a cluster for its slots.

use std::{cell::RefCell, rc::Rc, time::Duration};

use thegiant::{Error, Value, proxy::UpstreamHandle};
use tokio::time;

use super::answer::Answer;
use crate::inquiry::{AT_MOST_EVERY, Inquiry};

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
    pub(super) inquiry: Inquiry,
}

/// Interval between two questions for the slots.
const EVERY: Duration = Duration::from_secs(2);

/// Number of attempts to get the slots before clients are served.
const ATTEMPTS: usize = 10;

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
            self.0.inquiry.next(EVERY).await;
            if let Err(error) = self.ask(&nodes).await {
                tracing::debug!(%error, "the cluster does not say where its slots are");
            }
        }
    }

    async fn ask(&self, nodes: &UpstreamHandle) -> Result<(), Error> {
        // Wakes the waiting requests at the end.
        let _waiting = self.0.inquiry.take_waiting();
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
