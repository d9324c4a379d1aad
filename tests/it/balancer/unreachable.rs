//! Servers that cannot be reached: a name without an address, a host that drops packets, a wrong password.

use std::{
    fs,
    net::{SocketAddr, TcpListener, TcpStream},
    time::{Duration, Instant},
};

use socket2::{Domain, Socket, Type};

use super::is_error;
use crate::support::{ANY_PORT, Folder, Process, RawClient, eventually, line};

/// A key of each third of the slots.
const KEYS: [&str; 3] = ["bar", "c", "foo"];

/// Options with which each server keeps its third of the slots.
const THIRDS: [&str; 3] = ["--hash", "slots", "--no-eject"];

/// The balancer waits this long for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

fn text(reply: impl AsRef<[u8]>) -> String {
    String::from_utf8_lossy(reply.as_ref()).into_owned()
}

/// Asks for the keys of the two other servers, which are served.
fn others_are_served(client: &mut RawClient) {
    for key in [KEYS[0], KEYS[2]] {
        client.send(line(&format!("SET {key} 1")));
        assert_eq!(client.reply(), "+OK\r\n", "{key}");
    }
}

#[test]
fn a_name_without_an_address_only_fails_its_keys() {
    let servers = [(); 2].map(|()| Process::redis(&[]));
    let addresses = [servers[0].address(), "no-such-host.invalid:6379", servers[1].address()];
    let balancer = Process::program_with("balancer", &[&THIRDS[..], &addresses].concat());
    let [mut client, mut other] = [(); 2].map(|()| RawClient::connect(balancer.address()));
    client.send(line(&format!("GET {}", KEYS[1])));
    others_are_served(&mut other);
    let reply = text(client.reply());
    let reason = "-UPSTREAMDOWN no-such-host.invalid:6379 cannot be reached (";
    assert!(reply.starts_with(reason), "{reply}");
    others_are_served(&mut client);
}

/// A listener that accepts no connections, and whose queue is full: it drops further attempts to connect.
struct Hole {
    address: SocketAddr,
    _listener: TcpListener,
    _queued: Vec<TcpStream>,
}

impl Hole {
    fn new() -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        let any: SocketAddr = ANY_PORT.parse().expect("an address");
        socket.bind(&any.into()).expect("a free port");
        socket.listen(0).expect("it is bound");
        let listener = TcpListener::from(socket);
        let address = listener.local_addr().expect("it is bound");
        let connect = || TcpStream::connect_timeout(&address, Duration::from_millis(200)).ok();
        let queued = std::iter::from_fn(connect).collect();
        Hole { address, _listener: listener, _queued: queued }
    }
}

#[test]
fn a_host_that_drops_packets_delays_only_its_own_clients() {
    let servers = [(); 2].map(|()| Process::redis(&[]));
    let hole = Hole::new();
    let address = hole.address.to_string();
    let addresses = [servers[0].address(), &address, servers[1].address()];
    let begin = Instant::now();
    let balancer = Process::program_with("balancer", &[&THIRDS[..], &addresses].concat());
    let [mut client, mut other] = [(); 2].map(|()| RawClient::connect(balancer.address()));
    client.send(line(&format!("GET {}", KEYS[1])));
    others_are_served(&mut other);
    assert!(client.is_silent() || begin.elapsed() >= CONNECT_TIMEOUT);
    let expected = format!(
        "-UPSTREAMDOWN {address} cannot be reached (it does not answer): the command was not sent\r\n"
    );
    assert_eq!(text(client.reply()), expected);
    // On a busy machine, it may take somewhat longer.
    assert!(begin.elapsed() < CONNECT_TIMEOUT * 3, "{:?}", begin.elapsed());
    // Now the server is known to be down, and no client waits.
    let begin = Instant::now();
    for _ in 0..20 {
        let reply = client.ask(line(&format!("MGET {}", KEYS.join(" "))));
        assert_eq!(text(reply), expected);
        others_are_served(&mut client);
    }
    assert!(begin.elapsed() < CONNECT_TIMEOUT, "{:?}", begin.elapsed());
}

#[test]
fn a_wrong_password_only_fails_the_keys_of_its_server() {
    let folder = Folder::new();
    let servers = ["right", "wrong", "right"].map(|password| Process::redis(&["--requirepass", password]));
    let addresses = servers.each_ref().map(Process::address).join(" ");
    let log = folder.path().join("log");
    let start = format!(
        "RUST_LOG=warn exec \"$0\" {} --server-password right {addresses} \"$@\" 2>{}",
        THIRDS.join(" "),
        log.display()
    );
    let balancer = Process::program_started_by(&["sh", "-c", &start], "balancer", ANY_PORT);
    let mut client = RawClient::connect(balancer.address());
    others_are_served(&mut client);
    let begin = Instant::now();
    // Attempts to connect go on, with longer and longer delays.
    eventually(|| {
        let reply = text(client.ask(line(&format!("GET {}", KEYS[1]))));
        assert!(is_error(reply.as_bytes(), "UPSTREAMDOWN") && reply.contains("(WRONGPASS "), "{reply}");
        (begin.elapsed() > Duration::from_millis(500)).then_some(())
    });
    others_are_served(&mut client);
    let log = fs::read_to_string(log).expect("text");
    let lines: Vec<_> = log.lines().filter(|line| line.contains("WRONGPASS")).collect();
    assert!(lines.len() == 1 && lines[0].contains(servers[1].address()) && !log.contains("right"), "{log}");
}
