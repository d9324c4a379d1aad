//! Passwords are shown nowhere: in no log, in no list for operators, and in no `Debug` output.

use std::{sync::mpsc, time::Duration};

use thegiant::{Server, middleware::AuditLog, prelude::*, proxy::Upstream};
use thegiant_client::Connection;
use tracing::Level;

use crate::support::{ANY_PORT, Log, RawClient, Served, app, line};

const SECRET: &str = "hunter2";

/// Shows each request in the log, as a middleware that is being debugged may.
struct Shown;

impl thegiant::middleware::Middleware for Shown {
    fn before(&self, request: &Request<'_>) -> thegiant::middleware::Decision {
        tracing::info!(?request, "request");
        thegiant::middleware::Decision::Run
    }
}

#[test]
fn no_log_and_no_operator_sees_a_password() {
    let (sender, receiver) = mpsc::channel();
    let served = Served::with(
        move || {
            let log = Log::default();
            log.keep(Level::TRACE);
            let _ = sender.send(log);
            app().middleware(AuditLog::new().arguments()).middleware(Shown)
        },
        |server| {
            server
                .password(SECRET)
                .user("alice", "on >hunter2 +@all ~*")
                .slowlog_slower_than(Some(Duration::ZERO))
                .bind(ANY_PORT)
        },
    );
    let log: Log = receiver.recv().expect("the application starts");
    let mut monitor = RawClient::connect(served.address());
    assert_eq!(monitor.ask(line("AUTH hunter2")), "+OK\r\n");
    assert_eq!(monitor.ask(line("MONITOR")), "+OK\r\n");
    let mut client = RawClient::connect(served.address());
    let requests = [
        "AUTH hunter2",
        "AUTH alice hunter2",
        "AUTH hunter2 hunter2 hunter2",
        "HELLO 2 AUTH alice hunter2 SETNAME me",
        "HELLO 2 AUTH alice nohunter2",
        "ACL SETUSER bob on >hunter2",
        "ACL SETUSER bob <hunter2",
        "ACL SETUSER bob <hunter2",
        "ACL SETUSER bob hunter2 >hunter2",
        "ACL SETUSR bob >hunter2",
        "ACL DRYRUN alice AUTH hunter2",
        "ACL",
        "CONFIG SET requirepass hunter2",
        "CONFIG SET maxclients 100 masterauth hunter2",
        "MIGRATE 127.0.0.1 6379 k 0 1 AUTH hunter2",
        "MIGRATE 127.0.0.1 6379 k 0 1 AUTH2 bob hunter2",
        "MULTI",
        "AUTH hunter2",
        "AUTH hunter2 hunter2 hunter2",
        "ACL SETUSER bob >hunter2",
        "HELLO 2 AUTH alice hunter2",
        "EXEC",
    ];
    for request in requests {
        client.ask(line(request));
    }
    client.ask(line("PING end"));
    let mut monitored = String::new();
    while !monitored.contains("\"end\"") {
        monitored.push_str(&String::from_utf8_lossy(&monitor.reply()));
    }
    assert!(monitored.contains("\"AUTH\" \"(redacted)\""), "{monitored}");
    let mut shown = vec![("MONITOR", monitored)];
    for request in [
        "SLOWLOG GET -1",
        "CLIENT LIST",
        "CONFIG GET *",
        "ACL LOG 100",
        "ACL LIST",
        "ACL GETUSER alice",
        "INFO everything",
    ] {
        let reply = client.ask(line(request));
        shown.push((request, String::from_utf8_lossy(&reply).into_owned()));
    }
    shown.push(("the log", log.lines().join("\n")));
    for (place, text) in shown {
        assert!(!text.contains(SECRET), "{place}: {text}");
        assert!(text.len() > 20, "{place} is empty: {text}");
    }
}

#[test]
fn no_debug_output_contains_a_password() {
    let server = Server::new(App::new).password(SECRET).user("alice", "on >hunter2 <hunter2");
    let upstream = Upstream::new("127.0.0.1:1").user("alice").password(SECRET);
    let connection = Connection::builder("127.0.0.1:1").user("alice").password(SECRET);
    for text in [format!("{server:?}"), format!("{upstream:?}"), format!("{connection:?}")] {
        assert!(!text.contains(SECRET) && text.len() > 5, "{text}");
    }
}
