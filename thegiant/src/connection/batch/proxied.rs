//! Requests that an upstream answers.

use super::{ActorId, Batch, CommandRef};
use crate::Client;

impl Batch {
    /// Returns the client, while the batch is with an actor.
    pub(crate) fn client(&self) -> Option<&Client> {
        self.client.as_ref()
    }

    /// Returns the [upcoming](Self::upcoming) requests, or none if unsent replies have to be sent first.
    pub(crate) fn upcoming_with_room(
        &self,
        actor_id: ActorId,
    ) -> impl Iterator<Item = (u32, CommandRef)> + Clone {
        let has_room = self.next_target().is_some();
        self.upcoming(actor_id).take_while(move |_| has_room)
    }

    /// Returns the index of the next request.
    pub(crate) fn next_request(&self) -> u32 {
        self.next as u32
    }

    /// Returns the bytes of replies that the batch may still get before they have to be sent.
    pub(crate) fn room(&self) -> usize {
        self.room.saturating_sub(self.out.encoder().len())
    }

    /// Stops the clock: the wait for an upstream is not part of a command's time.
    pub(crate) fn stop_timing(&mut self) {
        self.stats.stop();
    }

    /// Appends a part of the reply to the next request.
    pub(crate) fn proxy(&mut self, part: &[u8]) {
        self.out.encoder_mut().raw(part);
    }

    /// Discards the parts of the reply to the next request.
    pub(crate) fn discard_proxied(&mut self) {
        self.out.rewind(self.mark);
    }

    /// Completes the reply to the next request.
    pub(crate) fn end_proxied(&mut self) {
        if self.out.is_noteworthy(self.mark) {
            self.complete_special_reply(false);
        }
        self.advance();
    }
}
