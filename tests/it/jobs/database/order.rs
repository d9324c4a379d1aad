//! What leaves before a commit, and what after it.

use std::{
    io::Write,
    process::{Child, Stdio},
};

use super::{Database, add, connected, connected_with_resp3, id_in};
use crate::support::{Postgres, eventually, line};

/// Another client of PostgreSQL, which holds up all changes of jobs. Dropping it lets them go on.
struct Lock(Child);

impl Lock {
    fn take(server: &Postgres) -> Self {
        let mut psql = server.psql().stdin(Stdio::piped()).spawn().expect("psql can be run");
        let input = psql.stdin.as_mut().expect("it is piped");
        input.write_all(b"BEGIN; LOCK TABLE jobs.log;\n").expect("psql reads");
        let held = "SELECT count(*) FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND granted";
        eventually(|| (server.answer(held) == "1").then_some(()));
        Lock(psql)
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // psql ends with its input, and its transaction with the connection.
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

#[test]
fn an_outcome_is_written_although_its_worker_waits() {
    let database = Database::postgres();
    let Database::Postgres(server) = &database else { unreachable!() };
    let (_process, mut client) = database.start();
    let id = add(&mut client, "q body");
    client.ask(line("GETJOB FROM q"));
    client.send(line(&format!("GETJOB REPLY {id} result FROM q")));
    let left = "SELECT (SELECT count(*) FROM jobs.log) + (SELECT count(*) FROM jobs.jobs)";
    eventually(|| (server.answer(left) == "0").then_some(()));
}

#[test]
fn replies_and_pushes_wait_for_the_commit() {
    let database = Database::postgres();
    let Database::Postgres(server) = &database else { unreachable!() };
    let (process, mut producer) = database.start();
    let (mut pushed, mut waiting, mut caller) =
        (connected_with_resp3(&process), connected(&process), connected(&process));
    assert_eq!(pushed.ask(line("WORKER q")), "+OK\r\n");
    waiting.send(line("GETJOB FROM r"));
    super::super::wait_for_workers(&mut producer, 2);

    // A call writes nothing, so it needs no commit.
    let lock = Lock::take(server);
    caller.send(line("CALLJOB q body 100000"));
    let call = id_in(&pushed.reply());
    drop(lock);
    assert_eq!(pushed.ask(line(&format!("REPLYJOB {call} done"))), ":1\r\n");
    assert_eq!(caller.reply(), "$4\r\ndone\r\n");

    let lock = Lock::take(server);
    producer.send(line("ADDJOB q body"));
    producer.send(line("ADDJOB r body"));
    let waits =
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'jobs' AND wait_event_type = 'Lock'";
    eventually(|| (server.answer(waits) == "1").then_some(()));
    for client in [&mut producer, &mut pushed, &mut waiting] {
        assert!(client.is_silent());
    }
    drop(lock);
    let ids = [id_in(&pushed.reply()), id_in(&waiting.reply())];
    for id in ids {
        assert_eq!(producer.reply(), format!("$25\r\n{id}\r\n"));
    }
}
