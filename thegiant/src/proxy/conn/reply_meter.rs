//! The size of the replies that have arrived for a client and that its connection does not have yet.

use crate::{Client, dispatch::ClientBatch};

/// Counts the bytes of replies as memory of their client, so that its limits hold while they arrive.
#[derive(Debug, Default)]
pub(super) struct ReplyMeter {
    received: usize,
    counted: usize,
    has_left: bool,
}

/// Bytes after which the sum is counted again.
const STEP: usize = 64 * 1024;

impl ReplyMeter {
    /// Returns a meter that begins with the replies that a batch has already.
    pub(super) fn new(batch: &ClientBatch) -> Self {
        ReplyMeter { received: batch.out.encoder().len(), ..ReplyMeter::default() }
    }

    /// Adds bytes that have arrived. Returns whether the client still waits for them.
    #[inline]
    pub(super) fn add(&mut self, client: &Client, bytes: usize) -> bool {
        self.received += bytes;
        if self.received - self.counted >= STEP && !self.has_left {
            self.count(client);
        }
        !self.has_left
    }

    /// Returns whether the client no longer waits for replies. Those that had arrived were freed.
    pub(super) fn has_left(&self) -> bool {
        self.has_left
    }

    /// Notes that the client no longer waits for replies.
    pub(super) fn leave(&mut self) {
        self.has_left = true;
    }

    #[cold]
    fn count(&mut self, client: &Client) {
        self.counted = self.received;
        self.has_left = !client.count_replies(self.received);
    }
}
