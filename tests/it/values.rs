use std::thread;

use thegiant::Bytes;

use crate::support::{
    PATIENCE, Process, RawClient, Served, allow_many_connections, app, info, line, lines, request,
};

/// Returns bytes that look like the protocol and differ for each `seed`.
fn value(len: usize, seed: usize) -> Vec<u8> {
    const TEXT: &[u8] = b"\r\n$5\r\nhello\r\n*1\r\n\0\xff%";
    let start = seed % TEXT.len();
    TEXT.repeat((start + len).div_ceil(TEXT.len()))[start..start + len].to_vec()
}

fn bulk(value: &[u8]) -> Vec<u8> {
    [format!("${}\r\n", value.len()).as_bytes(), value, b"\r\n"].concat()
}

/// Compares without `assert_eq`, which would print megabytes.
#[track_caller]
fn assert_is(reply: &Bytes, expected: &[u8]) {
    if reply != expected {
        let differs = reply.iter().zip(expected).position(|(one, other)| one != other);
        panic!("{} bytes instead of {}; the first difference is at {differs:?}", reply.len(), expected.len());
    }
}

/// From 16 KiB on, a value is read into its own buffer.
#[test]
fn values_around_the_length_of_a_separate_buffer_are_stored() {
    let served = Served::start(app);
    let mut client = RawClient::connect(served.address());
    for len in [16_383, 16_384, 16_385, 65_535, 65_536, 65_537, 100_000, 1 << 20] {
        let value = value(len, len);
        assert_eq!(client.ask(request([b"SET".as_slice(), b"k", &value])), "+OK\r\n");
        assert_is(&client.ask(line("GET k")), &bulk(&value));
    }
}

#[test]
fn a_large_value_in_two_pieces_is_stored() {
    let served = Served::start(app);
    let mut client = RawClient::connect(served.address());
    let mut bystander = RawClient::connect(served.address());
    for len in [16_383, 16_384, 16_385, 100_000] {
        let value = value(len, 1);
        let set = request([b"SET".as_slice(), b"k", &value]);
        let header = set.len() - value.len() - 2;
        for piece in [header, header + 1, header + len / 2, header + len - 1, header + len, header + len + 1]
        {
            client.send(&set[..piece]);
            bystander.let_server_read();
            client.send(&set[piece..]);
            assert_eq!(client.reply(), "+OK\r\n", "{len} bytes in two at {piece}");
            assert_is(&client.ask(line("GET k")), &bulk(&value));
        }
    }
}

/// The large values stand at the start, in the middle and at the end of requests.
#[test]
fn large_and_small_values_mix_in_one_pipeline() {
    let served = Served::start(app);
    let mut client = RawClient::connect(served.address());
    let (large, larger, small) = (value(20_000, 1), value(70_000, 2), value(10, 3));
    let words = [b"MSET".as_slice(), b"a", &large, b"b", &small, &large, &larger, b"c", b""];
    let requests = [request(words), line("PING"), request([b"ECHO".as_slice(), &larger]), line("PING")];
    client.send(requests.concat());
    assert_eq!(client.replies(2), "+OK\r\n+PONG\r\n");
    assert_is(&client.reply(), &bulk(&larger));
    assert_eq!(client.reply(), "+PONG\r\n");

    client.send([line("GET a"), line("GET b"), request([b"GET".as_slice(), &large]), line("GET c")].concat());
    for expected in [&large, &small, &larger, &Vec::new()] {
        assert_is(&client.reply(), &bulk(expected));
    }
}

/// The error reply comes after the client has sent the whole request.
#[test]
fn large_arguments_of_refused_commands_are_skipped() {
    let served = Served::start(app);
    let mut client = RawClient::connect(served.address());
    let large = "x".repeat(20_000);
    let cut = "x".repeat(128);
    assert_eq!(
        client.ask(request([large.as_str(), "a"])),
        format!("-ERR unknown command '{cut}', with args beginning with: 'a' \r\n")
    );
    assert_eq!(
        client.ask(request(["NOPE", &large, &large])),
        format!("-ERR unknown command 'NOPE', with args beginning with: '{cut}' \r\n")
    );
    assert_eq!(
        client.ask(request(["GET", &large, &large])),
        "-ERR wrong number of arguments for 'get' command\r\n"
    );
    assert_eq!(client.ask(line("PING")), "+PONG\r\n");
}

#[test]
fn fifty_clients_set_and_get_values_of_1_kib_100_kib_and_8_mib() {
    let served = Served::start(app);
    thread::scope(|scope| {
        for number in 0..50 {
            let address = served.address();
            scope.spawn(move || set_and_get(address, number));
        }
    });
}

fn set_and_get(address: &str, number: usize) {
    let mut client = RawClient::connect(address);
    for len in [1024, 100 * 1024, 8 << 20] {
        let (key, value) = (format!("{number}"), value(len, number));
        assert_eq!(client.ask(request([b"SET".as_slice(), key.as_bytes(), &value])), "+OK\r\n");
        assert_is(&client.ask(request(["GET", &key])), &bulk(&value));
    }
}

/// The buffer that the server reads into becomes the value, and the server sends the reply from it. The
/// additional memory is bounded for any length.
#[test]
fn a_large_value_is_in_memory_once() {
    let kv = Process::program("kv");
    let mut client = RawClient::connect(kv.address());
    let peak = |client: &mut RawClient| info(client, "memory").number("used_memory_peak") >> 20;
    let before = peak(&mut client);
    let (set, value) = (request(["SET", "k", ""]), vec![b'x'; 100 << 20]);
    let header = String::from_utf8(set).expect("text").replace("$0\r\n\r\n", "$104857600\r\n");
    client
        .while_sending(&[header.as_bytes(), &value, b"\r\n"], |client| assert_eq!(client.reply(), "+OK\r\n"));
    assert!(peak(&mut client) <= before + 100 + 2, "{} MiB after SET, {before} before", peak(&mut client));

    // Several clients read the value at the same time, and one of them never finishes.
    let mut stuck = RawClient::connect(kv.address());
    stuck.send(line("GET k"));
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| assert!(RawClient::connect(kv.address()).ask(line("GET k")).len() > 100 << 20));
        }
    });
    assert!(peak(&mut client) <= before + 100 + 2, "{} MiB after GET, {before} before", peak(&mut client));

    // A transaction does not copy it either.
    client.send(lines("MULTI \n GETSET k small \n SET l other \n EXEC"));
    assert!(client.replies(4).len() > 100 << 20);
    assert!(peak(&mut client) <= before + 100 + 2, "{} MiB after EXEC, {before} before", peak(&mut client));
}

#[test]
fn a_thousand_concurrent_clients_are_answered() {
    allow_many_connections();
    let served = Served::start(app);
    let mut clients: Vec<RawClient> = (0..1000).map(|_| RawClient::connect(served.address())).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        client.send(line(&format!("SET {number} value-{number}")));
        client.send(line(&format!("GET {number}")));
    }
    for (number, client) in clients.iter_mut().enumerate() {
        let value = format!("value-{number}");
        assert_eq!(client.replies(2), [b"+OK\r\n".as_slice(), &bulk(value.as_bytes())].concat());
    }
}

/// A backlog of tokio's default length would refuse many of these connections.
#[test]
fn thousands_of_clients_connect_while_the_server_is_busy() {
    allow_many_connections();
    let limit = std::fs::read_to_string("/proc/sys/net/core/somaxconn").ok();
    if limit.and_then(|limit| limit.trim().parse().ok()).is_some_and(|limit: usize| limit < 4096) {
        return eprintln!("not tried: this system allows no backlog of 4,096");
    }
    let (begin, begun) = std::sync::mpsc::channel();
    let (end, ended) = std::sync::mpsc::channel::<()>();
    let served = Served::start(move || {
        thegiant::App::new().fallback(move |_: &thegiant::Request<'_>| {
            let _ = begin.send(());
            let _ = ended.recv_timeout(PATIENCE);
        })
    });
    let mut busy = RawClient::connect(served.address());
    busy.send(line("BUSY"));
    begun.recv_timeout(PATIENCE).expect("the server is busy");
    let mut clients: Vec<RawClient> = (0..2000).map(|_| RawClient::connect(served.address())).collect();
    end.send(()).expect("the server waits");
    assert_eq!(busy.reply(), "+OK\r\n");
    for client in &mut clients {
        assert_eq!(client.ask(line("PING")), "+PONG\r\n");
    }
}
