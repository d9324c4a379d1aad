//! The jobs and their queues, a plain data structure.
//!
//! The caller passes the present time to each method.

mod changes;
mod names;
mod queue;
mod restore;
mod returns;
mod store;
mod tracker;

pub(crate) use names::Earlier;
pub(crate) use queue::{Counts, Totals};
pub(crate) use returns::Return;
pub(crate) use store::{DueEffects, JobOptions, NotHeld, Queues};
