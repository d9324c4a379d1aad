//! Commands of several shards that reply later: each part of a batch waits by itself.

use std::time::Duration;

use actix::ResponseFuture;
use actix_rt::task::yield_now;
use thegiant::{App, Commit, GroupCommit, Responder, Server, Timeouts, prelude::*};

use super::keys_of_shards;
use crate::support::{ANY_PORT, RawClient, Served, eventually, info, line, lines};

/// Gives values to those who wait for them.
#[derive(Default)]
struct Desk {
    waiting: Vec<Waiting>,
}

/// A command that waits for the values of its keys.
struct Waiting {
    keys: Vec<Bytes>,
    values: Vec<Option<Bytes>>,
    responder: Responder<Vec<Option<Bytes>>>,
}

impl Actor for Desk {
    type Context = Context<Self>;
}

#[commands]
impl Desk {
    /// Waits for the next value of each key. Another client has to give it, as this is not flagged `blocking`.
    #[command("AWAIT", readonly, split)]
    fn wait_for(&mut self, keys: Vec<Key>, responder: Responder<Vec<Option<Bytes>>>) {
        let keys: Vec<Bytes> = keys.into_iter().map(Bytes::from).collect();
        let values = vec![None; keys.len()];
        self.waiting.push(Waiting { keys, values, responder });
    }

    /// Gives a value to those who wait for it, and returns how many there were.
    #[command("GIVE", write)]
    fn give(&mut self, key: Key, value: Bytes) -> usize {
        let Key(key) = key;
        let mut given = 0;
        for waiting in &mut self.waiting {
            for (_, missing) in
                waiting.keys.iter().zip(&mut waiting.values).filter(|(wanted, _)| **wanted == key)
            {
                *missing = Some(value.clone());
                given += usize::from(!waiting.responder.is_closed());
            }
        }
        let has_all = |waiting: &mut Waiting| waiting.values.iter().all(Option::is_some);
        for Waiting { values, responder, .. } in self.waiting.extract_if(.., has_all) {
            drop(responder.send(values));
        }
        given
    }

    /// Returns how many commands wait.
    #[command("WAITING", readonly, all = "agg_sum")]
    fn count_waiting(&self) -> usize {
        self.waiting.iter().filter(|waiting| !waiting.responder.is_closed()).count()
    }

    /// Replies at once.
    #[command("ECHO2", readonly)]
    fn echo(&self, key: Key) -> Bytes {
        key.into()
    }

    /// Reads a key, and replies later.
    #[command("READ", readonly)]
    fn read(&self, key: Key) -> ResponseFuture<Bytes> {
        Box::pin(async move {
            yield_now().await;
            key.into()
        })
    }

    /// Changes keys, and replies later.
    #[command("CHANGE", write, split = "all_succeeded")]
    fn change(&mut self, _keys: Vec<Key>) -> ResponseFuture<()> {
        Box::pin(yield_now())
    }
}

fn served(configure: fn(Server) -> Server) -> Served {
    let app = || App::new().mount_shards(4, |_| Desk::default()).atomic();
    Served::with(app, move |server| configure(server).workers(2).bind(ANY_PORT))
}

fn wait_until(client: &mut RawClient, waiting: usize) {
    eventually(|| (client.ask(line("WAITING")) == format!(":{waiting}\r\n")).then_some(()));
}

fn array(values: &[&str]) -> String {
    let values: String = values.iter().map(|value| format!("${}\r\n{value}\r\n", value.len())).collect();
    format!("*{}\r\n{values}", value_count(&values))
}

fn value_count(values: &str) -> usize {
    values.matches('$').count()
}

const UNBLOCKED: &str = "-UNBLOCKED client unblocked via CLIENT UNBLOCK\r\n";

/// The commands of a pipeline wait at the same time, and so do the parts of one command. Their replies keep the order of
/// the requests.
#[test]
fn commands_of_several_shards_wait_at_the_same_time() {
    let served = served(|server| server);
    let [mut client, mut other] = [(); 2].map(|()| RawClient::connect(served.address()));
    let keys = keys_of_shards(4);
    let [a, b, c, d] = &keys[..] else { panic!("four shards") };
    client.send(lines(&format!(
        "AWAIT {a} \n AWAIT {b} \n ECHO2 {a} \n AWAIT {c} {d} \n AWAIT {d} \n ECHO2 {c}"
    )));
    wait_until(&mut other, 4);
    // In each shard, the commands run in their order: the second `AWAIT` of `d` waits behind the first one.
    for (key, waiting) in [(d, 1), (c, 1), (b, 1), (a, 1)] {
        assert_eq!(other.ask(line(&format!("GIVE {key} for-{key}"))), format!(":{waiting}\r\n"));
    }
    wait_until(&mut other, 1);
    assert_eq!(other.ask(line(&format!("GIVE {d} again"))), ":1\r\n");
    let [for_a, for_b, for_c, for_d] = [a, b, c, d].map(|key| format!("for-{key}"));
    let bulk = |key: &str| format!("${}\r\n{key}\r\n", key.len());
    let expected =
        [array(&[&for_a]), array(&[&for_b]), bulk(a), array(&[&for_c, &for_d]), array(&["again"]), bulk(c)];
    assert_eq!(client.replies(6), expected.concat());
    assert_eq!(client.ask(line(&format!("ECHO2 {a}"))), bulk(a));
}

#[test]
fn a_client_is_unblocked_in_all_shards() {
    let served = served(|server| server);
    let [mut client, mut other] = [(); 2].map(|()| RawClient::connect(served.address()));
    let keys = keys_of_shards(4);
    let [a, b, c, d] = &keys[..] else { panic!("four shards") };
    let id = client.id();
    client.send(lines(&format!("AWAIT {a} {b} {c} \n AWAIT {d} \n ECHO2 {a}")));
    wait_until(&mut other, 4);
    assert_eq!(info(&mut other, "clients").number("blocked_clients"), 1);
    assert_eq!(other.ask(line(&format!("CLIENT UNBLOCK {id} ERROR"))), ":1\r\n");
    assert_eq!(client.replies(3), format!("{UNBLOCKED}{UNBLOCKED}${}\r\n{a}\r\n", a.len()));
    assert_eq!(other.ask(line(&format!("CLIENT UNBLOCK {id} ERROR"))), ":0\r\n");
    assert_eq!(other.ask(line(&format!("GIVE {a} late"))), ":0\r\n");
    wait_until(&mut other, 0);
}

#[test]
fn a_client_that_leaves_ends_its_waits_in_all_shards() {
    let served = served(|server| server);
    let mut other = RawClient::connect(served.address());
    let keys = keys_of_shards(4).join(" ");
    for leave in [drop, RawClient::reset] {
        let mut client = RawClient::connect(served.address());
        client.send(lines(&format!("AWAIT {keys} \n AWAIT {keys} \n ECHO2 a")));
        wait_until(&mut other, 4);
        leave(client);
        wait_until(&mut other, 0);
    }
    eventually(|| (info(&mut other, "clients").number("connected_clients") == 1).then_some(()));
}

#[test]
fn waits_time_out_in_all_shards() {
    let served = served(|server| server.timeouts(Timeouts::new().reply(Duration::from_millis(300))));
    let [mut client, mut other] = [(); 2].map(|()| RawClient::connect(served.address()));
    let keys = keys_of_shards(4);
    let [a, b, c, d] = &keys[..] else { panic!("four shards") };
    client.send(lines(&format!("AWAIT {a} {b} \n AWAIT {c} \n AWAIT {d} \n ECHO2 {a}")));
    wait_until(&mut other, 4);
    assert_eq!(other.ask(line(&format!("GIVE {c} in-time"))), ":1\r\n");
    let timeout = "-TIMEOUT the command was not answered in time\r\n";
    let expected = format!("{timeout}{}{timeout}${}\r\n{a}\r\n", array(&["in-time"]), a.len());
    assert_eq!(client.replies(4), expected);
}

#[test]
fn a_stop_ends_the_waits_in_all_shards() {
    let served = served(|server| server);
    let [mut client, mut other] = [(); 2].map(|()| RawClient::connect(served.address()));
    let keys = keys_of_shards(4);
    let [a, b, ..] = &keys[..] else { panic!("four shards") };
    client.send(lines(&format!("AWAIT {a} \n AWAIT {b} {a} \n ECHO2 {b} \n AWAIT {b}")));
    wait_until(&mut other, 2);
    served.stop().expect("it ends in order");
    let stops = "-UNBLOCKED the server is shutting down\r\n";
    assert_eq!(client.rest(), format!("{stops}{stops}${}\r\n{b}\r\n{stops}", b.len()));
}

/// A transaction waits for its commands one after the other, whichever shards they wait in.
#[test]
fn a_transaction_waits_in_all_shards() {
    let served = served(|server| server);
    let mut client = RawClient::connect(served.address());
    let keys = keys_of_shards(4);
    let [a, b, c, _] = &keys[..] else { panic!("four shards") };
    for _ in 0..20 {
        client.send(lines(&format!("MULTI \n READ {a} \n CHANGE {b} {c} \n READ {c} \n EXEC \n ECHO2 {b}")));
        let bulk = |key: &str| format!("${}\r\n{key}\r\n", key.len());
        let expected =
            format!("+OK\r\n{}*3\r\n{}+OK\r\n{}{}", "+QUEUED\r\n".repeat(3), bulk(a), bulk(c), bulk(b));
        assert_eq!(client.replies(6), expected);
    }
}

/// Tracking hears of the keys of commands that reply later, alone and in parts of a batch.
#[test]
fn the_keys_of_later_replies_are_tracked() {
    let served = served(|server| server);
    let [mut client, mut other] = [(); 2].map(|()| RawClient::connect(served.address()));
    let keys = keys_of_shards(4);
    let [a, b, ..] = &keys[..] else { panic!("four shards") };
    client.send(lines("HELLO 3 \n CLIENT TRACKING ON"));
    client.replies(2);
    let invalidation = |key: &str| format!(">2\r\n$10\r\ninvalidate\r\n*1\r\n${}\r\n{key}\r\n", key.len());
    let bulk = |key: &str| format!("${}\r\n{key}\r\n", key.len());
    for changes in [format!("CHANGE {a} \n CHANGE {b}"), format!("CHANGE {a} {b}")] {
        for reads in [vec![format!("READ {a}"), format!("READ {b}")], vec![format!("READ {a} \n READ {b}")]] {
            for read in reads {
                client.send(lines(&read));
            }
            assert_eq!(client.replies(2), format!("{}{}", bulk(a), bulk(b)));
            other.send(lines(&changes));
            other.replies(changes.matches("CHANGE").count());
            let mut received = [client.reply(), client.reply()].map(|push| push.to_vec());
            received.sort();
            let mut expected = [a, b].map(|key| invalidation(key).into_bytes());
            expected.sort();
            assert_eq!(received, expected, "{changes}");
        }
    }
}

/// Writes that are committed in groups, and reply later.
#[derive(Default)]
struct Ledger {
    is_broken: bool,
}

impl Actor for Ledger {
    type Context = Context<Self>;
}

impl GroupCommit for Ledger {
    fn commit(&mut self, _: &mut Context<Self>) -> Commit {
        match std::mem::take(&mut self.is_broken) {
            true => Err(Error::new("DISK", "it is full")).into(),
            false => Ok::<_, Error>(()).into(),
        }
    }

    fn rollback(&mut self, _: &Error, _: &mut Context<Self>) {}
}

#[commands(group_commit)]
impl Ledger {
    #[command("CHANGE", write, split = "all_succeeded")]
    fn change(&mut self, keys: Vec<Key>) -> ResponseFuture<()> {
        self.is_broken |= keys.iter().any(|key| key.starts_with(b"broken"));
        Box::pin(yield_now())
    }

    #[command("PUT", write)]
    fn put(&mut self, key: Key<&[u8]>) {
        self.is_broken |= key.starts_with(b"broken");
    }
}

/// Each shard commits its part, which waits meanwhile, and others do not.
#[test]
fn later_replies_of_several_shards_are_committed() {
    let app = || App::new().mount_shards(4, |_| Ledger::default());
    let served = Served::with(app, |server| server.workers(2).bind(ANY_PORT));
    let mut client = RawClient::connect(served.address());
    let keys = keys_of_shards(4);
    let [a, b, c, d] = &keys[..] else { panic!("four shards") };
    for _ in 0..20 {
        client.send(lines(&format!("CHANGE {a} {b} \n PUT {a} \n CHANGE {c} \n PUT {b} \n CHANGE {d} {a}")));
        assert_eq!(client.replies(5), "+OK\r\n".repeat(5));
        client.send(lines(&format!("CHANGE broken{{{b}}} {a} \n CHANGE {c} \n PUT {d}")));
        assert_eq!(client.replies(3), "-DISK it is full\r\n+OK\r\n+OK\r\n");
    }
}
