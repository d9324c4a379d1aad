//! The data of a batch: its requests and replies, its parts, and the reason why it waits.

use std::{collections::VecDeque, fmt};

use super::{
    ActorId, Actors, BatchStats, ExclusiveSet, ReplyBuffer, StreamingReply, WaitId, requests::Requests,
};
use crate::{resp::BufferPosition, split::ResponsePolicy};

/// The requests that one read of a socket brought in, and the replies to those that have run.
///
/// A batch is owned by the connection, or by the actor that runs its next request. The actor writes the
/// replies into the batch and returns it.
pub(crate) struct Batch {
    pub(crate) requests: Requests,
    /// The index of the next request to run.
    pub(super) next: usize,
    /// The requests before this one have the key prefix of their client.
    pub(crate) prefixed: u32,
    /// The end of the replies to all requests before the next one.
    pub(super) mark: BufferPosition,
    /// The replies.
    pub(crate) out: ReplyBuffer,
    pub(super) run_state: RunState,
    /// The batch is a transaction. Its replies form one array.
    pub(super) is_transaction: bool,
    /// The time of each request is measured.
    pub(crate) is_timed: bool,
    /// The requests have effects that are reported after they have run.
    pub(super) observed: Option<Observed>,
    /// Exclusive access to actors, while the rest of a transaction is pending.
    pub(crate) exclusive: ExclusiveSet,
    /// Times and errors of single requests.
    pub(crate) stats: BatchStats,
    /// The data of this batch as a part of another one.
    pub(super) part: PartRecord,
}

/// The data of a part that the whole batch needs to join the replies.
#[derive(Default)]
pub(super) struct PartRecord {
    /// The shard that runs the part.
    pub(super) shard: u16,
    /// The end of each reply.
    pub(super) ends: Vec<BufferPosition>,
    /// The requests that are parts of split requests.
    pub(super) split_requests: Vec<u32>,
    /// The part runs its requests while the replies have fewer bytes than this.
    pub(super) room: usize,
}

/// Says whether the next request can run.
pub(super) enum RunState {
    /// Can run, while the replies have fewer bytes than this.
    Running { room: usize },
    /// Has run, and waits for its reply. `may_block`: its command has the flag `blocking`.
    Blocked { wait_id: WaitId, may_block: bool },
    /// The reply to the request before it is not complete.
    Streaming(Box<dyn StreamingReply>),
    /// Can run when the transaction has exclusive access to these shards, the last one first.
    Acquiring(Vec<ActorId>),
    /// Parts of the batch run on several shards. It can run when the replies so far have been sent.
    Joining(Box<Join>),
}

/// Maximum size of unsent replies before the next request runs.
///
/// It bounds the memory of a client that does not read.
pub(super) const MAX_UNSENT: usize = 1024 * 1024;

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch").field("requests", &self.requests.len()).finish_non_exhaustive()
    }
}

impl Default for Batch {
    fn default() -> Self {
        Batch {
            requests: Requests::default(),
            next: 0,
            prefixed: 0,
            mark: BufferPosition::default(),
            out: ReplyBuffer::default(),
            run_state: RunState::START,
            is_transaction: false,
            is_timed: false,
            observed: None,
            exclusive: ExclusiveSet::default(),
            stats: BatchStats::default(),
            part: PartRecord::default(),
        }
    }
}

impl RunState {
    pub(super) const START: RunState = RunState::Running { room: MAX_UNSENT };
}

/// The parts of a batch, and the order of their replies.
///
/// A part is itself a batch, with the requests for one shard. It shares their words with the whole batch. Its replies are moved
/// to the whole batch in the order of the requests: the target of each request says which part has its reply.
#[derive(Debug)]
pub(crate) struct Join {
    pub(super) shards: Actors,
    /// Indexed by shard.
    pub(super) parts: Vec<Part>,
    /// The split requests whose replies the whole batch still lacks.
    pub(super) split: VecDeque<SplitRequest>,
    /// The first request of the whole batch that is in no part.
    pub(super) end: usize,
}

#[derive(Debug, Default)]
pub(super) struct Part {
    /// `None` while the shard has the part, or if the shard has no requests.
    pub(super) batch: Option<Box<Batch>>,
    /// The number of replies in `batch` that have been taken.
    pub(super) taken: usize,
    /// The number of replies that were taken before the part was sent the last time.
    pub(super) taken_before: usize,
}

/// A request that several shards run, or one with a changed word.
#[derive(Debug)]
pub(super) struct SplitRequest {
    /// The shards that run the request.
    pub(super) shards: Vec<u16>,
    pub(super) merge: Merge,
}

/// How the replies to a split request become one.
#[derive(Debug)]
pub(crate) enum Merge {
    /// The policy of the command merges them.
    Policy(ResponsePolicy),
    /// The policy of the command merges them. The list has the index of the reply that contains the value of each key.
    ByKey(ResponsePolicy, Vec<usize>),
    /// The cursor of the reply has to name its shard.
    Cursor { shard: u16, shards: u16 },
}

/// The report that follows requests: the keys that they have used, and the pushes that they have caused for their
/// own client.
#[derive(Clone, Copy)]
pub(super) struct Observed {
    /// The first request whose keys were not reported yet.
    pub(super) from: usize,
    /// Each request is reported before the next one runs, because the client gets pushes.
    pub(super) one_by_one: bool,
}
