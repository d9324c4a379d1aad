//! Reports of the requests of a batch: for statistics, for `MONITOR`, and of the keys that they have used.

use std::ops::Range;

use super::{
    Actors, Batch, CommandId, CommandRef,
    data::Observed,
    key_events::{EventClasses, NotedEvents},
};

impl Batch {
    /// Counts the calls of each command. Consecutive calls of one command are reported together.
    pub(crate) fn count_calls(&self, mut count: impl FnMut(CommandId, u64)) {
        let mut start = 0;
        for failure in self.stats.failures().iter().filter(|failure| failure.is_rejection) {
            let rejected = failure.request as usize;
            self.requests.count_calls(start..rejected, &mut count);
            start = rejected + 1;
        }
        self.requests.count_calls(start..self.next, &mut count);
    }

    /// Starts the observation with the next request.
    ///
    /// `is_listening`: the client gets pushes, so that requests run one by one. Those of a transaction do not:
    /// their replies are elements of one array, and a push cannot be an element.
    pub(crate) fn observe(&mut self, is_listening: bool) {
        let one_by_one = is_listening && !self.is_transaction;
        let start = || Observed { from: self.next, one_by_one };
        self.observed.get_or_insert_with(start).one_by_one = one_by_one;
    }

    /// Makes the commands report the keys that they change. `published`: the events that the server publishes.
    pub(crate) fn observe_keys(&mut self, published: EventClasses) {
        self.out.key_events.observe(published);
    }

    /// Returns the key events that have not been reported.
    pub(crate) fn key_events(&self) -> NotedEvents<'_> {
        self.out.key_events.noted()
    }

    /// Removes the key events of the requests that have run, which have been reported.
    pub(crate) fn clear_key_events(&mut self) {
        self.out.key_events.clear_before(self.next as u32);
    }

    /// Returns whether a request is the part of a split request.
    pub(crate) fn is_split_part(&self, request: u32) -> bool {
        self.part.split_requests.binary_search(&request).is_ok()
    }

    pub(crate) fn is_observed(&self) -> bool {
        self.observed.is_some()
    }

    /// Returns whether the pushes that a request causes for its client follow its reply.
    pub(crate) fn runs_one_by_one(&self) -> bool {
        self.observed.is_some_and(|observed| observed.one_by_one)
    }

    /// Returns the requests that have run since the last call, if keys are observed.
    pub(crate) fn take_observed(&mut self) -> Range<u32> {
        let Some(observed) = &mut self.observed else { return 0..0 };
        std::mem::replace(&mut observed.from, self.next) as u32..self.next as u32
    }

    /// Returns the requests that these actors run next and that `MONITOR` clients have not seen yet.
    pub(crate) fn take_unshown(&mut self, actors: Actors) -> Vec<(u32, CommandRef)> {
        let before = self.stats.shown();
        let unshown: Vec<_> = self.upcoming(actors).filter(|(index, _)| *index >= before).collect();
        if let Some((last, _)) = unshown.last() {
            self.stats.note_shown(last + 1);
        }
        unshown
    }
}
