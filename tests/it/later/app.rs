//! An application whose commands block, and which sends pushes.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    thread,
    time::Duration,
};

use actix_rt::time::sleep;
use thegiant::{Connected, Disconnected, PushId, prelude::*};

use crate::support::{RawClient, eventually, line};

/// Keeps the responders of blocked clients, and sends them the values that other clients give.
#[derive(Debug, Default)]
pub(super) struct Waiters {
    waiting: HashMap<Bytes, Vec<Responder<Option<Bytes>>>>,
    /// Number of dropped futures.
    dropped: Arc<AtomicUsize>,
    clients: HashMap<u64, Client>,
    /// The pushes to each client.
    pushes: HashMap<u64, Vec<PushId>>,
    disconnected: Vec<u64>,
}

impl Actor for Waiters {
    type Context = Context<Self>;
}

pub(crate) fn app() -> App {
    let waiters = Waiters::default().start();
    App::new().mount(waiters.clone()).on_connect(waiters.clone()).on_disconnect(waiters)
}

/// Returns when `count` clients are blocked on this name.
pub(super) fn wait_until_blocked(client: &mut RawClient, name: &str, count: usize) {
    eventually(|| (client.ask(line(&format!("WAITING {name}"))) == format!(":{count}\r\n")).then_some(()));
}

#[commands]
impl Waiters {
    /// Blocks until a client gives a value.
    #[command("AWAIT", blocking)]
    fn wait(&mut self, name: Bytes, responder: Responder<Option<Bytes>>) {
        self.waiting.entry(name).or_default().push(responder);
    }

    /// Blocks until a client gives a value, without the flag `blocking`.
    #[command("AWAITUNTOLD")]
    fn wait_without_flag(&mut self, name: Bytes, responder: Responder<Option<Bytes>>) {
        self.wait(name, responder);
    }

    /// Blocks until a client gives a value or the time is over.
    #[command("AWAITFOR", blocking)]
    fn wait_for(&mut self, name: Bytes, milliseconds: u64, responder: Responder<Option<Bytes>>) {
        let responder = responder.timeout(Duration::from_millis(milliseconds), None);
        self.waiting.entry(name).or_default().push(responder);
    }

    /// Blocks for at most the timeout of the row.
    #[command("AWAITROW", blocking, timeout = "30ms")]
    fn wait_row(&mut self, name: Bytes, responder: Responder<Option<Bytes>>) {
        self.wait(name, responder);
    }

    /// Gives a value to the client that has waited longest. If that client has left, the next one gets the
    /// value.
    #[command("GIVE")]
    fn give(&mut self, name: &[u8], mut value: Bytes) -> bool {
        let Some(waiting) = self.waiting.get_mut(name) else { return false };
        while !waiting.is_empty() {
            match waiting.remove(0).send(Some(value)) {
                Ok(()) => return true,
                Err(undelivered) => value = undelivered.expect("the value that was sent"),
            }
        }
        false
    }

    /// Gives a value to all waiting clients, from a new thread for each.
    #[command("GIVEFAR")]
    fn give_far(&mut self, name: &[u8], value: Bytes) {
        for responder in self.waiting.remove(name).unwrap_or_default() {
            let value = value.clone();
            thread::spawn(move || responder.send(Some(value)));
        }
    }

    /// Fails all waiting commands with an error.
    #[command("REFUSE")]
    fn refuse(&mut self, name: &[u8]) -> usize {
        let waiting = self.waiting.remove(name).unwrap_or_default();
        let count = waiting.len();
        waiting.into_iter().for_each(|responder| responder.fail(Error::new("NOPE", "not today")));
        count
    }

    /// Drops the responders without a reply.
    #[command("FORGET")]
    fn forget(&mut self, name: &[u8]) -> usize {
        self.waiting.remove(name).map_or(0, |waiting| waiting.len())
    }

    /// Returns the number of waiting clients.
    #[command("WAITING")]
    fn waiting(&self, name: &[u8]) -> usize {
        let is_open = |responder: &&Responder<_>| !responder.is_closed();
        self.waiting.get(name).map_or(0, |waiting| waiting.iter().filter(is_open).count())
    }

    /// Replies through a responder, before the handler returns.
    #[command("ATONCE")]
    fn at_once(&self, value: Bytes, responder: Responder<Bytes>) {
        assert_eq!(responder.send(value), Ok(()));
    }

    /// Replies with its return value.
    #[command("SAY")]
    fn say(&self, value: Bytes) -> Bytes {
        value
    }

    /// Returns a boxed future.
    #[command("FUTURE", blocking)]
    fn future(&self, milliseconds: u64, value: Bytes) -> ResponseFuture<Bytes> {
        Box::pin(async move {
            sleep(Duration::from_millis(milliseconds)).await;
            value
        })
    }

    /// Returns a future of the actor.
    #[command("ACTFUTURE", blocking)]
    fn act_future(&mut self, milliseconds: u64) -> ResponseActFuture<Self, Result<usize, Error>> {
        let sleep = sleep(Duration::from_millis(milliseconds));
        Box::pin(sleep.into_actor(self).map(|(), this, _| Ok(this.dropped.load(SeqCst))))
    }

    /// Is an `async` method.
    #[command("ASYNC", blocking)]
    async fn asynchronous(client: Client, milliseconds: u64, values: Vec<Bytes>) -> Vec<Bytes> {
        sleep(Duration::from_millis(milliseconds)).await;
        assert!(client.is_connected());
        values
    }

    /// Returns a future that never ends.
    #[command("NEVER", blocking)]
    fn never(&self) -> ResponseFuture<()> {
        let guard = Guard(Arc::clone(&self.dropped));
        Box::pin(async move {
            std::future::pending::<()>().await;
            drop(guard);
        })
    }

    /// Returns a future of the actor that never ends.
    #[command("ACTNEVER", blocking)]
    fn act_never(&self) -> ResponseActFuture<Self, ()> {
        let never = self.never();
        Box::pin(never.into_actor(self))
    }

    /// Returns the number of dropped futures.
    #[command("DROPPED")]
    fn dropped(&self) -> usize {
        self.dropped.load(SeqCst)
    }

    /// Returns a future that panics.
    #[command("BOOM", blocking)]
    async fn boom() -> usize {
        panic!("in a future");
    }

    /// Returns a future of the actor that panics.
    #[command("ACTBOOM", blocking)]
    fn act_boom(&self) -> ResponseActFuture<Self, ()> {
        Box::pin(async { panic!("in a future of an actor") }.into_actor(self))
    }

    /// Panics while it owns the responder.
    #[command("PANIC", blocking)]
    fn panic(&self, responder: Responder<()>) {
        assert!(responder.is_closed(), "in a handler");
    }

    /// Pushes a message to another client. Returns how many were pushed so far.
    #[command("PUSH")]
    fn push(&mut self, id: u64, kind: &str, value: &[u8]) -> Option<usize> {
        let push = self.clients.get(&id)?.push((kind, value))?;
        let pushes = self.pushes.entry(id).or_default();
        assert!(pushes.last().is_none_or(|before| *before < push));
        pushes.push(push);
        Some(pushes.len())
    }

    /// Pushes messages to the calling client, then replies.
    #[command("PUSHME")]
    fn push_me(&self, client: &Client, count: u64) -> u64 {
        (1..=count).filter_map(|number| client.push(("own", number))).count() as u64
    }

    /// Returns the number of pushes to a client that its socket has taken.
    #[command("TAKEN")]
    fn taken(&self, id: u64) -> Option<usize> {
        let (client, pushes) = (self.clients.get(&id)?, self.pushes.get(&id));
        Some(pushes.into_iter().flatten().filter(|push| client.has_taken(**push)).count())
    }

    /// Closes another client.
    #[command("CLOSE")]
    fn close(&self, id: u64) -> bool {
        self.clients.get(&id).inspect(|client| client.kill()).is_some()
    }

    /// Returns whether another client is connected.
    #[command("ISTHERE")]
    fn is_there(&self, id: u64) -> Option<bool> {
        Some(self.clients.get(&id)?.is_connected())
    }

    /// Counts the calls of this client.
    #[command("VISITS")]
    fn visits(&self, client: &Client) -> u64 {
        let visits = client.attached::<Visits>().map_or(0, |visits| visits.0) + 1;
        client.attach(Visits(visits));
        visits
    }

    /// Returns the IDs of disconnected clients.
    #[command("GONE")]
    fn disconnected(&self) -> Vec<u64> {
        self.disconnected.clone()
    }
}

struct Visits(u64);

struct Guard(Arc<AtomicUsize>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.fetch_add(1, SeqCst);
    }
}

impl Handler<Connected> for Waiters {
    type Result = ();

    fn handle(&mut self, Connected(client): Connected, _: &mut Context<Self>) {
        self.clients.insert(client.id(), client);
    }
}

impl Handler<Disconnected> for Waiters {
    type Result = ();

    fn handle(&mut self, Disconnected(client): Disconnected, _: &mut Context<Self>) {
        self.disconnected.push(client.id());
    }
}
