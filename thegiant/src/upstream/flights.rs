//! Requests that have been sent on and wait for their replies.

use std::{
    collections::VecDeque,
    sync::{Arc, atomic::Ordering::Relaxed},
};

use tokio::sync::oneshot;

use super::{
    Upstream,
    dial::Reason,
    handle::{Reply, Stats},
    link::Link,
};
use crate::{
    Error,
    connection::{Burst, MountId},
};

/// A number of a flight; it is used again when that has landed.
pub(super) type FlightId = usize;

/// Requests that have been sent on together, and for whom.
pub(super) enum Flight {
    Burst {
        burst: Box<Burst>,
        mount: MountId,
        /// How many have not been answered yet, and how many there were.
        left: u32,
        count: u32,
        /// Bytes of replies that there was room for.
        room: usize,
    },
    Ask {
        reply: Vec<u8>,
        answer: oneshot::Sender<Reply>,
    },
    Commands(Vec<u8>),
    Nobody,
}

/// All requests that have been sent on and not been answered.
pub(super) struct Flights {
    pub(super) flights: Vec<Option<Flight>>,
    free: Vec<FlightId>,
    /// Those of bursts that have all their replies.
    pub(super) landed: VecDeque<FlightId>,
    /// What the upstream has said of its commands.
    pub(super) commands: Option<Vec<u8>>,
    max_reply_len: usize,
    stats: Arc<Stats>,
}

impl Flights {
    pub(super) fn new(upstream: &Upstream, stats: Arc<Stats>) -> Self {
        Flights {
            flights: Vec::new(),
            free: Vec::new(),
            landed: VecDeque::new(),
            commands: None,
            max_reply_len: upstream.max_reply_len,
            stats,
        }
    }

    /// The number of the flight that departs next.
    pub(super) fn next_id(&mut self) -> FlightId {
        self.free.pop().unwrap_or_else(|| {
            self.flights.push(None);
            self.flights.len() - 1
        })
    }

    /// Sends a request of its own.
    pub(super) fn launch(&mut self, link: &mut Link, request: &[u8], flight: Flight) {
        let id = self.next_id();
        link.announce(id, 1);
        link.write_raw(request);
        self.depart(id, flight);
        link.flush();
    }

    pub(super) fn depart(&mut self, id: FlightId, flight: Flight) {
        self.flights[id] = Some(flight);
    }

    pub(super) fn arrive(&mut self, id: FlightId) -> Option<Flight> {
        self.free.push(id);
        self.flights[id].take()
    }

    /// Whether a reply may have so many bytes.
    pub(super) fn is_wanted(&self, len: usize) -> bool {
        len <= self.max_reply_len
    }

    /// A part of the reply to its next request has come, which has so many bytes with it.
    pub(super) fn take(&mut self, id: FlightId, part: &[u8], len: usize, done: bool) {
        let is_too_long = !self.is_wanted(len);
        match &mut self.flights[id] {
            Some(Flight::Burst { burst, left, .. }) => {
                if is_too_long {
                    burst.forget_relayed();
                } else {
                    burst.relay(part);
                }
                if done {
                    if is_too_long {
                        burst.reject(|_, out| out.error(&too_long(&self.stats.address)));
                    } else {
                        burst.end_relayed();
                    }
                    *left -= 1;
                    if *left == 0 {
                        self.landed.push_back(id);
                    }
                }
            }
            Some(Flight::Ask { reply, .. } | Flight::Commands(reply)) => {
                if is_too_long {
                    *reply = Vec::new();
                } else {
                    reply.extend_from_slice(part);
                }
                if done {
                    self.end(id);
                }
            }
            Some(Flight::Nobody) if done => self.end(id),
            _ => {}
        }
    }

    /// Of one that is no burst's, the reply is there.
    fn end(&mut self, id: FlightId) {
        match self.arrive(id) {
            Some(Flight::Ask { reply, answer }) => {
                let reply =
                    if reply.is_empty() { Err(too_long(&self.stats.address)) } else { Ok(reply.into()) };
                // Who has asked may have gone.
                let _ = answer.send(reply);
            }
            Some(Flight::Commands(reply)) => self.commands = Some(reply),
            _ => {}
        }
    }

    /// The connection has gone: there are no replies to so many requests, which may have been sent, or have not.
    pub(super) fn fail(&mut self, id: FlightId, count: u32, reason: &Reason, were_sent: bool) {
        let Some(flight) = &mut self.flights[id] else { return };
        let count = if matches!(flight, Flight::Nobody | Flight::Commands(_)) { 0 } else { u64::from(count) };
        let error = if were_sent {
            self.stats.lost.fetch_add(count, Relaxed);
            lost(&self.stats.address, reason)
        } else {
            self.stats.unsent.fetch_add(count, Relaxed);
            unsent(&self.stats.address, reason)
        };
        match flight {
            Flight::Burst { burst, .. } => {
                burst.forget_relayed();
                for _ in 0..count {
                    burst.reject(|_, out| out.error(&error));
                }
                self.landed.push_back(id);
            }
            _ => {
                if let Some(Flight::Ask { answer, .. }) = self.arrive(id) {
                    let _ = answer.send(Err(error));
                }
            }
        }
    }

    /// What is answered where nothing can be sent.
    pub(super) fn unsent(&self, reason: &Reason, count: u64) -> Error {
        self.stats.unsent.fetch_add(count, Relaxed);
        unsent(&self.stats.address, reason)
    }
}

/// The connection was lost before the reply came.
pub(super) fn lost(address: &str, reason: &Reason) -> Error {
    Error::new(
        "UPSTREAM",
        format_args!("{address} was lost ({reason}) before it replied: the command may have been run"),
    )
}

/// There was none.
pub(super) fn unsent(address: &str, reason: &Reason) -> Error {
    Error::new(
        "UPSTREAMDOWN",
        format_args!("{address} cannot be reached ({reason}): the command was not sent"),
    )
}

fn too_long(address: &str) -> Error {
    Error::new("UPSTREAM", format_args!("the reply of {address} is too long"))
}
