//! Clients add events while the test kills the collector, or PostgreSQL, again and again.

use std::{
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
    time::Duration,
};

use super::{Shipping, ids_in_warehouse, ids_on_disk, wait_until_complete};
use crate::support::{Postgres, RawClient, kills, line};

const STREAMS: [&str; 3] = ["one", "two", "three"];

/// Adds events to all streams until the collector is gone, or until the end.
fn collect(mut client: RawClient, end: &AtomicBool) {
    let events: Vec<u8> = STREAMS.iter().flat_map(|stream| line(&format!("XADD {stream} * n 1"))).collect();
    while !end.load(Relaxed) {
        if client.try_send(&events).is_err() {
            return;
        }
        for _ in STREAMS {
            match client.try_reply() {
                Ok(reply) => assert!(reply.starts_with(b"$"), "{reply:?}"),
                Err(_) => return,
            }
        }
    }
}

/// Checks that the warehouse has each event of a collector once.
fn check(postgres: &Postgres, shipping: &Shipping, client: &mut RawClient) {
    wait_until_complete(client, &STREAMS);
    for stream in STREAMS {
        let on_disk = ids_on_disk(client, stream);
        assert!(!on_disk.is_empty());
        let there = ids_in_warehouse(postgres, shipping.name, stream);
        assert!(
            there == on_disk,
            "{stream}: {} events of {}",
            there.lines().count(),
            on_disk.lines().count()
        );
    }
}

#[test]
fn a_killed_collector_ships_each_event_once() {
    let postgres = Postgres::start();
    let shipping = Shipping::new(&postgres, "web-1");
    let end = AtomicBool::new(false);
    for round in 0..kills(8) {
        let (process, client) = shipping.start();
        thread::scope(|scope| {
            scope.spawn(|| collect(client, &end));
            thread::sleep(Duration::from_millis(300 + (round * 271 % 1100) as u64));
            drop(process);
        });
    }
    let (_process, mut client) = shipping.start();
    check(&postgres, &shipping, &mut client);
}

#[test]
fn a_killed_postgres_has_each_event_once() {
    let postgres = Postgres::start();
    let shipping = Shipping::new(&postgres, "web-1");
    let (process, mut client) = shipping.start();
    let end = AtomicBool::new(false);
    thread::scope(|scope| {
        let address = process.address();
        scope.spawn(|| collect(RawClient::connect(address), &end));
        for round in 0..kills(4) {
            thread::sleep(Duration::from_millis(700 + (round * 337 % 1100) as u64));
            postgres.down();
            thread::sleep(Duration::from_millis(200));
            postgres.up();
        }
        end.store(true, Relaxed);
    });
    check(&postgres, &shipping, &mut client);
}

#[test]
fn several_collectors_fill_one_warehouse() {
    let postgres = Postgres::start();
    let collectors = ["web-1", "web-2", "db-1"].map(|name| Shipping::new(&postgres, name));
    // They create the tables at the same time.
    let mut servers = thread::scope(|scope| {
        let starts: Vec<_> = collectors.iter().map(|shipping| scope.spawn(|| shipping.start())).collect();
        starts.into_iter().map(|start| start.join().expect("it starts")).collect::<Vec<_>>()
    });
    let end = AtomicBool::new(false);
    thread::scope(|scope| {
        for (process, _) in &servers {
            scope.spawn(|| collect(RawClient::connect(process.address()), &end));
        }
        thread::sleep(Duration::from_millis(1500));
        end.store(true, Relaxed);
    });
    for (shipping, (_, client)) in collectors.iter().zip(&mut servers) {
        check(&postgres, shipping, client);
    }
}
