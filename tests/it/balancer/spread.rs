//! Keys are spread over three servers, which are like one.

use super::{
    Three,
    alike::{self, answered_alike},
    is_error, number,
};
use crate::support::{RawClient, large_value, line, lines, request};

/// The ways to spread keys.
const WAYS: [&[&str]; 4] = [&[], &["--hash", "ketama"], &["--hash", "rendezvous"], &["--hash", "slots"]];

#[test]
fn each_key_is_on_one_server() {
    for way in WAYS {
        let three = Three::start(way);
        let mut client = three.client();
        for number in 0..600 {
            client.send(format!("SET user:{number}:name {number}\r\n"));
        }
        assert_eq!(client.replies(600), "+OK\r\n".repeat(600));
        let sizes = three.sizes();
        assert_eq!(sizes.iter().sum::<i64>(), 600);
        assert!(sizes.iter().all(|size| *size > 60), "{sizes:?}, {way:?}");
        assert_eq!(number(&client.ask(line("DBSIZE"))), 600);

        // Any other process finds them.
        let other = Three::balancer(&three.places, way);
        let mut client = RawClient::connect(other.address());
        for number in 0..600 {
            let value = number.to_string();
            let expected = format!("${}\r\n{value}\r\n", value.len());
            assert_eq!(client.ask(format!("GET user:{number}:name\r\n")), expected);
        }
        assert_eq!(client.ask(line("FLUSHALL")), "+OK\r\n");
        assert_eq!(three.sizes(), [0; 3]);
    }
}

#[test]
fn what_is_in_braces_keeps_keys_together() {
    for way in WAYS {
        let three = Three::start(way);
        let mut client = three.client();
        for number in 0..100 {
            client.ask(format!("SET {{user}}:{number} 1\r\n"));
        }
        let mut sizes = three.sizes();
        sizes.sort_unstable();
        assert_eq!(sizes, [0, 0, 100], "{way:?}");
        // Nothing is in these.
        for number in 0..100 {
            client.ask(format!("SET {{}}:{number}:name 1\r\n"));
        }
        let mut sizes = three.sizes();
        sizes.sort_unstable();
        assert_ne!(sizes[..2], [0, 0], "{way:?}");
    }
}

#[test]
fn several_keys_are_split_and_merged() {
    answered_alike(&Three::start(&[]).balancer, alike::SEVERAL_KEYS);
}

#[test]
fn large_values_pass() {
    let three = Three::start(&[]);
    let [a, b, c] = three.keys_apart();
    let mut client = three.client();
    let value = large_value();
    let words = [b"MSET", a.as_bytes(), &value, b.as_bytes(), b"small", c.as_bytes(), &value];
    assert_eq!(client.while_sending(&[&request(words)], |client| client.reply()), "+OK\r\n");
    assert_eq!(three.sizes(), [1; 3]);
    client.send(lines(&format!("MGET {a} {b} none {c} \n STRLEN {c}")));
    let large = [format!("${}\r\n", value.len()).as_bytes(), &value, b"\r\n"].concat();
    assert!(client.reply() == [b"*4\r\n", &large[..], b"$5\r\nsmall\r\n$-1\r\n", &large].concat());
    assert_eq!(number(&client.reply()), value.len() as i64);
}

#[test]
fn all_keys_are_found() {
    for way in WAYS {
        alike::finds_all(&Three::start(way).balancer);
    }
}

#[test]
fn a_transaction_is_one_at_one_server() {
    answered_alike(&Three::start(&[]).balancer, alike::TRANSACTIONS);
}

#[test]
fn a_transaction_over_two_servers_changes_nothing() {
    let three = Three::start(&[]);
    let mut client = three.client();
    let [a, b, _] = three.keys_apart();
    for at_once in [true, false] {
        for [first, second] in [[&a, &b], [&b, &a]] {
            let requests = ["MULTI", &format!("SET {first} 1"), &format!("SET {second} 1"), "EXEC"];
            let [.., end] = if at_once {
                client.send(lines(&requests.join("\n")));
                requests.map(|_| client.reply())
            } else {
                requests.map(|request| client.ask(line(request)))
            };
            assert!(is_error(&end, "EXECABORT") || is_error(&end, "CROSSSLOT"), "{end:?}");
            assert_eq!(three.sizes(), [0; 3]);
            assert_eq!(client.ask(format!("SET {first} 1\r\n")), "+OK\r\n");
            assert_eq!(client.ask(format!("DEL {first} {second}\r\n")), ":1\r\n");
        }
    }
}

#[test]
fn what_is_watched_is_not_left_for_another_server() {
    let three = Three::start(&[]);
    let mut client = three.client();
    let [a, b, _] = three.keys_apart();
    let requests = [format!("WATCH {a}"), "MULTI".to_owned(), format!("SET {b} 1"), "EXEC".to_owned()];
    let [.., end] = requests.map(|request| client.ask(line(&request)));
    assert!(is_error(&end, "EXECABORT") || is_error(&end, "CROSSSLOT"), "{end:?}");
    assert_eq!(three.sizes(), [0; 3]);
    assert_eq!(client.ask(line("PING")), "+PONG\r\n");
}

#[test]
fn what_needs_two_servers_at_once_is_refused() {
    let three = Three::start(&[]);
    let mut client = three.client();
    let [a, b, c] = three.keys_apart();
    client.ask(format!("SET {a} 1\r\n"));
    for request in [
        format!("RENAME {a} {b}"),
        format!("COPY {a} {b}"),
        format!("MSETNX {b} 1 {c} 1"),
        format!("RPOPLPUSH {b} {c}"),
        format!("SINTER {b} {c}"),
        format!("SUNIONSTORE {b} {a} {c}"),
        format!("EVAL return(1) 2 {a} {b}"),
        format!("BLPOP {b} {c} 0"),
        format!("WATCH {a} {b}"),
    ] {
        let reply = client.ask(line(&request));
        assert!(is_error(&reply, "CROSSSLOT"), "{request}: {reply:?}");
    }
    assert_eq!(three.sizes(), [1, 0, 0]);
    assert_eq!(client.ask(format!("GET {a}\r\n")), "$1\r\n1\r\n");
}

#[test]
fn who_watches_is_told_of_changes() {
    alike::watches(&Three::start(&[]).balancer);
}

#[test]
fn who_waits_is_woken() {
    let three = Three::start(&[]);
    let servers: Vec<_> = three.servers.iter().flatten().map(|server| server.address()).collect();
    alike::waits(&three.balancer, &servers);
}

#[test]
fn who_listens_hears_all_in_order() {
    alike::hears(&Three::start(&[]).balancer, Some(2));
}

#[test]
fn scripts_run_where_their_keys_are() {
    answered_alike(&Three::start(&[]).balancer, alike::SCRIPTS);
}

#[test]
fn requests_are_answered_in_order() {
    for way in WAYS {
        alike::pipelined_alike(&Three::start(way).balancer, 2000);
    }
}
