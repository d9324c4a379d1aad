//! Sends the requests of clients on, and continues their batches.

use bytes::Bytes;

use super::{destination::Destination, reply_sizes::next_requests, state::ProxyState};
use crate::{
    Error, Reply, Simple, Value,
    batch::ActorId,
    command::Spec,
    dispatch::ClientBatch,
    proxy::{
        conn::{BatchRun, CallError, InFlight, InFlightId, PoolKey, Requester, SplitRun},
        routing::{Readiness, Redirect, Split},
        wire::{CommandKind, Words, kind_of_words},
    },
};

/// A part of the router's split has no words, or would change the state of a multiplexed connection.
const NOT_IN_PARTS: Error =
    Error::from_static("ERR a part of the split request cannot be sent on a connection that clients share");

impl ProxyState {
    /// Sends the next requests of a batch on. The batch continues when these requests have their replies.
    pub(super) fn begin(&mut self, batch: ClientBatch, actor_id: ActorId) {
        let max_requests = self.reply_sizes.first_requests(&batch);
        self.run(batch, actor_id, max_requests);
    }

    /// Sends at most `max_requests` of the next requests of a batch on.
    fn run(&mut self, batch: ClientBatch, actor_id: ActorId, max_requests: usize) {
        let mut next = Some(batch);
        while let Some(mut batch) = next.take() {
            match self.next_destination(&batch, actor_id) {
                // The batch waits for a reply, has no more requests for the proxy, or has no room for
                // replies. Or its client has disconnected.
                None => next = batch.return_to_client(),
                Some(Destination::MultiplexedConnection(connection, following)) => {
                    self.send_on(batch, actor_id, max_requests, (connection, following))
                }
                Some(Destination::Isolated(server)) => self.send_isolated(batch, actor_id, server),
                Some(Destination::Split(split)) => self.send_split(batch, actor_id, split),
                Some(Destination::DedicatedConnection(kind, to)) => {
                    next = self.send_dedicated(batch, actor_id, kind, to)
                }
                Some(Destination::Reply(reply)) => {
                    self.answer(&mut batch, &reply);
                    next = Some(batch);
                }
                Some(Destination::Down(connection, following)) => {
                    let error = self.pool.connections[connection].refuse();
                    self.on_loss.apply(&batch.client, error.error());
                    batch.reject(error.error());
                    if following > 0 {
                        reject_transaction(&mut batch, following, error.error());
                    }
                    next = Some(batch);
                }
                Some(Destination::Wait) => self.waiting.batches.push((batch, actor_id)),
            }
        }
    }

    fn send_on(
        &mut self,
        mut batch: ClientBatch,
        actor_id: ActorId,
        max_requests: usize,
        first: (usize, u32),
    ) {
        let id = self.in_flight.next_id();
        let count = self.write(id, &batch, actor_id, max_requests, first);
        batch.stop_timing();
        let first = batch.next_request();
        self.record_reads(&batch, first, count);
        self.in_flight.insert(id, InFlight::Batch(BatchRun::new(batch, actor_id, first, count)));
    }

    /// Writes requests of a batch to multiplexed connections, and returns their number.
    ///
    /// Stops at `max_requests`, or at a request with another kind of destination. `first` is the connection
    /// of the first request, and the number of requests after it that must use the same connection.
    fn write(
        &mut self,
        id: InFlightId,
        batch: &ClientBatch,
        actor_id: ActorId,
        max_requests: usize,
        first: (usize, u32),
    ) -> u32 {
        let mut upcoming = batch.upcoming_with_room(actor_id);
        let (mut count, mut next) = (0, Some(first));
        // Consecutive requests of one connection are added to its statistics at once.
        let (mut counted, mut last) = (0, first.0);
        while let Some((connection, following)) = next {
            if connection != last {
                self.pool.connections[last].count(count - counted);
                (counted, last) = (count, connection);
            }
            for (index, _) in upcoming.by_ref().take(following as usize + 1) {
                if let Some(request) = batch.request(index) {
                    let words = Words::Client(&request);
                    self.pool.connections[connection].write(id, count, following > 0, words);
                    count += 1;
                }
            }
            self.pool.mark_dirty(connection);
            let mut rest = upcoming.clone();
            next = match rest.next().filter(|_| (count as usize) < max_requests) {
                Some(request) => match self.destination(batch, request, rest, Some(connection)) {
                    Destination::MultiplexedConnection(connection, following) => {
                        Some((connection, following))
                    }
                    _ => None,
                },
                None => None,
            };
        }
        self.pool.connections[last].count(count - counted);
        count
    }

    /// Sends the parts of a batch's next request.
    fn send_split(&mut self, mut batch: ClientBatch, actor_id: ActorId, split: Split) {
        let (key, number) = (PoolKey::of(&batch.client), batch.client.id());
        batch.stop_timing();
        self.record_reads(&batch, batch.next_request(), 1);
        self.insert_split(Requester::Batch(batch, actor_id), key, number, split);
    }

    /// Sends the parts of a request.
    pub(super) fn insert_split(
        &mut self,
        requester: Requester,
        key: PoolKey,
        number: u64,
        Split { parts, merge }: Split,
    ) {
        let id = self.in_flight.next_id();
        let (servers, parts): (Vec<usize>, Vec<Vec<Bytes>>) = parts.into_iter().unzip();
        let is_plain =
            |part: &Vec<Bytes>| !part.is_empty() && kind_of_words(Words::Own(part)) == CommandKind::Plain;
        let plain: Vec<bool> = parts.iter().map(is_plain).collect();
        if parts.is_empty() {
            self.in_flight.completed.push_back(id);
        }
        self.in_flight.insert(id, InFlight::Split(Box::new(SplitRun::new(requester, parts, merge))));
        for ((server, is_plain), position) in servers.into_iter().zip(plain).zip(0..) {
            if is_plain {
                self.send_or_fail(id, position, Redirect { server, asking: false }, key, number);
            } else {
                self.in_flight.fail(id, position, &CallError::NotSent(NOT_IN_PARTS));
            }
        }
    }

    /// Sends requests again, and continues the batches whose requests have their replies.
    pub(super) fn complete(&mut self) {
        loop {
            // The order of the requests is kept, because a request may read the result of an earlier one.
            while let Some(retry) = self.in_flight.retries.pop_front() {
                self.send_again(retry);
            }
            let Some(completed) = self.in_flight.completed.pop_front() else { break };
            match self.in_flight.remove(completed) {
                Some(InFlight::Batch(run)) => self.continue_batch(run),
                Some(InFlight::Split(split)) => self.complete_split(*split),
                _ => {}
            }
        }
        self.pool.flush();
    }

    /// Sends the next requests of a batch, or returns it to its client if it has none.
    fn continue_batch(&mut self, run: BatchRun) {
        self.reply_sizes.learn(&run);
        if run.batch.has_requests() {
            let max_requests = next_requests(&run);
            self.run(run.batch, run.actor_id, max_requests);
        } else {
            // It waits for nothing.
            drop(run.batch.return_to_client());
        }
    }

    fn complete_split(&mut self, split: SplitRun) {
        if let Requester::Batch(batch, _) = &split.requester
            && !batch.client.is_connected()
        {
            // Its replies were discarded, and nobody waits for the batch.
            return;
        }
        match split.merge() {
            (Requester::Batch(mut batch, actor_id), reply) => {
                self.answer(&mut batch, &reply);
                self.begin(batch, actor_id);
            }
            // The application may have dropped the future that waits for the reply.
            (Requester::Application(answer), reply) => drop(answer.send(Ok(reply))),
        }
    }

    /// Answers the next request of a batch.
    fn answer(&self, batch: &mut ClientBatch, reply: &Value) {
        match reply {
            Value::Error(error) => {
                self.on_loss.apply(&batch.client, error);
                batch.reject(error);
            }
            reply => batch.step(&Spec::FALLBACK, |_, out| reply.encode(out.encoder_mut())),
        }
    }

    /// Continues a batch after a reply from a dedicated connection.
    pub(super) fn go_on(&mut self, batch: ClientBatch, actor_id: ActorId) {
        self.begin(batch, actor_id);
        self.complete();
    }

    /// Continues after an upstream has been reached, lost, added or removed.
    pub(super) fn upstreams_changed(&mut self) {
        self.publish_commands();
        self.retry_waiting();
    }

    /// Tells the connections of clients which commands the upstreams have.
    pub(super) fn publish_commands(&self) {
        self.routing.publish(self.is_starting || !self.pool.servers.are_all_down());
    }

    /// Tries the waiting commands and batches again, unless the key tables are still missing.
    pub(super) fn retry_waiting(&mut self) {
        if matches!(self.routing.readiness(&self.pool.servers, None), Readiness::Soon) {
            return;
        }
        for call in std::mem::take(&mut self.waiting.calls) {
            self.call(call);
        }
        if !self.is_starting {
            for (batch, actor_id) in std::mem::take(&mut self.waiting.batches) {
                self.begin(batch, actor_id);
            }
        }
        self.complete();
    }
}

const OK: Simple = Simple("OK");

/// Answers the requests after a `MULTI` that was refused: `EXEC` replies as after any other failed request.
fn reject_transaction(batch: &mut ClientBatch, following: u32, error: &Error) {
    for _ in 1..following {
        batch.reject(error);
    }
    let is_discard = batch.request(batch.next_request()).is_some_and(|request| request.is("DISCARD"));
    match is_discard {
        true => batch.step(&Spec::FALLBACK, |_, out| OK.write_to(out.encoder_mut())),
        false => batch.reject(&Error::EXEC_ABORT),
    }
}
