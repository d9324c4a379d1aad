//! The batch queue: it loses no batch, wakes its actor once, and keeps transactions apart.

use std::sync::Arc;

use loom::thread;

use super::app::{Log, Server, Shard, bulk, explore, request};
use crate::Client;

#[test]
fn batches_run_once_and_in_the_order_of_their_clients() {
    explore(3, || {
        let log = Log::default();
        let (server, shards) = Server::new(1, &log);
        let clients = ["a", "b"].map(|name| {
            let server = Arc::clone(&server);
            thread::spawn(move || {
                let client = Client::unconnected(1);
                for number in 1..=2 {
                    let line = format!("{name}{number}");
                    assert_eq!(server.call(&client, &request(&["ADD", "key", &line])), bulk(&line));
                }
            })
        });
        drop(server);
        shards.into_iter().for_each(Shard::run);
        clients.into_iter().for_each(|client| client.join().expect("all replies"));
        assert_eq!(log.lines().len(), 4);
        assert_eq!(log.lines_of("a"), ["a1", "a2"]);
        assert_eq!(log.lines_of("b"), ["b1", "b2"]);
    });
}

#[test]
fn nothing_runs_between_two_commands_of_a_transaction() {
    explore(2, || {
        let log = Log::default();
        let (server, mut shards) = Server::new(2, &log);
        let first = shards.remove(0);
        let first = thread::spawn(|| first.run());
        let clients = ["a", "b"].map(|name| {
            let server = Arc::clone(&server);
            thread::spawn(move || {
                let client = Client::unconnected(1);
                let lines = [format!("{name}1"), format!("{name}2")];
                // The keys belong to different shards.
                let requests = [["ADD", "b", &lines[0]], ["ADD", "a", &lines[1]]];
                let replies = server.transact(&client, &requests);
                assert_eq!(replies, format!("*2\r\n{}{}", bulk(&lines[0]), bulk(&lines[1])));
            })
        });
        drop(server);
        shards.into_iter().for_each(Shard::run);
        clients.into_iter().for_each(|client| client.join().expect("all replies"));
        first.join().expect("the end of the shard");
        let lines = log.lines();
        assert!(lines == ["a1", "a2", "b1", "b2"] || lines == ["b1", "b2", "a1", "a2"], "{lines:?}");
    });
}
