//! A database has one owner, of the right version.

use std::process::Command;

use super::{Database, add, seen, stat};
use crate::support::binary;

/// Starts a server that should refuse its database. Returns its error.
fn refusal(database: &Database) -> String {
    refusal_of(&database.url())
}

pub(super) fn refusal_of(url: &str) -> String {
    let mut jobs = Command::new(binary("jobs"));
    let output = jobs.args(["--bind", "127.0.0.1:0", "--database", url]).output();
    let output = output.expect("it can be started");
    assert_eq!(output.status.code(), Some(1));
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Runs a statement on the database.
fn execute(database: &Database, sql: &str) {
    match database {
        Database::Sqlite(folder) => {
            let script =
                "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute(sys.argv[2]); c.commit()";
            let path = folder.path().join("jobs.db");
            let status = Command::new("python3").args(["-c", script]).arg(path).arg(sql).status();
            assert!(status.expect("python3 can be run").success());
        }
        Database::Postgres(server) => drop(server.answer(sql)),
    }
}

#[test]
fn a_second_process_refuses_the_database() {
    for (database, text) in Database::all()
        .iter()
        .zip(["another process uses this file", "another process uses the jobs of this database"])
    {
        let (process, mut client) = database.start();
        let error = refusal(database);
        assert!(error.ends_with(&format!(": {text}\n")), "{error}");
        add(&mut client, "q body");
        drop(process);
        database.start();
    }
}

#[test]
fn tables_of_another_version_are_refused() {
    for database in Database::all() {
        database.start();
        let schema = if matches!(database, Database::Postgres(_)) { "jobs." } else { "" };
        execute(&database, &format!("UPDATE {schema}meta SET version = 4"));
        let error = refusal(&database);
        let text = "the tables have version 4, and this program knows version 3: use the program that wrote them, or \
                    another database\n";
        assert!(error.ends_with(text), "{error}");
    }
}

#[test]
fn tables_of_earlier_versions_are_brought_to_the_present_one() {
    for (database, version) in
        Database::all().into_iter().zip([1, 1]).chain(Database::all().into_iter().zip([2, 2]))
    {
        let (process, mut client) = database.start();
        add(&mut client, "q body");
        let before = seen(&mut client, &["q"], &[]);
        database.folded();
        drop(process);
        let is_postgres = matches!(database, Database::Postgres(_));
        let schema = if is_postgres { "jobs." } else { "" };
        if version == 1 {
            for column in ["epoch", "partitions"] {
                execute(&database, &format!("ALTER TABLE {schema}meta DROP COLUMN {column}"));
            }
        }
        if is_postgres {
            execute(&database, "DROP TABLE jobs.log");
        }
        execute(&database, &format!("UPDATE {schema}meta SET version = {version}"));
        for _ in 0..2 {
            let (_process, mut client) = database.start();
            assert_eq!(seen(&mut client, &["q"], &[]), before);
        }
    }
}

#[test]
fn a_damaged_log_is_refused() {
    let database = Database::postgres();
    let (process, mut client) = database.start();
    add(&mut client, "q body");
    drop(process);
    execute(&database, "INSERT INTO jobs.log VALUES (1000, 'damage')");
    let error = refusal(&database);
    assert!(error.ends_with("postgres: the log is damaged\n"), "{error}");
    execute(&database, "DELETE FROM jobs.log WHERE position = 1000");
    let (_process, mut client) = database.start();
    assert_eq!(stat(&mut client, "q", "ready"), 1);
}

#[test]
fn an_unreachable_server_is_an_error_without_the_password() {
    let mut jobs = Command::new(binary("jobs"));
    jobs.args(["--bind", "127.0.0.1:0"]).env("JOBS_DATABASE_URL", "postgres://user:secret@127.0.0.1:1/name");
    let output = jobs.output().expect("it can be started");
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(error.starts_with("jobs: postgres: error connecting to server: Connection refused"), "{error}");
    assert!(!error.contains("secret"), "{error}");
}

#[test]
fn a_database_of_another_program_is_refused() {
    let database = Database::sqlite();
    execute(&database, "CREATE TABLE events (id INTEGER)");
    let error = refusal(&database);
    assert!(error.ends_with("/jobs.db: this is a database of another program\n"), "{error}");
}
