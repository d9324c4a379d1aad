use std::{
    sync::{Arc, Barrier},
    thread,
};

use actix::{SyncArbiter, SyncContext};
use thegiant::prelude::*;

use crate::support::{RawClient, Served, exchange, line, lines};

const MEMBERS: usize = 4;

/// One actor of a pool, for work that blocks its thread.
#[derive(Debug)]
struct Member {
    barrier: Arc<Barrier>,
}

impl Actor for Member {
    type Context = SyncContext<Self>;
}

#[commands]
impl Member {
    /// Waits until every member of the pool runs this command.
    #[command("MEET", blocking)]
    fn meet(&self) -> Simple {
        self.barrier.wait();
        Simple("met")
    }

    /// Answers the text.
    #[command("SAY")]
    fn say<'a>(&self, text: &'a [u8]) -> &'a [u8] {
        text
    }

    #[command("PANIC")]
    fn panic(&self) {
        panic!("as it was told");
    }
}

fn app() -> App {
    let barrier = Arc::new(Barrier::new(MEMBERS));
    App::new().mount(SyncArbiter::start(MEMBERS, move || Member { barrier: Arc::clone(&barrier) }))
}

#[test]
fn every_member_finds_work() {
    let served = Served::start(app);
    for _ in 0..20 {
        thread::scope(|scope| {
            for _ in 0..MEMBERS {
                scope.spawn(|| assert_eq!(exchange(served.address(), line("MEET")), "+met\r\n"));
            }
        });
    }
}

#[test]
fn a_client_of_a_pool_is_answered_in_order() {
    let served = Served::start(app);
    let mut client = RawClient::connect(served.address());
    for round in 0..50 {
        client.send(lines(&format!("SAY {round} \n PING \n PANIC \n SAY b \n NOPE \n SAY c")));
        let number = round.to_string();
        let expected =
            format!("${}\r\n{number}\r\n+PONG\r\n-ERR internal error\r\n$1\r\nb\r\n", number.len());
        assert_eq!(client.replies(4), expected);
        assert!(client.reply().starts_with(b"-ERR unknown command"));
        assert_eq!(client.reply(), "$1\r\nc\r\n");
    }
}
