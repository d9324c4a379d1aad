use super::{OK, PONG, open_to_operators, open_with};
use crate::support::{
    ANY_PORT, RawClient, Served, app, client_list, eventually, exchange, gated, info, line, lines, request,
};

/// Returns a client in `MONITOR` mode.
fn monitor(served: &Served) -> RawClient {
    let mut monitor = RawClient::connect(served.address());
    assert_eq!(monitor.ask(line("MONITOR")), OK);
    monitor
}

/// Returns the next line without the time and the client's address.
fn shown(monitor: &mut RawClient) -> String {
    let line = String::from_utf8(monitor.reply().to_vec()).expect("text");
    let (time, rest) = line.strip_prefix('+').and_then(|line| line.split_once(' ')).expect("a time");
    let (seconds, micros) = time.split_once('.').expect("seconds and microseconds");
    assert!(seconds.parse::<u64>().is_ok() && micros.len() == 6 && micros.parse::<u64>().is_ok(), "{line}");
    let (origin, words) = rest.trim_end().split_once("] ").expect("the client's address");
    let (db, _address) =
        origin.strip_prefix('[').and_then(|origin| origin.split_once(' ')).expect("a database");
    format!("{db} {words}")
}

#[test]
fn commands_of_all_actors_are_shown_in_order() {
    let served = open_to_operators();
    let mut monitor = monitor(&served);
    let mut client = RawClient::connect(served.address());
    client.send(lines("PING \n FIRST a \n SECOND b \n SET k v \n SELECT 3 \n ECHO x \n GET k"));
    client.replies(7);
    for line in [
        r#"0 "PING""#,
        r#"0 "FIRST" "a""#,
        r#"0 "SECOND" "b""#,
        r#"0 "SET" "k" "v""#,
        r#"0 "SELECT" "3""#,
        r#"3 "ECHO" "x""#,
        r#"3 "GET" "k""#,
    ] {
        assert_eq!(shown(&mut monitor), line);
    }
    client.send(request([&b"echo"[..], b"a \"\\\r\n\t\x07\x08\x00\xff"]));
    client.reply();
    let line = monitor.reply();
    let origin = format!("[3 {}] ", client.local_address());
    assert!(String::from_utf8_lossy(&line).contains(&origin), "{line:?}");
    assert!(line.ends_with(br#" "echo" "a \"\\\r\n\t\a\b\x00\xff""#.as_slice().iter().chain(b"\r\n").copied().collect::<Vec<u8>>().as_slice()), "{line:?}");
}

#[test]
fn refused_commands_and_administrative_commands_are_not_shown() {
    let served = open_to_operators();
    let mut monitor = monitor(&served);
    let mut client = RawClient::connect(served.address());
    client
        .send(lines("NOPE \n GET \n CONFIG GET save \n SLOWLOG LEN \n CLIENT LIST \n DEBUG SLEEP 0 \n PING"));
    client.replies(7);
    client.send(lines("ECHO before \n QUIT \n ECHO behind"));
    client.rest();
    assert_eq!(exchange(served.address(), line("ECHO last")), "$4\r\nlast\r\n");
    for line in [r#"0 "PING""#, r#"0 "ECHO" "before""#, r#"0 "QUIT""#, r#"0 "ECHO" "last""#] {
        assert_eq!(shown(&mut monitor), line);
    }
}

#[test]
fn monitor_redacts_passwords() {
    let served = Served::with(app, |server| server.password("secret").bind(ANY_PORT));
    let mut monitor = RawClient::connect(served.address());
    monitor.send(lines("AUTH secret \n MONITOR"));
    assert_eq!(monitor.replies(2), "+OK\r\n+OK\r\n");
    let mut client = RawClient::connect(served.address());
    client
        .send(lines("GET k \n AUTH wrong \n auth default secret \n HELLO 3 auth default secret SETNAME me"));
    client.replies(4);
    client.send(line("PING"));
    client.reply();
    for line in [
        r#"0 "AUTH" "(redacted)""#,
        r#"0 "auth" "(redacted)" "(redacted)""#,
        r#"0 "HELLO" "3" "auth" "(redacted)" "(redacted)" "SETNAME" "me""#,
        r#"0 "PING""#,
    ] {
        assert_eq!(shown(&mut monitor), line);
    }
}

#[test]
fn reset_and_disconnecting_end_monitor() {
    let served = open_to_operators();
    let mut reset_client = monitor(&served);
    let disconnected = monitor(&served);
    let mut client = RawClient::connect(served.address());
    assert_eq!(reset_client.ask(line("RESET")), "+RESET\r\n");
    drop(disconnected);
    assert_eq!(client.ask(line("PING")), PONG);
    assert_eq!(reset_client.ask(line("ECHO mine")), "$4\r\nmine\r\n");
    assert_eq!(client_list(&mut client, "").iter().filter(|line| line.text("flags") == "O").count(), 0);
}

#[test]
fn a_second_monitor_command_adds_no_second_line() {
    let served = open_to_operators();
    let mut monitor = monitor(&served);
    assert_eq!(monitor.ask(line("MONITOR")), OK);
    assert_eq!(exchange(served.address(), lines("PING \n ECHO x")), "+PONG\r\n$1\r\nx\r\n");
    assert_eq!([shown(&mut monitor), shown(&mut monitor)], [r#"0 "PING""#, r#"0 "ECHO" "x""#]);
}

/// A monitor may send other commands. Lines come between their replies, never within one.
#[test]
fn no_line_comes_inside_a_reply() {
    let served = open_to_operators();
    let mut monitor = monitor(&served);
    let values = ["a".repeat(3 << 20), "b".repeat(40_000), "c".repeat(10)];
    let mut client = RawClient::connect(served.address());
    for (key, value) in ["a", "b", "c"].iter().zip(&values) {
        assert_eq!(client.ask(request(["SET", key, value])), OK);
        assert!(monitor.reply().starts_with(b"+"));
    }
    let busy = std::thread::spawn(move || {
        for number in 0..2000 {
            client.ask(line(&format!("FIRST {number}")));
        }
    });
    let mut expected = Vec::new();
    let (mut replies, mut others) = (0, 0);
    for _ in 0..20 {
        monitor.send(lines("GET a \n GET b \n GET c \n GET b"));
        expected.extend([0, 1, 2, 1]);
    }
    // The expected lines are the monitor's own commands and those of the other client.
    while replies < expected.len() || others < 2000 + expected.len() {
        let reply = monitor.reply();
        if reply.starts_with(b"+") {
            assert!(reply.ends_with(b"\"\r\n"), "{reply:?}");
            others += 1;
        } else {
            let value = &values[expected[replies]];
            assert!(reply == format!("${}\r\n{value}\r\n", value.len()), "reply {replies}");
            replies += 1;
        }
    }
    busy.join().expect("all are answered");
}

#[test]
fn lines_wait_while_the_monitors_own_command_runs() {
    let (app, gatekeeper) = gated();
    let served = open_with(app);
    let mut monitor = monitor(&served);
    monitor.send(line("GATE"));
    gatekeeper.wait();
    assert_eq!(exchange(served.address(), line("PING")), PONG);
    gatekeeper.open();
    assert_eq!(monitor.reply(), "+through\r\n");
    assert_eq!([shown(&mut monitor), shown(&mut monitor)], [r#"0 "GATE""#, r#"0 "PING""#]);
}

/// The slow monitor is closed at the output limit for pushes. The other monitor gets every line.
#[test]
fn a_monitor_that_does_not_read_is_closed() {
    let served = open_to_operators();
    let mut slow = monitor(&served);
    let mut monitor = monitor(&served);
    let mut operator = RawClient::connect(served.address());
    let limit = "pubsub 1mb 0 0";
    assert_eq!(operator.ask(request(["CONFIG", "SET", "client-output-buffer-limit", limit])), OK);
    let echo = request([&b"ECHO"[..], &[b'x'; 100_000]]);
    eventually(|| {
        assert_eq!(operator.ask(&echo).len(), 100_011);
        assert!(monitor.reply().ends_with(b"x\"\r\n"));
        (client_list(&mut operator, "").len() == 2).then_some(())
    });
    slow.rest();
    drop(monitor);
    eventually(|| (info(&mut operator, "memory").number("mem_clients_normal") == 0).then_some(()));
}
