//! The application of most tests: two actors, and commands that misbehave.

use std::{collections::HashMap, sync::mpsc};

use actix::Arbiter;
use thegiant::prelude::*;

/// Returns an application with two actors.
///
/// `FIRST` and `SECOND` reply with the name of their actor and their argument.
pub(crate) fn app() -> App {
    App::new().mount(First::default().start()).mount(Second.start())
}

/// Returns the same application with a third actor on its own thread.
///
/// Its command `GATE` blocks the actor until the [`Gatekeeper`] opens the gate.
pub(crate) fn gated() -> (impl FnOnce() -> App + Send, Gatekeeper) {
    let (begin, begun) = mpsc::channel();
    let (let_through, passes) = mpsc::channel();
    let app =
        move || app().mount(Gate::start_in_arbiter(&Arbiter::new().handle(), |_| Gate { begin, passes }));
    (app, Gatekeeper { begun, let_through })
}

/// Waits until a command runs on a [`Gate`], and opens the gate.
#[derive(Debug)]
pub(crate) struct Gatekeeper {
    begun: mpsc::Receiver<()>,
    let_through: mpsc::Sender<()>,
}

impl Gatekeeper {
    /// Waits until a `GATE` command runs.
    pub(crate) fn wait(&self) {
        self.begun.recv_timeout(super::PATIENCE).expect("a client sends GATE");
    }

    /// Lets one `GATE` command return.
    pub(crate) fn open(&self) {
        self.let_through.send(()).expect("the actor runs");
    }
}

/// Stores values, and has commands that misbehave.
#[derive(Debug, Default)]
struct First {
    values: HashMap<Bytes, Bytes>,
}

impl Actor for First {
    type Context = Context<Self>;
}

#[commands]
impl First {
    /// Returns the name of the actor and the text.
    #[command("FIRST", readonly, fast)]
    fn first(&self, text: &[u8]) -> Bytes {
        [b"first ", text].concat().into()
    }

    /// Sets a value.
    #[command("SET", write)]
    fn set(&mut self, key: Key, value: Bytes) {
        self.values.insert(key.into(), value);
    }

    /// Returns a value.
    #[command("GET", readonly, fast)]
    fn get(&self, key: Key<&[u8]>) -> Option<&Bytes> {
        self.values.get(*key)
    }

    /// Sets several values.
    #[command("MSET", write)]
    fn mset(&mut self, pairs: Vec<(Key, Bytes)>) {
        self.values.extend(pairs.into_iter().map(|(key, value)| (key.into(), value)));
    }

    /// Removes values. Returns the number of removed values.
    #[command("DEL", write, alias = "FORGET")]
    fn del(&mut self, keys: Vec<Key<&[u8]>>) -> usize {
        keys.iter().filter(|key| self.values.remove(key.0).is_some()).count()
    }

    /// Panics before it writes a reply.
    #[command("PANIC")]
    fn panic(&self) {
        panic!("on purpose");
    }

    /// Panics when most of its reply is written, including large strings.
    #[command("PANIC.LATE")]
    fn panic_late(&self) -> Array<impl ExactSizeIterator<Item = Bytes>> {
        Array((0..4).map(|index| match index {
            3 => panic!("on purpose"),
            _ => Bytes::from(vec![b'x'; 20_000]),
        }))
    }
}

#[derive(Debug)]
struct Second;

impl Actor for Second {
    type Context = Context<Self>;
}

#[commands]
impl Second {
    /// Returns the name of the actor and the text.
    #[command("SECOND", readonly, fast)]
    fn second(&self, text: &[u8]) -> Bytes {
        [b"second ", text].concat().into()
    }
}

#[derive(Debug)]
struct Gate {
    begin: mpsc::Sender<()>,
    passes: mpsc::Receiver<()>,
}

impl Actor for Gate {
    type Context = Context<Self>;
}

#[commands]
impl Gate {
    /// Blocks the thread until the gatekeeper opens the gate, or the test ends.
    #[command("GATE", blocking)]
    fn gate(&self) -> Simple {
        let _ = self.begin.send(());
        let _ = self.passes.recv();
        Simple("through")
    }
}
