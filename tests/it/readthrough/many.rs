//! Many clients that wait for one query, and queries that take too long.

use std::{
    io::Write,
    process::{Child, Stdio},
};

use super::{Database, stat};
use crate::support::{Postgres, RawClient, allow_many_connections, eventually, info, line};

/// Locks the table against readers until it is dropped.
struct Lock(Child);

impl Lock {
    fn take(postgres: &Postgres) -> Self {
        let mut psql = postgres.psql().stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("psql");
        let input = psql.stdin.as_mut().expect("the stream is piped");
        let sql = "BEGIN;\nLOCK TABLE entries IN ACCESS EXCLUSIVE MODE;\n\\echo locked\n";
        input.write_all(sql.as_bytes()).expect("psql reads it");
        let mut printed = [0; 7];
        std::io::Read::read_exact(psql.stdout.as_mut().expect("the stream is piped"), &mut printed)
            .expect("psql prints it");
        assert_eq!(&printed, b"locked\n");
        Lock(psql)
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // At the end of its input, psql ends and the server rolls back.
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

const CLIENTS: usize = 1000;

#[test]
fn a_thousand_clients_make_one_query() {
    a_thousand_clients_make_one_query_with(&[]);
}

#[test]
fn a_thousand_clients_of_several_threads_make_one_query() {
    a_thousand_clients_make_one_query_with(&["--threads", "4"]);
}

fn a_thousand_clients_make_one_query_with(options: &[&str]) {
    allow_many_connections();
    let postgres = Postgres::start();
    let database = Database::Postgres(postgres);
    let (process, mut client) = database.serve(options);
    let Database::Postgres(postgres) = &database else { return };
    client.ask(line("SET wanted value"));
    let lock = Lock::take(postgres);
    let mut clients: Vec<_> = (0..CLIENTS).map(|_| RawClient::connect(process.address())).collect();
    clients.iter_mut().for_each(|client| client.send(line("GET wanted")));
    eventually(|| (stat(&mut client, "misses") == CLIENTS as u64).then_some(()));
    assert_eq!(stat(&mut client, "coalesced"), CLIENTS as u64 - 1);
    // Half of the clients disconnect.
    clients.truncate(CLIENTS / 2);
    drop(lock);
    for client in &mut clients {
        assert_eq!(client.reply(), "$5\r\nvalue\r\n");
    }
    // One query for all `GET` commands, and one for the `SET`.
    assert_eq!(stat(&mut client, "queries"), 2);
}

/// The keys of a command that another command reads already are not read again. The database counts the queries.
#[test]
fn a_cold_mget_of_many_clients_makes_one_query_per_key() {
    const CLIENTS: usize = 200;
    allow_many_connections();
    let database = Database::Postgres(Postgres::start());
    let (process, mut client) = database.serve(&["--connections", "50"]);
    let Database::Postgres(postgres) = &database else { return };
    let keys: Vec<String> = (0..20).map(|number| format!("key:{number}")).collect();
    for key in &keys {
        client.ask(format!("SET {key} {key}\r\n"));
    }
    let lock = Lock::take(postgres);
    let mut clients: Vec<_> = (0..CLIENTS).map(|_| RawClient::connect(process.address())).collect();
    let mget = |keys: &[String]| format!("MGET {}\r\n", keys.join(" "));
    clients.iter_mut().for_each(|client| client.send(mget(&keys)));
    eventually(|| (stat(&mut client, "misses") == 20 * CLIENTS as u64).then_some(()));
    assert_eq!(stat(&mut client, "coalesced"), 20 * (CLIENTS as u64 - 1));
    // Commands that share only some keys: one more query, of the other key.
    let [mut one, mut partly] = [(), ()].map(|()| RawClient::connect(process.address()));
    one.send(line("GET key:7"));
    partly.send(line("MGET other key:0 key:19 other"));
    eventually(|| (stat(&mut client, "misses") == 20 * CLIENTS as u64 + 5).then_some(()));
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%FROM entries%'";
    eventually(|| (postgres.answer(waiting) == "2").then_some(()));
    // The query goes on while a client waits for one of its keys.
    clients.truncate(CLIENTS / 2);
    drop(lock);
    let values: String = keys.iter().map(|key| format!("${}\r\n{key}\r\n", key.len())).collect();
    for client in &mut clients {
        assert_eq!(client.reply(), format!("*20\r\n{values}"));
    }
    assert_eq!(one.reply(), "$5\r\nkey:7\r\n");
    assert_eq!(partly.reply(), "*4\r\n$-1\r\n$5\r\nkey:0\r\n$6\r\nkey:19\r\n$-1\r\n");
    assert_eq!(stat(&mut client, "queries"), 22);
    assert_eq!(stat(&mut client, "cached_keys"), 21);
}

#[test]
fn a_query_is_cancelled_when_its_last_client_disconnects() {
    let database = Database::Postgres(Postgres::start());
    let (process, mut client) = database.serve(&["--connections", "1"]);
    let Database::Postgres(postgres) = &database else { return };
    let lock = Lock::take(postgres);
    let mut impatient = RawClient::connect(process.address());
    impatient.send(line("GET x"));
    eventually(|| (stat(&mut client, "misses") == 1).then_some(()));
    drop(impatient);
    // Otherwise the query could finish before the server notices the disconnection.
    eventually(|| (info(&mut client, "clients").number("connected_clients") == 1).then_some(()));
    drop(lock);
    // The only database connection is usable again.
    assert_eq!(client.ask(line("GET y")), "$-1\r\n");
    assert_eq!(stat(&mut client, "queries"), 1);
}

#[test]
fn a_query_that_times_out_is_an_error() {
    let database = Database::Postgres(Postgres::start());
    let (_process, mut client) = database.serve(&["--query-timeout", "100"]);
    let Database::Postgres(postgres) = &database else { return };
    let lock = Lock::take(postgres);
    let late = "-DATABASE the query timed out\r\n";
    for request in ["GET x", "MGET x y", "SET x 1", "DEL x"] {
        assert_eq!(client.ask(line(request)), late, "{request}");
    }
    drop(lock);
    eventually(|| (client.ask(line("GET y")) == "$-1\r\n").then_some(()));
}
