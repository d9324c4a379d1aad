//! Dispatch: which actor runs a request, and how batches reach their actors and return.

mod batch_queue;
mod client_batch;
mod commit_group;
mod cut;
mod group;
mod group_commit;
mod implements;
#[cfg(all(test, thegiant_loom))]
mod loom_tests;
mod mountable;
mod prefetch;
mod responder;
mod routes;
mod run;
mod shards;
mod supervisor;
mod transaction;

pub(crate) use batch_queue::Consumers;
pub(crate) use batch_queue::{ACTOR_DOWN, BatchQueue, MountedActor};
pub use batch_queue::{NoMessage, RunBatches, run_batches};
pub(crate) use client_batch::ClientBatch;
pub use commit_group::run_batches_in_groups;
pub(crate) use group::GroupCommitStats;
pub use group_commit::{Commit, GroupCommit};
pub use implements::{Implements, ImplementsNot};
pub use mountable::{Mountable, MountableAddr};
pub use prefetch::{Prefetch, prefetch};
pub use responder::{Responder, responder};
pub(crate) use routes::Routes;
pub(crate) use run::{reject, report_keys, step};
pub(crate) use supervisor::supervise;
pub(crate) use transaction::{NOT_ALLOWED, Transaction, TransactionQueue, aborted_by};
