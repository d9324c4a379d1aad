//! Clients that write and read while a test kills servers.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    thread,
};

use super::is_error;
use crate::support::{RawClient, Reply, eventually, request};

/// Number of keys of each writer, which writes and reads all of them in one pipeline.
const KEYS: usize = 8;

/// State that the writers and the test share.
pub(super) struct Writers {
    is_over: AtomicBool,
    /// Number of servers that the test has begun to kill or replace.
    losses: AtomicU64,
    /// Number of rounds without an error, for each writer.
    rounds: Vec<AtomicU64>,
}

impl Writers {
    /// Runs a test while this number of clients write. Returns the value that each key has at the end.
    pub(super) fn run(count: usize, address: &str, test: impl FnOnce(&Self)) -> Vec<(String, String)> {
        let rounds = (0..count).map(|_| AtomicU64::default()).collect();
        let writers = Writers { is_over: AtomicBool::new(false), losses: AtomicU64::default(), rounds };
        let ends: Vec<u64> = thread::scope(|scope| {
            let writers = &writers;
            let threads: Vec<_> =
                (0..count).map(|writer| scope.spawn(move || writers.write(address, writer))).collect();
            let over = Over(&writers.is_over);
            writers.go_on();
            test(writers);
            drop(over);
            threads.into_iter().map(|thread| thread.join().expect("no writer has failed")).collect()
        });
        let of_writer = |(writer, round)| (0..KEYS).map(move |number| pair(writer, number, round));
        ends.into_iter().enumerate().flat_map(of_writer).collect()
    }

    /// Allows each writer to lose the requests that it has in flight, because a server will be lost.
    pub(super) fn lose(&self) {
        self.losses.fetch_add(1, SeqCst);
    }

    /// Waits until each writer has completed more rounds.
    pub(super) fn go_on(&self) {
        for rounds in &self.rounds {
            let before = rounds.load(SeqCst);
            eventually(|| {
                assert!(!self.is_over.load(SeqCst), "a writer has failed");
                (rounds.load(SeqCst) > before + 5).then_some(())
            });
        }
    }

    /// Writes and reads until the test is over. Returns the last round, whose values all keys have.
    fn write(&self, address: &str, writer: usize) -> u64 {
        let _over = Over(&self.is_over);
        let mut client = RawClient::connect(address);
        let mut lost = 0;
        for round in 1.. {
            let is_over = self.is_over.load(SeqCst);
            let begun = self.losses.load(SeqCst);
            let requests = (0..KEYS).flat_map(|number| {
                let (key, value) = pair(writer, number, round);
                [request(["SET", &key, &value]), request(["GET", &key])].concat()
            });
            client.send(requests.collect::<Vec<_>>());
            let replies: Vec<_> = (0..KEYS).map(|_| [client.reply(), client.reply()]).collect();
            let losses = self.losses.load(SeqCst);
            let before = lost;
            for (number, [set, get]) in replies.iter().enumerate() {
                lost += [set, get].iter().filter(|reply| is_error(reply, "UPSTREAM")).count() as u64;
                assert!(set == "+OK\r\n" || is_error(set, "UPSTREAM"), "{set:?}");
                match Reply::only(get) {
                    Some(Reply::Bulk(value)) => {
                        let value = String::from_utf8(value).expect("text");
                        let (key, _) = pair(writer, number, round);
                        let of = value.strip_prefix(&format!("{key}:")).map(str::parse::<u64>);
                        let Some(Ok(of)) = of else { panic!("{value} is not of {key}") };
                        // Another server has the key now: it may have an old value, or none.
                        assert!(of == round || of < round && losses > 0, "{value} in round {round}");
                    }
                    Some(Reply::Null) => assert!(losses > 0, "in round {round}"),
                    _ => assert!(is_error(get, "UPSTREAM"), "{get:?}"),
                }
            }
            assert!(lost <= losses * 2 * KEYS as u64, "{lost} requests and {losses} servers are lost");
            if lost == before && begun == losses {
                self.rounds[writer].fetch_add(1, SeqCst);
            }
            if is_over && lost == before {
                return round;
            }
        }
        unreachable!("the test ends")
    }
}

/// Returns a key of a writer, and its value in this round.
fn pair(writer: usize, number: usize, round: u64) -> (String, String) {
    let key = format!("{writer}:{number}:value");
    let value = format!("{key}:{round}");
    (key, value)
}

/// Ends all writers when it is dropped, also if a writer or the test panics.
struct Over<'o>(&'o AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, SeqCst);
    }
}
