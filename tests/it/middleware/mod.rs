//! Middleware: what it sees, refuses and delays.

mod delays;
mod keys;
mod outcomes;
mod ready_made;
mod refusals;

use std::sync::{Arc, Mutex, mpsc};

use thegiant::{
    middleware::{Decision, Middleware, Outcome},
    prelude::*,
};

use crate::support::app;

/// Records everything that it sees, and refuses or delays requests by their words.
#[derive(Clone, Default)]
struct Recorder {
    name: &'static str,
    events: Arc<Mutex<Vec<String>>>,
    /// Refuses requests with this word.
    refuses: &'static str,
}

impl Recorder {
    fn named(name: &'static str, events: &Arc<Mutex<Vec<String>>>) -> Self {
        Recorder { name, events: Arc::clone(events), refuses: "" }
    }

    fn refusing(refuses: &'static str) -> Self {
        Recorder { refuses, ..Recorder::default() }
    }

    fn record(&self, text: String) {
        let text = if self.name.is_empty() { text } else { format!("{} {text}", self.name) };
        self.events.lock().expect("no test panics here").push(text);
    }

    /// Returns the events since the last call.
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.events.lock().expect("no test panics here"))
    }
}

/// Returns the words of a request.
fn words(request: &Request) -> String {
    let words = (0..request.len()).filter_map(|index| request.get(index));
    words.map(String::from_utf8_lossy).collect::<Vec<_>>().join(" ")
}

impl Middleware for Recorder {
    fn before(&self, request: &Request) -> Decision {
        self.record(format!("> {}", words(request)));
        let is_refused = (0..request.len()).any(|index| request.get(index) == Some(self.refuses.as_bytes()));
        if is_refused && !self.refuses.is_empty() {
            Decision::refuse(Error::new("NOPE", "not this one"))
        } else {
            Decision::Run
        }
    }

    fn after(&self, request: &Request, outcome: &Outcome) {
        let refused = if outcome.is_refused() { " refused" } else { "" };
        self.record(format!("< {} {}{refused}", words(request), outcome.error_code().unwrap_or("ok")));
    }
}

/// Returns the application of most tests, with a middleware.
fn with(middleware: impl Middleware) -> impl FnOnce() -> App + Send {
    move || app().middleware(middleware).mount(Later::default().start())
}

/// Replies later.
#[derive(Default)]
struct Later {
    waiting: Vec<Responder<i64>>,
}

impl Actor for Later {
    type Context = Context<Self>;
}

#[commands]
impl Later {
    /// Waits for `RELEASE`.
    #[command("HOLD", blocking)]
    fn hold(&mut self, responder: Responder<i64>) {
        self.waiting.push(responder);
    }

    /// Answers all `HOLD` commands.
    #[command("RELEASE")]
    fn release(&mut self, value: i64) -> usize {
        let waiting = std::mem::take(&mut self.waiting);
        waiting.into_iter().filter_map(|responder| responder.send(value).ok()).count()
    }

    /// Returns an error from a future.
    #[command("FAIL")]
    fn fail(&self) -> ResponseFuture<Result<i64, Error>> {
        Box::pin(async { Err(Error::new("LATE", "it failed later")) })
    }
}

/// Returns a middleware that sends the time that each command took.
fn timer() -> (impl Middleware, mpsc::Receiver<(String, std::time::Duration)>) {
    struct Timer(Mutex<mpsc::Sender<(String, std::time::Duration)>>);

    impl Middleware for Timer {
        fn after(&self, request: &Request, outcome: &Outcome) {
            let sender = self.0.lock().expect("no panic");
            let _ = sender.send((words(request), outcome.took()));
        }
    }

    let (sender, receiver) = mpsc::channel();
    (Timer(Mutex::new(sender)), receiver)
}
