use thegiant::Server;

use super::{add_users, log_in, start};
use crate::support::{ANY_PORT, Process, RawClient, Served, app, lines};

/// Returns a message as RESP2 clients get it.
fn message(channel: &str, text: &str) -> String {
    format!("*3\r\n$7\r\nmessage\r\n${}\r\n{channel}\r\n${}\r\n{text}\r\n", channel.len(), text.len())
}

fn observed(options: &[&str]) -> (Process, RawClient) {
    let kv = start(options);
    let mut operator = RawClient::connect(kv.address());
    operator.ask(lines("CONFIG SET notify-keyspace-events KEA"));
    (kv, operator)
}

#[test]
fn a_tenant_gets_the_keyspace_events_of_its_own_keys() {
    for options in [&[][..], &["--threads", "2"]] {
        let (kv, mut operator) = observed(options);
        let mut client = log_in(kv.address(), "alice");
        client.send(lines("SUBSCRIBE __keyspace@0__:k __keyevent@0__:set \n PSUBSCRIBE __key*:d*"));
        client.replies(3);
        let mut bob = log_in(kv.address(), "bob");
        bob.ask(lines("SET k 1"));
        operator.ask(lines("SET k 1"));
        operator.ask(lines("SET alice:k 1"));
        assert_eq!(
            client.replies(2),
            message("__keyspace@0__:k", "set") + &message("__keyevent@0__:set", "k")
        );
        bob.ask(lines("DEL k"));
        log_in(kv.address(), "alice").ask(lines("DEL k"));
        assert_eq!(client.reply(), message("__keyspace@0__:k", "del"));
        let event = "*4\r\n$8\r\npmessage\r\n$9\r\n__key*:d*\r\n$18\r\n__keyevent@0__:del\r\n$1\r\nk\r\n";
        assert_eq!(client.reply(), event);
        assert_eq!(client.ask(lines("PING")), "*2\r\n$4\r\npong\r\n$0\r\n\r\n");
    }
}

/// A key that expires has no client.
#[test]
fn a_tenant_hears_that_its_keys_have_expired() {
    let (kv, _) = observed(&[]);
    let mut client = log_in(kv.address(), "alice");
    client.ask(lines("SUBSCRIBE __keyevent@0__:expired"));
    log_in(kv.address(), "bob").ask(lines("SET k 1 PX 1"));
    log_in(kv.address(), "alice").ask(lines("SET k 1 PX 1"));
    assert_eq!(client.reply(), message("__keyevent@0__:expired", "k"));
    assert!(client.is_silent());
}

/// The channels of such a user begin like those of keyspace events, which are about the keys of all users.
#[test]
fn no_prefix_gives_access_to_the_events_of_others() {
    let served = Served::with(app, |server| {
        let server = server.bind(ANY_PORT)?.notify_keyspace_events("KEA");
        Ok(server.key_prefix(|user| (user != "default").then(|| format!("{user}:"))))
    });
    let mut operator = RawClient::connect(served.address());
    operator.ask(lines("ACL SETUSER __keyevent@0__ on nopass ~* &* +@all"));
    let mut client = log_in(served.address(), "__keyevent@0__");
    client.send(lines("SUBSCRIBE set \n PSUBSCRIBE *"));
    client.replies(2);
    operator.ask(lines("SET k 1"));
    assert_eq!(operator.ask(lines("PUBLISH __keyevent@0__:x y")), ":1\r\n");
    let published = "*4\r\n$8\r\npmessage\r\n$1\r\n*\r\n$1\r\nx\r\n$1\r\ny\r\n";
    assert_eq!(client.reply(), published);
}

#[test]
fn channels_belong_to_a_tenant() {
    let kv = start(&[]);
    let [mut alice, mut bob] = ["alice", "bob"].map(|user| log_in(kv.address(), user));
    alice.send(lines("HELLO 3 \n SUBSCRIBE c \n PSUBSCRIBE [c]* \n SSUBSCRIBE s"));
    alice.reply();
    assert_eq!(
        alice.replies(3),
        ">3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n>3\r\n$10\r\npsubscribe\r\n$4\r\n[c]*\r\n:2\r\n\
         >3\r\n$10\r\nssubscribe\r\n$1\r\ns\r\n:1\r\n"
    );
    bob.send(lines("PUBLISH c bob \n SPUBLISH s bob \n PUBSUB CHANNELS \n PUBSUB NUMSUB c \n PUBSUB NUMPAT"));
    assert_eq!(bob.replies(5), ":0\r\n:0\r\n*0\r\n*2\r\n$1\r\nc\r\n:0\r\n:0\r\n");
    alice.send(lines("PUBSUB CHANNELS \n PUBSUB CHANNELS [c] \n PUBSUB NUMSUB c d \n PUBSUB NUMPAT"));
    assert_eq!(alice.replies(2), "*1\r\n$1\r\nc\r\n*1\r\n$1\r\nc\r\n");
    assert_eq!(alice.replies(2), "*4\r\n$1\r\nc\r\n:1\r\n$1\r\nd\r\n:0\r\n:1\r\n");
    alice.send(lines("PUBSUB SHARDCHANNELS \n PUBSUB SHARDNUMSUB s"));
    assert_eq!(alice.replies(2), "*1\r\n$1\r\ns\r\n*2\r\n$1\r\ns\r\n:1\r\n");
    let mut other = log_in(kv.address(), "alice");
    other.send(lines("PUBLISH c hi \n SPUBLISH s ho"));
    assert_eq!(other.replies(2), ":2\r\n:1\r\n");
    assert_eq!(
        alice.replies(3),
        ">3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$2\r\nhi\r\n>4\r\n$8\r\npmessage\r\n$4\r\n[c]*\r\n$1\r\nc\r\n$2\r\nhi\r\n\
         >3\r\n$8\r\nsmessage\r\n$1\r\ns\r\n$2\r\nho\r\n"
    );
    // Users without a prefix know the full names.
    let mut operator = RawClient::connect(kv.address());
    assert_eq!(operator.ask(lines("PUBSUB CHANNELS")), "*1\r\n$7\r\nalice:c\r\n");
    operator.ask(lines("SUBSCRIBE alice:c"));
    assert_eq!(other.ask(lines("PUBLISH c both")), ":3\r\n");
    assert_eq!(operator.reply(), message("alice:c", "both"));
    alice.replies(2);
    alice.send(lines("UNSUBSCRIBE \n PUNSUBSCRIBE [c]* \n SUNSUBSCRIBE s"));
    assert_eq!(
        alice.replies(3),
        ">3\r\n$11\r\nunsubscribe\r\n$1\r\nc\r\n:1\r\n>3\r\n$12\r\npunsubscribe\r\n$4\r\n[c]*\r\n:0\r\n\
         >3\r\n$12\r\nsunsubscribe\r\n$1\r\ns\r\n:0\r\n"
    );
}

#[test]
fn invalidations_are_about_keys_of_the_tenant() {
    let kv = start(&[]);
    let [mut alice, mut bob] = ["alice", "bob"].map(|user| log_in(kv.address(), user));
    alice.send(lines("HELLO 3 \n CLIENT TRACKING ON \n GET k"));
    alice.replies(3);
    bob.send(lines("HELLO 3 \n CLIENT TRACKING ON BCAST PREFIX k \n CLIENT TRACKING ON BCAST PREFIX ka \n CLIENT TRACKINGINFO"));
    bob.replies(2);
    assert_eq!(
        bob.reply(),
        "-ERR Prefix 'ka' overlaps with an existing prefix 'k'. Prefixes for a single client must not overlap.\r\n"
    );
    assert!(bob.reply().ends_with(b"$8\r\nprefixes\r\n*1\r\n$1\r\nk\r\n"));
    let mut operator = RawClient::connect(kv.address());
    operator.ask(lines("MSET k 1 bob:other 1 alice:k 2"));
    assert_eq!(alice.reply(), ">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nk\r\n");
    operator.ask(lines("MSET bob:k 1 bob:k2 1"));
    let changed = ">2\r\n$10\r\ninvalidate\r\n*2\r\n$1\r\nk\r\n$2\r\nk2\r\n";
    assert_eq!(bob.reply(), changed);
    // All keys of one tenant are gone, and none of another.
    alice.ask(lines("GET k"));
    bob.ask(lines("FLUSHDB"));
    assert_eq!(bob.reply(), ">2\r\n$10\r\ninvalidate\r\n_\r\n");
    assert_eq!(alice.ask(lines("GET k")), "$1\r\n2\r\n");
    operator.ask(lines("FLUSHALL"));
    assert_eq!([alice.reply(), bob.reply()], [">2\r\n$10\r\ninvalidate\r\n_\r\n"; 2]);
}

#[test]
fn invalidations_cannot_be_redirected_to_another_tenant() {
    let kv = start(&[]);
    let [mut alice, mut own, mut bob] = ["alice", "alice", "bob"].map(|user| log_in(kv.address(), user));
    let redirect = |to: &mut RawClient| lines(&format!("CLIENT TRACKING ON REDIRECT {}", to.id()));
    assert_eq!(alice.ask(redirect(&mut bob)), "-ERR The client ID you want redirect to does not exist\r\n");
    own.ask(lines("SUBSCRIBE __redis__:invalidate"));
    let id = {
        let mut other = log_in(kv.address(), "alice");
        other.send(lines("HELLO 3"));
        other.reply();
        other
    };
    let mut receiver = id;
    assert_eq!(alice.ask(redirect(&mut receiver)), "+OK\r\n");
    alice.send(lines("HELLO 3 \n GET k \n SET k 1"));
    alice.replies(3);
    assert_eq!(receiver.reply(), ">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nk\r\n");
    // The receiver becomes a client of another tenant.
    receiver.ask(lines("AUTH bob x"));
    alice.send(lines("GET k \n SET k 2"));
    alice.replies(2);
    assert!(alice.reply().starts_with(b">2\r\n$21\r\ntracking-redir-broken\r\n"));
    assert_eq!(receiver.ask(lines("PING")), "+PONG\r\n");
}

/// The prefix of one user begins with that of another, who therefore has its keys, too.
#[test]
fn a_message_has_the_name_that_each_subscriber_knows() {
    let served = Served::with(app, |server: Server| {
        let prefix = |user: &str| match user {
            "alice" => Some("a:"),
            "bob" => Some("a:b:"),
            _ => None,
        };
        Ok(server.bind(ANY_PORT)?.key_prefix(prefix))
    });
    let mut operator = RawClient::connect(served.address());
    add_users(&mut operator);
    let [mut alice, mut bob] = ["alice", "bob"].map(|user| log_in(served.address(), user));
    alice.ask(lines("SUBSCRIBE b:c"));
    bob.ask(lines("SUBSCRIBE c"));
    assert_eq!(operator.ask(lines("PUBLISH a:b:c x")), ":2\r\n");
    assert_eq!(alice.reply(), message("b:c", "x"));
    assert_eq!(bob.reply(), message("c", "x"));
}
