//! Positions in a batch to which it can return.

use std::ops::Range;

use super::{Batch, ReplyMode};
use crate::resp::BufferPosition;

/// A position in a batch to which the batch can return.
#[derive(Debug)]
pub(crate) struct BatchCheckpoint {
    next: usize,
    mark: BufferPosition,
    replies: ReplyMode,
}

impl Batch {
    /// Returns the current position.
    pub(crate) fn checkpoint(&self) -> BatchCheckpoint {
        BatchCheckpoint { next: self.next, mark: self.mark, replies: self.out.mode() }
    }

    /// Returns the requests that were answered since the checkpoint.
    pub(crate) fn answered_since(&self, checkpoint: &BatchCheckpoint) -> Range<u32> {
        checkpoint.next as u32..self.next as u32
    }

    /// Returns to the checkpoint, and discards the replies since then.
    pub(crate) fn go_back(&mut self, checkpoint: BatchCheckpoint) {
        self.end_streaming();
        self.next = checkpoint.next;
        self.mark = checkpoint.mark;
        self.out.rewind(checkpoint.mark);
        while self.part.ends.last().is_some_and(|end| *end > checkpoint.mark) {
            self.part.ends.pop();
        }
        self.out.set_mode(checkpoint.replies);
        self.stats.forget_from(checkpoint.next as u32);
        self.out.key_events.forget_from(checkpoint.next as u32);
    }
}
