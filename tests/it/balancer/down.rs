//! Servers that die, and start again.

use super::{Three, is_error, number, writers::Writers};
use crate::support::{Process, RawClient, eventually, info, line, lines, request};

#[test]
fn a_dead_server_is_ejected_and_used_again_after_its_restart() {
    let mut three = Three::start(&[]);
    let address = three.balancer.address().to_owned();
    let written = Writers::run(24, &address, |writers| {
        for victim in [1, 2] {
            writers.lose();
            three.kill(victim);
            writers.go_on();
            three.restart(victim);
            eventually(|| (number(&three.direct(victim).ask(line("DBSIZE"))) > 0).then_some(()));
            writers.go_on();
        }
    });
    // Each key is on its own server again.
    let mut client = three.client();
    for (key, _) in written {
        client.send(lines(&format!("SET {key} end \n GET {key}")));
        assert_eq!(client.replies(2), "+OK\r\n$3\r\nend\r\n");
    }
}

#[test]
fn a_server_may_start_after_the_balancer() {
    let mut three = Three::with([true, false, true], &[]);
    let mut client = three.client();
    let mut write = || {
        for key in 0..100 {
            client.send(format!("SET user:{key}:name {key}\r\n"));
        }
        client.replies(100) == "+OK\r\n".repeat(100)
    };
    eventually(|| write().then_some(()));
    three.restart(1);
    eventually(|| (write() && three.sizes()[1] > 0).then_some(()));
}

#[test]
fn commands_fail_while_all_servers_are_down() {
    let mut three = Three::with([false; 3], &[]);
    let mut client = three.client();
    for request in ["GET a", "MGET a b c", "SET a 1", "DEL a b", "DBSIZE", "SCAN 0", "BLPOP a 0", "WATCH a"] {
        let reply = client.ask(line(request));
        assert!(is_error(&reply, "UPSTREAMDOWN"), "{request}: {reply:?}");
    }
    for server in 0..3 {
        three.restart(server);
    }
    eventually(|| {
        (client.ask(line("MGET a b c d e f")) == "*6\r\n$-1\r\n$-1\r\n$-1\r\n$-1\r\n$-1\r\n$-1\r\n")
            .then_some(())
    });
}

#[test]
fn a_lost_server_closes_its_clients_if_the_options_say_so() {
    let redis = Process::redis(&[]);
    let balancer = Process::program_with("balancer", &["--on-upstream-loss", "close", redis.address()]);
    let [mut plain, mut split, mut blocked, mut watching, mut bystander] =
        [(); 5].map(|()| RawClient::connect(balancer.address()));
    assert_eq!(watching.ask(line("WATCH a")), "+OK\r\n");
    blocked.send(line("BLPOP list 0"));
    let mut direct = RawClient::connect(redis.address());
    eventually(|| (info(&mut direct, "clients").number("blocked_clients") == 1).then_some(()));
    let mut sent = || info(&mut bystander, "upstream").number("upstream_commands");
    let before = sent();
    redis.signal("STOP");
    for (client, request) in [(&mut plain, "GET a"), (&mut split, "DBSIZE"), (&mut watching, "GET a")] {
        client.send(line(request));
    }
    eventually(|| (sent() == before + 3).then_some(()));
    redis.signal("KILL");
    for mut client in [plain, split, blocked, watching] {
        assert_eq!(client.rest(), "");
    }
    // The server is down now.
    for request in ["GET a", "DBSIZE", "BLPOP list 0", "WATCH a"] {
        let mut client = RawClient::connect(balancer.address());
        client.send(line(request));
        assert_eq!(client.rest(), "", "{request}");
    }
    assert_eq!(bystander.ask(line("CLIENT GETNAME")), "$-1\r\n");
}

#[test]
fn with_no_eject_the_keys_of_a_dead_server_stay_unavailable() {
    let mut three = Three::start(&["--no-eject"]);
    let mut client = three.client();
    let [a, b, c] = three.keys_apart();
    three.kill(1);
    let ask = format!("SET {b} 1");
    eventually(|| is_error(&client.ask(line(&ask)), "UPSTREAMDOWN").then_some(()));
    for key in [&a, &c] {
        client.send(lines(&format!("SET {key} 1 \n GET {key}")));
        assert_eq!(client.replies(2), "+OK\r\n$1\r\n1\r\n");
    }
    let reply = client.ask(format!("MGET {a} {b} {c}\r\n"));
    assert!(is_error(&reply, "UPSTREAMDOWN"), "{reply:?}");
    three.restart(1);
    eventually(|| (client.ask(line(&ask)) == "+OK\r\n").then_some(()));
    assert_eq!(three.sizes(), [1; 3]);
}

#[test]
fn a_dead_server_fails_its_blocked_clients_and_transactions() {
    let mut three = Three::start(&[]);
    let [_, key, _] = three.keys_apart();
    let [mut waiting, mut writer] = [(); 2].map(|()| three.client());
    waiting.send(line(&format!("BLPOP {key} 0")));
    for request in [format!("WATCH {key}"), "MULTI".to_owned(), format!("SET {key} 1")] {
        let reply = writer.ask(line(&request));
        assert!(reply.starts_with(b"+"), "{request}: {reply:?}");
    }
    let blocked = |three: &Three| info(&mut three.direct(1), "clients").number("blocked_clients");
    eventually(|| (blocked(&three) == 1).then_some(()));
    three.kill(1);
    let reply = waiting.reply();
    assert!(is_error(&reply, "UPSTREAM"), "{reply:?}");
    let reply = writer.ask(line("EXEC"));
    assert!(reply.starts_with(b"-"), "{reply:?}");
    eventually(|| (writer.ask(line("DBSIZE")) == ":0\r\n").then_some(()));
    // Both clients can use another server.
    for client in [&mut waiting, &mut writer] {
        eventually(|| (client.ask(format!("SET {key} 1\r\n")) == "+OK\r\n").then_some(()));
        assert_eq!(client.ask(format!("GET {key}\r\n")), "$1\r\n1\r\n");
    }
}

#[test]
fn a_transaction_whose_key_moves_to_another_server_may_be_tried_again() {
    let mut three = Three::start(&[]);
    let [_, key, other] = three.keys_apart();
    let [mut watching, mut writer] = [(); 2].map(|()| three.client());
    three.kill(1);
    eventually(|| (writer.ask(format!("SET {key} 1\r\n")) == "+OK\r\n").then_some(()));
    // Another server has the key.
    assert_eq!(watching.ask(format!("WATCH {key}\r\n")), "+OK\r\n");
    // A long request determines the server of another client.
    let mut long = three.client();
    assert_eq!(long.ask(line("MULTI")), "+OK\r\n");
    assert_eq!(long.ask(request(["SET", &key, &"x".repeat(100_000)])), "+QUEUED\r\n");
    three.restart(1);
    eventually(|| {
        assert_eq!(writer.ask(format!("SET {key} 2\r\n")), "+OK\r\n");
        (number(&three.direct(1).ask(line("DBSIZE"))) > 0).then_some(())
    });
    assert_eq!(watching.ask(line("MULTI")), "+OK\r\n");
    let reply = watching.ask(format!("SET {key} 3\r\n"));
    assert!(is_error(&reply, "TRYAGAIN"), "{reply:?}");
    assert!(is_error(&watching.ask(line("EXEC")), "EXECABORT"));
    let reply = long.ask(format!("GET {key}\r\n"));
    assert!(is_error(&reply, "TRYAGAIN"), "{reply:?}");
    assert!(is_error(&long.ask(line("EXEC")), "EXECABORT"));
    // Keys that are on different servers stay an error.
    watching.send(lines(&format!("WATCH {key} \n MULTI \n SET {other} 1 \n EXEC")));
    let replies = [(); 4].map(|()| watching.reply());
    assert!(is_error(&replies[2], "CROSSSLOT"), "{replies:?}");
    assert_eq!(writer.ask(format!("GET {key}\r\n")), "$1\r\n2\r\n");
}

#[test]
fn no_command_of_a_transaction_runs_alone_after_its_watched_keys_are_lost() {
    let mut three = Three::start(&[]);
    let [_, key, _] = three.keys_apart();
    let [mut watching, mut writer] = [(); 2].map(|()| three.client());
    assert_eq!(watching.ask(format!("WATCH {key}\r\n")), "+OK\r\n");
    three.kill(1);
    eventually(|| (writer.ask(format!("SET {key} 1\r\n")) == "+OK\r\n").then_some(()));
    watching.send(lines(&format!("MULTI \n SET {key} 2 \n GET {key} \n EXEC \n GET {key}")));
    let [multi, set, get, exec, after] = [(); 5].map(|()| watching.reply());
    assert_eq!(multi, "+OK\r\n");
    for reply in [set, get, exec] {
        assert!(is_error(&reply, "UPSTREAM"), "{reply:?}");
    }
    assert_eq!(after, "$1\r\n1\r\n");
}
