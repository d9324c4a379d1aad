//! Commands of Valkey that the compared redis-server does not know.

use crate::support::{Process, RawClient, line};

#[test]
fn a_value_is_set_or_removed_only_if_it_is_the_expected_one() {
    let kv = Process::program("kv");
    let mut client = RawClient::connect(kv.address());
    for (request, reply) in [
        ("SET lock me IFEQ you", "$-1\r\n"),
        ("SET lock me", "+OK\r\n"),
        ("SET lock me IFEQ you", "$-1\r\n"),
        ("SET lock you IFEQ me", "+OK\r\n"),
        ("SET lock them IFEQ me GET", "$3\r\nyou\r\n"),
        ("SET lock them IFEQ you GET PX 100000", "$3\r\nyou\r\n"),
        ("SET lock them IFEQ you NX", "-ERR syntax error\r\n"),
        ("DELIFEQ lock you", ":0\r\n"),
        ("DELIFEQ lock them", ":1\r\n"),
        ("DELIFEQ lock them", ":0\r\n"),
        ("GET lock", "$-1\r\n"),
    ] {
        assert_eq!(client.ask(line(request)), reply, "{request}");
    }
}
