//! The schedules of all shards, a plain data structure.
//!
//! The caller passes the present time to each method.

mod cron;
mod rows;
mod table;

pub(crate) use cron::{Cron, Expression};
pub(crate) use table::{Firing, Runs, Schedule, Schedules};
