//! The rest of a reply that is written as its client takes it.

use std::{
    fmt,
    task::{Context, Poll},
};

use super::Encoder;

/// Writes the rest of a reply, a part at a time.
pub(crate) trait StreamingReply: Send {
    /// Adds to what has been written, until that is so many bytes. What has been written when it is pending can
    /// be sent.
    fn poll_write(&mut self, out: &mut Encoder, most: usize, cx: &mut Context<'_>) -> Poll<Streamed>;
}

/// How far a reply has come.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Streamed {
    /// There is more.
    More,
    /// It is whole.
    Done,
    /// It is whole, and an error.
    Failed,
    /// It will never be whole.
    Broken,
}

impl fmt::Debug for dyn StreamingReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StreamingReply")
    }
}
