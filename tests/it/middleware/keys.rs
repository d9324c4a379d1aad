//! The keys that a middleware sees.

use std::sync::{Arc, Mutex};

use thegiant::{middleware::Decision, prelude::*, proxy::Upstream};

use crate::support::{Process, RawClient, Served, app, eventually, line, lines};

/// Keeps the keys of each request.
#[derive(Clone, Default)]
struct KeysSeen(Arc<Mutex<Vec<String>>>);

impl KeysSeen {
    fn middleware(&self) -> impl Fn(&Request) -> Decision + Send + Sync + 'static {
        let seen = self.clone();
        move |request: &Request| {
            let keys: Vec<_> = request.keys().map(String::from_utf8_lossy).collect();
            seen.0.lock().expect("no test panics here").push(keys.join(" "));
            Decision::Run
        }
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().expect("no test panics here"))
    }
}

#[test]
fn the_keys_are_those_of_the_row() {
    let seen = KeysSeen::default();
    let middleware = seen.middleware();
    let served = Served::start(move || app().middleware(middleware));
    let mut client = RawClient::connect(served.address());
    client.send(lines("SET a 1 \n PING \n NOSUCH a"));
    client.replies(3);
    assert_eq!(seen.take(), ["a", "", ""]);
}

/// The proxy has no rows for the commands that it sends on. The upstream says where their keys are.
#[test]
fn the_keys_for_an_upstream_are_those_that_it_describes() {
    let upstream = Process::redis(&[]);
    let (seen, address) = (KeysSeen::default(), upstream.address().to_owned());
    let middleware = seen.middleware();
    let served =
        Served::start(move || App::new().middleware(middleware).proxy(Upstream::new(&address).start()));
    let mut client = RawClient::connect(served.address());
    // The proxy asks the upstream for its commands when it connects.
    eventually(|| {
        client.ask(line("GET a"));
        (seen.take() == ["a"]).then_some(())
    });
    let requests =
        "set a 1 \n MSET a 1 b 2 \n ZUNIONSTORE d 2 x y \n XREAD COUNT 1 STREAMS s t 0 0 \n OBJECT ENCODING a
        SORT d BY w_* \n BLPOP empty 0.01 \n WATCH a b \n UNWATCH \n DBSIZE \n PING \n CLIENT ID \n NOSUCH a";
    client.send(lines(requests));
    client.replies(requests.lines().count());
    let keys = ["a", "a b", "d x y", "s t", "a", "d", "empty", "a b", "", "", "", "", ""];
    assert_eq!(seen.take(), keys);
    client.send(lines("MULTI \n SET a 1 \n EXEC"));
    client.replies(3);
    assert_eq!(seen.take(), ["", "a", ""]);
}
