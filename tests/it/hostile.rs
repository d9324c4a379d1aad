use std::{thread, time::Duration};

use crate::support::{
    Process, RawClient, Reader, Served, allow_many_connections, app, eventually, exchange, line, lines,
    request,
};

/// In KiB, as the system counts memory.
const MIB: usize = 1024;

/// How much memory `act` makes a kv server take, in KiB. Bystanders are served all the while.
fn growth(act: impl FnOnce(&str, &mut RawClient)) -> usize {
    allow_many_connections();
    let kv = Process::example("kv");
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
    for cut in ["ECHO \"x\\x4\r\n", "ECHO \"x\\x\r\n", "ECHO \"x\\\r\n"] {
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
    let kv = Process::example("kv");
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

/// Out of descriptors, the server keeps what it has, and goes on accepting when there are some again.
#[test]
fn more_connections_than_descriptors() {
    let kv = Process::example_with_descriptors("kv", 64);
    let mut accepted: Vec<RawClient> = (0..30).map(|_| RawClient::connect(kv.address())).collect();
    let mut others: Vec<RawClient> = (0..70).map(|_| RawClient::connect(kv.address())).collect();
    for client in &mut others {
        client.send(line("PING"));
    }
    for client in &mut accepted {
        assert_eq!(client.ask(line("PING")), "+PONG\r\n");
    }
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
    let kv = Process::example("kv");
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
