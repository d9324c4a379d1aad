//! Batches: the requests that one read of a socket brought in, and their replies.
//!
//! A batch is data. It does not know its client, its actor or its socket.

mod checkpoint;
mod cursor;
mod data;
mod exclusive;
mod join;
mod key_events;
mod observation;
mod pool;
mod reply_buffer;
mod requests;
mod stats;
mod streaming;
mod target;
mod transaction;

pub(crate) use checkpoint::BatchCheckpoint;
pub(crate) use data::{Batch, Join, Merge};
pub(crate) use exclusive::{Exclusive, ExclusiveAccess, ExclusiveSet};
pub use key_events::{EventClass, KeyEvents};
pub(crate) use key_events::{EventClasses, KeyEvent, NotedEvents};
pub use reply_buffer::ReplyBuffer;
pub(crate) use reply_buffer::{ReplyMode, Streamed, StreamingReply};
pub(crate) use requests::{PartialBulk, RequestWords};
pub(crate) use stats::{BatchStats, Failure};
pub(crate) use target::{ActorId, Actors, CommandId, CommandRef, Resolved, RowId, WaitId};
