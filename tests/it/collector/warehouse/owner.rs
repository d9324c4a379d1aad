//! Mistakes: URLs, names, tables of another version, and copies of a folder.

use std::{path::Path, process::Command};

use super::{Shipping, field, start, wait_for};
use crate::support::{Folder, Postgres, binary, eventually, line};

/// Starts a collector that should refuse its options. Returns its code and its error.
fn refusal(folder: &Folder, options: &[&str]) -> (Option<i32>, String) {
    let mut collector = Command::new(binary("collector"));
    collector.args(["--bind", "127.0.0.1:0", "--dir"]).arg(folder.path()).args(options);
    let output = collector.output().expect("it can be started");
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn options_that_are_wrong_are_errors() {
    let folder = Folder::new();
    for (options, text) in [
        (&["--database", "mysql://h/n", "--name", "a"][..], "--database: expected postgres://USER@HOST/NAME"),
        (
            &["--database", "postgres://u:secret@h:port/n", "--name", "a"],
            "--database: invalid connection string: invalid value for option `port`",
        ),
        (
            &["--database", "postgres://u@h/n"],
            "--database needs --name: write the name of this collector, which no other collector has",
        ),
        (&["--name", "a"], "--name needs --database: write the URL of the database, or leave --name out"),
    ] {
        let (code, error) = refusal(&folder, options);
        assert!(code == Some(2) && error.starts_with(&format!("collector: {text}")), "{error}");
        assert!(!error.contains("secret"), "{error}");
    }
}

#[test]
fn a_database_that_refuses_the_collector_is_an_error() {
    let postgres = Postgres::start();
    let folder = Folder::new();
    for (from, to, text) in [
        ("/postgres?", "/nothing?", "database \"nothing\" does not exist"),
        ("//test@", "//nobody@", "role \"nobody\" does not exist"),
    ] {
        let url = postgres.url().replace(from, to);
        let (code, error) = refusal(&folder, &["--database", &url, "--name", "a"]);
        assert!(code == Some(1) && error.contains(text), "{error}");
    }
    postgres.answer("CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0");
    let url = postgres.url().replace("/postgres?", "/latin?");
    let (code, error) = refusal(&folder, &["--database", &url, "--name", "a"]);
    let text = "collector: postgres: the database has the encoding LATIN1: create one with ENCODING 'UTF8'\n";
    assert_eq!((code, &*error), (Some(1), text));
}

#[test]
fn a_user_needs_no_more_than_the_schema() {
    let postgres = Postgres::start();
    let shipping = Shipping::new(&postgres, "web-1");
    let as_writer = |url: &str| url.replace("//test@", "//writer@");
    postgres.answer("CREATE ROLE writer LOGIN");
    let url = as_writer(&shipping.url);
    let (code, error) = refusal(&shipping.folder, &["--database", &url, "--name", "a"]);
    assert!(code == Some(1) && error.contains("permission denied for database postgres"), "{error}");
    postgres.answer("CREATE SCHEMA collector AUTHORIZATION writer");
    let (_process, mut client) = start(shipping.path(), &["--database", &url, "--name", "a"]);
    client.ask(line("XADD s * a 1"));
    wait_for(&postgres, 1);
}

#[test]
fn tables_of_another_version_are_refused() {
    let postgres = Postgres::start();
    let shipping = Shipping::new(&postgres, "web-1");
    let (process, mut client) = shipping.start();
    postgres.answer("UPDATE collector.meta SET version = 2");
    let text = "the tables have version 2, and this program knows version 1: use the program that wrote them, or another \
                database\n";
    let options = ["--database", &shipping.url, "--name", "web-1"];
    let (code, error) = refusal(&Folder::new(), &options);
    assert!(code == Some(1) && error.ends_with(text), "{error}");
    // One that runs when it loses its connection collects on.
    postgres.down();
    postgres.up();
    eventually(|| (field(&mut client, "connected") == 0).then_some(()));
    client.ask(line("XADD s * a 1"));
    eventually(|| (field(&mut client, "behind_events") == 1).then_some(()));
    postgres.answer("UPDATE collector.meta SET version = 1");
    wait_for(&postgres, 1);
    drop(process);
}

#[test]
fn each_collector_has_its_name() {
    let postgres = Postgres::start();
    let shipping = Shipping::new(&postgres, "web-1");
    let (process, mut client) = shipping.start();
    client.ask(line("XADD s * a 1"));
    wait_for(&postgres, 1);
    let other = Folder::new();
    let options = ["--database", &shipping.url, "--name", "web-1"];
    let (code, error) = refusal(&other, &options);
    let text = "another collector has the name web-1: choose another --name, or, if that collector and its disk are gone, \
                remove its row from collector.collectors\n";
    assert!(code == Some(1) && error.ends_with(text), "{error}");
    // Its disk is lost.
    drop(process);
    postgres.answer("DELETE FROM collector.collectors WHERE name = 'web-1'");
    let (_process, mut client) = start(other.path(), &options);
    client.ask(line("XADD s * a 2"));
    wait_for(&postgres, 2);
}

#[test]
fn the_last_one_ships_the_events_of_a_folder() {
    let postgres = Postgres::start();
    let shipping = Shipping::new(&postgres, "web-1");
    let (process, mut client) = shipping.start();
    client.ask(line("XADD s * a 1"));
    wait_for(&postgres, 1);
    // A copy of the folder, as from a backup.
    let copy = copy_of(shipping.path());
    let (_copy, mut other) = start(copy.path(), &["--database", &shipping.url, "--name", "web-1"]);
    client.ask(line("XADD s * a lost"));
    eventually(|| (field(&mut client, "connected") == 0).then_some(()));
    other.ask(line("XADD s * a 2"));
    wait_for(&postgres, 2);
    assert_eq!(postgres.answer("SELECT string_agg(fields ->> 'a', ' ') FROM collector.events"), "1 2");
    drop(process);
}

/// Returns a copy of a folder.
fn copy_of(folder: &Path) -> Folder {
    let copy = Folder::new();
    let status = Command::new("cp").arg("-a").arg(folder.join(".")).arg(copy.path()).status();
    assert!(status.expect("cp can be run").success());
    copy
}

#[test]
fn a_copy_with_another_name_ships_what_is_new() {
    let postgres = Postgres::start();
    let shipping = Shipping::new(&postgres, "web-1");
    let (process, mut client) = shipping.start();
    client.ask(line("XADD s * a 1"));
    wait_for(&postgres, 1);
    process.signal("TERM");
    assert!(process.wait().success());
    let copy = copy_of(shipping.path());
    let (_process, mut client) = shipping.start();
    let (_copy, mut other) = start(copy.path(), &["--database", &shipping.url, "--name", "web-2"]);
    client.ask(line("XADD s * a 2"));
    other.ask(line("XADD s * a 3"));
    wait_for(&postgres, 3);
    let rows =
        "SELECT string_agg(collector || ' ' || (fields ->> 'a'), ', ' ORDER BY fields) FROM collector.events";
    assert_eq!(postgres.answer(rows), "web-1 1, web-1 2, web-2 3");
}
