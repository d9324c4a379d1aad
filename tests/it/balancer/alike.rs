//! Checks that several servers behind the balancer behave like one server.

use std::collections::{BTreeMap, BTreeSet};

use super::number;
use crate::support::{Process, RawClient, Reply, eventually, info, line, lines, request};

/// Commands with several keys, which may be on different servers.
pub(super) const SEVERAL_KEYS: &str = "
    MSET a 1 b 2 c 3 d 4 e 5 f 6
    MGET f e none d a a c b
    MSET a 10 b 11 a 12
    GET a
    EXISTS a b none a c
    TOUCH a b none a
    DEL a none b a
    UNLINK c d none c
    EXISTS a b c d e f
    DBSIZE
    LPUSH list x
    MGET e list f
    DEL list e none
    MGET a
    MGET
    MSET a
    MSET a 1 b 2 c 3 d 4 g 5 h
    DEL
    UNLINK
    EXISTS
    TOUCH
    DBSIZE
    FLUSHDB
    EXISTS f
";

/// Transactions on the keys of one server.
pub(super) const TRANSACTIONS: &str = "
    MULTI
    SET {t}n 1
    INCR {t}n
    LPUSH {t}n x
    MGET {t}n {t}none
    GET {t}n
    EXEC
    MULTI
    EXEC
    MULTI
    SET {t}n 5
    DISCARD
    GET {t}n
    EXEC
    DISCARD
    MULTI
    SET {t}n 6
    NOSUCH {t}n
    EXEC
    MULTI
    INCR
    EXEC
    GET {t}n
    MULTI
    SET {t}n 7
    PING
    ECHO {t}
    EXEC
    WATCH {t}n
    GET {t}n
    MULTI
    DEL {t}n
    EXEC
    WATCH {t}n
    UNWATCH
    GET {t}n
";

/// Scripts with keys of one server.
pub(super) const SCRIPTS: &str = "
    EVAL return{KEYS[1],KEYS[2],ARGV[1]} 2 {t}a {t}b c
    EVAL return(redis.call('set',KEYS[1],ARGV[1])) 1 n 5
    EVAL return(redis.call('incr',KEYS[1])) 1 n
    GET n
    EVAL return(1) 0
    EVAL return(1) x
    SCRIPT LOAD return(ARGV[1])
    EVALSHA 098e0f0d1448c0a81dafe820f66d460eb09263da 1 a value
    EVALSHA 098e0f0d1448c0a81dafe820f66d460eb09263da 1 b value
    EVALSHA 098e0f0d1448c0a81dafe820f66d460eb09263da 1 c value
    EVALSHA 098e0f0d1448c0a81dafe820f66d460eb09263da 1 d value
";

/// Checks that `front` sends the same replies as a single redis-server.
///
/// Sends the requests in both protocols, one by one and as a pipeline.
pub(super) fn answered_alike(front: &Process, requests: &str) {
    let single = Process::redis(&[]);
    let requests: Vec<_> = requests.lines().map(str::trim).filter(|text| !text.is_empty()).collect();
    for protocol in ["2", "3"] {
        for pipelined in [false, true] {
            let [front, single] = [front, &single].map(|server| {
                let mut client = RawClient::connect(server.address());
                client.ask(format!("HELLO {protocol}\r\n"));
                assert_eq!(client.ask(line("FLUSHALL")), "+OK\r\n");
                if pipelined {
                    client.send(lines(&requests.join("\n")));
                }
                let ask = |text: &&str| if pipelined { client.reply() } else { client.ask(line(text)) };
                requests.iter().map(ask).collect::<Vec<_>>()
            });
            for (text, replies) in requests.iter().zip(front.iter().zip(&single)) {
                assert_eq!(replies.0, replies.1, "{text}, RESP{protocol}, pipelined: {pipelined}");
            }
        }
    }
}

/// Checks the replies to a pipeline of `count` mixed requests against a single redis-server.
pub(super) fn pipelined_alike(front: &Process, count: usize) {
    let single = Process::redis(&[]);
    let requests: Vec<u8> = (0..count).flat_map(mixed).collect();
    let [front, single] = [front, &single].map(|server| {
        let mut client = RawClient::connect(server.address());
        assert_eq!(client.ask(line("FLUSHALL")), "+OK\r\n");
        client.while_sending(&[&requests], |client| (0..count).map(|_| client.reply()).collect::<Vec<_>>())
    });
    for (index, (front, single)) in front.iter().zip(&single).enumerate() {
        assert_eq!(front, single, "request {index}: {:?}", String::from_utf8_lossy(&mixed(index)));
    }
}

/// Returns a request to one of a few keys. The type of the key may be wrong for the request.
fn mixed(index: usize) -> Vec<u8> {
    let [a, b, c] = [7, 11, 13].map(|step| format!("key:{}", index * step % 61));
    let value = format!("{index}{}", "x".repeat(index * 37 % 3000));
    let number = index.to_string();
    let words: &[&str] = match index * 5 % 17 {
        0 | 1 => &["SET", &a, &value],
        2 | 3 => &["GET", &b],
        4 => &["MGET", &a, &b, &c, &a],
        5 => &["MSET", &a, &number, &b, &value, &c, "1"],
        6 => &["DEL", &b, &c],
        7 => &["EXISTS", &a, &b, &a],
        8 => &["INCRBY", &a, &number],
        9 => &["APPEND", &c, "more"],
        10 => &["STRLEN", &b],
        11 => &["ECHO", &value],
        12 => &["RPUSH", &a, &number],
        13 => &["LRANGE", &b, "0", "-1"],
        14 => &["NOSUCH", &a],
        15 => &["DBSIZE"],
        _ => &["PING"],
    };
    request(words)
}

/// Checks that `SCAN` and `KEYS` find each key once.
pub(super) fn check_scan_and_keys(front: &Process) {
    let mut client = RawClient::connect(front.address());
    client.ask(line("FLUSHALL"));
    let keys: BTreeSet<_> = (0..1000).map(|number| format!("key:{number}")).collect();
    for key in &keys {
        client.send(request(["SET", key, "1"]));
    }
    client.send(line("RPUSH list 1"));
    client.replies(keys.len() + 1);
    for options in ["TYPE string", "TYPE string COUNT 1", "MATCH key:* COUNT 77", "MATCH key:* COUNT 100000"]
    {
        let found = scan(&mut client, options);
        assert_eq!(found.len(), keys.len(), "{options}: some keys are missing or found twice");
        assert_eq!(BTreeSet::from_iter(found), keys, "{options}");
    }
    assert_eq!(scan(&mut client, "TYPE list"), ["list"]);
    assert_eq!(scan(&mut client, "MATCH none:*"), [""; 0]);
    let ends: BTreeSet<_> = scan(&mut client, "MATCH key:99?").into_iter().collect();
    assert_eq!(ends, (990..1000).map(|number| format!("key:{number}")).collect());
    let Some(Reply::Array(found)) = Reply::only(&client.ask(line("KEYS key:*"))) else { panic!("no keys") };
    assert_eq!(found.into_iter().map(text).collect::<BTreeSet<_>>(), keys);
    assert_eq!(number(&client.ask(line("DBSIZE"))), keys.len() as i64 + 1);
    assert_eq!(client.ask(line("SCAN x")), "-ERR invalid cursor\r\n");
    assert_eq!(client.ask(line("SCAN 0 COUNT 0")), "-ERR syntax error\r\n");
    assert_eq!(client.ask(line("FLUSHALL")), "+OK\r\n");
    assert_eq!(scan(&mut client, ""), [""; 0]);
    assert_eq!(client.ask(line("DBSIZE")), ":0\r\n");
}

/// Scans from the first cursor to the last. Returns the keys.
fn scan(client: &mut RawClient, options: &str) -> Vec<String> {
    let (mut found, mut cursor) = (Vec::new(), "0".to_owned());
    for _ in 0..10_000 {
        let reply = Reply::only(&client.ask(line(format!("SCAN {cursor} {options}").trim())));
        let Some(Reply::Array(parts)) = reply else { panic!("{reply:?} to SCAN {cursor} {options}") };
        let Ok([next, Reply::Array(keys)]) = <[Reply; 2]>::try_from(parts) else { panic!("no keys") };
        found.extend(keys.into_iter().map(text));
        cursor = text(next);
        if cursor == "0" {
            return found;
        }
    }
    panic!("the scan does not end: {options}");
}

/// Checks that a change of a watched key aborts a transaction, and that no other change does.
pub(super) fn check_watch(front: &Process) {
    let [mut client, mut other] = [(); 2].map(|()| RawClient::connect(front.address()));
    other.ask(line("FLUSHALL"));
    for key in ["one", "two", "three", "four"] {
        assert_eq!(client.ask(format!("WATCH {key}\r\n")), "+OK\r\n");
        other.ask(format!("SET {key} 1\r\n"));
        let transaction = format!("MULTI \n SET {key} 2 \n EXEC \n GET {key}");
        client.send(lines(&transaction));
        assert_eq!(client.replies(4), "+OK\r\n+QUEUED\r\n*-1\r\n$1\r\n1\r\n");
        client.send(lines(&format!("WATCH {key} \n GET {key} \n {transaction}")));
        assert_eq!(client.replies(6), "+OK\r\n$1\r\n1\r\n+OK\r\n+QUEUED\r\n*1\r\n+OK\r\n$1\r\n2\r\n");
    }
}

/// Checks that a blocked client gets its element, and that it does not block other clients.
pub(super) fn check_blocking_commands(front: &Process, servers: &[&str]) {
    let [mut client, mut other] = [(); 2].map(|()| RawClient::connect(front.address()));
    other.ask(line("FLUSHALL"));
    let blocked = || {
        let blocked_at =
            |address| info(&mut RawClient::connect(address), "clients").number("blocked_clients");
        servers.iter().map(|address| blocked_at(address)).sum::<u64>()
    };
    for list in ["one", "two", "three", "four"] {
        client.send(lines(&format!("BLPOP {list} 0 \n PING")));
        eventually(|| (blocked() == 1).then_some(()));
        assert_eq!(other.ask(line("GET none")), "$-1\r\n");
        assert_eq!(other.ask(format!("RPUSH {list} value\r\n")), ":1\r\n");
        let taken = format!("*2\r\n${}\r\n{list}\r\n$5\r\nvalue\r\n", list.len());
        assert_eq!(client.replies(2), format!("{taken}+PONG\r\n"));
        other.ask(format!("RPUSH {list} value\r\n"));
        assert_eq!(client.ask(format!("BLPOP {list} 0\r\n")), taken);
        assert_eq!(other.ask(format!("EXISTS {list}\r\n")), ":0\r\n");
        assert_eq!(client.ask(format!("BLPOP {list} 0.01\r\n")), "*-1\r\n");
    }
    client.send(line("BLPOP {t}a {t}b 0"));
    eventually(|| (blocked() == 1).then_some(()));
    other.ask(line("RPUSH {t}b value"));
    assert_eq!(client.reply(), "*2\r\n$4\r\n{t}b\r\n$5\r\nvalue\r\n");
}

/// Checks that a subscriber receives each message once per subscription, in the order of each channel.
///
/// If `receivers` is given, `PUBLISH` has to return that number. It is not given for a cluster, whose nodes do not keep the
/// order: a node of Redis that replaces its link to another one sends later messages before the other has read earlier ones.
/// For the same reason each listener has channels of its own: one node may read a message long after another one, and the
/// next listener may be connected to it.
pub(super) fn check_subscriptions(front: &Process, receivers: Option<i64>) {
    for protocol in [2, 3] {
        let [mut listener, mut other] = [(); 2].map(|()| RawClient::connect(front.address()));
        listener.ask(format!("HELLO {protocol}\r\n"));
        let channels: Vec<_> = (0..10).map(|number| format!("news:{protocol}:{number}")).collect();
        let pattern = format!("news:{protocol}:*");
        let subscribe = format!("SUBSCRIBE {}", channels.join(" "));
        listener.send(lines(&format!("{subscribe} \n PSUBSCRIBE {pattern} n?ne")));
        for (before, name) in channels.iter().map(String::as_str).chain([&pattern[..], "n?ne"]).enumerate() {
            assert_eq!(push_words(&mut listener)[1..], [name.to_owned(), (before + 1).to_string()]);
        }
        for message in 0..20 {
            for channel in &channels {
                let count = number(&other.ask(format!("PUBLISH {channel} {message}\r\n")));
                assert_eq!(count, receivers.unwrap_or(count));
            }
        }
        let mut received = BTreeMap::<_, Vec<_>>::new();
        for _ in 0..2 * 20 * channels.len() {
            let words = push_words(&mut listener);
            let [kind, .., channel, message] = &words[..] else { panic!("{words:?}") };
            received.entry((kind.clone(), channel.clone())).or_default().push(message.clone());
        }
        let published: Vec<_> = (0..20).map(|message| message.to_string()).collect();
        if receivers.is_none() {
            let number = |message: &String| message.parse::<u32>().expect("a number");
            received.values_mut().for_each(|messages| messages.sort_by_key(number));
        }
        assert_eq!(received.len(), 2 * channels.len());
        assert!(received.values().all(|messages| *messages == published), "{received:?}");
        listener.send(lines("UNSUBSCRIBE \n PUNSUBSCRIBE"));
        let ends: Vec<_> = (0..channels.len() + 2).map(|_| push_words(&mut listener).pop()).collect();
        assert_eq!(ends.last(), Some(&Some("0".to_owned())));
        assert_eq!(other.ask(format!("PUBLISH {} unheard\r\n", channels[1])), ":0\r\n");
        assert_eq!(listener.ask(line("GET none")), if protocol == 2 { "$-1\r\n" } else { "_\r\n" });
    }
}

/// Reads a push. Returns its words.
fn push_words(listener: &mut RawClient) -> Vec<String> {
    match Reply::only(&listener.reply()) {
        Some(Reply::Array(words) | Reply::Push(words)) => words.into_iter().map(text).collect(),
        reply => panic!("{reply:?} is not a push"),
    }
}

/// Returns a simple reply as text.
fn text(reply: Reply) -> String {
    match reply {
        Reply::Bulk(text) | Reply::Simple(text) => String::from_utf8(text).expect("text"),
        Reply::Integer(number) => number.to_string(),
        reply => panic!("{reply:?} is not text"),
    }
}
