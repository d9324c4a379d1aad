//! The example `kv`: the replies of a real redis-server, and what neither of them says in a reply.

mod chance;
mod cli;
mod life;
mod script;

use chance::Chance;
use script::{Servers, words};

use crate::support::{Reply, line};

/// Plays a script in both protocols.
fn play(script: &str) {
    let servers = Servers::start();
    for protocol in [2, 3] {
        servers.connect(protocol).play(script);
    }
}

#[test]
fn string_commands_reply_as_in_redis() {
    play(include_str!("kv/strings.txt"));
}

#[test]
fn key_commands_reply_as_in_redis() {
    play(include_str!("kv/keys.txt"));
}

#[test]
fn expiry_commands_reply_as_in_redis() {
    play(include_str!("kv/expiry.txt"));
}

#[test]
fn random_commands_reply_as_in_redis() {
    let servers = Servers::start();
    let mut pair = servers.connect(2);
    let mut chance = Chance(7);
    for _ in 0..20_000 {
        pair.command(&chance.command());
    }
}

#[test]
fn random_sums_are_those_of_redis() {
    let servers = Servers::start();
    let mut pair = servers.connect(2);
    let mut chance = Chance(7);
    for _ in 0..2_000 {
        pair.line(&format!("SET k {}", chance.decimal()));
        pair.line(&format!("INCRBYFLOAT k {}", chance.decimal()));
    }
}

#[test]
fn all_ranges_of_a_string() {
    let servers = Servers::start();
    let mut pair = servers.connect(2);
    for value in ["", "x", "hello"] {
        pair.command(&["SET", "k", value]);
        for (start, end) in (-7..=7).flat_map(|start| (-7..=7).map(move |end| (start, end))) {
            pair.line(&format!("GETRANGE k {start} {end}"));
        }
    }
}

/// From 16 KiB on, values are handed over without being copied.
#[test]
fn large_values() {
    let servers = Servers::start();
    let mut pair = servers.connect(2);
    for len in [16_383, 16_384, 16_385, 1 << 20] {
        let value = "v\r\n".repeat(len / 3 + 1);
        pair.command(&["SET", "k", &value[..len]]);
        pair.command(&["APPEND", "k", &value[..len]]);
        pair.line("COPY k l REPLACE");
        pair.line("SETRANGE k 10000 x");
        pair.line("GETRANGE k 1 -2");
        pair.line("MGET k l");
        pair.line("GETSET k v");
    }
}

/// Clients plan by the arity, the flags and the positions of the keys.
#[test]
fn commands_are_described_as_in_redis() {
    let servers = Servers::start();
    let mut pair = servers.connect(2);
    for name in words(chance::NAMES).into_iter().chain(words("SCAN RANDOMKEY DBSIZE FLUSHALL")) {
        let name = String::from_utf8(name).expect("text");
        let info = line(&format!("COMMAND INFO {name}"));
        let [kv, redis] = [pair.kv.ask(&info), pair.redis.ask(&info)].map(|reply| described(&reply));
        assert_eq!(kv, redis, "{name}");
    }
}

/// The name, arity, flags, first key, last key and step of the one command in a reply.
fn described(reply: &[u8]) -> Vec<Reply> {
    let Some(Reply::Array(commands)) = Reply::only(reply) else { panic!("no array") };
    let [Reply::Array(parts)] = &commands[..] else { panic!("not one command") };
    parts[..6].iter().cloned().map(script::sorted).collect()
}
