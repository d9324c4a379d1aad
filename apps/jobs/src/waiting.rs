//! Who waits for jobs.

use std::collections::{HashMap, VecDeque};

use bytes::Bytes;
use foldhash::fast::RandomState;
use thegiant::{Client, Responder};

use crate::job::Given;

/// The clients that wait for jobs, and the queues where they wait: who comes first is served first.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    clients: HashMap<u64, Waiter, RandomState>,
    lines: HashMap<Bytes, Line, RandomState>,
    /// A number for each time that somebody gets in line.
    last: u64,
}

#[derive(Debug)]
struct Waiter {
    /// Its places of an earlier number are of no importance any more.
    number: u64,
    queues: Vec<Bytes>,
    want: Want,
}

/// What a client waits for.
#[derive(Debug)]
pub(crate) enum Want {
    /// The reply to its `GETJOB`, with at most so many jobs.
    Reply { responder: Responder<Option<Vec<Given>>>, count: usize },
    /// To be pushed jobs, as long as it has not answered so many.
    Push { client: Client, window: usize, out: usize },
}

/// The places in front of a queue, of clients and by their numbers.
#[derive(Debug, Default)]
struct Line {
    places: VecDeque<(u64, u64)>,
    /// With so many it is worth to look for those that are of no importance any more.
    many: usize,
}

const FEW: usize = 32;

impl Waiting {
    /// How many clients wait, or are pushed to.
    pub(crate) fn len(&self) -> usize {
        self.clients.len()
    }

    /// A client waits for jobs of these queues, and for nothing that it has waited for before.
    pub(crate) fn add(&mut self, client: u64, queues: Vec<Bytes>, want: Want) {
        let is_full = matches!(want, Want::Push { window, out, .. } if out >= window);
        self.clients.insert(client, Waiter { number: 0, queues, want });
        if !is_full {
            self.line_up(client);
        }
    }

    /// A client does not wait any more.
    pub(crate) fn remove(&mut self, client: u64) -> Option<Want> {
        self.clients.remove(&client).map(|waiter| waiter.want)
    }

    /// Whether a client is pushed to.
    pub(crate) fn is_pushed_to(&self, client: u64) -> bool {
        self.clients.get(&client).is_some_and(|waiter| matches!(waiter.want, Want::Push { .. }))
    }

    /// Whether somebody waits in front of this queue.
    pub(crate) fn is_wanted(&self, queue: &Bytes) -> bool {
        self.lines.contains_key(queue)
    }

    /// How many stand in front of this queue: those that are pushed to, if they may have another job.
    pub(crate) fn count(&self, queue: &[u8]) -> usize {
        let places = self.lines.get(queue).into_iter().flat_map(|line| &line.places);
        places.filter(|place| is_place(&self.clients, place)).count()
    }

    /// Who is first in line, and what it wants.
    pub(crate) fn first(&mut self, queue: &[u8]) -> Option<(u64, &Want)> {
        let line = self.lines.get_mut(queue)?;
        let first = loop {
            let (client, number) = *line.places.front()?;
            match self.clients.get(&client) {
                Some(waiter) if waiter.number == number && !waiter.want.is_over() => break client,
                _ => line.places.pop_front(),
            };
        };
        self.clients.get(&first).map(|waiter| (first, &waiter.want))
    }

    /// The first in line has been pushed a job: it goes to the end, or away if that was as many as it can take.
    pub(crate) fn pushed(&mut self, queue: &[u8], client: u64) {
        let Some(line) = self.lines.get_mut(queue) else { return };
        let Some(place) = line.places.pop_front() else { return };
        let Some(Waiter { want: Want::Push { window, out, .. }, number, .. }) = self.clients.get_mut(&client)
        else {
            return;
        };
        *out += 1;
        if out < window {
            line.places.push_back(place);
        } else {
            *number = 0;
        }
    }

    /// A client has done with a job that was pushed to it. Returns the queues where it gets in line again.
    pub(crate) fn answered(&mut self, client: u64) -> Vec<Bytes> {
        let Some(Waiter { want: Want::Push { window, out, .. }, queues, .. }) = self.clients.get_mut(&client)
        else {
            return Vec::new();
        };
        let was_full = *out >= *window;
        *out = out.saturating_sub(1);
        if !was_full || *out >= *window {
            return Vec::new();
        }
        let queues = queues.clone();
        self.line_up(client);
        queues
    }

    /// Forgets those who do not wait any more, and lines in which nobody stands.
    pub(crate) fn tidy(&mut self) {
        self.clients.retain(|_, waiter| !waiter.want.is_over());
        let clients = &self.clients;
        self.lines.retain(|_, line| {
            line.places.retain(|place| is_place(clients, place));
            !line.places.is_empty()
        });
    }

    /// A client gets in line at all its queues.
    fn line_up(&mut self, client: u64) {
        self.last += 1;
        let Some(waiter) = self.clients.get_mut(&client) else { return };
        waiter.number = self.last;
        for queue in &self.clients[&client].queues {
            let line = self.lines.entry(queue.clone()).or_default();
            if line.places.len() >= line.many.max(FEW) {
                line.places.retain(|place| is_place(&self.clients, place));
                line.many = 2 * line.places.len();
            }
            line.places.push_back((client, self.last));
        }
    }
}

fn is_place(clients: &HashMap<u64, Waiter, RandomState>, (client, number): &(u64, u64)) -> bool {
    clients.get(client).is_some_and(|waiter| waiter.number == *number && !waiter.want.is_over())
}

impl Want {
    /// The time of its `GETJOB` is over, or somebody has ended it.
    fn is_over(&self) -> bool {
        matches!(self, Want::Reply { responder, .. } if responder.is_closed())
    }
}
