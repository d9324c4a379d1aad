//! Changed rules for users, and clients that are at work behind a balancer.

use crate::support::{Process, RawClient, line, lines};

/// Starts a balancer before one redis-server. Its user `u` may do everything, and needs no password.
fn start() -> (Process, Process, RawClient) {
    let redis = Process::redis(&[]);
    let balancer = Process::program_with("balancer", &[redis.address()]);
    let mut admin = RawClient::connect(balancer.address());
    set_user(&mut admin, "reset on nopass ~* &* +@all");
    (redis, balancer, admin)
}

fn set_user(admin: &mut RawClient, rules: &str) {
    assert_eq!(admin.ask(line(&format!("ACL SETUSER u {rules}"))), "+OK\r\n");
}

fn log_in(balancer: &Process, protocol: u8) -> RawClient {
    let mut client = RawClient::connect(balancer.address());
    client.ask(line(&format!("HELLO {protocol} AUTH u x")));
    client
}

/// The server has no rows for these commands.
#[test]
fn a_rule_takes_a_command_of_the_upstream_away_from_a_user_with_all_rights() {
    let (_redis, balancer, mut admin) = start();
    let mut client = log_in(&balancer, 2);
    for (rule, denied, allowed) in [
        ("-set", "SET k v", "GET k"),
        ("-flushall", "FLUSHALL", "DBSIZE"),
        ("-@string", "GET k", "DBSIZE"),
        ("-config|set", "CONFIG SET save x", "CONFIG GET save"),
        ("-object|freq", "OBJECT FREQ k", "GET k"),
    ] {
        set_user(&mut admin, "+@all");
        assert!(!client.ask(line(allowed)).starts_with(b"-"), "{rule}");
        set_user(&mut admin, rule);
        assert!(client.ask(line(denied)).starts_with(b"-NOPERM "), "{rule}");
        assert!(!client.ask(line(allowed)).starts_with(b"-"), "{rule}");
    }
}

#[test]
fn subscribers_are_closed_when_they_may_no_longer_listen() {
    let (_redis, balancer, mut admin) = start();
    let closed = ["SUBSCRIBE a1 b1", "SUBSCRIBE b1 a1", "PSUBSCRIBE b*", "PSUBSCRIBE *", "SSUBSCRIBE b1"];
    let kept = ["SUBSCRIBE a1 a2", "PSUBSCRIBE a*", "SSUBSCRIBE a1"];
    let subscribed = |request: &str| {
        [2, 3].map(|protocol| {
            let mut client = log_in(&balancer, protocol);
            client.send(line(request));
            client.replies(request.split(' ').count() - 1);
            client
        })
    };
    let closed: Vec<_> = closed.into_iter().flat_map(subscribed).collect();
    let mut kept: Vec<_> = kept.into_iter().flat_map(subscribed).collect();
    let mut other = RawClient::connect(balancer.address());
    other.ask(line("SUBSCRIBE b1"));
    for request in ["SUBSCRIBE b1", "SSUBSCRIBE b1", "PSUBSCRIBE b*"] {
        let mut client = log_in(&balancer, 2);
        client.ask(line(request));
        client.ask(line(&request.replace("SUB", "UNSUB")));
        kept.push(client);
    }
    let mut reset = log_in(&balancer, 3);
    reset.send(lines("SUBSCRIBE b1 \n RESET \n AUTH u x"));
    reset.replies(3);
    kept.push(reset);

    set_user(&mut admin, "resetchannels &a*");
    for mut client in closed {
        assert_eq!(client.rest(), "");
    }
    for client in &mut kept {
        let pong = client.ask(line("PING"));
        assert!(pong == "+PONG\r\n" || pong == "*2\r\n$4\r\npong\r\n$0\r\n\r\n", "{pong:?}");
    }
    assert_eq!(admin.ask(line("PUBLISH b1 x")), ":1\r\n");
    assert_eq!(other.reply(), "*3\r\n$7\r\nmessage\r\n$2\r\nb1\r\n$1\r\nx\r\n");
}

/// The rules change while the upstream has not yet confirmed the subscription.
#[test]
fn a_subscription_that_comes_after_the_change_of_rules_is_closed() {
    let (redis, balancer, mut admin) = start();
    let mut direct = RawClient::connect(redis.address());
    for protocol in [2, 3] {
        set_user(&mut admin, "allchannels");
        let mut client = log_in(&balancer, protocol);
        assert_eq!(direct.ask(line("CLIENT PAUSE 300 ALL")), "+OK\r\n");
        client.send(line("SUBSCRIBE b1"));
        for _ in 0..2 {
            // Then the balancer, which has one thread, has read the requests of all clients.
            admin.id();
        }
        set_user(&mut admin, "resetchannels &a*");
        client.rest();
        let mut client = log_in(&balancer, protocol);
        client.ask(line("SUBSCRIBE a1"));
        assert_eq!(admin.ask(line("PUBLISH a1 x")), ":1\r\n");
    }
}

#[test]
fn a_transaction_whose_user_has_changed_does_not_run() {
    const ABORTED: &str = "-EXECABORT Transaction discarded because of previous errors.\r\n";
    let (redis, balancer, mut admin) = start();
    let mut direct = RawClient::connect(redis.address());
    for rules in ["-set", "resetkeys", "resetkeys ~a*", "-@write"] {
        for sent in
            [&["MULTI", "SET b1 x"][..], &["MULTI \n SET b1 x"], &["MULTI", "PING", "SET b1 x \n GET b1"]]
        {
            set_user(&mut admin, "reset on nopass ~* &* +@all");
            let mut client = log_in(&balancer, 2);
            for part in sent {
                client.send(lines(part));
                client.replies(part.split('\n').count());
            }
            set_user(&mut admin, rules);
            assert_eq!(client.ask(line("EXEC")), ABORTED, "{rules}, {sent:?}");
            assert_eq!(direct.ask(line("EXISTS b1")), ":0\r\n", "{rules}, {sent:?}");
            set_user(&mut admin, "~* +@all");
            client.send(lines("GET b1 \n MULTI \n GET b1 \n EXEC"));
            assert_eq!(client.replies(4), "$-1\r\n+OK\r\n+QUEUED\r\n*1\r\n$-1\r\n");
        }
    }
}

#[test]
fn a_transaction_runs_when_its_user_may_do_what_it_could() {
    let (_redis, balancer, mut admin) = start();
    let changes =
        ["ACL SETUSER u >password", "ACL SETUSER u ~*", "ACL SETUSER other on -set", "ACL SETUSER u +@all"];
    for rules in ["reset on nopass ~* &* +@all", "reset on nopass ~b* +set +get +multi +exec"] {
        set_user(&mut admin, rules);
        for change in &changes[..if rules.contains("&*") { 4 } else { 1 }] {
            let mut client = log_in(&balancer, 2);
            for request in ["MULTI", "SET b1 x"] {
                client.ask(line(request));
            }
            assert_eq!(admin.ask(line(change)), "+OK\r\n");
            assert_eq!(client.ask(line("EXEC")), "*1\r\n+OK\r\n", "{change}");
        }
    }
}
