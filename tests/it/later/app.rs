//! An application whose clients wait.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    thread,
    time::Duration,
};

use actix::{ResponseActFuture, ResponseFuture, WrapFuture, fut::ActorFutureExt};
use actix_rt::time::sleep;
use thegiant::{Connected, Disconnected, prelude::*};

use crate::support::{RawClient, eventually, line};

/// Keeps those that wait, and gives them what others bring.
#[derive(Debug, Default)]
pub(super) struct Waiters {
    waiting: HashMap<Bytes, Vec<Responder<Option<Bytes>>>>,
    /// Futures that have been dropped.
    dropped: Arc<AtomicUsize>,
    clients: HashMap<u64, Client>,
    gone: Vec<u64>,
}

impl Actor for Waiters {
    type Context = Context<Self>;
}

pub(crate) fn app() -> App {
    let waiters = Waiters::default().start();
    App::new().mount(waiters.clone()).connected(waiters.clone()).disconnected(waiters)
}

/// Returns when so many clients wait under this name.
pub(super) fn wait_for_waiting(client: &mut RawClient, name: &str, count: usize) {
    eventually(|| (client.ask(line(&format!("WAITING {name}"))) == format!(":{count}\r\n")).then_some(()));
}

#[commands]
impl Waiters {
    /// Waits for a value.
    #[command("AWAIT", blocking)]
    fn wait(&mut self, name: Bytes, responder: Responder<Option<Bytes>>) {
        self.waiting.entry(name).or_default().push(responder);
    }

    /// Waits for a value, without the flag of a command that waits.
    #[command("AWAITUNTOLD")]
    fn wait_untold(&mut self, name: Bytes, responder: Responder<Option<Bytes>>) {
        self.wait(name, responder);
    }

    /// Waits for a value, but not for ever.
    #[command("AWAITFOR", blocking)]
    fn wait_for(&mut self, name: Bytes, milliseconds: u64, responder: Responder<Option<Bytes>>) {
        let responder = responder.timeout(Duration::from_millis(milliseconds), None);
        self.waiting.entry(name).or_default().push(responder);
    }

    /// Waits as long as the row says.
    #[command("AWAITROW", blocking, timeout = "30ms")]
    fn wait_row(&mut self, name: Bytes, responder: Responder<Option<Bytes>>) {
        self.wait(name, responder);
    }

    /// Gives the one who has waited for longest a value; what comes back is given to the next.
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

    /// The same, from a thread of its own.
    #[command("GIVEFAR")]
    fn give_far(&mut self, name: &[u8], value: Bytes) {
        for responder in self.waiting.remove(name).unwrap_or_default() {
            let value = value.clone();
            thread::spawn(move || responder.send(Some(value)));
        }
    }

    /// Gives all of them an error.
    #[command("REFUSE")]
    fn refuse(&mut self, name: &[u8]) -> usize {
        let waiting = self.waiting.remove(name).unwrap_or_default();
        let count = waiting.len();
        waiting.into_iter().for_each(|responder| responder.fail(Error::new("NOPE", "not today")));
        count
    }

    /// Gives them up.
    #[command("FORGET")]
    fn forget(&mut self, name: &[u8]) -> usize {
        self.waiting.remove(name).map_or(0, |waiting| waiting.len())
    }

    /// How many wait.
    #[command("WAITING")]
    fn waiting(&self, name: &[u8]) -> usize {
        let is_open = |responder: &&Responder<_>| !responder.is_closed();
        self.waiting.get(name).map_or(0, |waiting| waiting.iter().filter(is_open).count())
    }

    /// Answers at once.
    #[command("ATONCE")]
    fn at_once(&self, value: Bytes, responder: Responder<Bytes>) {
        assert_eq!(responder.send(value), Ok(()));
    }

    /// Answers at once, too.
    #[command("SAY")]
    fn say(&self, value: Bytes) -> Bytes {
        value
    }

    /// A future by itself.
    #[command("FUTURE", blocking)]
    fn future(&self, milliseconds: u64, value: Bytes) -> ResponseFuture<Bytes> {
        Box::pin(async move {
            sleep(Duration::from_millis(milliseconds)).await;
            value
        })
    }

    /// A future of the actor.
    #[command("ACTFUTURE", blocking)]
    fn act_future(&mut self, milliseconds: u64) -> ResponseActFuture<Self, Result<usize, Error>> {
        let sleep = sleep(Duration::from_millis(milliseconds));
        Box::pin(sleep.into_actor(self).map(|(), this, _| Ok(this.dropped.load(SeqCst))))
    }

    /// A future that is written as a function.
    #[command("ASYNC", blocking)]
    async fn asynchronous(client: Client, milliseconds: u64, values: Vec<Bytes>) -> Vec<Bytes> {
        sleep(Duration::from_millis(milliseconds)).await;
        assert!(client.is_connected());
        values
    }

    /// A future that never ends.
    #[command("NEVER", blocking)]
    fn never(&self) -> ResponseFuture<()> {
        let guard = Guard(Arc::clone(&self.dropped));
        Box::pin(async move {
            std::future::pending::<()>().await;
            drop(guard);
        })
    }

    /// A future of the actor that never ends.
    #[command("ACTNEVER", blocking)]
    fn act_never(&self) -> ResponseActFuture<Self, ()> {
        let never = self.never();
        Box::pin(never.into_actor(self))
    }

    /// How many futures have been dropped.
    #[command("DROPPED")]
    fn dropped(&self) -> usize {
        self.dropped.load(SeqCst)
    }

    /// A future that panics.
    #[command("BOOM", blocking)]
    async fn boom() -> usize {
        panic!("in a future");
    }

    /// A future of the actor that panics.
    #[command("ACTBOOM", blocking)]
    fn act_boom(&self) -> ResponseActFuture<Self, ()> {
        Box::pin(async { panic!("in a future of an actor") }.into_actor(self))
    }

    /// Panics with the responder in its hands.
    #[command("PANIC", blocking)]
    fn panic(&self, responder: Responder<()>) {
        assert!(responder.is_closed(), "in a handler");
    }

    /// Pushes something to another client.
    #[command("PUSH")]
    fn push(&self, id: u64, kind: &str, value: &[u8]) -> Option<u64> {
        self.clients.get(&id)?.push((kind, value))
    }

    /// Pushes something to the one who asks, then answers.
    #[command("PUSHME")]
    fn push_me(&self, client: &Client, count: u64) -> u64 {
        (1..=count).filter_map(|number| client.push(("own", number))).count() as u64
    }

    /// The last push that has been sent.
    #[command("TAKEN")]
    fn taken(&self, id: u64) -> Option<u64> {
        Some(self.clients.get(&id)?.pushes_taken())
    }

    /// Closes another client.
    #[command("CLOSE")]
    fn close(&self, id: u64) -> bool {
        self.clients.get(&id).inspect(|client| client.kill()).is_some()
    }

    /// Whether another client is there, as its handle says.
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

    /// The clients that have gone.
    #[command("GONE")]
    fn gone(&self) -> Vec<u64> {
        self.gone.clone()
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
        self.gone.push(client.id());
    }
}
