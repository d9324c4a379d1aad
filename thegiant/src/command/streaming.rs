//! Replies that are generated and sent in parts.

use std::{
    fmt,
    task::{Context, Poll},
};

use crate::resp::Encoder;

/// Generates the rest of a reply in parts.
pub(crate) trait StreamingReply: Send {
    /// Appends to `out` until that has `max_len` bytes. The caller can send the output while the reply is pending.
    fn poll_write(&mut self, out: &mut Encoder, max_len: usize, cx: &mut Context<'_>) -> Poll<Streamed>;
}

/// The progress of a streaming reply.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Streamed {
    /// The reply is incomplete.
    More,
    /// The reply is complete.
    Done,
    /// The reply is complete, and it is an error.
    Failed,
    /// The reply can never be completed.
    Broken,
}

impl fmt::Debug for dyn StreamingReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StreamingReply")
    }
}
