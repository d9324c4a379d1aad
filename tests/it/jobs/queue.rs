//! Queues without blocked workers or callers.

use super::{add, add_and_take, bulk, connected, id_in, job, jobs, start, stat};
use crate::support::{Reply, eventually, info, line, lines};

#[test]
fn jobs_leave_a_queue_in_the_order_of_their_arrival() {
    let server = start();
    let mut client = connected(&server);
    let ids: Vec<String> = (0..5).map(|number| add(&mut client, &format!("q body{number}"))).collect();
    assert!(ids.windows(2).all(|pair| pair[0] < pair[1]), "{ids:?}");
    assert_eq!(client.ask(line("QLEN q")), ":5\r\n");
    let peeked = [job("q", &ids[0], "body0", 0), job("q", &ids[1], "body1", 0)];
    assert_eq!(client.ask(line("QPEEK q 2")), jobs(peeked));
    assert_eq!(client.ask(line("GETJOB FROM q")), jobs([job("q", &ids[0], "body0", 0)]));
    let two = [job("q", &ids[1], "body1", 0), job("q", &ids[2], "body2", 0)];
    assert_eq!(client.ask(line("GETJOB COUNT 2 FROM q")), jobs(two));
    assert_eq!(client.ask(line("QLEN q")), ":2\r\n");
    assert_eq!(stat(&mut client, "q", "out"), 3);
    assert_eq!(client.ask(line(&format!("ACKJOB {} {} {}", ids[0], ids[1], ids[2]))), ":3\r\n");
    assert_eq!(client.ask(line(&format!("ACKJOB {}", ids[0]))), ":0\r\n");
    assert_eq!((stat(&mut client, "q", "out"), stat(&mut client, "q", "done")), (0, 3));
    let rest = [job("q", &ids[3], "body3", 0), job("q", &ids[4], "body4", 0)];
    assert_eq!(client.ask(line("GETJOB NOHANG COUNT 9 FROM other q")), jobs(rest));
    assert_eq!(client.ask(line("GETJOB NOHANG FROM q")), "$-1\r\n");
}

#[test]
fn workers_get_jobs_of_a_higher_priority_first() {
    let server = start();
    let (mut client, mut caller) = (connected(&server), connected(&server));
    let ids = ["q a", "q b PRIORITY 5", "q c PRIORITY 9 DELAY 1", "q d PRIORITY 5", "q e PRIORITY 0"]
        .map(|arguments| add(&mut client, arguments));
    eventually(|| (stat(&mut client, "q", "ready") == 5).then_some(()));
    let order = [2, 1, 3, 0, 4].map(|index| job("q", &ids[index], ["a", "b", "c", "d", "e"][index], 0));
    assert_eq!(client.ask(line("QPEEK q 9")), jobs(order.clone()));
    assert_eq!(client.ask(line("GETJOB COUNT 9 FROM q")), jobs(order));
    // A returned job keeps its priority.
    assert_eq!(client.ask(line(&format!("NACK {} {}", ids[1], ids[0]))), ":2\r\n");
    caller.send(line("CALLJOB q f 100000 PRIORITY 3"));
    eventually(|| (stat(&mut client, "q", "ready") == 3).then_some(()));
    let bodies: Vec<String> = (0..3).map(|_| body_in(&client.ask(line("GETJOB FROM q")))).collect();
    assert_eq!(bodies, ["b", "f", "a"]);
}

/// Returns the body of the first job in a reply to `GETJOB`.
fn body_in(reply: &[u8]) -> String {
    match Reply::only(reply) {
        Some(Reply::Array(jobs)) => match &jobs[0] {
            Reply::Array(fields) => bulk(&fields[2]),
            _ => panic!("no job in {reply:?}"),
        },
        _ => panic!("no job in {reply:?}"),
    }
}

#[test]
fn a_body_may_contain_any_bytes() {
    let server = start();
    let mut client = connected(&server);
    let body: Vec<u8> = (0..200_000).map(|number| number as u8).collect();
    let mut request = b"*3\r\n$6\r\nADDJOB\r\n$1\r\nq\r\n$200000\r\n".to_vec();
    request.extend_from_slice(&body);
    request.extend_from_slice(b"\r\n");
    client.ask(request);
    let reply = client.ask(line("GETJOB FROM q"));
    assert!(reply.windows(body.len()).any(|part| part == body));
}

#[test]
fn maxlen_limits_a_queue() {
    let server = start();
    let mut client = connected(&server);
    add(&mut client, "q a MAXLEN 2");
    add(&mut client, "q b MAXLEN 2 DELAY 100000");
    assert_eq!(client.ask(line("ADDJOB q c MAXLEN 2")), "-MAXLEN the queue is full\r\n");
    add(&mut client, "q c MAXLEN 3");
    client.ask(line("GETJOB FROM q"));
    add(&mut client, "q d MAXLEN 3");
    add(&mut client, "q e MAXLEN 0");
}

#[test]
fn a_delayed_job_becomes_ready_later() {
    let server = start();
    let mut client = connected(&server);
    add(&mut client, "q tomorrow DELAY 86400000");
    let now = add(&mut client, "q now");
    assert_eq!(stat(&mut client, "q", "delayed"), 1);
    assert_eq!(client.ask(line("GETJOB COUNT 9 FROM q")), jobs([job("q", &now, "now", 0)]));
    let soon = add(&mut client, "q soon DELAY 50");
    assert_eq!(client.ask(line("GETJOB FROM q")), jobs([job("q", &soon, "soon", 0)]));
}

#[test]
fn a_job_expires_unless_a_worker_has_taken_it() {
    let server = start();
    let mut client = connected(&server);
    add(&mut client, "q short TTL 20");
    let [taken] = add_and_take(&mut client, ["taken body TTL 20"], "taken");
    eventually(|| (client.ask(line("QLEN q")) == ":0\r\n").then_some(()));
    assert_eq!(stat(&mut client, "q", "expired"), 1);
    // A taken job can expire only after it has returned to the queue.
    assert_eq!(stat(&mut client, "taken", "out"), 1);
    assert_eq!(client.ask(line(&format!("NACK {taken}"))), ":1\r\n");
    eventually(|| (client.ask(line(&format!("SHOW {taken}"))) == "$-1\r\n").then_some(()));
}

#[test]
fn jobs_are_shown_and_deleted() {
    let server = start();
    let mut client = connected(&server);
    let (first, second) = (add(&mut client, "q a"), add(&mut client, "q b"));
    let shown = client.ask(line(&format!("SHOW {first}")));
    assert!(
        shown.starts_with(b"*14\r\n$5\r\nqueue\r\n$1\r\nq\r\n$5\r\nstate\r\n$5\r\nready\r\n"),
        "{shown:?}"
    );
    assert_eq!(client.ask(line(&format!("DELJOB {first} {first}"))), ":1\r\n");
    assert_eq!(client.ask(line(&format!("SHOW {first}"))), "$-1\r\n");
    assert_eq!(client.ask(line("GETJOB FROM q")), jobs([job("q", &second, "b", 0)]));
    assert_eq!(client.ask(line("SHOW 00000000-0000000000000001")), "$-1\r\n");
    assert_eq!(client.ask(line("ACKJOB nonsense")), ":0\r\n");
}

#[test]
fn a_queue_can_be_paused() {
    let server = start();
    let (mut client, mut worker) = (connected(&server), connected(&server));
    client.ask(line("PAUSE q"));
    let id = add(&mut client, "q a");
    assert_eq!(client.ask(line("GETJOB NOHANG FROM q")), "$-1\r\n");
    assert_eq!((client.ask(line("QLEN q")), stat(&mut client, "q", "paused")), (":1\r\n".into(), 1));
    worker.send(line("GETJOB FROM q"));
    super::wait_for_workers(&mut client, 1);
    assert_eq!(client.ask(line("RESUME q")), "+OK\r\n");
    assert_eq!(id_in(&worker.reply()), id);
}

#[test]
fn queues_are_listed_and_counted() {
    let server = start();
    let mut client = connected(&server);
    assert_eq!(client.ask(line("QUEUES")), "*0\r\n");
    assert_eq!(client.ask(line("QSTAT q")), "$-1\r\n");
    client.send(lines("ADDJOB b x \n ADDJOB a x"));
    client.replies(2);
    assert_eq!(client.ask(line("QUEUES")), "*2\r\n$1\r\na\r\n$1\r\nb\r\n");
    let fields = info(&mut client, "jobs");
    assert_eq!((fields.number("jobs"), fields.number("jobs_queues")), (2, 2));
}

#[test]
fn invalid_arguments_are_errors() {
    let server = start();
    let mut client = connected(&server);
    for (request, error) in [
        ("ADDJOB q", "ERR wrong number of arguments for 'addjob' command"),
        ("ADDJOB q b DELAY", "ERR syntax error"),
        ("ADDJOB q b DELAY x", "ERR value is not an integer or out of range"),
        ("ADDJOB q b RETRY -1", "ERR value is out of range, must be positive"),
        ("SCHEDULE s @daily q b KEEP -1", "ERR value is out of range, must be positive"),
        ("ADDJOB q b NOSUCH 1", "ERR syntax error"),
        ("GETJOB NOHANG", "ERR wrong number of arguments for 'getjob' command"),
        ("GETJOB NOHANG NOHANG", "ERR syntax error"),
        ("GETJOB FROM", "ERR wrong number of arguments for 'getjob' command"),
        ("WORKER q WINDOW 0", "ERR WINDOW must be at least 1"),
        ("WORKER q WINDOW x", "ERR WINDOW must be at least 1"),
        ("CALLJOB q b", "ERR wrong number of arguments for 'calljob' command"),
        ("ADDJOB q b PRIORITY 10", "ERR PRIORITY must be from 0 to 9"),
        ("ADDJOB q b PRIORITY high", "ERR PRIORITY must be from 0 to 9"),
        ("CALLJOB q b soon", "ERR value is not an integer or out of range"),
    ] {
        assert_eq!(client.ask(line(request)), format!("-{error}\r\n"), "{request}");
    }
}
