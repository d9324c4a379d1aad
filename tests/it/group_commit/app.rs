//! A store on a simulated disk that a test controls.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};

use actix::{ResponseFuture, clock::sleep};
use thegiant::{ArrayStream, Commit, GroupCommit, prelude::*};
use tokio::sync::Semaphore;

use crate::support::{RawClient, Served, line};

pub(super) const FULL: &str = "-MISCONF the disk is full\r\n";

/// A simulated disk that the test and the store share.
#[derive(Debug)]
pub(super) struct Disk {
    /// Number of changes of each commit.
    pub(super) committed: Mutex<Vec<usize>>,
    /// Number of values on the disk whenever the store heard of a successful commit.
    pub(super) successes: Mutex<Vec<usize>>,
    pub(super) is_full: AtomicBool,
    pub(super) panics: AtomicBool,
    /// Has one permit for each asynchronous commit that may complete.
    gate: Semaphore,
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Options {
    pub(super) is_asynchronous: bool,
    pub(super) max_group_size: Option<usize>,
    pub(super) commit_delay: Duration,
}

pub(super) struct Store {
    disk: Arc<Disk>,
    options: Options,
    values: HashMap<Bytes, Bytes>,
    /// The values on the disk.
    on_disk: HashMap<Bytes, Bytes>,
    changes: usize,
    waiting: Vec<(Bytes, Responder<Option<Bytes>>)>,
}

/// Starts a server with a store and an actor without group commit.
pub(super) fn serve(options: Options) -> (Served, Arc<Disk>) {
    let disk = Arc::new(Disk {
        committed: Mutex::default(),
        successes: Mutex::default(),
        is_full: AtomicBool::new(false),
        panics: AtomicBool::new(false),
        gate: Semaphore::new(0),
    });
    let store_disk = Arc::clone(&disk);
    let served = Served::start(move || {
        let store = Store {
            disk: store_disk,
            options,
            values: HashMap::new(),
            on_disk: HashMap::new(),
            changes: 0,
            waiting: Vec::new(),
        };
        App::new().mount(store.start()).mount(Memory.start())
    });
    (served, disk)
}

/// Options of a store whose commits complete when the test calls [`Disk::complete_one`].
pub(super) fn asynchronous() -> Options {
    Options { is_asynchronous: true, ..Options::default() }
}

impl Disk {
    /// Lets one asynchronous commit complete.
    pub(super) fn complete_one(&self) {
        self.gate.add_permits(1);
    }

    pub(super) fn committed(&self) -> Vec<usize> {
        self.committed.lock().expect("no thread panics with the lock").clone()
    }

    pub(super) fn set_full(&self, is_full: bool) {
        self.is_full.store(is_full, SeqCst);
    }
}

pub(super) fn clients<const N: usize>(served: &Served) -> [RawClient; N] {
    std::array::from_fn(|_| RawClient::connect(served.address()))
}

/// Waits until the store has run the earlier commands of all clients.
pub(super) fn let_store_run(client: &mut RawClient) {
    for _ in 0..3 {
        client.let_server_read();
    }
}

/// Returns whether the client has no reply yet although the store has run its commands.
pub(super) fn is_held(client: &mut RawClient, other: &mut RawClient) -> bool {
    let_store_run(other);
    client.is_silent()
}

impl Actor for Store {
    type Context = Context<Self>;
}

#[commands(group_commit)]
impl Store {
    #[command("SET", write)]
    fn set(&mut self, key: Key, value: Bytes) {
        self.changes += 1;
        let mut still_waiting = Vec::new();
        for (wanted, responder) in self.waiting.drain(..) {
            if wanted == *key {
                let _ = responder.send(Some(value.clone()));
            } else {
                still_waiting.push((wanted, responder));
            }
        }
        self.waiting = still_waiting;
        self.values.insert(key.into(), value);
    }

    #[command("GET", readonly)]
    fn get(&self, key: Key<&[u8]>) -> Option<&Bytes> {
        self.values.get(*key)
    }

    /// Blocks until a client sets the key.
    #[command("AWAIT", readonly, blocking)]
    fn wait(&mut self, key: Key, responder: Responder<Option<Bytes>>) {
        self.waiting.push((key.into(), responder));
    }

    /// Like `AWAIT`, as a write command.
    #[command("AWAITWRITE", write, blocking)]
    fn wait_to_write(&mut self, key: Key, responder: Responder<Option<Bytes>>) {
        self.wait(key, responder);
    }

    /// Replies through the responder, but at once.
    #[command("SETATONCE", write)]
    fn set_at_once(&mut self, key: Key, value: Bytes, responder: Responder<()>) {
        self.set(key, value);
        let _ = responder.send(());
    }

    /// Replies from a future after 5 ms.
    #[command("READLATER", readonly)]
    fn read_later(&self, text: String) -> ResponseFuture<String> {
        Box::pin(async {
            sleep(Duration::from_millis(5)).await;
            text
        })
    }

    /// Returns all current values as a streaming reply.
    #[command("VALUES", readonly)]
    fn values(&self) -> ArrayStream {
        ArrayStream::new(self.values.values().cloned().collect::<Vec<_>>())
    }

    #[command("PANIC", readonly)]
    fn panic(&self) {
        panic!("on purpose");
    }

    /// Stops the actor.
    #[command("STOP", write)]
    fn stop(&self, context: &mut Context<Self>) {
        context.stop();
    }
}

impl GroupCommit for Store {
    fn commit(&mut self, _: &mut Context<Self>) -> Commit {
        let disk = Arc::clone(&self.disk);
        let changes = std::mem::take(&mut self.changes);
        disk.committed.lock().expect("no thread panics with the lock").push(changes);
        assert!(!disk.panics.load(SeqCst), "on purpose");
        let committed = self.values.clone();
        if !self.options.is_asynchronous {
            let result = disk.result();
            if result.is_ok() {
                self.on_disk = committed;
            }
            return result.into();
        }
        // The disk has the values at once. The clients get their replies when the commit completes.
        let before = std::mem::replace(&mut self.on_disk, committed);
        if disk.is_full.load(SeqCst) {
            self.on_disk = before;
        }
        Commit::later(async move {
            disk.gate.acquire().await.map_err(Error::err)?.forget();
            disk.result()
        })
    }

    fn committed(&mut self, _: &mut Context<Self>) {
        self.disk.successes.lock().expect("no thread panics with the lock").push(self.on_disk.len());
        assert!(!self.values.contains_key(&b"panic"[..]), "on purpose");
    }

    fn rollback(&mut self, _: &Error, _: &mut Context<Self>) {
        assert!(!self.disk.panics.load(SeqCst), "on purpose");
        self.values = self.on_disk.clone();
        self.changes = 0;
    }

    fn max_group_size(&self) -> usize {
        self.options.max_group_size.unwrap_or(10_000)
    }

    fn commit_delay(&self) -> Duration {
        self.options.commit_delay
    }
}

impl Disk {
    fn result(&self) -> Result<(), Error> {
        if self.is_full.load(SeqCst) { Err(Error::new("MISCONF", "the disk is full")) } else { Ok(()) }
    }
}

/// An actor without group commit.
struct Memory;

impl Actor for Memory {
    type Context = Context<Self>;
}

#[commands]
impl Memory {
    #[command("SAY", readonly)]
    fn say(&self, text: Bytes) -> Bytes {
        text
    }
}

/// Returns the fields of `INFO` about commits, without the durations.
pub(super) fn counts(client: &mut RawClient) -> Vec<String> {
    let info = client.ask(line("INFO persistence"));
    let text = String::from_utf8_lossy(&info).into_owned();
    let is_count = |line: &&str| line.contains("commit") && !line.contains("usec");
    text.lines().filter(is_count).map(str::to_owned).collect()
}
