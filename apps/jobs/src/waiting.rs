//! The clients that wait for jobs.

use std::collections::{HashMap, VecDeque};

use bytes::Bytes;
use foldhash::fast::RandomState;
use thegiant::{Client, Error, Responder};

use crate::job::Delivery;

/// The clients that wait for jobs, and a wait list for each queue.
///
/// The first client in a list is served first.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    clients: HashMap<u64, Waiter, RandomState>,
    lists: HashMap<Bytes, WaitList, RandomState>,
    /// Number of the last entry that was added to a wait list.
    last: u64,
}

#[derive(Debug)]
struct Waiter {
    /// Number of its current list entries. Entries with another number are stale.
    number: u64,
    queues: Vec<Bytes>,
    want: Want,
}

/// How a client wants to receive jobs.
#[derive(Debug)]
pub(crate) enum Want {
    /// Wants a reply to `GETJOB`, with at most `count` jobs.
    Reply { responder: Responder<Option<Vec<Delivery>>>, count: usize },
    /// Wants pushes, as long as fewer than `window` pushed jobs are unfinished. `out` is their present number.
    Push { client: Client, window: usize, out: usize },
}

/// The clients that wait for jobs of one queue: client id and entry number.
#[derive(Debug, Default)]
struct WaitList {
    entries: VecDeque<(u64, u64)>,
    /// The length at which stale entries are removed.
    compact_len: usize,
}

const MIN_COMPACT_LEN: usize = 32;

impl Waiting {
    /// Returns the number of clients that wait or receive pushes.
    pub(crate) fn len(&self) -> usize {
        self.clients.len()
    }

    /// Registers a client for jobs of these queues. This replaces an earlier registration.
    pub(crate) fn add(&mut self, client: u64, queues: Vec<Bytes>, want: Want) {
        let is_full = matches!(want, Want::Push { window, out, .. } if out >= window);
        self.clients.insert(client, Waiter { number: 0, queues, want });
        if !is_full {
            self.enqueue(client);
        }
    }

    /// Removes a client.
    pub(crate) fn remove(&mut self, client: u64) -> Option<Want> {
        self.clients.remove(&client).map(|waiter| waiter.want)
    }

    /// Returns whether a client receives pushes.
    pub(crate) fn is_pushed_to(&self, client: u64) -> bool {
        self.clients.get(&client).is_some_and(|waiter| matches!(waiter.want, Want::Push { .. }))
    }

    /// Returns whether any client may wait for jobs of this queue.
    pub(crate) fn is_wanted(&self, queue: &Bytes) -> bool {
        self.lists.contains_key(queue)
    }

    /// Returns the number of clients that wait for jobs of this queue and can take one.
    pub(crate) fn count(&self, queue: &[u8]) -> usize {
        let entries = self.lists.get(queue).into_iter().flat_map(|list| &list.entries);
        entries.filter(|entry| is_current(&self.clients, entry)).count()
    }

    /// Returns whether a client waits for jobs of this queue, or receives them as pushes.
    pub(crate) fn is_listened_to(&self, queue: &[u8]) -> bool {
        let has_queue = |waiter: &Waiter| waiter.queues.iter().any(|name| name == queue);
        self.count(queue) > 0
            || self.clients.values().any(|waiter| !waiter.want.is_over() && has_queue(waiter))
    }

    /// Returns the first client that waits for jobs of this queue.
    pub(crate) fn first(&mut self, queue: &[u8]) -> Option<(u64, &Want)> {
        let list = self.lists.get_mut(queue)?;
        let first = loop {
            let (client, number) = *list.entries.front()?;
            match self.clients.get(&client) {
                Some(waiter) if waiter.number == number && !waiter.want.is_over() => break client,
                _ => list.entries.pop_front(),
            };
        };
        self.clients.get(&first).map(|waiter| (first, &waiter.want))
    }

    /// Moves the first client to the end of the list after a push.
    ///
    /// Removes it instead if its window is full.
    pub(crate) fn on_pushed(&mut self, queue: &[u8], client: u64) {
        let Some(list) = self.lists.get_mut(queue) else { return };
        let Some(entry) = list.entries.pop_front() else { return };
        let Some(Waiter { want: Want::Push { window, out, .. }, number, .. }) = self.clients.get_mut(&client)
        else {
            return;
        };
        *out += 1;
        if out < window {
            list.entries.push_back(entry);
        } else {
            *number = 0;
        }
    }

    /// Counts a finished push. Returns the queues in whose lists the client waits again.
    pub(crate) fn on_push_finished(&mut self, client: u64) -> Vec<Bytes> {
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
        self.enqueue(client);
        queues
    }

    /// Removes clients that have stopped waiting, stale entries and empty lists.
    pub(crate) fn tidy(&mut self) {
        self.clients.retain(|_, waiter| !waiter.want.is_over());
        let clients = &self.clients;
        self.lists.retain(|_, list| {
            list.entries.retain(|entry| is_current(clients, entry));
            !list.entries.is_empty()
        });
    }

    /// Ends all waits.
    ///
    /// Sends an error as the reply to `GETJOB`, and disconnects the clients that receive pushes.
    pub(crate) fn fail(self, error: &Error) {
        for Waiter { want, .. } in self.clients.into_values() {
            match want {
                Want::Reply { responder, .. } => responder.fail(error.clone()),
                Want::Push { client, .. } => client.kill(),
            }
        }
    }

    /// Adds a client to the lists of all its queues.
    fn enqueue(&mut self, client: u64) {
        self.last += 1;
        let Some(waiter) = self.clients.get_mut(&client) else { return };
        waiter.number = self.last;
        for queue in &self.clients[&client].queues {
            let list = self.lists.entry(queue.clone()).or_default();
            if list.entries.len() >= list.compact_len.max(MIN_COMPACT_LEN) {
                list.entries.retain(|entry| is_current(&self.clients, entry));
                list.compact_len = 2 * list.entries.len();
            }
            list.entries.push_back((client, self.last));
        }
    }
}

fn is_current(clients: &HashMap<u64, Waiter, RandomState>, (client, number): &(u64, u64)) -> bool {
    clients.get(client).is_some_and(|waiter| waiter.number == *number && !waiter.want.is_over())
}

impl Want {
    /// Returns whether a `GETJOB` has ended: by its timeout, by `CLIENT UNBLOCK` or with its connection.
    fn is_over(&self) -> bool {
        matches!(self, Want::Reply { responder, .. } if responder.is_closed())
    }
}
