//! All that a client can see survives a kill.

use super::{Database, add, connected, connected_with_resp3, id_in, job, jobs, seen, stat};
use crate::support::{RawClient, eventually, line, lines, request};

/// Takes a job of the queue and returns its id.
fn take(client: &mut RawClient, queue: &str) -> String {
    id_in(&client.ask(line(&format!("GETJOB FROM {queue}"))))
}

#[test]
fn jobs_results_counters_and_schedules_survive() {
    for database in Database::all() {
        let (process, mut client) = database.start();
        let mut ids: Vec<String> =
            ["q a", "q b PRIORITY 2", "q c DELAY 100000 ID n", "q d TTL 100000", "q e"]
                .map(|options| add(&mut client, options))
                .into();
        // Results of all kinds.
        for (end, queue) in [("REPLYJOB", "r"), ("FAILJOB", "r"), ("REPLYJOB", "other")] {
            let id = add(&mut client, &format!("{queue} body KEEP 100000 ID name-{end}"));
            client.ask(line(&format!("{end} {id} outcome")));
            ids.push(id);
        }
        // A dead job, a job that was dead, and a job that will be tried later.
        for number in 0..3 {
            let id = add(&mut client, &format!("tried {number} MAXTRIES 1"));
            assert_eq!(take(&mut client, "tried"), id);
            client.ask(line(&format!("NACK {id}")));
            ids.push(id);
        }
        assert_eq!(client.ask(line("REDRIVE tried COUNT 2")), ":2\r\n");
        let again = take(&mut client, "tried");
        let id = add(&mut client, "later body");
        take(&mut client, "later");
        client.ask(line(&format!("NACK DELAY 100000 {id}")));
        ids.push(id);
        client.ask(line(&format!("ACKJOB {again}")));
        client.ask(line("PAUSE still"));
        client.ask(line("SCHEDULE s @yearly q body TZ Europe/Berlin RETRY 5 MAXLEN 7 PRIORITY 3"));
        client.ask(line("SCHEDULE t @yearly q body"));
        client.ask(line("UNSCHEDULE t"));

        let queues = ["q", "r", "other", "tried", "dead:tried", "later", "still"];
        let before = seen(&mut client, &queues, &ids);
        drop(process);
        let (process, mut client) = database.start();
        assert_eq!(seen(&mut client, &queues, &ids), before);
        // The names count as before.
        assert_eq!(add(&mut client, "q body ID n"), ids[2]);
        assert_eq!(add(&mut client, "r body ID name-FAILJOB"), ids[6]);
        // New ids are different, and a second start changes nothing.
        let id = add(&mut client, "new body");
        assert!(!ids.contains(&id));
        drop(process);
        let (_process, mut client) = database.start();
        assert_eq!(seen(&mut client, &queues, &ids), before);
        assert_eq!(stat(&mut client, "new", "ready"), 1);
    }
}

#[test]
fn a_job_that_a_worker_had_is_tried_again() {
    for database in Database::all() {
        let (process, mut client) = database.start();
        let ids = ["a", "b", "c"].map(|body| add(&mut client, &format!("q {body} RETRY 100000")));
        let dies = add(&mut client, "dies body MAXTRIES 1");
        assert_eq!(id_in(&client.ask(line("GETJOB COUNT 2 FROM q"))), ids[0]);
        assert_eq!(take(&mut client, "dies"), dies);
        // One of both is done.
        assert_eq!(client.ask(line(&format!("REPLYJOB {} result TRY 0", ids[0]))), ":0\r\n");
        drop(process);
        let (_process, mut client) = database.start();
        // The number of tries tells the results of both workers apart.
        let old = "-OLDTRY this try of the job is over\r\n";
        assert_eq!(client.ask(line(&format!("REPLYJOB {} result TRY 0", ids[1]))), old);
        let expected = jobs([job("q", &ids[1], "b", 1), job("q", &ids[2], "c", 0)]);
        assert_eq!(client.ask(line("GETJOB COUNT 9 FROM q")), expected);
        assert_eq!(stat(&mut client, "dead:dies", "ready"), 1);
        assert_eq!(client.ask(line(&format!("ACKJOB {}", ids[0]))), ":0\r\n");
    }
}

#[test]
fn a_pushed_job_that_a_worker_had_is_tried_again() {
    let database = Database::sqlite();
    let (process, mut client) = database.start();
    let mut worker = connected_with_resp3(&process);
    assert_eq!(worker.ask(line("WORKER q WINDOW 2")), "+OK\r\n");
    let ids = ["a", "b", "c"].map(|body| add(&mut client, &format!("q {body}")));
    assert_eq!([id_in(&worker.reply()), id_in(&worker.reply())], ids[..2]);
    assert_eq!(client.ask(line(&format!("ACKJOB {}", ids[0]))), ":1\r\n");
    assert_eq!(id_in(&worker.reply()), ids[2]);
    drop(process);
    let (_process, mut client) = database.start();
    let expected = jobs([job("q", &ids[1], "b", 1), job("q", &ids[2], "c", 1)]);
    assert_eq!(client.ask(line("GETJOB COUNT 9 FROM q")), expected);
}

#[test]
fn the_job_of_a_caller_ends_with_its_connection() {
    let database = Database::sqlite();
    let (process, mut client) = database.start();
    let (mut first, mut second) = (connected(&process), connected(&process));
    first.send(line("CALLJOB q called 100000"));
    eventually(|| (client.ask(line("QLEN q")) == ":1\r\n").then_some(()));
    // A producer that waits for no result makes it a job like others.
    second.send(line("CALLJOB q both 100000 ID n"));
    eventually(|| (client.ask(line("QLEN q")) == ":2\r\n").then_some(()));
    let id = add(&mut client, "q both ID n");
    drop(process);
    let (_process, mut client) = database.start();
    assert_eq!(client.ask(line("GETJOB COUNT 9 FROM q")), jobs([job("q", &id, "both", 0)]));
}

#[test]
fn times_go_on_while_no_server_runs() {
    let database = Database::sqlite();
    let (process, mut client) = database.start();
    let delayed = add(&mut client, "q delayed DELAY 50");
    add(&mut client, "q expires TTL 50");
    let kept = add(&mut client, "r body KEEP 50");
    client.ask(line(&format!("REPLYJOB {kept} result")));
    drop(process);
    std::thread::sleep(std::time::Duration::from_millis(60));
    let (_process, mut client) = database.start();
    eventually(|| (stat(&mut client, "q", "expired") == 1).then_some(()));
    assert_eq!(client.ask(line("GETJOB COUNT 9 FROM q")), jobs([job("q", &delayed, "delayed", 0)]));
    assert_eq!(client.ask(line(&format!("RESULT {kept}"))), "$-1\r\n");
}

#[test]
fn a_missed_firing_adds_a_job_after_the_restart() {
    let database = Database::sqlite();
    let (process, mut client) = database.start();
    client.ask("*5\r\n$8\r\nSCHEDULE\r\n$1\r\ns\r\n$11\r\n* * * * * *\r\n$1\r\nq\r\n$4\r\nbody\r\n");
    let first = take(&mut client, "q");
    client.ask(line(&format!("ACKJOB {first}")));
    drop(process);
    std::thread::sleep(std::time::Duration::from_millis(1100));
    let (_process, mut client) = database.start();
    let second = take(&mut client, "q");
    assert_ne!(first, second);
    let schedules = String::from_utf8_lossy(&client.ask(line("SCHEDULES"))).into_owned();
    assert!(schedules.contains("$5\r\nadded\r\n:2\r\n"), "{schedules}");
}

#[test]
fn a_transaction_may_be_large() {
    const SIZE: usize = 9 << 20;
    for database in Database::all() {
        let (process, mut client) = database.start();
        let body = vec![b'x'; SIZE];
        // One group: they arrive while the first one is written.
        let requests =
            (0..4).map(|_| request([b"ADDJOB".as_slice(), b"q", &body])).collect::<Vec<_>>().concat();
        client.send(requests);
        client.replies(4);
        drop(process);
        let (_process, mut client) = database.start();
        assert_eq!(stat(&mut client, "q", "ready"), 4);
        let taken = client.ask(line("GETJOB COUNT 4 FROM q"));
        assert!(taken.len() > 4 * SIZE);
    }
}

/// PostgreSQL has them as entries of its log, and as rows.
#[test]
fn many_jobs_survive() {
    const COUNT: usize = 10_000;
    for database in Database::all() {
        let (process, mut client) = database.start();
        client.send(lines(&vec!["ADDJOB q body"; COUNT].join("\n")));
        client.replies(COUNT);
        client.send(lines(&vec!["GETJOB FROM q"; COUNT / 2].join("\n")));
        let acknowledge = |_| format!("ACKJOB {}", id_in(&client.reply()));
        let requests: Vec<_> = (0..COUNT / 2).map(acknowledge).collect();
        client.send(lines(&requests.join("\n")));
        assert_eq!(client.replies(COUNT / 2), ":1\r\n".repeat(COUNT / 2));
        drop(process);
        let (_process, mut client) = database.start();
        assert_eq!(stat(&mut client, "q", "ready"), (COUNT / 2) as i64);
    }
}

#[test]
fn the_number_of_threads_may_change() {
    let database = Database::sqlite();
    let queues: Vec<String> = (0..8).map(|number| format!("q{number}")).collect();
    let mut ids = Vec::new();
    for threads in ["1", "3", "2"] {
        let (_process, mut client) = database.start_with(&["--threads", threads]);
        for queue in &queues {
            ids.push(add(&mut client, &format!("{queue} body")));
        }
    }
    let (_process, mut client) = database.start_with(&["--threads", "4"]);
    let all = queues.join(" ");
    assert_eq!(id_in(&client.ask(line(&format!("GETJOB FROM {all}")))), ids[0]);
    for queue in &queues {
        assert_eq!(stat(&mut client, queue, "added"), 3);
    }
    let deleted = client.ask(line(&format!("DELJOB {}", ids.join(" "))));
    assert_eq!(deleted, format!(":{}\r\n", ids.len()));
}

#[test]
fn returned_jobs_keep_their_order() {
    for database in Database::all() {
        let (process, mut client) = database.start();
        let ids = ["a", "b", "c", "d", "e PRIORITY 3"].map(|body| add(&mut client, &format!("q {body}")));
        // The last one that returns is the first one of its priority.
        let taken: Vec<String> = (0..4).map(|_| take(&mut client, "q")).collect();
        taken.iter().for_each(|id| drop(client.ask(line(&format!("NACK {id}")))));
        let before = seen(&mut client, &["q"], &ids);
        drop(process);
        let (_process, mut client) = database.start();
        assert_eq!(seen(&mut client, &["q"], &ids), before);
        let again: Vec<String> = (0..5).map(|_| take(&mut client, "q")).collect();
        assert_eq!(again, [&ids[4], &ids[2], &ids[1], &ids[0], &ids[3]].map(String::clone));
    }
}
