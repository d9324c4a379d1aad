//! An upstream that blocks its clients, and a proxy in front of it.

use std::sync::mpsc;

use thegiant::{Responder, prelude::*, proxy::Upstream};

use crate::support::{ANY_PORT, Folder, RawClient, Served, line, request};

/// Blocks clients, and reports each blocked command to the test.
pub(super) struct Holder {
    asked: mpsc::Sender<String>,
    held: Vec<Responder<Simple>>,
}

impl Actor for Holder {
    type Context = Context<Self>;
}

#[commands]
impl Holder {
    /// Blocks until `OPEN`.
    #[command("HOLD")]
    fn hold(&mut self, what: String, responder: Responder<Simple>) {
        self.held.push(responder);
        // The test may have ended.
        let _ = self.asked.send(what);
    }

    /// Like `HOLD`, under the name of a command that is slow by nature.
    #[command("KEYS")]
    fn keys(&mut self, what: String, responder: Responder<Simple>) {
        self.hold(what, responder);
    }

    /// Like `HOLD`, with the flag `blocking`.
    #[command("WAITFOR", blocking)]
    fn wait_for(&mut self, what: String, responder: Responder<Simple>) {
        self.hold(what, responder);
    }

    /// Closes the connections of all blocked clients.
    #[command("BREAK")]
    fn break_off(&mut self) {
        for responder in &self.held {
            responder.client().kill();
        }
    }

    /// Unblocks all clients. Returns their number.
    #[command("OPEN")]
    fn open(&mut self) -> usize {
        let held = std::mem::take(&mut self.held);
        let sent = held.into_iter().map(|responder| responder.send(Simple("open")));
        sent.filter(Result::is_ok).count()
    }
}

/// The address of an upstream that tests can stop and start again.
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

    /// Starts an upstream. The receiver gets the argument of each blocked command.
    pub(super) fn open(&self) -> (Served, mpsc::Receiver<String>) {
        let (asked, asks) = mpsc::channel();
        let address = self.address();
        let app = || App::new().mount(Holder { asked, held: Vec::new() }.start());
        (Served::with(app, move |server| server.bind(address)), asks)
    }
}

/// Stops an upstream without a reply to its blocked clients.
pub(super) fn kill(upstream: Served) {
    RawClient::connect(upstream.address()).ask(line("BREAK"));
    drop(upstream);
}

/// Starts a proxy in front of an upstream.
pub(super) fn proxy(address: &str, configure: impl FnOnce(Upstream) -> Upstream + Send + 'static) -> Served {
    let upstream = Upstream::new(address);
    Served::with(|| App::new().proxy(configure(upstream).start()), |server| server.bind(ANY_PORT))
}

/// Stores values and reads them, in pipelines of up to 400 requests, which is more than the proxy sends at once.
///
/// `number` identifies the client. `key` makes a key from the index in the pipeline and the round. Values have fewer than
/// `longest` bytes.
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
