//! Requests that are answered by another server.

use super::{ActorId, Batch, CommandRef};
use crate::Client;

impl Batch {
    /// Who sent it, while it is with an actor.
    pub(crate) fn client(&self) -> Option<&Client> {
        self.client.as_ref()
    }

    /// The requests that are [coming](Self::coming), as far as there is room for their replies.
    pub(crate) fn coming_for(&self, actor_id: ActorId) -> impl Iterator<Item = (u32, CommandRef)> + Clone {
        let is_room = self.next_target().is_some();
        self.coming(actor_id).take_while(move |_| is_room)
    }

    /// The number of the request to be run next.
    pub(crate) fn next_request(&self) -> u32 {
        self.next as u32
    }

    /// Bytes of replies that it may have before more requests are run.
    pub(crate) fn room(&self) -> usize {
        self.room.saturating_sub(self.out.encoder().len())
    }

    /// Requests are sent on: what their replies wait for is nobody's doing here, and is not timed.
    pub(crate) fn send_on(&mut self) {
        self.stats.stop();
    }

    /// A part of the reply to its next request has arrived.
    pub(crate) fn proxy(&mut self, part: &[u8]) {
        self.out.encoder_mut().raw(part);
    }

    /// The parts of the reply to its next request do not count.
    pub(crate) fn forget_proxied(&mut self) {
        self.out.rewind(self.mark);
    }

    /// The reply to its next request has arrived whole.
    pub(crate) fn end_proxied(&mut self) {
        if self.out.is_noteworthy(self.mark) {
            self.take_note(false);
        }
        self.advance();
    }
}
