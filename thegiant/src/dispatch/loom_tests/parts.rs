//! The parts of a batch: the last one that is back returns the batch, once and with all replies.

use loom::thread;

use super::app::{Log, Server, bulk, explore, request};
use crate::Client;

#[test]
fn a_batch_of_several_shards_comes_back_once_with_all_replies_in_order() {
    explore(3, || {
        let log = Log::default();
        let (server, mut shards) = Server::new(3, &log);
        let last = shards.pop().expect("three shards");
        let shards: Vec<_> = shards.into_iter().map(|shard| thread::spawn(|| shard.run())).collect();
        let connection = thread::spawn(move || {
            let client = Client::unconnected(1);
            // Each shard has one of the keys.
            let keys = ["b", "a", "c", "a", "b"];
            let requests =
                |round: &str| keys.map(|key| request(&["ADD", key, &format!("{key}{round}")])).concat();
            let replies = |round: &str| keys.map(|key| bulk(&format!("{key}{round}"))).concat();
            assert_eq!(server.call(&client, &requests("1")), replies("1"));
            assert_eq!(server.call(&client, &requests("2")), replies("2"));
        });
        last.run();
        connection.join().expect("all replies");
        shards.into_iter().for_each(|shard| shard.join().expect("the end of the shard"));
        assert_eq!(log.lines_of("a"), ["a1", "a1", "a2", "a2"]);
        assert_eq!(log.lines_of("b"), ["b1", "b1", "b2", "b2"]);
        assert_eq!(log.lines_of("c"), ["c1", "c2"]);
    });
}

#[test]
fn parts_that_wait_go_on_when_their_replies_come() {
    explore(2, || {
        let log = Log::default();
        let (server, mut shards) = Server::new(2, &log);
        let last = shards.pop().expect("two shards");
        let other = shards.pop().expect("two shards");
        let other = thread::spawn(|| other.run());
        let connection = thread::spawn(move || {
            let client = Client::unconnected(1);
            // The keys belong to different shards.
            let requests = [["LATER", "a", "a1"], ["LATER", "b", "b1"], ["ADD", "a", "a2"]];
            let replies = ["a1", "b1", "a2"].map(bulk).concat();
            assert_eq!(server.call(&client, &requests.map(|words| request(&words)).concat()), replies);
        });
        last.run();
        connection.join().expect("all replies");
        other.join().expect("the end of the shard");
        assert_eq!(log.lines_of("a"), ["a1", "a2"]);
        assert_eq!(log.lines_of("b"), ["b1"]);
    });
}
