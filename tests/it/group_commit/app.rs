//! A store on a disk that does what a test asks for.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};

use actix::{ResponseFuture, clock::sleep};
use thegiant::{Commit, Elements, GroupCommit, prelude::*};
use tokio::sync::Semaphore;

use crate::support::{RawClient, Served, line};

pub(super) const FULL: &str = "-MISCONF the disk is full\r\n";

/// What the test sees of the disk, and how it is.
#[derive(Debug)]
pub(super) struct Disk {
    /// How many changes each commit was for.
    pub(super) committed: Mutex<Vec<usize>>,
    pub(super) is_full: AtomicBool,
    pub(super) panics: AtomicBool,
    /// One permit for each commit that may end, where they end later.
    gate: Semaphore,
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Options {
    pub(super) is_later: bool,
    pub(super) max_group_size: Option<usize>,
    pub(super) commit_delay: Duration,
}

pub(super) struct Store {
    disk: Arc<Disk>,
    options: Options,
    values: HashMap<Bytes, Bytes>,
    /// As they are on the disk.
    on_disk: HashMap<Bytes, Bytes>,
    changes: usize,
    waiting: Vec<(Bytes, Responder<Option<Bytes>>)>,
}

/// A server with such a store and an actor that does not commit.
pub(super) fn serve(options: Options) -> (Served, Arc<Disk>) {
    let disk = Arc::new(Disk {
        committed: Mutex::default(),
        is_full: AtomicBool::new(false),
        panics: AtomicBool::new(false),
        gate: Semaphore::new(0),
    });
    let of_store = Arc::clone(&disk);
    let served = Served::start(move || {
        let store = Store {
            disk: of_store,
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

pub(super) fn later() -> Options {
    Options { is_later: true, ..Options::default() }
}

impl Disk {
    /// One commit may end.
    pub(super) fn let_one_end(&self) {
        self.gate.add_permits(1);
    }

    pub(super) fn committed(&self) -> Vec<usize> {
        self.committed.lock().expect("nobody panics with it").clone()
    }

    pub(super) fn set_full(&self, is_full: bool) {
        self.is_full.store(is_full, SeqCst);
    }
}

pub(super) fn clients<const N: usize>(served: &Served) -> [RawClient; N] {
    std::array::from_fn(|_| RawClient::connect(served.address()))
}

/// Returns when the store has seen what was sent before by any client.
pub(super) fn let_store_run(client: &mut RawClient) {
    for _ in 0..3 {
        client.let_server_read();
    }
}

/// Whether the reply to what this client has sent is not there, although the store has run it.
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

    /// Waits until a key is set.
    #[command("AWAIT", readonly, blocking)]
    fn wait(&mut self, key: Key, responder: Responder<Option<Bytes>>) {
        self.waiting.push((key.into(), responder));
    }

    /// The same, for one who changes something thereby.
    #[command("AWAITWRITE", write, blocking)]
    fn wait_to_write(&mut self, key: Key, responder: Responder<Option<Bytes>>) {
        self.wait(key, responder);
    }

    /// Answers by its responder, but at once.
    #[command("SETATONCE", write)]
    fn set_at_once(&mut self, key: Key, value: Bytes, responder: Responder<()>) {
        self.set(key, value);
        let _ = responder.send(());
    }

    /// Answers after a while, without the actor.
    #[command("READLATER", readonly)]
    fn read_later(&self, text: String) -> ResponseFuture<String> {
        Box::pin(async {
            sleep(Duration::from_millis(5)).await;
            text
        })
    }

    /// All values, as they are when it is run.
    #[command("VALUES", readonly)]
    fn values(&self) -> Elements {
        Elements::of(self.values.values().cloned().collect::<Vec<_>>())
    }

    #[command("PANIC", readonly)]
    fn panic(&self) {
        panic!("as the test asks for");
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
        disk.committed.lock().expect("nobody panics with it").push(changes);
        assert!(!disk.panics.load(SeqCst), "as the test asks for");
        let committed = self.values.clone();
        if !self.options.is_later {
            let result = disk.result();
            if result.is_ok() {
                self.on_disk = committed;
            }
            return result.into();
        }
        // On the disk it is known at once; of its end the clients hear later.
        let before = std::mem::replace(&mut self.on_disk, committed);
        if disk.is_full.load(SeqCst) {
            self.on_disk = before;
        }
        Commit::later(async move {
            disk.gate.acquire().await.map_err(Error::err)?.forget();
            disk.result()
        })
    }

    fn rollback(&mut self, _: &Error, _: &mut Context<Self>) {
        assert!(!self.disk.panics.load(SeqCst), "as the test asks for");
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

/// An actor that does not commit.
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

/// What `INFO` says of commits, but for the time.
pub(super) fn counts(client: &mut RawClient) -> Vec<String> {
    let info = client.ask(line("INFO persistence"));
    let text = String::from_utf8_lossy(&info).into_owned();
    let is_count = |line: &&str| line.contains("commit") && !line.contains("usec");
    text.lines().filter(is_count).map(str::to_owned).collect()
}
