use std::{future::poll_fn, pin::pin, task::Poll, time::Duration};

use thegiant::prelude::*;
use thegiant_client::{Call, CallError, Connection};
use tokio::task::JoinSet;

use super::run;
use crate::support::{Folder, RawClient, Served, line};

#[derive(Default)]
struct Counter {
    count: u64,
}

impl Actor for Counter {
    type Context = Context<Self>;
}

#[commands(client = "Calls")]
impl Counter {
    /// Counts one up.
    #[command("COUNT", write)]
    fn count(&mut self) -> u64 {
        self.count += 1;
        self.count
    }

    /// Returns the text.
    #[command("SAY")]
    fn say(&self, text: Bytes) -> Bytes {
        text
    }

    /// Replies after a moment.
    #[command("SLEEP", blocking)]
    async fn sleep(milliseconds: u64) -> u64 {
        actix_rt::time::sleep(Duration::from_millis(milliseconds)).await;
        milliseconds
    }
}

fn app() -> App {
    App::new().mount(Counter::default().start())
}

/// More calls than the queue has room for.
#[test]
fn thousands_of_calls_at_the_same_time_each_get_their_own_reply() {
    let served = Served::start(app);
    run(async {
        let calls = Calls::from(Connection::connect(served.address()).await.expect("a connection"));
        let mut tasks = JoinSet::new();
        for number in 0..5000 {
            let calls = calls.clone();
            tasks.spawn(async move {
                let text = format!("{number}-").repeat(1 + number % 50);
                (calls.say(&text).await, text)
            });
        }
        while let Some(task) = tasks.join_next().await {
            let (reply, text) = task.expect("no panic");
            assert_eq!(reply, Ok(Bytes::from(text)));
        }
    });
}

#[test]
fn calls_that_are_awaited_together_share_their_batches() {
    let served = Served::start(app);
    let batches = || {
        let stats = RawClient::connect(served.address()).ask(line("INFO stats"));
        let stats = String::from_utf8_lossy(&stats).into_owned();
        let reads = stats.lines().find_map(|line| line.strip_prefix("total_reads_processed:"));
        reads.and_then(|reads| reads.parse::<u64>().ok())
    };
    run(async {
        let calls = Calls::from(Connection::connect(served.address()).await.expect("a connection"));
        let before = batches();
        let mut all: Vec<Call<u64>> = (0..100).map(|_| calls.count()).collect();
        let mut replies = Vec::new();
        // Polls all calls before any has its reply.
        poll_fn(|cx| {
            all.retain_mut(|call| match pin!(call).poll(cx) {
                Poll::Ready(reply) => {
                    replies.push(reply.expect("a reply"));
                    false
                }
                Poll::Pending => true,
            });
            if all.is_empty() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        assert_eq!(replies, (1..=100).collect::<Vec<_>>());
        if let (Some(before), Some(after)) = (before, batches()) {
            assert!(after - before < 50, "{before} {after}");
        }
    });
}

#[test]
fn a_cancelled_call_takes_no_reply_from_another() {
    let served = Served::start(app);
    run(async {
        let calls = Calls::from(Connection::connect(served.address()).await.expect("a connection"));
        // It is never polled, so it is not sent.
        drop(calls.count());
        // It is sent, and its reply comes after it is dropped.
        let cancelled = tokio::time::timeout(Duration::from_millis(1), calls.sleep(50)).await;
        assert!(cancelled.is_err());
        let (first, second) = (calls.count().await, calls.say("after").await);
        assert_eq!((first, second), (Ok(1), Ok(Bytes::from("after"))));
    });
}

#[test]
fn a_connection_survives_restarts_of_its_server() {
    let folder = Folder::new();
    let address = folder.socket("client");
    let start = || {
        let address = address.clone();
        Served::with(app, |server| server.bind(address))
    };
    run(async {
        let mut served = start();
        let calls = Calls::from(Connection::connect(address.clone()).await.expect("a connection"));
        for _ in 0..3 {
            assert_eq!(calls.count().await, Ok(1));
            served.stop().expect("the server stops");
            let error = calls.count().await.expect_err("an error");
            assert!(matches!(error, CallError::NotSent(_) | CallError::Lost(_)), "{error:?}");
            served = start();
            // Until the next attempt, calls fail at once.
            let reply = loop {
                match calls.say("again").await {
                    Err(CallError::NotSent(_) | CallError::Lost(_)) => {
                        tokio::time::sleep(Duration::from_millis(10)).await;
                    }
                    reply => break reply,
                }
            };
            assert_eq!(reply, Ok(Bytes::from("again")));
        }
    });
}

#[test]
fn a_connection_authenticates_and_selects_its_database() {
    let app = || App::new().databases(4).fallback(|request: &Request| i64::from(request.client().db()));
    let served = Served::with(app, |server| server.password("secret").bind(crate::support::ANY_PORT));
    run(async {
        let builder = || Connection::builder(served.address()).name("tester").db(3);
        for protocol in [thegiant_client::Protocol::Resp2, thegiant_client::Protocol::Resp3] {
            let connection =
                builder().password("secret").protocol(protocol).connect().await.expect("a connection");
            assert_eq!(connection.call::<i64>("DB").await, Ok(3));
            assert_eq!(connection.call::<String>(("CLIENT", "GETNAME")).await, Ok("tester".to_owned()));
            let refused =
                builder().password("wrong").protocol(protocol).connect().await.expect_err("an error");
            assert!(refused.to_string().contains("WRONGPASS"), "{refused}");
        }
        let refused = builder().password("secret").db(4).connect().await.expect_err("an error");
        let text =
            "the request was not sent: the server refuses the connection: ERR DB index is out of range";
        assert_eq!(refused.to_string(), text);
    });
}
