//! The requests that go over a dedicated connection.

use bytes::Bytes;

use super::{PoolKey, reply_map::ReplyMap};
use crate::{
    Error, Raw, Responder, batch::ActorId, command::Request, dispatch::ClientBatch, proxy::wire::CommandKind,
    resp::Encoder,
};

/// A request of a client.
pub(crate) struct DedicatedRequest {
    pub(crate) bytes: Bytes,
    pub(crate) kind: CommandKind,
    /// Number of arguments.
    pub(crate) args: usize,
    pub(crate) key: PoolKey,
    /// The upstreams. The client receives the error, if there is one.
    pub(crate) to: Result<DedicatedTarget, Error>,
    /// Maps the reply.
    pub(crate) map: Option<ReplyMap>,
    /// One of the keys, for errors.
    pub(crate) a_key: Option<Bytes>,
    /// The keys of which the client gets invalidations behind the reply.
    pub(crate) reads: Vec<Bytes>,
}

/// The upstreams of a request.
#[derive(Default)]
pub(crate) struct DedicatedTarget {
    /// The upstream that replies, or `None` for any.
    pub(crate) server: Option<usize>,
    /// Names with this prefix are subscribed at all publishers.
    pub(crate) listen: Option<&'static str>,
    /// The words that are sent in place of those of the client, and the function that maps the reply.
    pub(crate) rewritten: Option<(Vec<Bytes>, Option<ReplyMap>)>,
}

impl From<Option<usize>> for DedicatedTarget {
    fn from(server: Option<usize>) -> Self {
        DedicatedTarget { server, ..DedicatedTarget::default() }
    }
}

/// The receiver of a reply.
pub(crate) enum DedicatedRequester {
    /// A batch: the reply answers its next request.
    Batch(ClientBatch, ActorId),
    /// The client of a blocking command, which may disconnect while it waits.
    Client(Responder<Raw>),
}

/// A request that waits for its replies.
pub(crate) struct PendingRequest {
    pub(super) bytes: Bytes,
    pub(crate) kind: CommandKind,
    /// Number of outstanding replies. `SUBSCRIBE` has one for each channel.
    pub(super) replies_left: usize,
    /// The listeners have not confirmed the request.
    pub(super) awaits_listeners: bool,
    pub(crate) answer: Vec<u8>,
    /// The messages that came over listeners meanwhile.
    pub(super) listened: Vec<u8>,
    pub(super) map: Option<ReplyMap>,
    /// The keys of which the client gets invalidations behind the reply.
    pub(crate) reads: Vec<Bytes>,
    pub(crate) requester: DedicatedRequester,
}

impl DedicatedRequest {
    pub(crate) fn new(
        request: &Request<'_>,
        kind: CommandKind,
        mut to: Result<DedicatedTarget, Error>,
        a_key: Option<Bytes>,
    ) -> Self {
        let mut bytes = Encoder::default();
        let (args, map) = match to.as_mut().ok().and_then(|to| to.rewritten.take()) {
            Some((words, map)) => {
                bytes.request(&words);
                (words.len().saturating_sub(1), map)
            }
            None => {
                request.words.write(&mut bytes);
                (request.len() - 1, None)
            }
        };
        // With arguments, the upstream replies with an error and keeps its state.
        let kind = match kind {
            CommandKind::Multi | CommandKind::Exec | CommandKind::Discard | CommandKind::Unwatch
                if args > 0 =>
            {
                CommandKind::Plain
            }
            kind => kind,
        };
        let key = PoolKey::of(request.client());
        let bytes = bytes.into_vec().into();
        DedicatedRequest { bytes, kind, args, key, to, map, a_key, reads: Vec::new() }
    }
}
