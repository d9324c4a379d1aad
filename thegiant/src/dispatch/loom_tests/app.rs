//! An application whose actors and connections run on loom's threads.

use std::{
    future::{Future, poll_fn},
    iter,
    pin::{Pin, pin},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    task::{Context as TaskContext, Poll, Wake, Waker},
};

use actix::{
    Actor, Addr, Context,
    dev::{EnvelopeProxy, channel},
};
use futures_core::Stream;
use loom::thread::{self, Thread};

use crate::{
    Client, Key, Keyspace, Responder,
    batch::{ActorId, Batch, RowId},
    client::Collected,
    command::Spec,
    commands,
    dispatch::{ClientBatch, MountedActor, Routes, TransactionQueue},
    resp::{Decoder, Progress, Protocol},
};

/// Records the commands that have run, in order.
pub(super) struct Recorder(Log);

/// The lines that commands have added on all shards.
#[derive(Clone, Default)]
pub(super) struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    fn add(&self, line: &str) {
        self.0.lock().expect("the lines").push(line.to_owned());
    }

    pub(super) fn lines(&self) -> Vec<String> {
        self.0.lock().expect("the lines").clone()
    }

    /// Returns the lines of one client.
    pub(super) fn lines_of(&self, client: &str) -> Vec<String> {
        self.lines().into_iter().filter(|line| line.starts_with(client)).collect()
    }
}

impl Actor for Recorder {
    type Context = Context<Self>;
}

#[commands]
impl Recorder {
    /// Adds a line to the log, and returns it.
    #[command("ADD", write)]
    fn add(&mut self, _key: Key<&[u8]>, line: String) -> String {
        self.0.add(&line);
        line
    }

    /// Adds a line to the log, and returns it from another thread.
    #[command("LATER", write)]
    fn later(&mut self, _key: Key<&[u8]>, line: String, responder: Responder<String>) {
        self.0.add(&line);
        thread::spawn(move || responder.send(line).expect("a client that waits"));
    }
}

/// A server without sockets. Its shards end when it is dropped.
pub(super) struct Server {
    routes: Routes,
}

/// An actor with its mailbox.
pub(super) struct Shard {
    actor: Recorder,
    mailbox: channel::AddressReceiver<Recorder>,
    context: Context<Recorder>,
}

impl Server {
    /// Creates a server and its shards.
    pub(super) fn new(shards: u16, log: &Log) -> (Arc<Self>, Vec<Shard>) {
        let mut server = Server { routes: Routes::default() };
        let keyspace = Keyspace::default();
        let started = (0..shards).map(|_| {
            let (sender, mailbox) = channel::channel(0);
            let address = Addr::new(sender).recipient();
            server.routes.add_actor(MountedActor::single("Recorder", address), &keyspace);
            Shard { actor: Recorder(log.clone()), mailbox, context: Context::new() }
        });
        let started = started.collect();
        server.routes.add_shards(ActorId(0), shards);
        server.routes.set_atomic();
        for (row, spec) in RowId::all::<Recorder>() {
            server.routes.add_command(spec, ActorId(0), row).expect("a new name");
        }
        (Arc::new(server), started)
    }

    /// Decodes requests, as a connection does.
    pub(super) fn batch(&self, requests: &str) -> Box<Batch> {
        let mut batch = Batch::new();
        let mut decoder = Decoder::default();
        batch.requests.own.input.extend_from_slice(requests.as_bytes());
        while decoder.start() < requests.len() {
            let decoded = decoder.decode(&mut batch.requests.own.input, &mut batch.requests.own.spans);
            assert!(matches!(decoded, Ok(Progress::Request)), "{requests:?}");
            batch.requests.push(|words| self.routes.resolve(words, 0));
        }
        batch
    }

    /// Returns the description of `ADD`.
    pub(super) fn command(&self) -> &'static Spec {
        self.routes.commands()[0]
    }

    /// Sends requests, and waits for their replies.
    pub(super) fn call(&self, client: &Client, requests: &str) -> String {
        self.run(client, self.batch(requests))
    }

    /// Runs requests as one transaction, and waits for their replies.
    pub(super) fn transact(&self, client: &Client, requests: &[[&str; 3]]) -> String {
        let mut queue = TransactionQueue::new();
        for words in requests {
            queue.push(&mut self.batch(&request(words)), &self.routes).expect("a request that can be queued");
        }
        let queued = queue.into_batch(Protocol::Resp2, iter::empty(), &self.routes);
        self.run(client, queued.expect("a transaction").0)
    }

    /// Runs the requests of a batch, as a connection does. Returns their replies.
    fn run(&self, client: &Client, mut batch: Box<Batch>) -> String {
        let mut replies = String::new();
        loop {
            let next = batch.next_target().and_then(|target| target.target()).map(|target| target.actor_id);
            match batch.next_wanted().or(next) {
                Some(actor_id) => {
                    self.routes.send(ClientBatch::new(client.clone(), batch), actor_id);
                    batch = collect(client);
                }
                None => {
                    replies.push_str(&take_replies(&mut batch));
                    if !batch.has_requests() {
                        batch.recycle();
                        return replies;
                    }
                }
            }
        }
    }
}

impl Shard {
    /// Runs the batches of one message. Returns `false` if the server is gone.
    ///
    /// While a message is in the mailbox, the queue must not send another one.
    fn run_next(&mut self) -> bool {
        let Shard { actor, mailbox, context } = self;
        let message = block_on(poll_fn(|cx| {
            let mut next = || Pin::new(&mut *mailbox).poll_next(cx);
            let message = next();
            if message.is_ready() {
                assert!(next().is_pending(), "two messages are in the mailbox");
            }
            if message.is_ready() || mailbox.connected() { message } else { Poll::Ready(None) }
        }));
        let Some(mut message) = message else { return false };
        message.handle(actor, context);
        true
    }

    /// Runs all batches until the server is gone.
    pub(super) fn run(mut self) {
        while self.run_next() {}
    }
}

/// Takes the answered batch of a client, as its connection does.
pub(super) fn collect(client: &Client) -> Box<Batch> {
    block_on(poll_fn(|cx| match client.collect(false, cx) {
        Collected::Answered(mut batch) => {
            batch.join_replies();
            Poll::Ready(batch)
        }
        Collected::Dispatched | Collected::Blocked => Poll::Pending,
    }))
}

/// Takes the replies of a batch.
pub(super) fn take_replies(batch: &mut Batch) -> String {
    let replies = batch.out.encoder().to_vec();
    batch.clear_replies();
    String::from_utf8(replies).expect("text")
}

/// Encodes a bulk string, which is the reply to `ADD`.
pub(super) fn bulk(text: &str) -> String {
    format!("${}\r\n{text}\r\n", text.len())
}

/// Runs a test in all orders of its threads in which at most this many of them are interrupted.
pub(super) fn explore(interruptions: usize, test: impl Fn() + Send + Sync + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(interruptions);
    model.max_branches = 10_000;
    let orders = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&orders);
    model.check(move || {
        count.fetch_add(1, Relaxed);
        test();
    });
    println!("{} orders", orders.load(Relaxed));
}

/// Encodes a request.
pub(super) fn request(words: &[&str]) -> String {
    let arguments: String = words.iter().map(|word| bulk(word)).collect();
    format!("*{}\r\n{arguments}", words.len())
}

/// Wakes a thread of loom.
struct ThreadWaker(Thread);

impl Wake for ThreadWaker {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Runs a future on this thread. A lost wake-up is a deadlock, which loom reports.
pub(super) fn block_on<T>(future: impl Future<Output = T>) -> T {
    let waker = Waker::from(Arc::new(ThreadWaker(thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut TaskContext::from_waker(&waker)) {
            Poll::Ready(value) => return value,
            Poll::Pending => thread::park(),
        }
    }
}
