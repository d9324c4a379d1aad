//! Each test reproduces a bug that other servers have had:
//!
//! | bug elsewhere | test here |
//! | --- | --- |
//! | length arithmetic wraps, the process dies (redcon) | `a_length_that_would_wrap_is_refused` |
//! | a recursive parser overflows the stack (mini-redis, redis-protocol) | `nested_arrays_do_not_overflow_the_stack` |
//! | an announced length reserves memory (Envoy, redcon.rs) | `an_announced_number_of_arguments_reserves_nothing` and the next two tests |
//! | an escape that is cut off panics (Envoy, redcon.rs) | `a_hexadecimal_escape_that_is_cut_off_is_an_error` |
//! | an empty request leaves state behind (CVE-2026-27623) | `an_empty_request_leaves_no_state_behind` |
//! | CR LF in an error forges a reply (CVE-2025-67733) | `line_ends_in_an_error_text_cannot_forge_a_reply` |
//! | a web page sends commands through a browser | `a_browser_is_not_served` |
//! | the server looks for keys beyond the request (CVE-2023-36824) | `no_key_is_found_beyond_the_request` |
//! | patterns take exponential time (CVE-2022-36021) | `a_pattern_with_many_stars_is_matched_fast`, the fuzz target `glob` |
//! | a partial request is parsed again with each piece | `work_grows_with_the_bytes_and_not_with_the_pieces` |
//! | a pause inside a value turns its rest into a command (redcon.rs) | `wire::a_pause_inside_a_bulk_does_not_end_it` |
//! | complete commands wait for the end of the next one (redhub) | `wire::a_request_does_not_wait_for_the_next_one` |
//! | without descriptors, accepting ends or spins (CVE-2025-48367) | `more_connections_than_descriptors_wait_without_load` |
//! | disconnected clients stay in memory until the end (resp-async) | `disconnected_clients_leave_nothing_behind` |
//! | clients over the limit are dropped without an error (resp-async) | `limits::max_clients` |
//! | arguments pile up without bound (CVE-2025-46686) | `limits::a_request_over_the_query_buffer_limit` |
//! | replies pile up without bound (actix' writer; Redis by default) | `a_client_that_never_reads_takes_bounded_memory` |
//! | buffered replies are lost at the end (actix' writer) | `order::replies_are_sent_despite_unread_input`, `lifecycle::replies_are_sent_before_a_stop_ends` |
//! | replies to unauthenticated clients pile up without bound (CVE-2025-21605) | `an_unauthenticated_client_takes_bounded_memory`, `an_unauthenticated_client_may_announce_little` |
//! | no reply when a handler panics (resp-server) | `containment::a_panic_is_answered_and_other_commands_still_run` |
//! | a wrong argument closes the connection (mini-redis) | `a_wrong_argument_keeps_the_connection` |
//! | an option for the idle timeout has no effect (redeo) | `limits::a_client_that_is_idle_for_too_long_is_closed` |
//! | NULs put the protocol out of step (Redis) | `differential`: `protocol.txt`, "A NUL where a length or a name should be" |
//! | the cut of a stream decides whether a line is too long (Redis) | `a_line_is_too_long_wherever_it_is_cut` |

use std::{fs, io::ErrorKind, thread, time::Duration};

use crate::support::{
    ANY_PORT, Folder, Process, RawClient, Reader, Served, allow_many_connections, app,
    cpu_time_of_this_thread, eventually, exchange, line, lines, request,
};

/// The system counts memory in KiB.
const MIB: usize = 1024;

/// Returns how much the memory of a kv server grows while `act` runs, in KiB. A bystander is served
/// meanwhile.
fn memory_growth(act: impl FnOnce(&str, &mut RawClient)) -> usize {
    allow_many_connections();
    let kv = Process::program("kv");
    let mut bystander = RawClient::connect(kv.address());
    // Makes the server allocate what it allocates only once.
    assert_eq!(bystander.ask(line("SET bystander 1")), "+OK\r\n");
    let before = kv.resident();
    act(kv.address(), &mut bystander);
    assert_eq!(bystander.ask(line("GET bystander")), "$1\r\n1\r\n");
    kv.resident().saturating_sub(before)
}

/// Returns the memory growth with a thousand connections that have sent these bytes and no more.
fn memory_growth_of_a_thousand_clients(bytes: &[u8]) -> usize {
    let mut clients = Vec::new();
    memory_growth(|address, bystander| {
        for _ in 0..1000 {
            let mut client = RawClient::connect(address);
            client.send(bytes);
            clients.push(client);
        }
        bystander.let_server_read();
    })
}

#[test]
fn a_length_that_would_wrap_is_refused() {
    let served = Served::start(app);
    let mut bystander = RawClient::connect(served.address());
    for length in ["9223372036854775807", "9223372036854775806", "18446744073709551615", "4294967296"] {
        assert_eq!(
            exchange(served.address(), format!("*2\r\n$4\r\nECHO\r\n${length}\r\nhi\r\n")),
            "-ERR Protocol error: invalid bulk length\r\n"
        );
    }
    assert_eq!(bystander.ask(line("PING")), "+PONG\r\n");
}

#[test]
fn nested_arrays_do_not_overflow_the_stack() {
    let served = Served::start(app);
    let mut bystander = RawClient::connect(served.address());
    let nested = "*1\r\n".repeat(200_000);
    assert_eq!(exchange(served.address(), nested), "-ERR Protocol error: expected '$', got '*'\r\n");
    assert_eq!(bystander.ask(line("PING")), "+PONG\r\n");
}

#[test]
fn an_announced_number_of_arguments_reserves_nothing() {
    let grown = memory_growth_of_a_thousand_clients(b"*2000000000\r\n");
    assert!(grown < 16 * MIB, "{grown} KiB");
}

#[test]
fn an_announced_name_and_number_of_arguments_reserve_nothing() {
    let grown = memory_growth_of_a_thousand_clients(b"*2147483647\r\n$3\r\nSET\r\n");
    assert!(grown < 16 * MIB, "{grown} KiB");
}

#[test]
fn announced_values_of_512_mib_reserve_nothing() {
    let grown = memory_growth_of_a_thousand_clients(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$536870912\r\n");
    assert!(grown < 16 * MIB, "{grown} KiB");
    let grown = memory_growth_of_a_thousand_clients(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$536870912\r\nbegun");
    assert!(grown < 16 * MIB, "{grown} KiB");
}

#[test]
fn a_hexadecimal_escape_that_is_cut_off_is_an_error() {
    let served = Served::start(app);
    assert_eq!(exchange(served.address(), "ECHO \"x\\x4\"\r\n"), "$3\r\nxx4\r\n");
    for cut in ["\"\\x\r\n", "ECHO \"x\\x4\r\n", "ECHO \"x\\x\r\n", "ECHO \"x\\\r\n"] {
        let error = "-ERR Protocol error: unbalanced quotes in request\r\n";
        assert_eq!(exchange(served.address(), cut), error, "given {cut:?}");
    }
}

/// The test cuts each request into two pieces at every byte.
#[test]
fn an_empty_request_leaves_no_state_behind() {
    let served = Served::start(app);
    let mut bystander = RawClient::connect(served.address());
    for input in ["*0\r\nPING\r\n", "*-1\r\nPING\r\n", "\r\n*1\r\n$4\r\nPING\r\n", "\n*0\r\n\r\nPING\n"] {
        for middle in 1..input.len() {
            let mut client = RawClient::connect(served.address());
            client.send(&input[..middle]);
            bystander.let_server_read();
            client.send(&input[middle..]);
            assert_eq!(client.reply(), "+PONG\r\n", "{input:?} in two at {middle}");
            client.half_close();
            assert_eq!(client.rest(), "");
        }
    }
}

#[test]
fn line_ends_in_an_error_text_cannot_forge_a_reply() {
    let served = Served::start(app);
    let forged = "x\r\n+OK\r\n-ERR y";
    assert_eq!(
        exchange(served.address(), request([forged, forged])),
        "-ERR unknown command 'x  +OK  -ERR y', with args beginning with: 'x  +OK  -ERR y' \r\n"
    );
    assert_eq!(
        exchange(served.address(), request(["CLIENT", forged])),
        "-ERR unknown subcommand 'x  +OK  -ERR y'. Try CLIENT HELP.\r\n"
    );
    assert_eq!(
        exchange(served.address(), request(["HELLO", "3", forged])),
        "-ERR Syntax error in HELLO option 'x  +OK  -ERR y'\r\n"
    );
}

/// A web page can make a browser send these headers. The command in the body must not run.
#[test]
fn a_browser_is_not_served() {
    let served = Served::start(app);
    for header in ["POST / HTTP/1.1\r\n", "post / HTTP/1.1\r\n", "GET k\r\nHost: localhost:6380\r\n"] {
        let reply = exchange(served.address(), format!("{header}SET browser was-here\r\n"));
        assert!(reply.is_empty() || reply == "$-1\r\n", "{reply:?}");
    }
    assert_eq!(exchange(served.address(), line("GET browser")), "$-1\r\n");
}

#[test]
fn no_key_is_found_beyond_the_request() {
    let served = Served::start(app);
    for command in ["GET", "SET k", "MSET a", "MSET a 1 b", "DEL"] {
        let reply = exchange(served.address(), line(&format!("COMMAND GETKEYS {command}")));
        assert!(reply.starts_with(b"-ERR") || reply.starts_with(b"*"), "{command}: {reply:?}");
        let words = command.split(' ').count() - 1;
        assert!(!reply.starts_with(b"*") || reply[1] - b'0' <= words as u8, "{command}: {reply:?}");
    }
}

#[test]
fn a_pattern_with_many_stars_is_matched_fast() {
    let kv = Process::program("kv");
    let mut client = RawClient::connect(kv.address());
    assert_eq!(client.ask(request(["SET", &"a".repeat(10_000), "1"])), "+OK\r\n");
    let pattern = format!("{}b", "a*".repeat(1000));
    assert_eq!(client.ask(request(["KEYS", &pattern])), "*0\r\n");
    assert_eq!(client.ask(request(["SCAN", "0", "MATCH", &pattern])), "*2\r\n$1\r\n0\r\n*0\r\n");
}

/// The decoder scans each byte once. Otherwise this test would take hours.
#[test]
fn large_requests_in_pieces_of_one_byte_are_decoded() {
    let words: Vec<String> = (0..200_000).map(|word| word.to_string()).collect();
    let many_words = request(&words);
    let reader = Reader::read(many_words.chunks(1));
    assert_eq!(reader.requests.len(), 1);
    assert!(reader.requests[0].iter().eq(words.iter().map(String::as_bytes)));

    let large = request([vec![b'x'; 4 << 20]]);
    assert_eq!(Reader::read(large.chunks(1)).requests[0][0].len(), 4 << 20);

    let lines = "PING\r\n".repeat(100_000);
    assert_eq!(Reader::read(lines.as_bytes().chunks(1)).requests.len(), 100_000);
}

#[test]
fn large_requests_in_small_segments_are_answered() {
    let served = Served::start(app);
    let mut client = RawClient::connect(served.address());
    let value = "x".repeat(1_000_000);
    for piece in request(["SET", "k", &value]).chunks(1000) {
        client.send(piece);
    }
    assert_eq!(client.reply(), "+OK\r\n");
    let pairs = (0..20_000).flat_map(|number| [format!("key-{number}"), "value".into()]);
    for piece in request(["MSET".to_owned()].into_iter().chain(pairs)).chunks(100) {
        client.send(piece);
    }
    assert_eq!(client.reply(), "+OK\r\n");
    assert_eq!(client.ask(line("GET key-19999")), "$5\r\nvalue\r\n");
}

/// The decoder scans each byte once. The test measures processor time: eight times the bytes may cost
/// somewhat more than eight times as much. A server that starts anew with each piece would need sixty-four
/// times as much.
#[test]
fn work_grows_with_the_bytes_and_not_with_the_pieces() {
    let words = |size: usize| {
        let pairs = (0..size / 26).flat_map(|number| [format!("key-{number:06}"), "x".into()]);
        request(["MSET".to_owned()].into_iter().chain(pairs))
    };
    let value = |size: usize| request(["SET".as_bytes(), b"k", &vec![b'x'; size]]);
    let inline = |size: usize| format!("ECHO {}\r\n", "x ".repeat(size / 2)).into_bytes();

    assert_linear("many words, a byte at a time", decoding_cost(1), [words(400_000), words(3_200_000)]);
    assert_linear("a large value, a byte at a time", decoding_cost(1), [value(400_000), value(3_200_000)]);
    assert_linear("small values, a byte at a time", decoding_cost(200), [value(2000), value(16_000)]);
    assert_linear("lines, a byte at a time", decoding_cost(50), [inline(8000), inline(64_000)]);
    assert_linear("many words in segments", serving_cost, [words(1_000_000), words(8_000_000)]);
    assert_linear("a large value in segments", serving_cost, [value(1_000_000), value(8_000_000)]);
}

fn assert_linear(case: &str, cost: impl Fn(&[u8]) -> Duration, requests: [Vec<u8>; 2]) {
    let [small, large] = requests.map(|request| cost(&request));
    assert!(large < 24 * small, "{case}: {small:?}, and {large:?} for eight times as much");
}

/// Returns the processor time to decode a request byte by byte, `times` times over. The repetition is
/// necessary because the system counts processor time in milliseconds.
fn decoding_cost(times: usize) -> impl Fn(&[u8]) -> Duration {
    move |request| {
        let before = cpu_time_of_this_thread();
        for _ in 0..times {
            assert_eq!(Reader::read(request.chunks(1)).requests.len(), 1);
        }
        cpu_time_of_this_thread() - before
    }
}

/// Returns the processor time of a server for the request. The system would merge shorter segments.
fn serving_cost(request: &[u8]) -> Duration {
    let kv = Process::program("kv");
    let mut client = RawClient::connect(kv.address());
    client.let_server_read();
    let before = kv.cpu_time();
    request.chunks(1000).for_each(|segment| client.send(segment));
    assert_eq!(client.reply(), "+OK\r\n");
    kv.cpu_time() - before
}

/// The end of the line comes in the same segment or in a later one.
#[test]
fn a_line_is_too_long_wherever_it_is_cut() {
    let served = Served::start(app);
    let error = "-ERR Protocol error: too big inline request\r\n";
    for cut in [1, 1000, 65_536, 65_537, 70_000] {
        let mut client = RawClient::connect(served.address());
        let line = format!("ECHO {}\r\n", "x".repeat(70_000));
        let (first, second) = line.split_at(cut);
        client.send(first);
        RawClient::connect(served.address()).let_server_read();
        // The server may have closed the connection by now.
        let _ = client.try_send(second);
        assert_eq!(client.reply(), error, "in two at {cut}");
    }
}

#[test]
fn a_wrong_argument_keeps_the_connection() {
    let kv = Process::program("kv");
    let mut client = RawClient::connect(kv.address());
    for mistake in ["GET", "NOPE", "EXPIRE k soon", "SET k v NX XX", "CLIENT NOPE", "SELECT 99", "HELLO 9"] {
        assert!(client.ask(line(mistake)).starts_with(b"-"), "given {mistake}");
        assert_eq!(client.ask(line("PING")), "+PONG\r\n", "after {mistake}");
    }
}

/// The clients disconnect in different ways, and some of them before the server has accepted them.
#[test]
fn disconnected_clients_leave_nothing_behind() {
    allow_many_connections();
    let kv = Process::program("kv");
    let mut bystander = RawClient::connect(kv.address());
    bystander.let_server_read();
    let before = kv.descriptors();
    for number in 0..300 {
        let mut client = RawClient::connect(kv.address());
        match number % 3 {
            0 => {}
            1 => assert_eq!(client.ask(line("PING")), "+PONG\r\n"),
            _ => client.send("*2\r\n$4\r\nECHO\r\n$100\r\nhalf"),
        }
        if number % 2 == 0 {
            client.reset();
        }
    }
    kv.signal("STOP");
    let not_accepted: Vec<RawClient> = (0..100).map(|_| RawClient::connect(kv.address())).collect();
    not_accepted.into_iter().for_each(RawClient::reset);
    kv.signal("CONT");
    assert_eq!(bystander.ask(line("PING")), "+PONG\r\n");
    eventually(|| (kv.descriptors() == before).then_some(()));
}

/// Without free descriptors, the server keeps its connections and does not spin. It accepts again as soon as
/// a descriptor is free.
#[test]
fn more_connections_than_descriptors_wait_without_load() {
    let kv = Process::program_with_descriptors("kv", 64);
    let mut accepted: Vec<RawClient> = (0..30).map(|_| RawClient::connect(kv.address())).collect();
    let mut others: Vec<RawClient> = (0..70).map(|_| RawClient::connect(kv.address())).collect();
    for client in &mut others {
        client.send(line("PING"));
    }
    for client in &mut accepted {
        assert_eq!(client.ask(line("PING")), "+PONG\r\n");
    }
    let before = kv.cpu_time();
    thread::sleep(Duration::from_secs(1));
    let spent = kv.cpu_time() - before;
    assert!(spent < Duration::from_millis(200), "{spent:?} of processor time in a second without work");
    // Each client that disconnects makes room for a client in the backlog.
    for mut client in others {
        assert_eq!(client.reply(), "+PONG\r\n");
    }
    for client in &mut accepted {
        assert_eq!(client.ask(line("PING")), "+PONG\r\n");
    }
}

/// Each attempt to accept a connection fails in the same way.
#[test]
fn a_server_without_descriptors_warns_once_a_minute() {
    let folder = Folder::new();
    let log = folder.path().join("log");
    let script = format!("ulimit -n 64 && RUST_LOG=warn exec \"$0\" \"$@\" 2>{}", log.display());
    let kv = Process::program_started_by(&["sh", "-c", &script], "kv", "127.0.0.1:0");
    let mut clients: Vec<RawClient> = (0..300).map(|_| RawClient::connect(kv.address())).collect();
    clients.iter_mut().for_each(|client| client.send(line("PING")));
    // The clients that disconnect make room for others, until an attempt fails again: several times for 300 clients.
    for mut client in clients {
        assert_eq!(client.reply(), "+PONG\r\n");
    }
    let log = fs::read_to_string(log).expect("the log of the server");
    assert_eq!(log.matches("cannot accept connections").count(), 1, "{log}");
}

#[test]
fn a_client_that_never_reads_takes_bounded_memory() {
    for len in [10, 1000, 16_000, 1 << 20] {
        let mut slow_clients = Vec::new();
        let grown = memory_growth(|address, bystander| {
            let value = "x".repeat(len);
            assert_eq!(bystander.ask(request(["SET", "value", &value])), "+OK\r\n");
            for _ in 0..4 {
                let mut slow_client = RawClient::connect(address);
                slow_client.send_until_stuck(&line("GET value").repeat(400_000), Duration::from_millis(300));
                slow_clients.push(slow_client);
            }
            for _ in 0..100 {
                assert_eq!(bystander.ask(line("PING")), "+PONG\r\n");
            }
        });
        assert!(grown < 64 * MIB, "{grown} KiB for replies of {len} bytes");
    }
}

#[test]
fn memory_is_freed_after_a_peak() {
    allow_many_connections();
    let kv = Process::program("kv");
    RawClient::connect(kv.address()).let_server_read();
    let before = kv.resident();

    thread::scope(|scope| {
        for number in 0..50 {
            let address = kv.address();
            scope.spawn(move || set_large_values(address, number));
        }
    });
    let mut clients: Vec<RawClient> = (0..1000).map(|_| RawClient::connect(kv.address())).collect();
    for client in &mut clients {
        client.send(lines("PING \n SET k v \n GET k"));
    }
    for client in &mut clients {
        assert_eq!(client.replies(3), "+PONG\r\n+OK\r\n$1\r\nv\r\n");
    }
    drop(clients);
    assert_eq!(exchange(kv.address(), line("FLUSHALL")), "+OK\r\n");

    let near = before + 16 * MIB;
    eventually(|| (kv.resident() < near).then_some(()));
}

fn set_large_values(address: &str, number: usize) {
    let mut client = RawClient::connect(address);
    for len in [1 << 10, 100 << 10, 8 << 20] {
        let (key, value) = (format!("{number}-{len}"), "x".repeat(len));
        assert_eq!(client.ask(request(["SET", &key, &value])), "+OK\r\n");
        assert_eq!(client.ask(request(["GET", &key])).len(), format!("${len}\r\n{value}\r\n").len());
    }
}

/// Redis does not check the two bytes after a bulk, and loses the protocol from there on.
#[test]
fn a_bulk_that_is_longer_than_announced_is_an_error() {
    let served = Served::start(app);
    let mut bystander = RawClient::connect(served.address());
    let large = format!("*1\r\n$20000\r\n{}", "x".repeat(20_002));
    for input in ["*1\r\n$4\r\nPINGS\r\n", "*1\r\n$4\r\nPING\rx", "*1\r\n$3\r\nPING\r\n", &large] {
        let reply = exchange(served.address(), input);
        assert_eq!(reply, "-ERR Protocol error: expected CRLF after bulk\r\n", "given {input:.20?}");
        assert_eq!(bystander.ask(line("PING")), "+PONG\r\n");
    }
}

/// An unauthenticated client must not fill the memory, neither with requests nor with unread error replies
/// (CVE-2025-21605).
#[test]
fn an_unauthenticated_client_takes_bounded_memory() {
    let served = Served::with(app, |server| server.password("secret").bind(ANY_PORT));
    let mut bystander = RawClient::connect(served.address());
    assert_eq!(bystander.ask(line("AUTH secret")), "+OK\r\n");
    let refused = "-NOAUTH Authentication required.\r\n";

    let mut unauthenticated = RawClient::connect(served.address());
    assert_eq!(unauthenticated.ask(line("GET k")), refused);
    // This is far more than the sockets buffer. The server closes the client as soon as it stops reading its
    // replies.
    let error = (0..100).find_map(|_| unauthenticated.try_send(line("GET k").repeat(40_000)).err());
    let kind = error.map(|error| error.kind());
    assert!(matches!(kind, Some(ErrorKind::ConnectionReset | ErrorKind::BrokenPipe)), "{kind:?}");
    assert_eq!(bystander.ask(line("GET k")), "$-1\r\n");
}

#[test]
fn an_unauthenticated_client_may_announce_little() {
    let served = Served::with(app, |server| server.password("secret").bind(ANY_PORT));
    for (announced, error) in [
        ("*11\r\n", "unauthenticated multibulk length"),
        ("*2\r\n$4\r\nECHO\r\n$16385\r\n", "unauthenticated bulk length"),
    ] {
        let error = format!("-ERR Protocol error: {error}\r\n");
        assert_eq!(exchange(served.address(), announced), error);
        let mut authenticated = RawClient::connect(served.address());
        assert_eq!(authenticated.ask(line("AUTH secret")), "+OK\r\n");
        authenticated.send(announced);
        authenticated.half_close();
        assert_eq!(authenticated.rest(), "");
    }
}
