//! Replies that have arrived for a client and that its connection does not have yet.

use crate::Client;

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
    /// Adds bytes that have arrived. Returns whether the client still waits for them.
    #[inline]
    pub(super) fn add(&mut self, client: &Client, bytes: usize) -> bool {
        self.received += bytes;
        if self.received - self.counted >= STEP {
            self.count(client);
        }
        !self.has_left
    }

    #[cold]
    fn count(&mut self, client: &Client) {
        self.counted = self.received;
        self.has_left = !client.count_replies(self.received);
    }
}
