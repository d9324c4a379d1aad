//! Producers and workers work while the test kills the server again and again.

use std::{
    collections::{HashMap, HashSet},
    sync::Mutex,
    thread,
    time::Duration,
};

use thegiant::Bytes;

use super::{Database, bulk, connected, connected_with_resp3};
use crate::support::{Process, RawClient, Reply, kills, line};

const PRODUCERS: usize = 4;
const WORKERS: usize = 4;

/// The jobs that clients know, by their bodies.
#[derive(Default)]
struct Known {
    /// The server has acknowledged that it has the job.
    added: HashSet<String>,
    /// A worker has told the server that the job is done.
    done: HashSet<String>,
    /// The server has acknowledged this.
    ended: HashSet<String>,
    /// The tries of the last delivery.
    tries: HashMap<String, i64>,
}

#[test]
fn sqlite_loses_no_job() {
    survive(&Database::sqlite(), kills(40));
}

#[test]
fn postgres_loses_no_job() {
    survive(&Database::postgres(), kills(12));
}

fn survive(database: &Database, rounds: usize) {
    let known = Mutex::new(Known::default());
    for round in 0..rounds {
        let (process, _) = database.start();
        thread::scope(|scope| {
            for producer in 0..PRODUCERS {
                let (client, known) = (connected(&process), &known);
                scope.spawn(move || produce(client, &format!("{round}:{producer}"), known));
            }
            for worker in 0..WORKERS {
                let (client, known) = (worker_client(&process, worker % 2 == 0), &known);
                scope.spawn(move || work(client, worker % 2 == 0, known));
            }
            thread::sleep(Duration::from_millis(20 + (round * 7 % 60) as u64));
            drop(process);
        });
    }
    // The last workers get all jobs that are left.
    let (_process, mut client) = database.start();
    loop {
        let reply = client.ask(line("GETJOB TIMEOUT 1500 FROM q"));
        let Some(Reply::Array(jobs)) = Reply::only(&reply) else { break };
        let Reply::Array(fields) = &jobs[0] else { panic!("{jobs:?}") };
        let (id, _) = delivered(&fields[1..], &known);
        assert_eq!(client.ask(line(&format!("ACKJOB {id}"))), ":1\r\n");
    }
    assert_eq!(super::stat(&mut client, "q", "ready"), 0);
    let known = known.into_inner().expect("no client has failed");
    assert!(!known.ended.is_empty());
    let lost: Vec<_> = known.added.difference(&known.done).collect();
    assert!(lost.is_empty(), "{lost:?}");
}

/// Adds jobs of several kinds until the server is gone.
fn produce(mut client: RawClient, prefix: &str, known: &Mutex<Known>) {
    for number in 0.. {
        let body = format!("{prefix}:{number}");
        let options = match number % 4 {
            0 => String::new(),
            1 => format!("ID {body}"),
            2 => "DELAY 5".to_owned(),
            _ => "PRIORITY 1 RETRY 100000".to_owned(),
        };
        let Some(reply) = ask(&mut client, &format!("ADDJOB q {body} {options}")) else { return };
        assert!(reply.starts_with(b"$"), "{reply:?}");
        known.lock().expect("no client has failed").added.insert(body);
    }
}

fn worker_client(process: &Process, is_pushed: bool) -> RawClient {
    match is_pushed {
        true => connected_with_resp3(process),
        false => connected(process),
    }
}

/// Does jobs until the server is gone.
fn work(mut client: RawClient, is_pushed: bool, known: &Mutex<Known>) {
    if is_pushed && ask(&mut client, "WORKER q").is_none() {
        return;
    }
    loop {
        let job = match is_pushed {
            true => client.try_reply().ok(),
            false => ask(&mut client, "GETJOB FROM q"),
        };
        let (id, body) = match job.map(|reply| Reply::only(&reply)) {
            Some(Some(Reply::Push(fields))) => delivered(&fields[2..], known),
            Some(Some(Reply::Array(jobs))) => match &jobs[0] {
                Reply::Array(fields) => delivered(&fields[1..], known),
                other => panic!("{other:?}"),
            },
            None => return,
            other => panic!("{other:?}"),
        };
        // With a window of one, no push comes before this reply.
        let Some(reply) = ask(&mut client, &format!("ACKJOB {id}")) else { return };
        assert_eq!(reply, ":1\r\n");
        known.lock().expect("no client has failed").ended.insert(body);
    }
}

/// Notes a delivery of a job: id, body and tries. Returns the id and the body.
fn delivered(fields: &[Reply], known: &Mutex<Known>) -> (String, String) {
    let (id, body) = (bulk(&fields[0]), bulk(&fields[1]));
    let Reply::Integer(tries) = fields[2] else { panic!("{fields:?}") };
    let mut known = known.lock().expect("no client has failed");
    assert!(!known.ended.contains(&body), "{body} was done, and came back");
    // No two workers get a job with the same number.
    let before = known.tries.insert(body.clone(), tries);
    assert!(before.is_none_or(|before| before < tries), "{body}: {tries} tries after {before:?}");
    known.done.insert(body.clone());
    (id, body)
}

fn ask(client: &mut RawClient, request: &str) -> Option<Bytes> {
    client.try_send(line(request.trim_end())).ok()?;
    client.try_reply().ok()
}
