//! Requests whose keys another instance owns.

use super::{CROSS_SLOT, Instances, NOT_SERVED, THIRDS, key_in, moved};
use crate::support::{eventually, info, line, lines};

fn each_size(test: impl Fn(&Instances)) {
    test(&Instances::start());
    test(&Instances::with_threads(2));
}

#[test]
fn a_request_for_another_instance_is_redirected() {
    each_size(|instances| {
        let keys = [0, 1, 2].map(|third| key_in(third, "key"));
        for index in 0..3 {
            let mut client = instances.client(index);
            for (owner, key) in keys.iter().enumerate() {
                let expected =
                    if owner == index { ":1\r\n".into() } else { moved(key, instances.address(owner)) };
                assert_eq!(client.ask(line(&format!("COUNT {key}"))), expected);
            }
        }
    });
}

/// The requests of a pipeline are checked in runs. Each gets its own reply, in order.
#[test]
fn a_pipeline_has_requests_of_all_instances() {
    each_size(|instances| {
        let [own, own_too, other] = [key_in(0, "one"), key_in(0, "two"), key_in(2, "three")];
        let mut client = instances.client(0);
        let pipeline = format!(
            "COUNT {own}\nCOUNT {own_too}\nCOUNT {other}\nTOTAL\nCOUNT {other}\nCOUNT {own}\nPING\nCOUNTS {own} {own_too}\n\
             COUNTS {own} {own}\nCOUNT {own_too}"
        );
        client.send(lines(&pipeline));
        let moved = moved(&other, instances.address(2));
        let expected =
            format!(":1\r\n:1\r\n{moved}:2\r\n{moved}:2\r\n+PONG\r\n{CROSS_SLOT}*2\r\n:2\r\n:2\r\n:2\r\n");
        assert_eq!(client.replies(10), expected);
    });
}

/// Keys of one shard, and of several shards of the instance: both need one slot, as in Redis Cluster.
#[test]
fn several_keys_need_one_slot() {
    each_size(|instances| {
        let (own, other) = (key_in(0, "own"), key_in(1, "other"));
        let mut client = instances.client(0);
        assert_eq!(client.ask(line(&format!("COUNTS {{{own}}}a {{{own}}}b"))), "*2\r\n:0\r\n:0\r\n");
        for keys in [format!("{own} {own}x"), format!("{own} {other}"), format!("{other} {own}")] {
            assert_eq!(client.ask(line(&format!("COUNTS {keys}"))), CROSS_SLOT);
        }
        let there = client.ask(line(&format!("COUNTS {{{other}}}a {{{other}}}b")));
        assert_eq!(there, moved(&other, instances.address(1)));
        assert_eq!(client.ask(line("COUNTS")), "-ERR wrong number of arguments for 'counts' command\r\n");
    });
}

#[test]
fn a_transaction_is_checked_when_it_is_queued() {
    each_size(|instances| {
        let (own, other) = (key_in(0, "own"), key_in(1, "other"));
        let mut client = instances.client(0);
        client.send(lines(&format!("MULTI\nCOUNT {own}\nCOUNT {other}\nCOUNT {own}\nEXEC\nTOTAL")));
        let moved = moved(&other, instances.address(1));
        let aborted = "-EXECABORT Transaction discarded because of previous errors.\r\n";
        assert_eq!(client.replies(6), format!("+OK\r\n+QUEUED\r\n{moved}+QUEUED\r\n{aborted}:0\r\n"));
        client.send(lines(&format!("MULTI\nCOUNT {{{own}}}a\nTOTAL\nCOUNT {{{own}}}b\nEXEC\nEXEC")));
        let expected =
            "+OK\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n*3\r\n:1\r\n:1\r\n:1\r\n-ERR EXEC without MULTI\r\n";
        assert_eq!(client.replies(6), expected);
    });
}

#[test]
fn a_transaction_is_checked_again_when_it_runs() {
    each_size(|instances| {
        let (own, own_too) = (key_in(0, "own"), key_in(0, "too"));
        let mut client = instances.client(0);
        client.send(lines(&format!("MULTI\nCOUNT {own}\nCOUNT {own_too}\nEXEC\nPING")));
        assert_eq!(client.replies(5), format!("+OK\r\n+QUEUED\r\n+QUEUED\r\n{CROSS_SLOT}+PONG\r\n"));
        client.send(lines(&format!("MULTI\nCOUNT {own}")));
        assert_eq!(client.replies(2), "+OK\r\n+QUEUED\r\n");
        instances.set(2, ["16383", "0-16382", ""]);
        client.send(lines("EXEC\nEXEC\nTOTAL"));
        let moved = moved(&own, instances.address(1));
        assert_eq!(client.replies(3), format!("{moved}-ERR EXEC without MULTI\r\n:0\r\n"));
    });
}

#[test]
fn built_in_commands_with_keys_are_redirected() {
    let instances = Instances::start();
    let (own, other) = (key_in(0, "own"), key_in(1, "other"));
    let mut client = instances.client(0);
    let moved = moved(&other, instances.address(1));
    for command in ["WATCH", "SSUBSCRIBE", "SUNSUBSCRIBE"] {
        assert_eq!(client.ask(line(&format!("{command} {other}"))), moved, "{command}");
        assert_eq!(client.ask(line(&format!("{command} {own} {other}"))), CROSS_SLOT, "{command}");
    }
    assert_eq!(client.ask(line(&format!("SPUBLISH {other} x"))), moved);
    assert_eq!(client.ask(line(&format!("SPUBLISH {own} x"))), ":0\r\n");
    assert_eq!(client.ask(line(&format!("PUBLISH {other} x"))), ":0\r\n");
    assert_eq!(client.ask(line(&format!("WATCH {own}"))), "+OK\r\n");
}

#[test]
fn an_instance_that_does_not_serve_says_so() {
    let instances = Instances::start();
    let (own, other) = (key_in(0, "own"), key_in(1, "other"));
    let mut client = instances.client(0);
    let count = line(&format!("COUNT {own}"));
    let handle = instances.served[0].handle();
    assert_eq!(client.ask(&count), ":1\r\n");
    handle.set_serving(false).expect("an instance");
    assert_eq!(client.ask(&count), NOT_SERVED);
    assert_eq!(client.ask(line(&format!("COUNT {other}"))), moved(&other, instances.address(1)));
    assert_eq!(client.ask(line("TOTAL")), ":1\r\n");
    assert!(client.ask(line("CLUSTER INFO")).windows(18).any(|text| text == b"cluster_state:fail"));
    handle.set_serving(true).expect("an instance");
    assert_eq!(client.ask(&count), ":2\r\n");
}

#[test]
fn an_instance_that_the_topology_does_not_have_redirects_all_requests() {
    let instances = Instances::start();
    let mut client = instances.client(0);
    let mut waiting = instances.client(0);
    let key = key_in(0, "key");
    waiting.send(line(&format!("LINGER {key}")));
    eventually(|| (info(&mut client, "clients").number("blocked_clients") == 1).then_some(()));
    let text = format!("version 2\nb {} 0-16383\n", instances.address(1));
    instances.served[0].handle().set_topology(text.parse().expect("valid")).expect("a new version");
    assert_eq!(waiting.reply(), moved(&key, instances.address(1)));
    for third in 0..3 {
        let key = key_in(third, "key");
        assert_eq!(client.ask(line(&format!("COUNT {key}"))), moved(&key, instances.address(1)));
    }
    assert_eq!(client.ask(line(&format!("COUNTS {} {}", key_in(1, "key"), key_in(2, "key")))), CROSS_SLOT);
    let nodes = String::from_utf8(client.ask(line("CLUSTER NODES")).to_vec()).expect("text");
    let own = nodes.lines().find(|line| line.contains("myself")).expect("it lists itself");
    assert_eq!(
        own,
        format!("{} {}@{} myself,master - 0 0 2 connected", a_id(), instances.address(0), bus(&instances))
    );
    // It takes part again.
    instances.set(3, THIRDS);
    assert_eq!(client.ask(line(&format!("COUNT {}", key_in(0, "key")))), ":1\r\n");
}

/// The ID that follows from the name `a`.
fn a_id() -> &'static str {
    "ca978112ca1bbdcafac231b39a23dc4da786eff8"
}

fn bus(instances: &Instances) -> u32 {
    let (_, port) = instances.address(0).rsplit_once(':').expect("a port");
    port.parse::<u32>().expect("a number") + 10_000
}

#[test]
fn an_unauthenticated_client_learns_nothing() {
    let instances = Instances::start();
    let other = key_in(1, "other");
    let mut client = instances.client(0);
    assert_eq!(client.ask(line("ACL SETUSER default on >secret")), "+OK\r\n");
    let mut stranger = instances.client(0);
    for command in [format!("COUNT {other}"), "CLUSTER SLOTS".into(), "CLUSTER SETTOPOLOGY x".into()] {
        assert_eq!(stranger.ask(line(&command)), "-NOAUTH Authentication required.\r\n");
    }
}

#[test]
fn a_user_may_not_ask_where_a_key_is_that_it_may_not_use() {
    let instances = Instances::start();
    let other = key_in(1, "other");
    let mut admin = instances.client(0);
    assert_eq!(admin.ask(line("ACL SETUSER guest on nopass ~guest* +count")), "+OK\r\n");
    let mut guest = instances.client(0);
    assert_eq!(guest.ask(line("AUTH guest x")), "+OK\r\n");
    let denied = "-NOPERM this user has no permissions to access one of the keys used as arguments\r\n";
    let denied_in_7_0 = guest.ask(line(&format!("COUNT {other}")));
    assert!(denied_in_7_0.starts_with(b"-NOPERM "), "{denied_in_7_0:?} is not like {denied:?}");
    // Both checks find something in one run of requests.
    let [own, theirs] = [key_in(0, "guest"), key_in(1, "guest")];
    guest.send(lines(&format!("COUNT {own}\nCOUNT {theirs}\nCOUNT x\nCOUNT {own}")));
    let moved = moved(&theirs, instances.address(1));
    let replies = guest.replies(4);
    assert!(replies.starts_with(format!(":1\r\n{moved}-NOPERM ").as_bytes()), "{replies:?}");
    assert!(replies.ends_with(b"\r\n:2\r\n"), "{replies:?}");
}

#[test]
fn only_database_0_exists() {
    let instances = Instances::start();
    let mut client = instances.client(0);
    assert_eq!(client.ask(line("SELECT 0")), "+OK\r\n");
    assert_eq!(client.ask(line("SELECT 1")), "-ERR SELECT is not allowed in cluster mode\r\n");
    assert_eq!(client.ask(line("SELECT x")), "-ERR value is not an integer or out of range\r\n");
    assert_eq!(info(&mut client, "server").text("redis_mode"), "cluster");
    assert_eq!(info(&mut client, "cluster").number("cluster_enabled"), 1);
}

#[test]
fn the_toolkit_does_not_count_the_keys_of_a_slot() {
    let instances = Instances::start();
    let mut client = instances.client(0);
    let not_counted = "-ERR this application does not count the keys of a slot\r\n";
    assert_eq!(client.ask(line("CLUSTER COUNTKEYSINSLOT 5")), not_counted);
    assert_eq!(client.ask(line("CLUSTER COUNTKEYSINSLOT 16384")), "-ERR Invalid slot\r\n");
}
