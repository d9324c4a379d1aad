//! The tables, as analysts see them.

use std::process::Stdio;

use super::{Shipping, field, ids_in_warehouse, ids_on_disk, start, wait_for};
use crate::{
    collector::python,
    support::{Postgres, eventually, line, lines, request},
};

const README: &str = include_str!("../../../../apps/collector/README.md");

#[test]
fn events_are_rows() {
    let postgres = Postgres::start();
    let shipping = Shipping::new(&postgres, "web-1");
    let (_process, mut client) = shipping.start();
    client.ask(line("XADD logs * host a line first"));
    client.ask(line("XADD logs * host b line second"));
    client.ask(line("XADD metrics * cpu 0.5"));
    wait_for(&postgres, 3);
    let rows =
        "SELECT collector, stream, fields, raw IS NULL FROM collector.events ORDER BY stream, time, seq";
    let expected = r#"web-1|logs|{"host": "a", "line": "first"}|t
web-1|logs|{"host": "b", "line": "second"}|t
web-1|metrics|{"cpu": "0.5"}|t"#;
    assert_eq!(postgres.answer(rows), expected);
    // The time is that of the id.
    let times = "SELECT count(*) FROM collector.events WHERE time = timestamptz 'epoch' + ms * interval '1 millisecond' \
                 AND now() - time BETWEEN interval '-1 hour' AND interval '1 hour'";
    assert_eq!(postgres.answer(times), "3");
    for stream in ["logs", "metrics"] {
        assert_eq!(ids_in_warehouse(&postgres, "web-1", stream), ids_on_disk(&mut client, stream));
    }
    assert_eq!((field(&mut client, "connected"), field(&mut client, "shipped_events_total")), (1, 3));
}

#[test]
fn fields_that_json_cannot_show_are_raw_too() {
    let postgres = Postgres::start();
    let shipping = Shipping::new(&postgres, "web-1");
    let (_process, mut client) = shipping.start();
    for fields in
        [[b"a".as_slice(), b"\xff1", b"b", b"2"], [b"a", b"1\0", b"b", b"2"], [b"a", b"1", b"a", b"2"]]
    {
        let [a, b, c, d] = fields;
        client.ask(request([b"XADD".as_slice(), b"s", b"*", a, b, c, d]));
    }
    client.ask(request([b"XADD".as_slice(), b"\xff\0", b"*", b"a", b"1"]));
    client.ask(request([b"XADD".as_slice(), &[b'x'; 5000], b"*", b"a", b"1"]));
    wait_for(&postgres, 5);
    let rows = "SELECT fields, raw FROM collector.events WHERE stream = 's' ORDER BY time, seq";
    let expected = "{\"a\": \"\u{fffd}1\", \"b\": \"2\"}|{\"\\\\x61\",\"\\\\xff31\",\"\\\\x62\",\"\\\\x32\"}\n\
                    {\"a\": \"1\u{fffd}\", \"b\": \"2\"}|{\"\\\\x61\",\"\\\\x3100\",\"\\\\x62\",\"\\\\x32\"}\n\
                    {\"a\": \"2\"}|{\"\\\\x61\",\"\\\\x31\",\"\\\\x61\",\"\\\\x32\"}";
    assert_eq!(postgres.answer(rows), expected);
    let others =
        "SELECT count(*) FROM collector.events WHERE stream IN (E'\u{fffd}\u{fffd}', repeat('x', 1000))";
    assert_eq!(postgres.answer(others), "2");
}

#[test]
fn each_day_has_a_partition() {
    let postgres = Postgres::start();
    let shipping = Shipping::new(&postgres, "web-1");
    let (_process, mut client) = shipping.start();
    // The first milliseconds of 1970, and ids of the next century and of the end of time.
    client.send(lines("XADD s 5-1 a 1 \n XADD s 4102444800000-1 a 2 \n XADD s 9223372036854775807-1 a 3"));
    client.replies(3);
    let yesterday = "SELECT (extract(epoch FROM now() - interval '1 day') * 1000)::bigint";
    let yesterday = postgres.answer(yesterday);
    client.ask(line(&format!("XADD t {yesterday}-7 a 4")));
    wait_for(&postgres, 4);
    let partitions =
        "SELECT inhrelid::regclass FROM pg_inherits WHERE inhparent = 'collector.events'::regclass";
    let day = |days: i32| {
        let name = "to_char((now() AT TIME ZONE 'UTC')::date";
        postgres.answer(&format!("SELECT 'collector.events_' || {name} + {days}, 'YYYYMMDD')"))
    };
    let mut expected = vec![
        "collector.events_before".to_owned(),
        "collector.events_without_time".to_owned(),
        day(-1),
        day(0),
        day(1),
    ];
    let mut found: Vec<String> = postgres.answer(partitions).lines().map(str::to_owned).collect();
    found.sort();
    expected.sort();
    assert_eq!(found, expected);
    let of = |table: &str| postgres.answer(&format!("SELECT string_agg(fields ->> 'a', ' ') FROM {table}"));
    assert_eq!(
        [of("collector.events_before"), of("collector.events_without_time"), of(&day(-1))],
        ["1", "2 3", "4"]
    );
    // A partition that an operator has dropped is created again for a late event.
    postgres.answer(&format!("DROP TABLE {}", day(-1)));
    client.ask(line(&format!("XADD t {yesterday}-8 a 5")));
    wait_for(&postgres, 4);
    assert_eq!(of(&day(-1)), "5");
}

#[test]
fn a_stream_that_was_removed_and_created_again_is_another_one() {
    let postgres = Postgres::start();
    let shipping = Shipping::new(&postgres, "web-1");
    let (process, mut client) = shipping.start();
    client.ask(line("XADD s 5-1 a 1"));
    wait_for(&postgres, 1);
    client.ask(line("DEL s"));
    // Wait until the disk has neither its events nor its number.
    let script = "import sqlite3, sys; print(sqlite3.connect(sys.argv[1]).execute('SELECT * FROM garbage').fetchall())";
    eventually(|| {
        let output = python(script, shipping.path()).wait_with_output().expect("python3");
        (output.stdout == b"[]\n").then_some(())
    });
    drop(process);
    let (_process, mut client) = shipping.start();
    client.ask(line("XADD s 5-1 a 2"));
    wait_for(&postgres, 2);
    assert_eq!(postgres.answer("SELECT string_agg(fields ->> 'a', ' ') FROM collector.events"), "1 2");
}

#[test]
fn a_backlog_is_shipped_in_batches() {
    const EVENTS: usize = 25_000;
    let postgres = Postgres::start();
    let shipping = Shipping::new(&postgres, "web-1");
    let (process, mut client) = start(shipping.path(), &[]);
    client.send(line("XADD s * n 1").repeat(EVENTS));
    client.replies(EVENTS);
    drop(process);
    let (_process, mut client) = shipping.start();
    wait_for(&postgres, EVENTS);
    assert_eq!(ids_in_warehouse(&postgres, "web-1", "s"), ids_on_disk(&mut client, "s"));
}

/// Runs the SQL of the README in this language, with a role. Returns what it prints.
fn run_readme(postgres: &Postgres, language: &str, role: &str) -> String {
    let blocks = README.split("```").skip(1).step_by(2);
    let blocks: Vec<_> = blocks.filter_map(|block| block.strip_prefix(&format!("{language}\n"))).collect();
    let mut psql = postgres.psql();
    psql.args([
        "--tuples-only",
        "--no-align",
        "--set",
        "ON_ERROR_STOP=1",
        "--command",
        &format!("SET ROLE {role}"),
    ]);
    for block in &blocks {
        psql.args(["--command", block]);
    }
    let output = psql.stderr(Stdio::piped()).output().expect("psql");
    assert!(!blocks.is_empty() && output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn the_sql_of_the_readme_runs() {
    let postgres = Postgres::start();
    run_readme(&postgres, "sql setup", "test");
    let shipping = Shipping::new(&postgres, "web-1");
    let url = shipping.url.replace("//test@", "//collector@");
    let (_process, mut client) = start(shipping.path(), &["--database", &url, "--name", "web-1"]);
    client.ask(line("XADD logs * host a line error"));
    client.ask(request([b"XADD".as_slice(), b"logs", b"*", b"host", b"\xff"]));
    let old = postgres.answer("SELECT (extract(epoch FROM now() - interval '100 days') * 1000)::bigint");
    client.ask(line(&format!("XADD old {old}-1 a 1")));
    wait_for(&postgres, 3);
    let answers = run_readme(&postgres, "sql warehouse", "collector");
    for answer in ["a|1\n", "|web-1|", "|error\n", "\\xff\n", "web-1|"] {
        assert!(answers.contains(answer), "{answer} in {answers}");
    }
    // The day of the old event is gone.
    wait_for(&postgres, 2);
    let mut psql = postgres.psql();
    let count = "SELECT count(*) FROM collector.events";
    psql.args(["--tuples-only", "--no-align", "--command", "SET ROLE analyst", "--command", count]);
    assert_eq!(String::from_utf8_lossy(&psql.output().expect("psql").stdout).trim(), "2");
}
