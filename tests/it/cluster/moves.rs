//! Blocked commands, subscriptions, watched keys and caches, when their slot moves to another instance.

use super::{Instances, NOT_SERVED, THIRDS, key_in, moved};
use crate::support::{RawClient, eventually, info, line, lines};

/// The first instance has nothing left.
const NOTHING: [&str; 3] = ["", "0-10921", "10922-16383"];

fn wait_for_blocked(client: &mut RawClient, count: u64) {
    eventually(|| (info(client, "clients").number("blocked_clients") == count).then_some(()));
}

#[test]
fn a_blocked_command_is_redirected() {
    for threads in [1, 2] {
        let instances = Instances::with_threads(threads);
        let (leaving, staying) = (key_in(0, "leaving"), key_in(1, "staying"));
        let [mut waiting, mut other] = [instances.client(0), instances.client(1)];
        waiting.send(line(&format!("LINGER {leaving}")));
        other.send(line(&format!("LINGER {staying}")));
        wait_for_blocked(&mut instances.client(0), 1);
        wait_for_blocked(&mut instances.client(1), 1);
        instances.set(2, NOTHING);
        assert_eq!(waiting.reply(), moved(&leaving, instances.address(1)));
        assert_eq!(waiting.ask("PING\r\n"), "+PONG\r\n");
        wait_for_blocked(&mut instances.client(1), 1);
        assert!(other.is_silent());
    }
}

#[test]
fn a_blocked_command_of_an_instance_that_stops_serving_fails() {
    let instances = Instances::start();
    let mut waiting = instances.client(0);
    waiting.send(line(&format!("LINGER {}", key_in(0, "key"))));
    wait_for_blocked(&mut instances.client(0), 1);
    instances.served[0].handle().set_serving(false).expect("an instance");
    assert_eq!(waiting.reply(), NOT_SERVED);
}

/// Without the flag `blocking`, the command may have begun to change data.
#[test]
fn a_command_that_has_begun_goes_on() {
    let instances = Instances::start();
    let mut waiting = instances.client(0);
    waiting.send(line(&format!("BEGIN {}", key_in(0, "key"))));
    wait_for_blocked(&mut instances.client(0), 1);
    instances.set(2, NOTHING);
    assert_eq!(instances.client(0).ask(line("FINISH")), ":1\r\n");
    assert_eq!(waiting.reply(), ":1\r\n");
}

#[test]
fn shard_channels_end() {
    for protocol in [2, 3] {
        let instances = Instances::start();
        let [one, two] = [1, 2].map(|number| format!("{{{}}}{number}", key_in(0, "leaving")));
        let staying = key_in(1, "staying");
        let mut client = instances.client(0);
        client.ask(line(&format!("HELLO {protocol}")));
        client.send(lines(&format!("SSUBSCRIBE {one}\nSSUBSCRIBE {two}\nSUBSCRIBE news")));
        client.replies(3);
        let mut other = instances.client(1);
        other.ask(line(&format!("SSUBSCRIBE {staying}")));
        instances.set(2, NOTHING);
        let kind = if protocol == 2 { '*' } else { '>' };
        let ended = |channel: &str, left: u32| {
            format!("{kind}3\r\n$12\r\nsunsubscribe\r\n${}\r\n{channel}\r\n:{left}\r\n", channel.len())
        };
        let pushes = client.replies(2);
        let orders = [[&one, &two], [&two, &one]].map(|[first, last]| ended(first, 1) + &ended(last, 0));
        assert!(orders.iter().any(|order| pushes == *order), "{pushes:?}");
        assert_eq!(instances.client(0).ask(line("PUBSUB SHARDCHANNELS")), "*0\r\n");
        assert_eq!(client.ask(line(&format!("SSUBSCRIBE {one}"))), moved(&one, instances.address(1)));
        // The client subscribes again when the slot is back.
        instances.set(3, THIRDS);
        let confirmed = format!("{kind}3\r\n$10\r\nssubscribe\r\n${}\r\n{one}\r\n:1\r\n", one.len());
        assert_eq!(client.ask(line(&format!("SSUBSCRIBE {one}"))), confirmed);
        assert_eq!(instances.client(0).ask(line(&format!("SPUBLISH {one} hello"))), ":1\r\n");
        let message = format!("{kind}3\r\n$8\r\nsmessage\r\n${}\r\n{one}\r\n$5\r\nhello\r\n", one.len());
        assert_eq!(client.reply(), message);
        assert_eq!(instances.client(1).ask(line(&format!("SPUBLISH {staying} x"))), ":1\r\n");
    }
}

/// A RESP2 client whose last subscription has ended may use all commands again.
#[test]
fn the_end_of_the_last_channel_ends_the_mode_of_resp2() {
    let instances = Instances::start();
    let channel = key_in(0, "channel");
    let mut client = instances.client(0);
    client.ask(line(&format!("SSUBSCRIBE {channel}")));
    assert!(client.ask(line("TOTAL")).starts_with(b"-ERR Can't execute 'total'"));
    instances.set(2, NOTHING);
    client.reply();
    assert_eq!(client.ask(line("TOTAL")), ":0\r\n");
}

#[test]
fn a_transaction_fails_that_watches_a_key_of_the_slot() {
    let instances = Instances::start();
    let (leaving, staying) = (key_in(0, "leaving"), key_in(0, "staying"));
    let last = thegiant::slot(staying.as_bytes());
    for (watched, reply) in [(&leaving, "*-1\r\n"), (&staying, "*1\r\n:0\r\n")] {
        let version = if watched == &leaving { 2 } else { 4 };
        let mut client = instances.client(0);
        client.send(lines(&format!("WATCH {watched}\nMULTI\nTOTAL")));
        assert_eq!(client.replies(3), "+OK\r\n+OK\r\n+QUEUED\r\n");
        let rest = if last == 0 { "1-10921".into() } else { format!("0-{} {}-10921", last - 1, last + 1) };
        instances.set(version, [&last.to_string(), &rest, "10922-16383"]);
        // Even if it comes back: the other instance may have changed the key meanwhile.
        instances.set(version + 1, THIRDS);
        assert_eq!(client.ask(line("EXEC")), reply, "{watched}");
    }
}

#[test]
fn client_side_caches_are_invalidated() {
    let instances = Instances::start();
    let mut client = instances.client(0);
    client.send(lines(&format!("HELLO 3\nCLIENT TRACKING ON\nCOUNTS {}", key_in(0, "key"))));
    client.replies(3);
    instances.set(2, NOTHING);
    assert_eq!(client.reply(), ">2\r\n$10\r\ninvalidate\r\n_\r\n");
}
