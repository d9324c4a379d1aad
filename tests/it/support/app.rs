//! The application that most tests talk to: two actors, and a few ways to misbehave.

use std::{collections::HashMap, sync::mpsc};

use actix::{ActorContext, Arbiter};
use thegiant::prelude::*;

/// Two actors: `FIRST` and `SECOND` answer their argument, with the actor's name before it.
pub(crate) fn app() -> App {
    App::new().mount(First::default().start()).mount(Second.start())
}

/// The same, and a third actor, in a thread of its own: `GATE` says that it has begun, then waits to
/// be let through.
pub(crate) fn gated() -> (impl FnOnce() -> App + Send, Gatekeeper) {
    let (begin, begun) = mpsc::channel();
    let (let_through, passes) = mpsc::channel();
    let app =
        move || app().mount(Gate::start_in_arbiter(&Arbiter::new().handle(), |_| Gate { begin, passes }));
    (app, Gatekeeper { begun, let_through })
}

/// Where a [`Gate`] is waited for and opened.
#[derive(Debug)]
pub(crate) struct Gatekeeper {
    begun: mpsc::Receiver<()>,
    let_through: mpsc::Sender<()>,
}

impl Gatekeeper {
    /// Returns when a client stands before the gate.
    pub(crate) fn wait(&self) {
        self.begun.recv_timeout(super::PATIENCE).expect("a client comes to the gate");
    }

    /// Lets one client through.
    pub(crate) fn open(&self) {
        self.let_through.send(()).expect("the gate is there");
    }
}

/// A few values, and the ways to misbehave.
#[derive(Debug, Default)]
struct First {
    values: HashMap<Bytes, Bytes>,
}

impl Actor for First {
    type Context = Context<Self>;
}

#[commands]
impl First {
    /// Answers the text.
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

    /// Forgets values, and counts those that were known.
    #[command("DEL", write, alias = "FORGET")]
    fn del(&mut self, keys: Vec<Key<&[u8]>>) -> usize {
        keys.iter().filter(|key| self.values.remove(key.0).is_some()).count()
    }

    /// Panics, before anything is written.
    #[command("PANIC")]
    fn panic(&self) {
        panic!("as the test asks for");
    }

    /// Panics when most of its reply is written, large strings included.
    #[command("PANIC.LATE")]
    fn panic_late(&self) -> Array<impl ExactSizeIterator<Item = Bytes>> {
        Array((0..4).map(|index| match index {
            3 => panic!("as the test asks for"),
            _ => Bytes::from(vec![b'x'; 20_000]),
        }))
    }

    /// Stops the actor, and so everything that it would have answered.
    #[command("FIRST.STOP")]
    fn stop(&self, context: &mut Context<Self>) {
        context.stop();
    }
}

#[derive(Debug)]
struct Second;

impl Actor for Second {
    type Context = Context<Self>;
}

#[commands]
impl Second {
    /// Answers the text.
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
    /// Waits to be let through. A test that has gone opens it.
    #[command("GATE", blocking)]
    fn gate(&self) -> Simple {
        let _ = self.begin.send(());
        let _ = self.passes.recv();
        Simple("through")
    }
}
