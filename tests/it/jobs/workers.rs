//! Who waits for jobs, and who is pushed them.

use super::{add, connected, id_in, start, stat, wait_for_workers};
use crate::support::{RawClient, eventually, line, lines};

#[test]
fn who_waits_longest_is_served_first() {
    let server = start();
    let mut client = connected(&server);
    let mut workers: Vec<RawClient> = (1..=10)
        .map(|count| {
            let mut worker = connected(&server);
            worker.send(line("GETJOB FROM other q"));
            wait_for_workers(&mut client, count);
            worker
        })
        .collect();
    let ids: Vec<String> = (0..10).map(|number| add(&mut client, &format!("q {number}"))).collect();
    for (worker, id) in workers.iter_mut().zip(ids) {
        assert_eq!(id_in(&worker.reply()), id);
    }
    wait_for_workers(&mut client, 0);
}

#[test]
fn a_wait_ends_after_its_time() {
    let server = start();
    let (mut client, mut worker) = (connected(&server), connected(&server));
    for _ in 0..100 {
        assert_eq!(worker.ask(line("GETJOB TIMEOUT 1 FROM q")), "$-1\r\n");
    }
    let id = add(&mut client, "q a");
    assert_eq!(client.ask(line("QLEN q")), ":1\r\n", "nobody has it");
    assert_eq!(id_in(&worker.ask(line("GETJOB TIMEOUT 1 FROM q"))), id);
}

#[test]
fn a_worker_that_left_is_not_served() {
    let server = start();
    let mut client = connected(&server);
    let (mut gone, mut there) = (connected(&server), connected(&server));
    gone.send(line("GETJOB FROM q"));
    wait_for_workers(&mut client, 1);
    there.send(line("GETJOB FROM q"));
    wait_for_workers(&mut client, 2);
    drop(gone);
    wait_for_workers(&mut client, 1);
    let id = add(&mut client, "q a");
    assert_eq!(id_in(&there.reply()), id);
}

#[test]
fn jobs_are_pushed_within_a_window() {
    let server = start();
    let (mut client, mut worker) = (connected(&server), connected(&server));
    worker.ask(line("HELLO 3"));
    let ids: Vec<String> = (0..6).map(|number| add(&mut client, &format!("q {number}"))).collect();
    assert_eq!(worker.ask(line("WORKER other q WINDOW 2")), "+OK\r\n");
    let push = worker.reply();
    assert_eq!(push, format!(">5\r\n$3\r\njob\r\n$1\r\nq\r\n$25\r\n{}\r\n$1\r\n0\r\n:0\r\n", ids[0]));
    assert_eq!(id_in(&worker.reply()), ids[1]);
    assert_eq!(stat(&mut client, "q", "out"), 2);
    // Each that is done makes room for another, whichever way it is done.
    for (number, done) in
        ["ACKJOB {}", "REPLYJOB {} result", "FAILJOB {} reason", "DELJOB {}"].iter().enumerate()
    {
        worker.send(line(&done.replace("{}", &ids[number])));
        let (reply, push) = (worker.reply(), worker.reply());
        assert!(reply.starts_with(b":"), "{reply:?}");
        assert_eq!(id_in(&push), ids[number + 2]);
        assert_eq!(stat(&mut client, "q", "out"), 2);
    }
    // One that is given back comes again.
    worker.send(line(&format!("NACK {}", ids[4])));
    assert_eq!(worker.reply(), ":1\r\n");
    assert_eq!(id_in(&worker.reply()), ids[4]);
    assert_eq!(
        worker.ask(line("GETJOB FROM q")),
        "-ERR jobs are pushed to this connection, and cannot be asked for\r\n"
    );
}

#[test]
fn pushes_go_round_among_workers() {
    let server = start();
    let mut client = connected(&server);
    let mut workers: Vec<RawClient> = (0..3).map(|_| connected(&server)).collect();
    for worker in &mut workers {
        assert_eq!(worker.ask(line("WORKER q WINDOW 10")), "+OK\r\n");
    }
    let ids: Vec<String> = (0..9).map(|number| add(&mut client, &format!("q {number}"))).collect();
    for (number, id) in ids.iter().enumerate() {
        let push = workers[number % 3].reply();
        assert!(push.starts_with(b"*5\r\n$3\r\njob\r\n"), "{push:?}");
        assert_eq!(id_in(&push), *id);
    }
}

#[test]
fn what_was_pushed_and_not_sent_was_not_tried() {
    let server = start();
    let (mut client, mut worker) = (connected(&server), connected(&server));
    // More than a socket takes of a client that does not read.
    let body = "x".repeat(1 << 20);
    let request = format!(
        "*5\r\n$6\r\nADDJOB\r\n$1\r\nq\r\n${}\r\n{body}\r\n$8\r\nMAXTRIES\r\n$1\r\n1\r\n",
        body.len()
    );
    for _ in 0..20 {
        client.ask(&request);
    }
    assert_eq!(worker.ask(line("WORKER q WINDOW 20")), "+OK\r\n");
    eventually(|| (stat(&mut client, "q", "out") == 20).then_some(()));
    let read = id_in(&worker.reply());
    drop(worker);
    eventually(|| (stat(&mut client, "q", "out") == 0).then_some(()));
    let (ready, dead) = (stat(&mut client, "q", "ready"), stat(&mut client, "q", "dead"));
    assert_eq!(ready + dead, 20);
    assert!(ready >= 1, "{ready} of 20 have not been sent, and so not been tried");
    let dead = client.ask(line("GETJOB COUNT 20 FROM dead:q"));
    assert!(String::from_utf8_lossy(&dead).contains(&read), "what it has read, it has tried");
}

#[test]
fn a_worker_that_takes_too_long_is_pushed_other_jobs() {
    let server = start();
    let (mut client, mut worker) = (connected(&server), connected(&server));
    assert_eq!(worker.ask(line("WORKER q")), "+OK\r\n");
    let first = add(&mut client, "q a RETRY 30");
    for _ in 0..2 {
        // Nobody else is there, so it gets it again.
        assert_eq!(id_in(&worker.reply()), first);
    }
    worker.send(line(&format!("ACKJOB {first}")));
    // It may have been pushed a last time.
    while !worker.reply().starts_with(b":") {}
    let second = add(&mut client, "q b");
    assert_eq!(id_in(&worker.reply()), second);
}

#[test]
fn to_say_again_that_one_is_a_worker_is_no_way_to_more_jobs() {
    let server = start();
    let (mut client, mut worker) = (connected(&server), connected(&server));
    let first = add(&mut client, "q a");
    let second = add(&mut client, "q b");
    worker.send(line("WORKER q"));
    assert_eq!(worker.reply(), "+OK\r\n");
    assert_eq!(id_in(&worker.reply()), first);
    assert_eq!(worker.ask(line("WORKER q")), "+OK\r\n");
    assert_eq!(client.ask(line("QLEN q")), ":1\r\n");
    worker.send(line(&format!("ACKJOB {first}")));
    let mut answers = [worker.reply(), worker.reply()];
    answers.sort_by_key(|answer| !answer.starts_with(b":"));
    assert_eq!((&answers[0][..], id_in(&answers[1])), (&b":1\r\n"[..], second));
}

#[test]
fn who_has_given_up_is_not_counted_and_not_served() {
    let server = start();
    let (mut client, mut worker) = (connected(&server), connected(&server));
    assert_eq!(worker.ask(line("GETJOB TIMEOUT 10 FROM q")), "$-1\r\n");
    add(&mut client, "q x");
    let fields = ["workers", "requeued", "ready"].map(|field| stat(&mut client, "q", field));
    assert_eq!(fields, [0, 0, 1]);
}

#[test]
fn a_worker_may_change_its_mind() {
    let server = start();
    let (mut client, mut worker) = (connected(&server), connected(&server));
    worker.send(lines("WORKER a \n WORKER b"));
    assert_eq!(worker.replies(2), "+OK\r\n+OK\r\n");
    add(&mut client, "a x");
    let id = add(&mut client, "b x");
    assert_eq!(id_in(&worker.reply()), id);
    assert_eq!(client.ask(line("QLEN a")), ":1\r\n");
}

#[test]
fn a_worker_that_never_reads_is_cut_off_and_the_others_go_on() {
    let server = start();
    let (mut client, mut deaf, mut other) = (connected(&server), connected(&server), connected(&server));
    assert_eq!(deaf.ask(line("WORKER q WINDOW 1000")), "+OK\r\n");
    let body = "x".repeat(1 << 20);
    let request = format!("*3\r\n$6\r\nADDJOB\r\n$1\r\nq\r\n${}\r\n{body}\r\n", body.len());
    for _ in 0..100 {
        client.ask(&request);
    }
    // 32 MiB may wait to be pushed, and what the kernel took.
    eventually(|| (stat(&mut client, "q", "ready") == 100).then_some(()));
    assert_eq!(stat(&mut client, "q", "out"), 0);
    for _ in 0..100 {
        let id = id_in(&other.ask(line("GETJOB FROM q")));
        assert_eq!(other.ask(line(&format!("ACKJOB {id}"))), ":1\r\n");
    }
}
