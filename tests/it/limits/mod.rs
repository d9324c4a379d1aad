/// Memory of all clients.
mod memory;
/// Limits of the output buffer.
mod output;
/// The password, and the limits of unauthenticated clients.
mod password;
/// Protected mode: a server without a password serves only local clients.
mod protected;
/// Timeouts of clients.
mod timers;

use std::{io::ErrorKind, time::Duration};

use thegiant::{Limits, Timeouts};

use crate::support::{ANY_PORT, RawClient, Served, app, eventually, exchange, gated, line, request};

const FULL: &str = "-ERR max number of clients reached\r\n";

#[test]
fn max_clients() {
    let served = Served::with(app, |server| server.limits(Limits::new().max_clients(3)).bind(ANY_PORT));
    let connect = || RawClient::connect(served.address());
    let mut clients = [connect(), connect(), connect()];
    for client in &mut clients {
        assert_eq!(client.ask(line("PING")), "+PONG\r\n");
    }
    for _ in 0..3 {
        assert_eq!(connect().rest(), FULL);
    }

    let [leaving, mut staying, _other] = clients;
    drop(leaving);
    let mut successor = eventually(|| {
        let mut client = connect();
        // The server may have closed the client before the request is sent.
        client.try_send(line("PING")).ok()?;
        client.try_reply().is_ok_and(|reply| reply == "+PONG\r\n").then_some(client)
    });
    assert_eq!(connect().rest(), FULL);
    assert_eq!(successor.ask(line("PING")), "+PONG\r\n");
    assert_eq!(staying.ask(line("PING")), "+PONG\r\n");
}

/// Changes a setting of a running server.
fn set(operator: &mut RawClient, name: &str, value: &str) {
    assert_eq!(operator.ask(request(["CONFIG", "SET", name, value])), "+OK\r\n", "{name} {value}");
}

#[test]
fn limits_of_connections_and_requests_can_be_changed_at_run_time() {
    let served = Served::start(app);
    let mut operator = RawClient::connect(served.address());
    set(&mut operator, "maxclients", "1");
    assert_eq!(RawClient::connect(served.address()).rest(), FULL);
    set(&mut operator, "maxclients", "2");
    let mut client = RawClient::connect(served.address());
    assert_eq!(client.ask(line("PING")), "+PONG\r\n");

    let value = "x".repeat(2 << 20);
    assert_eq!(client.ask(request(["SET", "k", &value])), "+OK\r\n");
    set(&mut operator, "client-query-buffer-limit", "1mb");
    // The server may close the client before it has sent everything.
    let _ = client.try_send(&request(["SET", "k", &value])[..(2 << 20) - 10]);
    assert_eq!(client.rest(), "");
    set(&mut operator, "client-query-buffer-limit", "1gb");

    let mut client = eventually(|| {
        let mut client = RawClient::connect(served.address());
        client.try_send(line("PING")).ok()?;
        client.try_reply().is_ok_and(|reply| reply == "+PONG\r\n").then_some(client)
    });
    set(&mut operator, "proto-max-bulk-len", "1mb");
    client.send("*2\r\n$4\r\nECHO\r\n$1048577\r\n");
    assert_eq!(client.rest(), "-ERR Protocol error: invalid bulk length\r\n");
}

#[test]
fn a_client_that_is_idle_for_too_long_is_closed() {
    let served = Served::with(app, |server| {
        server.timeouts(Timeouts::new().idle(Duration::from_secs(1))).bind(ANY_PORT)
    });
    let mut busy = RawClient::connect(served.address());
    let mut silent = RawClient::connect(served.address());
    let mut fell_silent = RawClient::connect(served.address());
    assert_eq!(fell_silent.ask(line("PING")), "+PONG\r\n");
    std::thread::scope(|scope| {
        let ends = scope.spawn(move || (silent.rest(), fell_silent.rest()));
        while !ends.is_finished() {
            assert_eq!(busy.ask(line("PING")), "+PONG\r\n");
            std::thread::sleep(Duration::from_millis(20));
        }
        let (silent, fell_silent) = ends.join().expect("both ends were seen");
        assert_eq!((&silent[..], &fell_silent[..]), (&b""[..], &b""[..]));
    });
    assert_eq!(busy.ask(line("PING")), "+PONG\r\n");
}

#[test]
fn a_client_with_a_slow_command_is_not_idle() {
    let (app, gatekeeper) = gated();
    let served = Served::with(app, |server| {
        server.timeouts(Timeouts::new().idle(Duration::from_secs(1))).bind(ANY_PORT)
    });
    let mut waiting = RawClient::connect(served.address());
    waiting.send(line("GATE"));
    gatekeeper.wait();
    // Each of these clients is closed after the timeout.
    for _ in 0..2 {
        assert_eq!(RawClient::connect(served.address()).rest(), "");
    }
    gatekeeper.open();
    assert_eq!(waiting.reply(), "+through\r\n");
}

#[test]
fn max_bulk_len() {
    let served =
        Served::with(app, |server| server.limits(Limits::new().max_bulk_len(1 << 20)).bind(ANY_PORT));
    let value = "x".repeat(1 << 20);
    assert_eq!(exchange(served.address(), request(["SET", "k", &value])), "+OK\r\n");
    assert_eq!(
        exchange(served.address(), "*2\r\n$4\r\nECHO\r\n$1048577\r\n"),
        "-ERR Protocol error: invalid bulk length\r\n"
    );
    assert_eq!(
        exchange(served.address(), line("CONFIG GET proto-max-bulk-len")),
        "*2\r\n$18\r\nproto-max-bulk-len\r\n$7\r\n1048576\r\n"
    );
}

/// The request grows by one large argument, by several, or by many small ones.
#[test]
fn a_request_over_the_query_buffer_limit() {
    let served =
        Served::with(app, |server| server.limits(Limits::new().query_buffer(1 << 20)).bind(ANY_PORT));
    let mut bystander = RawClient::connect(served.address());
    let large = [b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$4000000\r\n".as_slice(), &[b'x'; 3_900_000]].concat();
    let several =
        [b"*100\r\n".to_vec(), request(vec![[b'x'; 30_000]; 99]).split_off("*99\r\n".len())].concat();
    let small = [b"*1000000\r\n".to_vec(), b"$1\r\nx\r\n".repeat(400_000)].concat();
    for request in [large, several, small] {
        let mut client = RawClient::connect(served.address());
        client.send(line("PING"));
        assert_eq!(client.reply(), "+PONG\r\n");
        match client.try_send(&request) {
            Ok(()) => {}
            Err(error) => assert!(matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe)),
        }
        assert_eq!(client.rest(), "");
        assert_eq!(bystander.ask(line("PING")), "+PONG\r\n");
    }
}

/// The limit applies to one request, not to all requests of a client.
#[test]
fn many_requests_under_the_query_buffer_limit() {
    let served =
        Served::with(app, |server| server.limits(Limits::new().query_buffer(1 << 20)).bind(ANY_PORT));
    let value = "x".repeat(1_000_000);
    let requests = request(["SET", "k", &value]).repeat(5);
    assert_eq!(exchange(served.address(), requests), "+OK\r\n".repeat(5));
}

#[test]
fn select_accepts_one_database_unless_the_application_has_more() {
    for databases in [None, Some(1), Some(2)] {
        let served =
            Served::start(move || databases.map_or_else(app, |databases| app().databases(databases)));
        let mut client = RawClient::connect(served.address());
        let last = databases.unwrap_or(1) - 1;
        assert_eq!(client.ask(line(&format!("SELECT {last}"))), "+OK\r\n");
        assert_eq!(client.ask(line(&format!("SELECT {}", last + 1))), "-ERR DB index is out of range\r\n");
        let shown = format!("*2\r\n$9\r\ndatabases\r\n$1\r\n{}\r\n", last + 1);
        assert_eq!(client.ask(line("CONFIG GET databases")), shown);
    }
}

#[test]
fn tcp_keepalive_is_set() {
    let keepalive = |seconds| {
        let served = Served::with(app, move |server| {
            server.timeouts(Timeouts::new().tcp_keepalive(Duration::from_secs(seconds))).bind(ANY_PORT)
        });
        let mut client = RawClient::connect(served.address());
        assert_eq!(client.ask(line("PING")), "+PONG\r\n");
        eventually(|| keepalive_timer(served.address(), &client.local_address()))
    };
    assert!(keepalive(100) <= Duration::from_secs(100));
    assert!(keepalive(1000) > Duration::from_secs(100));
}

/// Returns the keepalive timer of the server's socket from the system's table of sockets. The system shows no
/// keepalive timer until the last reply is acknowledged.
///
/// The port of the peer alone does not identify the socket: another server may have a closed connection from this port.
fn keepalive_timer(server: &str, peer: &str) -> Option<Duration> {
    const KEEPALIVE: &str = "02";
    let listed = |address: &str| {
        let port: u16 = address.rsplit(':').next()?.parse().ok()?;
        Some(format!("0100007F:{port:04X}"))
    };
    let (local, remote) = (listed(server)?, listed(peer)?);
    let table = std::fs::read_to_string("/proc/net/tcp").expect("Linux has it");
    let timer = table.lines().find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        (fields.get(1..3)? == [&local, &remote]).then(|| fields[5].to_owned())
    })?;
    let (kind, ticks) = timer.split_once(':')?;
    let ticks = u64::from_str_radix(ticks, 16).ok()?;
    // The table counts in hundredths of a second.
    (kind == KEEPALIVE).then(|| Duration::from_millis(ticks * 10))
}

/// While replies are unread, the server reads no further requests, except for a long pipeline.
#[test]
fn a_client_that_sends_and_does_not_read_is_closed_at_the_query_buffer_limit() {
    let served = Served::start(app);
    let mut bystander = RawClient::connect(served.address());
    assert_eq!(bystander.ask(line("CONFIG SET client-query-buffer-limit 8mb")), "+OK\r\n");
    let value = "x".repeat(1 << 20);
    assert_eq!(bystander.ask(request(["SET", "large", &value])), "+OK\r\n");

    let mut client = RawClient::connect(served.address());
    let requests = line("GET large").repeat(5_000_000);
    let sent = client.send_until_closed(&requests);
    assert!(sent < requests.len(), "all {sent} bytes were read");
    for _ in 0..1000 {
        assert_eq!(bystander.ask(line("PING")), "+PONG\r\n");
    }
}

#[test]
fn a_client_that_reads_late_gets_everything() {
    let served = Served::start(app);
    let mut client = RawClient::connect(served.address());
    let echo = request(["ECHO", &"x".repeat(1000)]);
    client.send(echo.repeat(120_000));
    let reply = format!("$1000\r\n{}\r\n", "x".repeat(1000));
    for _ in 0..120_000 {
        assert!(client.reply() == reply);
    }
    client.half_close();
    assert_eq!(client.rest(), "");
}

/// Long pauses between the bytes delay only that client.
#[test]
fn a_client_that_sends_byte_by_byte_delays_no_other_client() {
    let served = Served::start(app);
    let mut slow = RawClient::connect(served.address());
    let mut bystander = RawClient::connect(served.address());
    for byte in line("FIRST slow").chunks(1) {
        slow.send(byte);
        for number in 0..100 {
            let text = format!("FIRST {number}");
            let reply = format!("first {number}");
            assert_eq!(bystander.ask(line(&text)), format!("${}\r\n{reply}\r\n", reply.len()));
        }
    }
    assert_eq!(slow.reply(), "$10\r\nfirst slow\r\n");
}

/// Many client libraries write a whole pipeline before they read replies. The server must read what the
/// sockets cannot buffer.
#[test]
fn a_pipeline_may_be_written_before_any_reply_is_read() {
    let served = Served::start(app);
    let mut client = RawClient::connect(served.address());
    let key = "k".repeat(1_000);
    client.ask(line(&format!("SET {key} {}", "v".repeat(1_000))));
    let requests = 30_000;
    client.send(line(&format!("GET {key}")).repeat(requests));
    client.send(line("FIRST end"));
    for _ in 0..requests {
        assert_eq!(client.reply().len(), "$1000\r\n\r\n".len() + 1_000);
    }
    assert_eq!(client.reply(), "$9\r\nfirst end\r\n");
}
