//! Keys spread over three servers that behave like one server.

use super::{
    Three,
    alike::{self, answered_alike},
    crossing, is_error, number,
};
use thegiant::prelude::*;

use crate::support::{Process, RawClient, Reply, Served, large_value, line, lines, request};

/// Options for each way to spread keys.
const DISTRIBUTIONS: [&[&str]; 4] =
    [&[], &["--hash", "ketama"], &["--hash", "rendezvous"], &["--hash", "slots"]];

#[test]
fn each_key_is_on_one_server() {
    for options in DISTRIBUTIONS {
        let three = Three::start(options);
        let mut client = three.client();
        for number in 0..600 {
            client.send(format!("SET user:{number}:name {number}\r\n"));
        }
        assert_eq!(client.replies(600), "+OK\r\n".repeat(600));
        let sizes = three.sizes();
        assert_eq!(sizes.iter().sum::<i64>(), 600);
        assert!(sizes.iter().all(|size| *size > 60), "{sizes:?}, {options:?}");
        assert_eq!(number(&client.ask(line("DBSIZE"))), 600);

        // Another balancer finds the keys too.
        let other = Three::balancer(&three.places, options);
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
fn keys_with_the_same_hash_tag_are_on_one_server() {
    for options in DISTRIBUTIONS {
        let three = Three::start(options);
        let mut client = three.client();
        for number in 0..100 {
            client.ask(format!("SET {{user}}:{number} 1\r\n"));
        }
        let mut sizes = three.sizes();
        sizes.sort_unstable();
        assert_eq!(sizes, [0, 0, 100], "{options:?}");
        // An empty hash tag does not count.
        for number in 0..100 {
            client.ask(format!("SET {{}}:{number}:name 1\r\n"));
        }
        let mut sizes = three.sizes();
        sizes.sort_unstable();
        assert_ne!(sizes[..2], [0, 0], "{options:?}");
    }
}

#[test]
fn several_keys_are_split_and_merged() {
    answered_alike(&Three::start(&[]).balancer, alike::SEVERAL_KEYS);
}

/// `RANDOMKEY` returns the key of any server.
#[test]
fn a_random_key_is_found_on_any_server() {
    let three = Three::start(&[]);
    let mut client = three.client();
    assert_eq!(client.ask(line("RANDOMKEY")), "$-1\r\n");
    for key in three.keys_apart() {
        client.ask(line(&format!("SET {key} 1")));
        for _ in 0..12 {
            assert_eq!(client.ask(line("RANDOMKEY")), format!("${}\r\n{key}\r\n", key.len()));
        }
        client.ask(line(&format!("DEL {key}")));
    }
}

/// A server whose cursors take 64 bits, as those of ElastiCache Serverless do.
struct Far;

impl Actor for Far {
    type Context = Context<Self>;
}

const FAR: [u64; 2] = [9_286_422_431_637_966_426, u64::MAX];

#[commands]
impl Far {
    #[command("GET", readonly)]
    fn get(&self, _key: Key<&[u8]>) {}

    #[command("SCAN", readonly)]
    fn scan(&self, cursor: u64) -> Result<(String, Vec<String>), Error> {
        let page = [0, FAR[0], FAR[1]].iter().position(|known| *known == cursor);
        let page = page.ok_or(Error::from_static("ERR invalid cursor"))?;
        let next = FAR.get(page).copied().unwrap_or(0);
        Ok((next.to_string(), vec![format!("key{page}")]))
    }
}

#[test]
fn cursors_of_servers_may_take_64_bits() {
    let servers = [(); 2].map(|()| Served::start(|| App::new().mount(Far.start())));
    let addresses: Vec<_> = servers.iter().map(Served::address).collect();
    let balancer = Process::program_with("balancer", &addresses);
    let mut client = RawClient::connect(balancer.address());
    let (mut cursor, mut found) = ("0".to_owned(), Vec::new());
    loop {
        let reply = Reply::only(&client.ask(line(&format!("SCAN {cursor}"))));
        let Some(Reply::Array(page)) = reply else { panic!("{reply:?} to SCAN {cursor}") };
        let [Reply::Bulk(next), Reply::Array(keys)] = &page[..] else { panic!("{page:?}") };
        found.extend(keys.clone());
        cursor = String::from_utf8(next.clone()).expect("text");
        assert!(
            cursor.parse::<u64>().expect("a number") < 1 << 53,
            "node-redis reads {cursor} as another number"
        );
        if cursor == "0" {
            break;
        }
    }
    let expected: Vec<_> = [0, 1, 2, 0, 1, 2].map(|page| Reply::Bulk(format!("key{page}").into())).into();
    assert_eq!(found, expected);
    assert_eq!(client.ask(line("SCAN 18446744073709551615")), "-ERR invalid cursor\r\n");
}

/// The first command with a key determines the server of a transaction, whatever precedes it.
#[test]
fn a_transaction_may_begin_with_commands_without_keys() {
    let three = Three::start(&[]);
    let mut client = three.client();
    for key in three.keys_apart() {
        for (first, replies) in
            [("PING", "+PONG\r\n"), ("ECHO hi", "$2\r\nhi\r\n"), ("LASTSAVE", ""), ("PING \n PING", "")]
        {
            let requests: Vec<_> = first.split(" \n ").collect();
            assert_eq!(client.ask(line("MULTI")), "+OK\r\n");
            for request in &requests {
                assert_eq!(client.ask(line(request)), "+QUEUED\r\n");
            }
            assert_eq!(client.ask(line(&format!("SET {key} 1"))), "+QUEUED\r\n");
            let executed = client.ask(line("EXEC"));
            assert!(
                executed.starts_with(format!("*{}\r\n{replies}", requests.len() + 1).as_bytes()),
                "{executed:?}"
            );
            assert!(executed.ends_with(b"+OK\r\n"), "{executed:?}");
            assert_eq!(client.ask(line(&format!("GET {key}"))), "$1\r\n1\r\n");
        }
    }
    // As in Redis, a request with an error makes EXEC fail, and no key is needed at all.
    let wrong = "-ERR wrong number of arguments for 'echo' command\r\n";
    let unknown = "-ERR unknown command 'NOSUCH', with args beginning with: 'a' \r\n";
    for (first, reply) in [("ECHO", wrong), ("NOSUCH a", unknown)] {
        client.ask(line("MULTI"));
        assert_eq!(client.ask(line("PING")), "+QUEUED\r\n");
        assert_eq!(client.ask(line(first)), reply);
        assert!(is_error(&client.ask(line("EXEC")), "EXECABORT"));
    }
    for end in ["EXEC", "DISCARD"] {
        client.ask(line("MULTI"));
        client.ask(line("PING"));
        let reply = if end == "EXEC" { "*1\r\n+PONG\r\n" } else { "+OK\r\n" };
        assert_eq!(client.ask(line(end)), reply);
    }
    // A client cannot make the balancer keep more than 64 KiB.
    client.ask(line("MULTI"));
    for _ in 0..20 {
        assert_eq!(client.ask(line(&format!("ECHO {}", "x".repeat(10_000)))), "+QUEUED\r\n");
    }
    assert!(client.ask(line("EXEC")).starts_with(b"*20\r\n"));
    assert_eq!(client.ask(line("PING")), "+PONG\r\n");
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
fn scan_and_keys_find_all_keys() {
    for options in DISTRIBUTIONS {
        alike::check_scan_and_keys(&Three::start(options).balancer);
    }
}

#[test]
fn a_transaction_runs_on_one_server() {
    answered_alike(&Three::start(&[]).balancer, alike::TRANSACTIONS);
}

#[test]
fn a_transaction_over_two_servers_changes_nothing() {
    let three = Three::start(&[]);
    let mut client = three.client();
    let [a, b, _] = three.keys_apart();
    for pipelined in [true, false] {
        for [first, second] in [[&a, &b], [&b, &a]] {
            let requests = ["MULTI", &format!("SET {first} 1"), &format!("SET {second} 1"), "EXEC"];
            let [.., refused, end] = if pipelined {
                client.send(lines(&requests.join("\n")));
                requests.map(|_| client.reply())
            } else {
                requests.map(|request| client.ask(line(request)))
            };
            assert_eq!(refused, crossing(first, second));
            assert!(is_error(&end, "EXECABORT") || is_error(&end, "CROSSSLOT"), "{end:?}");
            assert_eq!(three.sizes(), [0; 3]);
            assert_eq!(client.ask(format!("SET {first} 1\r\n")), "+OK\r\n");
            assert_eq!(client.ask(format!("DEL {first} {second}\r\n")), ":1\r\n");
        }
    }
}

#[test]
fn a_transaction_on_another_server_than_the_watched_keys_is_refused() {
    let three = Three::start(&[]);
    let mut client = three.client();
    let [a, b, _] = three.keys_apart();
    let [multi, exec] = ["MULTI", "EXEC"].map(str::to_owned);
    let requests = [format!("WATCH {a}"), multi, format!("SET {b} 1"), format!("MGET {b} {a}"), exec];
    let [.., other, both, end] = requests.map(|request| client.ask(line(&request)));
    assert_eq!(other, crossing(&a, &b));
    assert_eq!(both, crossing(&b, &a));
    assert!(is_error(&end, "EXECABORT") || is_error(&end, "CROSSSLOT"), "{end:?}");
    assert_eq!(three.sizes(), [0; 3]);
    assert_eq!(client.ask(line("PING")), "+PONG\r\n");
}

#[test]
fn a_command_with_keys_of_two_servers_is_refused() {
    let three = Three::start(&[]);
    let mut client = three.client();
    let [a, b, c] = three.keys_apart();
    client.ask(format!("SET {a} 1\r\n"));
    for (request, error) in [
        (format!("RENAME {a} {b}"), crossing(&a, &b)),
        (format!("COPY {a} {b}"), crossing(&a, &b)),
        (format!("MSETNX {b} 1 {c} 1"), crossing(&b, &c)),
        (format!("RPOPLPUSH {b} {c}"), crossing(&b, &c)),
        (format!("SINTER {b} {b} {c}"), crossing(&b, &c)),
        (format!("SUNIONSTORE {b} {a} {c}"), crossing(&b, &a)),
        (format!("EVAL return(1) 2 {a} {b}"), crossing(&a, &b)),
        (format!("BLPOP {b} {c} 0"), crossing(&b, &c)),
        (format!("WATCH {a} {b}"), crossing(&a, &b)),
    ] {
        assert_eq!(client.ask(line(&request)), error, "{request}");
    }
    // Keys may be long, and contain line ends.
    let [long, odd] = [format!("{{{a}}}{}", "x".repeat(200)), format!("{{{b}}}\r\n")];
    let error = crossing(&long[..128], &format!("{{{b}}}  "));
    assert_eq!(client.ask(request(["RENAME", &long, &odd])), error);
    assert_eq!(three.sizes(), [1, 0, 0]);
    assert_eq!(client.ask(format!("GET {a}\r\n")), "$1\r\n1\r\n");
}

#[test]
fn a_changed_key_aborts_the_transaction_of_its_watcher() {
    alike::check_watch(&Three::start(&[]).balancer);
}

#[test]
fn a_blocked_client_gets_its_element() {
    let three = Three::start(&[]);
    let servers: Vec<_> = three.servers.iter().flatten().map(|server| server.address()).collect();
    alike::check_blocking_commands(&three.balancer, &servers);
}

#[test]
fn subscribers_receive_messages_in_order() {
    alike::check_subscriptions(&Three::start(&[]).balancer, Some(2));
}

#[test]
fn scripts_run_where_their_keys_are() {
    answered_alike(&Three::start(&[]).balancer, alike::SCRIPTS);
}

#[test]
fn replies_keep_the_order_of_requests() {
    for options in DISTRIBUTIONS {
        alike::pipelined_alike(&Three::start(options).balancer, 2000);
    }
}
