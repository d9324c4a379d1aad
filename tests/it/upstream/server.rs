//! An upstream that keeps its clients waiting, and the proxy in front of it.

use std::sync::mpsc;

use thegiant::{Responder, Upstream, prelude::*};

use crate::support::{ANY_PORT, Folder, RawClient, Served, line, request};

/// Holds what it is asked to, and says so.
pub(super) struct Holder {
    asked: mpsc::Sender<String>,
    held: Vec<Responder<Simple>>,
}

impl Actor for Holder {
    type Context = Context<Self>;
}

#[commands]
impl Holder {
    /// Is never answered.
    #[command("HOLD")]
    fn hold(&mut self, what: String, responder: Responder<Simple>) {
        self.held.push(responder);
        // The test may have ended.
        let _ = self.asked.send(what);
    }

    /// Waits for `OPEN`, and says so.
    #[command("WAITFOR", blocking)]
    fn wait_for(&mut self, what: String, responder: Responder<Simple>) {
        self.hold(what, responder);
    }

    /// Breaks the connections of all that wait.
    #[command("BREAK")]
    fn break_off(&mut self) {
        for responder in &self.held {
            responder.client().kill();
        }
    }

    /// Answers all that wait.
    #[command("OPEN")]
    fn open(&mut self) -> usize {
        let held = std::mem::take(&mut self.held);
        let sent = held.into_iter().map(|responder| responder.send(Simple("open")));
        sent.filter(Result::is_ok).count()
    }
}

/// A place for an upstream, which may come and go.
pub(super) struct Place {
    folder: Folder,
}

impl Place {
    pub(super) fn new() -> Self {
        Place { folder: Folder::new() }
    }

    pub(super) fn address(&self) -> String {
        self.folder.socket("upstream.sock")
    }

    /// An upstream, which tells what it was asked to hold.
    pub(super) fn open(&self) -> (Served, mpsc::Receiver<String>) {
        let (asked, asks) = mpsc::channel();
        let address = self.address();
        let app = || App::new().mount(Holder { asked, held: Vec::new() }.start());
        (Served::with(app, move |server| server.bind(address)), asks)
    }
}

/// Has it go without a word to those that wait.
pub(super) fn kill(upstream: Served) {
    RawClient::connect(upstream.address()).ask(line("BREAK"));
    drop(upstream);
}

/// What is in front of the upstream there.
pub(super) fn proxy(address: &str, configure: impl FnOnce(Upstream) -> Upstream + Send + 'static) -> Served {
    let upstream = Upstream::new(address);
    Served::with(|| App::new().proxy(configure(upstream).start()), |server| server.bind(ANY_PORT))
}

/// Client of this number stores values and reads them, in pipelines of up to four hundred requests, which is more than are
/// sent at once. Of each, `key` makes the key from its place and the round; values have less bytes than `longest`.
pub(super) fn converse(address: &str, number: usize, longest: usize, key: impl Fn(usize, usize) -> String) {
    let mut client = RawClient::connect(address);
    for round in 0..20 {
        let count = 1 + (number * 37 + round * 53) % 200;
        let value = |at: usize| format!("{number}-{round}-{at}-{}", "x".repeat(at * at * 7 % longest));
        let pairs = (0..count).map(|at| {
            let key = key(at, round);
            [request(["SET", &key, &value(at)]), request(["GET", &key])].concat()
        });
        let requests: Vec<u8> = pairs.flatten().collect();
        client.while_sending(&[&requests], |client| {
            for at in 0..count {
                assert_eq!(client.reply(), "+OK\r\n");
                let value = value(at);
                assert_eq!(client.reply(), format!("${}\r\n{value}\r\n", value.len()));
            }
        });
    }
}
