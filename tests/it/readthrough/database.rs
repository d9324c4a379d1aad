//! Which requests query the database, and which are served from the cache.

use std::{thread, time::Duration};

use super::{Database, clients_read_their_own_writes, stat};
use crate::support::{Postgres, eventually, line, lines, request};

#[test]
fn cached_keys_are_not_queried_again() {
    for database in Database::all() {
        let (process, mut client) = database.serve(&[]);
        client.send(lines(
            "SET a 1 \n SET b 2 \n GET none \n GET none \n GET a \n GET a \n GET b \n SET a 3 \n GET a",
        ));
        assert_eq!(
            client.replies(9),
            "+OK\r\n+OK\r\n$-1\r\n$-1\r\n$1\r\n1\r\n$1\r\n1\r\n$1\r\n2\r\n+OK\r\n$1\r\n3\r\n"
        );
        assert_eq!((stat(&mut client, "hits"), stat(&mut client, "misses")), (2, 4));
        assert_eq!(stat(&mut client, "queries"), 7);
        client.send(lines("DEL a none a \n GET a \n MGET a b c b d \n MGET c b d \n DEL a"));
        assert_eq!(
            client.replies(5),
            ":1\r\n$-1\r\n*5\r\n$-1\r\n$1\r\n2\r\n$-1\r\n$1\r\n2\r\n$-1\r\n*3\r\n$-1\r\n$1\r\n2\r\n$-1\r\n:0\r\n"
        );
        // Two for `DEL`, one for `GET a`, one for `c` and `d`.
        assert_eq!((stat(&mut client, "queries"), stat(&mut client, "query_failures")), (11, 0));
        assert_eq!(stat(&mut client, "cached_keys"), 3);

        // Another process finds the value in the database.
        drop(process);
        let (_process, mut client) = database.serve(&[]);
        assert_eq!(client.ask(line("GET b")), "$1\r\n2\r\n");
    }
}

#[test]
fn keys_and_values_may_contain_any_bytes() {
    any_bytes(&[]);
}

#[test]
fn keys_and_values_may_contain_any_bytes_without_prepared_statements() {
    any_bytes(&["--no-prepared-statements"]);
}

/// A database session has prepared statements only if it is allowed to: pgbouncer before 1.21 gives each transaction
/// another session.
#[test]
fn no_prepared_statement_remains() {
    let database = Database::Postgres(Postgres::start());
    let Database::Postgres(postgres) = &database else { return };
    // The session of a query counts its own statements.
    let count = "convert_to(count(*)::text, 'UTF8') AS value FROM pg_prepared_statements";
    postgres
        .answer(&format!("CREATE VIEW entries AS SELECT convert_to('statements', 'UTF8') AS key, {count}"));
    let options = ["--connections", "1", "--ttl", "0"];
    for (option, has_statements) in [(None, true), (Some("--no-prepared-statements"), false)] {
        let (_process, mut client) = database.serve(&options.into_iter().chain(option).collect::<Vec<_>>());
        let count = client.ask(line("GET statements"));
        assert_eq!(count != "$1\r\n0\r\n", has_statements, "{option:?}: {count:?}");
    }
}

fn any_bytes(options: &[&str]) {
    for database in Database::all() {
        let (_process, mut client) = database.serve(options);
        let large: Vec<u8> = (0..1 << 20).map(|at: u32| (at / 7) as u8).collect();
        let values: [&[u8]; 4] = [b"", b"\0\r\n\xff", b"$1; DROP TABLE entries", &large];
        for value in values {
            let key = [&b"key\0\xff'"[..], &value[..value.len().min(20)]].concat();
            assert_eq!(client.ask(request([&b"SET"[..], &key, value])), "+OK\r\n");
            let expected = [format!("${}\r\n", value.len()).as_bytes(), value, b"\r\n"].concat();
            for _ in 0..2 {
                assert!(client.ask(request([&b"GET"[..], &key])) == expected);
            }
            let all = [b"*1\r\n", &expected[..]].concat();
            assert!(client.ask(request([&b"MGET"[..], &key])) == all);
        }
    }
}

#[test]
fn a_stale_value_is_served_and_refreshed() {
    for database in Database::all() {
        let (_process, mut client) = database.serve(&["--ttl", "0.05", "--stale", "1000"]);
        let (_other, mut writer) = database.serve(&[]);
        client.ask(line("SET a old"));
        assert_eq!(client.ask(line("GET a")), "$3\r\nold\r\n");
        // The first process does not notice the write of another process.
        writer.ask(line("SET a new"));
        thread::sleep(Duration::from_millis(300));
        assert_eq!(client.ask(line("GET a")), "$3\r\nold\r\n");
        eventually(|| (client.ask(line("GET a")) == "$3\r\nnew\r\n").then_some(()));
        assert!(stat(&mut client, "stale_hits") > 0);
    }
}

#[test]
fn stale_keys_of_a_command_are_refreshed_by_one_query() {
    for database in Database::all() {
        let (_process, mut client) =
            database.serve(&["--connections", "1", "--ttl", "0.05", "--stale", "1000"]);
        client.send(lines("SET a 1 \n SET b 2 \n SET c 3 \n MGET a b c"));
        client.replies(4);
        thread::sleep(Duration::from_millis(300));
        let before = stat(&mut client, "queries");
        client.send(lines("MGET a b none c \n GET other"));
        assert_eq!(client.replies(2), "*4\r\n$1\r\n1\r\n$1\r\n2\r\n$-1\r\n$1\r\n3\r\n$-1\r\n");
        // The reads of one connection are in order, so that of `other` is the last one.
        assert_eq!(stat(&mut client, "queries"), before + 2);
    }
}

#[test]
fn a_client_reads_its_own_writes() {
    clients_read_their_own_writes(&["--memory", "1"]);
}

#[test]
fn a_database_that_cannot_be_opened_is_an_error() {
    let options = ["--database", "sqlite:/nowhere/at/all.db"];
    let output = std::process::Command::new(crate::support::binary("readthrough"))
        .args(options)
        .output()
        .expect("readthrough can be started");
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.contains("the database cannot be opened: ") && error.contains("unable to open"), "{error}");
}
