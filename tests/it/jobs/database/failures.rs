//! A database that takes no changes.

use std::fs;

use super::{Database, add, connected, seen, stat};
use crate::support::{Postgres, Process, SmallDisk, eventually, line, lines, request, until_refused};

#[test]
fn a_full_disk_ends_the_server_and_loses_nothing() {
    let disk = SmallDisk::mount(20);
    let ballast = disk.path().join("ballast");
    fs::write(&ballast, vec![1; 10 << 20]).expect("there is room");
    let url = format!("sqlite:{}", disk.path().join("jobs.db").display());
    let start = || Process::program_with("jobs", &["--database", &url]);
    let process = start();
    let mut client = connected(&process);
    let body = vec![b'x'; 100 * 1024];
    let (added, refusal) = until_refused(&mut client, |_| request([b"ADDJOB".as_slice(), b"q", &body]));
    assert_eq!(refusal, "-MISCONF Errors writing to the database: database or disk is full\r\n");
    assert!(added > 0);
    assert_eq!(process.wait().code(), Some(1));
    fs::remove_file(&ballast).expect("it is there");
    let process = start();
    assert_eq!(stat(&mut connected(&process), "q", "ready"), added as i64);
}

#[test]
fn a_file_that_was_removed_ends_the_server() {
    for suffix in ["", "-wal", "-lock"] {
        let database = Database::sqlite();
        let (process, mut client) = database.start();
        add(&mut client, "q body");
        let path = format!("{}{suffix}", database.url().trim_start_matches("sqlite:"));
        fs::remove_file(&path).expect("it is there");
        let refusal =
            format!("-MISCONF Errors writing to the database: {path}: the file was removed or replaced\r\n");
        assert_eq!(client.ask(line("ADDJOB q body")), refusal);
        assert_eq!(process.wait().code(), Some(1));
    }
}

#[test]
fn a_restart_of_postgres_delays_the_replies() {
    let database = Database::postgres();
    let Database::Postgres(server) = &database else { unreachable!() };
    let (_process, mut client) = database.start();
    let id = add(&mut client, "q first");
    server.down();
    client.send(line("ADDJOB q second"));
    server.up();
    assert!(client.reply().starts_with(b"$25\r\n"));
    assert_eq!(client.ask(line(&format!("ACKJOB {id}"))), ":1\r\n");
    database.folded();
    assert_eq!(server.answer("SELECT body FROM jobs.jobs"), "\\x7365636f6e64");
}

#[test]
fn a_server_whose_jobs_another_one_owns_writes_nothing_and_ends() {
    let database = Database::postgres();
    let Database::Postgres(server) = &database else { unreachable!() };
    for is_connected in [true, false] {
        let (process, mut client) = database.start();
        let id = add(&mut client, "q body");
        client.ask(line("SCHEDULE s @daily q body"));
        let before = seen(&mut client, &["q"], &[]);
        // As if it had been paused, or its connection had been lost for a time.
        server.answer("UPDATE jobs.meta SET run = run + 1");
        if !is_connected {
            end_sessions(server);
        }
        let refusal = "-MISCONF Errors writing to the database: another process owns the jobs now: connect again, and repeat the command with the new owner\r\n";
        // No part of any change is written.
        client.send(lines(&format!("DELJOB {id}\nADDJOB q lost\nUNSCHEDULE s\nPAUSE q")));
        assert_eq!(client.replies(4), [refusal; 4].concat());
        assert_eq!(process.wait().code(), Some(1));
        let (_process, mut client) = database.start();
        assert_eq!(seen(&mut client, &["q"], &[]), before);
    }
}

/// Ends the connections of all servers of jobs.
fn end_sessions(server: &Postgres) {
    server.answer("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'jobs'");
    let left = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'jobs'";
    eventually(|| (server.answer(left) == "0").then_some(()));
}
