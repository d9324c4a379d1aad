//! Each test is named after a bug that other servers have had:
//!
//! | elsewhere | test here |
//! | --- | --- |
//! | length arithmetic wraps, the process dies (redcon) | `a_length_that_would_wrap` |
//! | reading requests recurses, the stack overflows (mini-redis, redis-protocol) | `nested_arrays_do_not_overflow_the_stack` |
//! | memory for what was merely announced (Envoy, redcon.rs) | `an_announced_number_of_arguments_reserves_nothing` and its neighbours |
//! | an escape that is cut off panics (Envoy, redcon.rs) | `a_hexadecimal_escape_that_is_cut_off` |
//! | state left after an empty request (CVE-2026-27623) | `an_empty_request_before_a_real_one` |
//! | CR LF in an error forges a reply (CVE-2025-67733) | `line_ends_in_an_error_text_cannot_forge_a_reply` |
//! | a web page sends commands by way of a browser | `a_browser_is_not_served` |
//! | keys sought beyond the request (CVE-2023-36824) | `no_key_is_found_beyond_the_request` |
//! | patterns that take exponential time (CVE-2022-36021) | `a_pattern_that_blows_up_elsewhere`, the fuzz target `glob` |
//! | a partial request is read anew with each piece | `work_grows_with_the_bytes_and_not_with_the_pieces` |
//! | a pause in a value makes a command of its rest (redcon.rs) | `wire::a_pause_inside_a_bulk` |
//! | complete commands wait for the end of the next one (redhub) | `wire::a_request_does_not_wait_for_the_next_one` |
//! | accepting ends, or spins, without descriptors (CVE-2025-48367) | `more_connections_than_descriptors` |
//! | clients that have left are kept until the end (resp-async) | `clients_that_have_left_leave_nothing_behind` |
//! | clients over the limit are dropped without a word (resp-async) | `limits::max_clients` |
//! | arguments pile up without bound (CVE-2025-46686) | `limits::a_request_over_the_query_buffer_limit` |
//! | replies pile up without bound (actix' writer; Redis by default) | `a_client_that_never_reads_takes_bounded_memory` |
//! | what was buffered is lost at the end (actix' writer) | `order::replies_outlive_what_is_left_unread`, `lifecycle::replies_are_sent_before_a_stop_ends` |
//! | strangers' refusals pile up without bound (CVE-2025-21605) | `a_stranger_takes_bounded_memory`, `a_stranger_announces_little` |
//! | no answer when a handler panics (resp-server) | `containment::a_panic_is_answered_and_everything_else_goes_on` |
//! | a wrong argument ends the connection (mini-redis) | `a_wrong_argument_keeps_the_connection` |
//! | an idle timeout that nothing reads (redeo) | `limits::a_client_that_is_idle_for_too_long_is_closed` |
//! | NULs put the protocol out of step (Redis) | `protocol_errors::a_nul_where_a_length_or_a_name_should_be` |
//! | where a stream is cut decides whether a line is too long (Redis) | `a_line_is_too_long_wherever_it_is_cut` |

use std::{io::ErrorKind, thread, time::Duration};

use crate::support::{
    ANY_PORT, Process, RawClient, Reader, Served, allow_many_connections, app, cpu_time_of_this_thread,
    eventually, exchange, line, lines, request,
};

/// In KiB, as the system counts memory.
const MIB: usize = 1024;

/// How much memory `act` makes a kv server take, in KiB. Bystanders are served all the while.
fn growth(act: impl FnOnce(&str, &mut RawClient)) -> usize {
    allow_many_connections();
    let kv = Process::program("kv");
    let mut bystander = RawClient::connect(kv.address());
    // So that what is allocated only once is there.
    assert_eq!(bystander.ask(line("SET bystander 1")), "+OK\r\n");
    let before = kv.resident();
    act(kv.address(), &mut bystander);
    assert_eq!(bystander.ask(line("GET bystander")), "$1\r\n1\r\n");
    kv.resident().saturating_sub(before)
}

/// A thousand connections that have sent this, and nothing behind it.
fn growth_by_a_thousand(bytes: &[u8]) -> usize {
    let mut clients = Vec::new();
    growth(|address, bystander| {
        for _ in 0..1000 {
            let mut client = RawClient::connect(address);
            client.send(bytes);
            clients.push(client);
        }
        bystander.let_server_read();
    })
}

#[test]
fn a_length_that_would_wrap() {
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
    let grown = growth_by_a_thousand(b"*2000000000\r\n");
    assert!(grown < 16 * MIB, "{grown} KiB");
}

#[test]
fn an_announced_name_and_number_of_arguments_reserve_nothing() {
    let grown = growth_by_a_thousand(b"*2147483647\r\n$3\r\nSET\r\n");
    assert!(grown < 16 * MIB, "{grown} KiB");
}

#[test]
fn announced_values_of_512_mib_reserve_nothing() {
    let grown = growth_by_a_thousand(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$536870912\r\n");
    assert!(grown < 16 * MIB, "{grown} KiB");
    let grown = growth_by_a_thousand(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$536870912\r\nbegun");
    assert!(grown < 16 * MIB, "{grown} KiB");
}

#[test]
fn a_hexadecimal_escape_that_is_cut_off() {
    let served = Served::start(app);
    assert_eq!(exchange(served.address(), "ECHO \"x\\x4\"\r\n"), "$3\r\nxx4\r\n");
    for cut in ["\"\\x\r\n", "ECHO \"x\\x4\r\n", "ECHO \"x\\x\r\n", "ECHO \"x\\\r\n"] {
        let error = "-ERR Protocol error: unbalanced quotes in request\r\n";
        assert_eq!(exchange(served.address(), cut), error, "given {cut:?}");
    }
}

/// An empty request leaves no state behind, wherever it is cut.
#[test]
fn an_empty_request_before_a_real_one() {
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

/// A web page can make a browser send this; whatever the body holds must not run.
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
fn a_pattern_that_blows_up_elsewhere() {
    let kv = Process::program("kv");
    let mut client = RawClient::connect(kv.address());
    assert_eq!(client.ask(request(["SET", &"a".repeat(10_000), "1"])), "+OK\r\n");
    let pattern = format!("{}b", "a*".repeat(1000));
    assert_eq!(client.ask(request(["KEYS", &pattern])), "*0\r\n");
    assert_eq!(client.ask(request(["SCAN", "0", "MATCH", &pattern])), "*2\r\n$1\r\n0\r\n*0\r\n");
}

/// What was looked at once is not looked at again: else this would take hours.
#[test]
fn small_pieces_of_large_requests() {
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
fn small_segments_of_large_requests() {
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

/// What was looked at once is not looked at again. The processor time says so: eight times the bytes may cost
/// somewhat more than eight times as much, but nowhere near the sixty-four times of a server that begins anew
/// with each piece.
#[test]
fn work_grows_with_the_bytes_and_not_with_the_pieces() {
    let words = |size: usize| {
        let pairs = (0..size / 26).flat_map(|number| [format!("key-{number:06}"), "x".into()]);
        request(["MSET".to_owned()].into_iter().chain(pairs))
    };
    let value = |size: usize| request(["SET".as_bytes(), b"k", &vec![b'x'; size]]);
    let typed = |size: usize| format!("ECHO {}\r\n", "x ".repeat(size / 2)).into_bytes();

    assert_linear("many words, a byte at a time", decoding(1), [words(400_000), words(3_200_000)]);
    assert_linear("a large value, a byte at a time", decoding(1), [value(400_000), value(3_200_000)]);
    assert_linear("small values, a byte at a time", decoding(200), [value(2000), value(16_000)]);
    assert_linear("lines, a byte at a time", decoding(50), [typed(8000), typed(64_000)]);
    assert_linear("many words in segments", in_segments, [words(1_000_000), words(8_000_000)]);
    assert_linear("a large value in segments", in_segments, [value(1_000_000), value(8_000_000)]);
}

fn assert_linear(what: &str, cost: impl Fn(&[u8]) -> Duration, requests: [Vec<u8>; 2]) {
    let [small, large] = requests.map(|request| cost(&request));
    assert!(large < 24 * small, "{what}: {small:?}, and {large:?} for eight times as much");
}

/// The processor time that the decoder takes for a request, a byte at a time; so many times, since the system
/// counts in milliseconds.
fn decoding(times: usize) -> impl Fn(&[u8]) -> Duration {
    move |request| {
        let before = cpu_time_of_this_thread();
        for _ in 0..times {
            assert_eq!(Reader::read(request.chunks(1)).requests.len(), 1);
        }
        cpu_time_of_this_thread() - before
    }
}

/// The same for a server. (Segments that are shorter arrive several at a time.)
fn in_segments(request: &[u8]) -> Duration {
    let kv = Process::program("kv");
    let mut client = RawClient::connect(kv.address());
    client.let_server_read();
    let before = kv.cpu_time();
    request.chunks(1000).for_each(|segment| client.send(segment));
    assert_eq!(client.reply(), "+OK\r\n");
    kv.cpu_time() - before
}

/// The end of the line may be in the same segment or come later.
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
        // By now it may have been refused.
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

/// However they leave, and whether they have been noticed before.
#[test]
fn clients_that_have_left_leave_nothing_behind() {
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
    let unnoticed: Vec<RawClient> = (0..100).map(|_| RawClient::connect(kv.address())).collect();
    unnoticed.into_iter().for_each(RawClient::reset);
    kv.signal("CONT");
    assert_eq!(bystander.ask(line("PING")), "+PONG\r\n");
    eventually(|| (kv.descriptors() == before).then_some(()));
}

/// Out of descriptors, the server keeps what it has and does not spin, and goes on accepting when there are
/// some again.
#[test]
fn more_connections_than_descriptors() {
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
    assert!(spent < Duration::from_millis(200), "{spent:?} in a second in which nothing could be done");
    // Each that leaves makes room for one that waits.
    for mut client in others {
        assert_eq!(client.reply(), "+PONG\r\n");
    }
    for client in &mut accepted {
        assert_eq!(client.ask(line("PING")), "+PONG\r\n");
    }
}

#[test]
fn a_client_that_never_reads_takes_bounded_memory() {
    for len in [10, 1000, 16_000, 1 << 20] {
        let mut hogs = Vec::new();
        let grown = growth(|address, bystander| {
            let value = "x".repeat(len);
            assert_eq!(bystander.ask(request(["SET", "value", &value])), "+OK\r\n");
            for _ in 0..4 {
                let mut hog = RawClient::connect(address);
                hog.send_until_stuck(&line("GET value").repeat(400_000), Duration::from_millis(300));
                hogs.push(hog);
            }
            for _ in 0..100 {
                assert_eq!(bystander.ask(line("PING")), "+PONG\r\n");
            }
        });
        assert!(grown < 64 * MIB, "{grown} KiB for replies of {len} bytes");
    }
}

#[test]
fn memory_comes_back() {
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

/// Redis does not look at the two bytes behind a bulk, and is out of step from there on.
#[test]
fn a_bulk_that_is_longer_than_announced() {
    let served = Served::start(app);
    let mut bystander = RawClient::connect(served.address());
    let large = format!("*1\r\n$20000\r\n{}", "x".repeat(20_002));
    for input in ["*1\r\n$4\r\nPINGS\r\n", "*1\r\n$4\r\nPING\rx", "*1\r\n$3\r\nPING\r\n", &large] {
        let reply = exchange(served.address(), input);
        assert_eq!(reply, "-ERR Protocol error: expected CRLF after bulk\r\n", "given {input:.20?}");
        assert_eq!(bystander.ask(line("PING")), "+PONG\r\n");
    }
}

/// A client that has not said who it is may not fill the memory, with requests or with refusals that it does
/// not read (CVE-2025-21605).
#[test]
fn a_stranger_takes_bounded_memory() {
    let served = Served::with(app, |server| server.password("secret").bind(ANY_PORT));
    let mut bystander = RawClient::connect(served.address());
    assert_eq!(bystander.ask(line("AUTH secret")), "+OK\r\n");
    let refused = "-NOAUTH Authentication required.\r\n";

    let mut stranger = RawClient::connect(served.address());
    assert_eq!(stranger.ask(line("GET k")), refused);
    // Far more than what the sockets hold: it is closed as soon as it does not take its replies.
    let error = (0..100).find_map(|_| stranger.try_send(line("GET k").repeat(40_000)).err());
    let kind = error.map(|error| error.kind());
    assert!(matches!(kind, Some(ErrorKind::ConnectionReset | ErrorKind::BrokenPipe)), "{kind:?}");
    assert_eq!(bystander.ask(line("GET k")), "$-1\r\n");
}

#[test]
fn a_stranger_announces_little() {
    let served = Served::with(app, |server| server.password("secret").bind(ANY_PORT));
    for (announced, error) in [
        ("*11\r\n", "unauthenticated multibulk length"),
        ("*2\r\n$4\r\nECHO\r\n$16385\r\n", "unauthenticated bulk length"),
    ] {
        let error = format!("-ERR Protocol error: {error}\r\n");
        assert_eq!(exchange(served.address(), announced), error);
        let mut known = RawClient::connect(served.address());
        assert_eq!(known.ask(line("AUTH secret")), "+OK\r\n");
        known.send(announced);
        known.half_close();
        assert_eq!(known.rest(), "");
    }
}
