//! Workers that block in `GETJOB`, and workers that get pushes.

use super::{add, connected, connected_with_resp3, id_in, start, stat, wait_for_workers};
use crate::support::{RawClient, eventually, line, lines};

#[test]
fn the_worker_that_has_waited_longest_gets_the_next_job() {
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
fn getjob_times_out_and_takes_nothing() {
    let server = start();
    let (mut client, mut worker) = (connected(&server), connected(&server));
    for _ in 0..100 {
        assert_eq!(worker.ask(line("GETJOB TIMEOUT 1 FROM q")), "$-1\r\n");
    }
    let id = add(&mut client, "q a");
    assert_eq!(client.ask(line("QLEN q")), ":1\r\n", "no worker has taken the job");
    assert_eq!(id_in(&worker.ask(line("GETJOB TIMEOUT 1 FROM q"))), id);
}

#[test]
fn a_disconnected_worker_gets_no_job() {
    let server = start();
    let mut client = connected(&server);
    let (mut gone, mut waiting) = (connected(&server), connected(&server));
    gone.send(line("GETJOB FROM q"));
    wait_for_workers(&mut client, 1);
    waiting.send(line("GETJOB FROM q"));
    wait_for_workers(&mut client, 2);
    drop(gone);
    wait_for_workers(&mut client, 1);
    let id = add(&mut client, "q a");
    assert_eq!(id_in(&waiting.reply()), id);
}

#[test]
fn a_worker_without_resp3_is_refused() {
    let server = start();
    let refused = "-ERR WORKER needs RESP3, which has pushes: send HELLO 3 first, or use GETJOB\r\n";
    assert_eq!(connected(&server).ask(line("WORKER q")), refused);
}

#[test]
fn jobs_are_pushed_within_a_window() {
    let server = start();
    let (mut client, mut worker) = (connected(&server), connected_with_resp3(&server));
    let ids: Vec<String> = (0..6).map(|number| add(&mut client, &format!("q {number}"))).collect();
    assert_eq!(worker.ask(line("WORKER other q WINDOW 2")), "+OK\r\n");
    let push = worker.reply();
    assert_eq!(push, format!(">5\r\n$3\r\njob\r\n$1\r\nq\r\n$25\r\n{}\r\n$1\r\n0\r\n:0\r\n", ids[0]));
    assert_eq!(id_in(&worker.reply()), ids[1]);
    assert_eq!(stat(&mut client, "q", "out"), 2);
    // Each finished job makes room for another one, whichever command finishes it.
    for (number, done) in
        ["ACKJOB {}", "REPLYJOB {} result", "FAILJOB {} reason", "DELJOB {}"].iter().enumerate()
    {
        worker.send(line(&done.replace("{}", &ids[number])));
        let (reply, push) = (worker.reply(), worker.reply());
        assert!(reply.starts_with(b":"), "{reply:?}");
        assert_eq!(id_in(&push), ids[number + 2]);
        assert_eq!(stat(&mut client, "q", "out"), 2);
    }
    // The worker gets a returned job again.
    worker.send(line(&format!("NACK {}", ids[4])));
    assert_eq!(worker.reply(), ":1\r\n");
    assert_eq!(id_in(&worker.reply()), ids[4]);
    assert_eq!(
        worker.ask(line("GETJOB FROM q")),
        "-ERR GETJOB is not allowed on a connection that receives pushed jobs\r\n"
    );
}

#[test]
fn pushes_go_round_among_workers() {
    let server = start();
    let mut client = connected(&server);
    let mut workers: Vec<RawClient> = (0..3).map(|_| connected_with_resp3(&server)).collect();
    for worker in &mut workers {
        assert_eq!(worker.ask(line("WORKER q WINDOW 10")), "+OK\r\n");
    }
    let ids: Vec<String> = (0..9).map(|number| add(&mut client, &format!("q {number}"))).collect();
    for (number, id) in ids.iter().enumerate() {
        let push = workers[number % 3].reply();
        assert!(push.starts_with(b">5\r\n$3\r\njob\r\n"), "{push:?}");
        assert_eq!(id_in(&push), *id);
    }
}

#[test]
fn a_push_that_was_not_sent_does_not_count_as_a_try() {
    let server = start();
    let (mut client, mut worker) = (connected(&server), connected_with_resp3(&server));
    // More than the socket buffers can hold.
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
    assert!(ready >= 1, "{ready} of 20 jobs are ready: unsent pushes are no tries");
    let dead = client.ask(line("GETJOB COUNT 20 FROM dead:q"));
    assert!(
        String::from_utf8_lossy(&dead).contains(&read),
        "the job that the worker has read counts as tried"
    );
}

#[test]
fn an_overdue_job_is_pushed_again_and_later_jobs_follow() {
    let server = start();
    let (mut client, mut worker) = (connected(&server), connected_with_resp3(&server));
    assert_eq!(worker.ask(line("WORKER q")), "+OK\r\n");
    let first = add(&mut client, "q a RETRY 30");
    for _ in 0..2 {
        // There is no other worker, so this worker gets the job again.
        assert_eq!(id_in(&worker.reply()), first);
    }
    worker.send(line(&format!("ACKJOB {first}")));
    // The job may have been pushed once more before `ACKJOB`.
    while !worker.reply().starts_with(b":") {}
    let second = add(&mut client, "q b");
    assert_eq!(id_in(&worker.reply()), second);
}

#[test]
fn repeating_worker_does_not_enlarge_the_window() {
    let server = start();
    let (mut client, mut worker) = (connected(&server), connected_with_resp3(&server));
    let first = add(&mut client, "q a");
    let second = add(&mut client, "q b");
    worker.send(line("WORKER q"));
    assert_eq!(worker.reply(), "+OK\r\n");
    assert_eq!(id_in(&worker.reply()), first);
    assert_eq!(worker.ask(line("WORKER q")), "+OK\r\n");
    assert_eq!(client.ask(line("QLEN q")), ":1\r\n");
    worker.send(line(&format!("ACKJOB {first}")));
    let mut replies = [worker.reply(), worker.reply()];
    replies.sort_by_key(|reply| !reply.starts_with(b":"));
    assert_eq!((&replies[0][..], id_in(&replies[1])), (&b":1\r\n"[..], second));
}

#[test]
fn a_worker_whose_getjob_timed_out_gets_no_job() {
    let server = start();
    let (mut client, mut worker) = (connected(&server), connected(&server));
    assert_eq!(worker.ask(line("GETJOB TIMEOUT 10 FROM q")), "$-1\r\n");
    add(&mut client, "q x");
    let fields = ["workers", "requeued", "ready"].map(|field| stat(&mut client, "q", field));
    assert_eq!(fields, [0, 0, 1]);
}

#[test]
fn a_second_worker_command_replaces_the_queues() {
    let server = start();
    let (mut client, mut worker) = (connected(&server), connected_with_resp3(&server));
    worker.send(lines("WORKER a \n WORKER b"));
    assert_eq!(worker.replies(2), "+OK\r\n+OK\r\n");
    add(&mut client, "a x");
    let id = add(&mut client, "b x");
    assert_eq!(id_in(&worker.reply()), id);
    assert_eq!(client.ask(line("QLEN a")), ":1\r\n");
}

#[test]
fn a_worker_that_never_reads_is_disconnected() {
    let server = start();
    let (mut client, mut stuck, mut other) =
        (connected(&server), connected_with_resp3(&server), connected(&server));
    assert_eq!(stuck.ask(line("WORKER q WINDOW 1000")), "+OK\r\n");
    let body = "x".repeat(1 << 20);
    let request = format!("*3\r\n$6\r\nADDJOB\r\n$1\r\nq\r\n${}\r\n{body}\r\n", body.len());
    for _ in 0..100 {
        client.ask(&request);
    }
    // The output buffer limit is 32 MiB, and the kernel buffers a little more.
    eventually(|| (stat(&mut client, "q", "ready") == 100).then_some(()));
    assert_eq!(stat(&mut client, "q", "out"), 0);
    for _ in 0..100 {
        let id = id_in(&other.ask(line("GETJOB FROM q")));
        assert_eq!(other.ask(line(&format!("ACKJOB {id}"))), ":1\r\n");
    }
}
