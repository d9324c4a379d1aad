//! A warehouse that cannot be reached for a time.

use std::net::TcpListener;

use super::{Shipping, field, ids_in_warehouse, ids_on_disk, length, start, wait_for, wait_until_complete};
use crate::support::{ANY_PORT, Folder, Postgres, eventually, line, lines, request};

#[test]
fn events_stay_on_disk_while_postgres_is_down() {
    let postgres = Postgres::start();
    let shipping = Shipping::new(&postgres, "web-1");
    postgres.down();
    let (process, mut client) = shipping.start();
    client.send(lines("XADD s * a 1 \n XADD s * a 2 \n XADD t * a 3"));
    client.replies(3);
    eventually(|| (field(&mut client, "behind_events") == 3).then_some(()));
    assert_eq!(field(&mut client, "connected"), 0);
    drop(process);
    // The disk tells how old the oldest event is.
    let (_process, mut client) = shipping.start();
    eventually(|| (field(&mut client, "behind_seconds") > 0).then_some(()));
    postgres.up();
    wait_for(&postgres, 3);
    wait_until_complete(&mut client, &["s", "t"]);
    eventually(|| (field(&mut client, "behind_seconds") <= 5).then_some(()));
    assert_eq!(ids_in_warehouse(&postgres, "web-1", "s"), ids_on_disk(&mut client, "s"));
}

#[test]
fn a_database_that_does_not_answer_delays_the_start_only() {
    // It accepts connections, and nothing else.
    let silent = TcpListener::bind(ANY_PORT).expect("a free port");
    let port = silent.local_addr().expect("it is bound").port();
    let folder = Folder::new();
    let url = format!("postgres://test@127.0.0.1:{port}/postgres");
    let (_process, mut client) = start(folder.path(), &["--database", &url, "--name", "web-1"]);
    assert!(client.ask(line("XADD s * a 1")).starts_with(b"$"));
    eventually(|| (field(&mut client, "behind_events") == 1).then_some(()));
    assert_eq!(field(&mut client, "connected"), 0);
}

#[test]
fn events_that_are_too_old_stay_until_they_are_shipped() {
    let postgres = Postgres::start();
    let shipping = Shipping::new(&postgres, "web-1");
    postgres.down();
    let (process, mut client) = shipping.start_with(&["--max-age", "1d"]);
    client.send(lines("XADD s 1-1 a 1 \n XADD s 1-2 a 2"));
    client.replies(2);
    // The same look notes this and removes old events.
    eventually(|| (field(&mut client, "behind_events") == 2).then_some(()));
    assert_eq!(length(&mut client, "s"), 2);
    postgres.up();
    wait_for(&postgres, 2);
    eventually(|| (length(&mut client, "s") == 0).then_some(()));
    // The disk has the positions, too.
    client.ask(line("XADD s 1-3 a 3"));
    wait_for(&postgres, 3);
    eventually(|| (length(&mut client, "s") == 0).then_some(()));
    postgres.down();
    drop(process);
    let (_process, mut client) = shipping.start_with(&["--max-age", "1d"]);
    client.ask(line("XADD s 1-4 a 4"));
    eventually(|| (field(&mut client, "behind_events") == 1).then_some(()));
    assert_eq!(length(&mut client, "s"), 1);
}

#[test]
fn the_limit_of_the_disk_removes_events_that_are_not_shipped() {
    let postgres = Postgres::start();
    let shipping = Shipping::new(&postgres, "web-1");
    postgres.down();
    let (_process, mut client) = shipping.start_with(&["--max-size", "1M"]);
    let event = request([b"XADD".as_slice(), b"s", b"*", b"a", &[b'x'; 1000]]);
    const EVENTS: usize = 5000;
    client.send(event.repeat(EVENTS));
    client.replies(EVENTS);
    let removed =
        eventually(|| Some(field(&mut client, "removed_events_total")).filter(|removed| *removed > 3000));
    assert!(removed < EVENTS as u64);
    postgres.up();
    wait_until_complete(&mut client, &["s"]);
    let removed = field(&mut client, "removed_events_total") as usize;
    wait_for(&postgres, EVENTS - removed);
    assert_eq!(ids_in_warehouse(&postgres, "web-1", "s"), ids_on_disk(&mut client, "s"));
}
