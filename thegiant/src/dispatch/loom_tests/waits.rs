//! The client slot: a blocked command gets one reply, whichever thread sends it first.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use loom::thread;

use super::app::{Log, Server, bulk, collect, explore, request, take_replies};
use crate::{
    Client,
    batch::{Batch, WaitId},
    client::ReplyHolder,
    dispatch::ClientBatch,
};

const NULL: &str = "$-1\r\n";
const TIMED_OUT: &str = "-TIMEOUT the command was not answered in time\r\n";

/// A client whose next command waits for a reply.
fn waiting(timeout: Option<Duration>) -> (Client, WaitId) {
    let client = Client::unconnected(1);
    let wait_id = client.begin_wait(timeout, false);
    (client, wait_id)
}

/// Returns a batch whose request has run and waits for its reply.
fn unanswered(client: &Client, wait_id: WaitId) -> ClientBatch {
    let (server, _) = Server::new(1, &Log::default());
    let mut batch = ClientBatch::new(client.clone(), server.batch(&request(&["ADD", "key", "line"])));
    batch.step(server.command(), |_, out| out.defer(wait_id));
    batch
}

/// Blocks the client as its actor does, and returns the reply that its connection gets.
fn block(client: &Client, wait_id: WaitId) -> String {
    match unanswered(client, wait_id).return_to_client() {
        Some(mut batch) => take_replies(&mut batch),
        None => take_replies(&mut collect(client)),
    }
}

fn reply(client: &Client, text: &str) -> Box<Batch> {
    client.reply(|out| out.bulk(text.as_bytes()))
}

/// Answers a command on another thread. The thread returns whether the command has taken the answer.
fn answer(client: &Client, wait_id: WaitId, text: &'static str) -> thread::JoinHandle<bool> {
    let client = client.clone();
    thread::spawn(move || client.answer(wait_id, reply(&client, text)))
}

#[test]
fn one_of_several_replies_is_delivered() {
    explore(3, || {
        let (client, wait_id) = waiting(None);
        let answer = answer(&client, wait_id, "answer");
        let unblock = thread::spawn({
            let client = client.clone();
            move || client.unblock(None)
        });
        let reply = block(&client, wait_id);
        let taken = [answer, unblock].map(|thread| thread.join().expect("the thread"));
        match taken {
            [true, false] => assert_eq!(reply, bulk("answer")),
            [false, true] => assert_eq!(reply, NULL),
            taken => panic!("{reply:?} {taken:?}"),
        }
    });
}

#[test]
fn a_timeout_or_a_reply_ends_a_wait() {
    explore(3, || {
        let (client, wait_id) = waiting(Some(Duration::ZERO));
        let answer = answer(&client, wait_id, "answer");
        let reply = block(&client, wait_id);
        let is_taken = answer.join().expect("the thread");
        assert_eq!(reply, if is_taken { bulk("answer") } else { TIMED_OUT.to_owned() });
    });
}

#[test]
fn a_late_reply_does_not_answer_the_next_command() {
    explore(3, || {
        let (client, wait_id) = waiting(Some(Duration::ZERO));
        let late = answer(&client, wait_id, "late");
        let first = block(&client, wait_id);
        let wait_id = client.begin_wait(None, false);
        let second = answer(&client, wait_id, "second");
        assert_eq!(block(&client, wait_id), bulk("second"));
        let is_taken = late.join().expect("the thread");
        assert_eq!(first, if is_taken { bulk("late") } else { TIMED_OUT.to_owned() });
        assert!(second.join().expect("the thread"));
    });
}

/// A reply that waits for a commit.
#[derive(Clone, Default)]
struct Held(Arc<Mutex<Option<Box<Batch>>>>);

impl ReplyHolder for Held {
    fn hold(self: Box<Self>, _: WaitId, reply: Box<Batch>) {
        *self.0.lock().expect("the reply") = Some(reply);
    }
}

impl Held {
    /// Releases the reply, as an actor does after its commit.
    fn release(&self, client: &Client, wait_id: WaitId) {
        let held = self.0.lock().expect("the reply").take();
        held.into_iter().for_each(|reply| client.answer_held(wait_id, reply));
    }
}

#[test]
fn a_reply_that_was_held_back_is_delivered_although_the_time_is_over() {
    explore(3, || {
        let (client, wait_id) = waiting(Some(Duration::ZERO));
        let held = Held::default();
        assert!(client.hold_reply_by(wait_id, Box::new(held.clone())).is_none());
        let answers: [fn(&Client, WaitId) -> bool; 2] = [
            |client, wait_id| client.answer(wait_id, reply(client, "answer")),
            |client, _| client.unblock(None),
        ];
        let threads = answers.map(|answer| {
            let (client, held) = (client.clone(), held.clone());
            thread::spawn(move || {
                let is_taken = answer(&client, wait_id);
                held.release(&client, wait_id);
                is_taken
            })
        });
        let reply = block(&client, wait_id);
        match threads.map(|thread| thread.join().expect("the thread")) {
            [true, false] => assert_eq!(reply, bulk("answer")),
            [false, true] => assert_eq!(reply, NULL),
            [false, false] => assert_eq!(reply, TIMED_OUT),
            [true, true] => panic!("both replies were taken, and {reply:?} was delivered"),
        }
    });
}
