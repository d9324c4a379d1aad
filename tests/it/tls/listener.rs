//! A server whose clients speak TLS.

use std::{thread, time::Duration};

use thegiant::{ServerTls, prelude::*};
use tracing::Level;

use super::{
    authority::{Authority, Identity},
    client::{TlsClient, redis_cli},
};
use crate::support::{
    ANY_PORT, Log, RawClient, Served, app, cpu_time_of_this_thread, eventually, info, large_value, line,
    lines, request,
};

/// Serves an application with TLS, and without TLS on a second address.
pub(super) fn serve(
    app: impl FnOnce() -> App + Send + 'static,
    identity: Identity,
    configure: impl FnOnce(Server, ServerTls) -> (Server, ServerTls) + Send + 'static,
) -> Served {
    Served::with(app, move |server| {
        let tls = ServerTls::new(identity.certificate, identity.key);
        let (server, tls) = configure(server, tls);
        server.bind_tls(ANY_PORT, tls)?.bind(ANY_PORT)
    })
}

#[test]
fn redis_cli_can_use_tls() {
    let authority = Authority::new();
    let served = serve(app, authority.issue("localhost"), |server, tls| (server, tls));
    let trust = ["--cacert", &authority.ca];
    let cli = |options: &[&str], input: &[u8]| redis_cli(served.address(), options, input);
    assert_eq!(cli(&trust, b"PING\nSET a 1\nGET a\n"), b"PONG\nOK\n1\n");
    let value = vec![b'x'; 8 << 20];
    assert_eq!(cli(&[&trust[..], &["-x", "SET", "large"]].concat(), &value), b"OK\n");
    let got = cli(&[&trust[..], &["GET", "large"]].concat(), b"");
    assert!(got.strip_suffix(b"\n") == Some(&value[..]));
    let old = ["--tls-ciphers", "ECDHE-ECDSA-AES128-GCM-SHA256"];
    assert_eq!(cli(&[&trust[..], &old].concat(), b"PING\n"), b"PONG\n");
}

#[test]
fn large_values_pass() {
    let authority = Authority::new();
    let served = serve(app, authority.issue("localhost"), |server, tls| (server, tls));
    let mut client = TlsClient::connect(served.address(), &authority);
    let value = large_value();
    for _ in 0..3 {
        assert_eq!(client.ask(request([&b"SET"[..], b"large", &value])), "+OK\r\n");
        let expected = [format!("${}\r\n", value.len()).as_bytes(), &value, b"\r\n"].concat();
        client.send(lines("GET large \n GET large"));
        assert!(client.reply() == expected);
        assert!(client.reply() == expected);
    }
}

#[test]
fn pipelines_pass() {
    let authority = Authority::new();
    let served = serve(app, authority.issue("localhost"), |server, tls| (server, tls));
    let mut client = TlsClient::connect(served.address(), &authority);
    let requests: Vec<u8> = (0..20_000).flat_map(|number| line(&format!("FIRST {number}"))).collect();
    client.send(&requests);
    for number in 0..20_000 {
        let text = format!("first {number}");
        assert_eq!(client.reply(), format!("${}\r\n{text}\r\n", text.len()));
    }
    // In pieces that do not match TLS records.
    for piece in requests[..20_000].chunks(7) {
        client.send(piece);
    }
    assert_eq!(client.reply(), "$7\r\nfirst 0\r\n");
}

/// When the socket is full, the last replies stay in the TLS buffer. The server has to send them without a new request.
///
/// The test first measures how many replies fit into the socket, then tries each number of replies near that one.
#[test]
fn a_client_that_reads_late_gets_all_replies() {
    let authority = Authority::new();
    let served = serve(app, authority.issue("localhost"), |server, tls| (server, tls));
    let mut observer = RawClient::connect(&served.addresses()[1]);
    let value = vec![b'x'; 12_000];
    observer.ask(request([&b"SET"[..], b"a", &value]));
    let expected = [b"$12000\r\n", &value[..], b"\r\n"].concat();
    // Sends up to `max_requests` requests without reading, until the server stops. Returns the number of commands that ran.
    let mut ask = |client: &mut TlsClient, max_requests: usize| {
        // The server may still run requests of the previous client.
        eventually(|| (info(&mut observer, "clients").number("connected_clients") == 2).then_some(()));
        let before = calls_of_get(&mut observer);
        let mut calls = before;
        for sent in 1..=max_requests {
            client.send(line("GET a"));
            observer.let_server_read();
            calls = calls_of_get(&mut observer);
            if calls < before + sent {
                break;
            }
        }
        calls - before
    };
    let mut client = TlsClient::connect(served.address(), &authority);
    let calls = ask(&mut client, 10_000);
    assert!(calls < 10_000);
    drop(client);
    for count in calls - 8..=calls {
        let mut client = TlsClient::connect(served.address(), &authority);
        let calls = ask(&mut client, count);
        for _ in 0..calls {
            assert!(client.reply() == expected);
        }
    }
}

/// Returns the number of calls of `GET`.
fn calls_of_get(observer: &mut RawClient) -> usize {
    let stats = info(observer, "commandstats");
    let Some(stats) = stats.get("cmdstat_get") else { return 0 };
    let calls = stats.strip_prefix("calls=").and_then(|rest| rest.split(',').next());
    calls.and_then(|calls| calls.parse().ok()).expect("a number")
}

#[test]
fn a_published_message_reaches_idle_subscribers() {
    let authority = Authority::new();
    let served = serve(App::new, authority.issue("localhost"), |server, tls| (server, tls));
    let mut listeners: Vec<_> = (0..10).map(|_| TlsClient::connect(served.address(), &authority)).collect();
    for client in &mut listeners {
        assert_eq!(client.ask(line("SUBSCRIBE news")), "*3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n");
    }
    let mut publisher = TlsClient::connect(served.address(), &authority);
    for text in ["first", "second"] {
        assert_eq!(publisher.ask(line(&format!("PUBLISH news {text}"))), ":10\r\n");
        let message = format!("*3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n${}\r\n{text}\r\n", text.len());
        listeners.iter_mut().for_each(|client| assert_eq!(client.reply(), message));
    }
}

/// Blocks clients until `OPEN`.
#[derive(Default)]
struct Holder(Vec<Responder<Simple>>);

impl Actor for Holder {
    type Context = Context<Self>;
}

#[commands]
impl Holder {
    /// Blocks until `OPEN`.
    #[command("HOLD", blocking)]
    fn hold(&mut self, responder: Responder<Simple>) {
        self.0.push(responder);
    }

    /// Returns the number of blocked clients.
    #[command("HELD")]
    fn held(&self) -> usize {
        self.0.iter().filter(|responder| !responder.is_closed()).count()
    }

    /// Unblocks all clients.
    #[command("OPEN")]
    fn open(&mut self) {
        for responder in self.0.drain(..) {
            // The client may have disconnected.
            let _ = responder.send(Simple("open"));
        }
    }

    /// Returns the processor time of the server's thread in milliseconds.
    #[command("TIMEUSED")]
    fn time_used(&self) -> u64 {
        cpu_time_of_this_thread().as_millis() as u64
    }
}

#[test]
fn blocked_clients_get_replies_and_disconnected_ones_are_noticed() {
    let authority = Authority::new();
    let app = || App::new().mount(Holder::default().start());
    let served = serve(app, authority.issue("localhost"), |server, tls| (server, tls));
    let mut observer = RawClient::connect(&served.addresses()[1]);
    let mut held = |count: usize| {
        eventually(|| (observer.ask(line("HELD")) == format!(":{count}\r\n")).then_some(()));
    };
    let [mut stays, mut leaves] = [(); 2].map(|()| TlsClient::connect(served.address(), &authority));
    let mut other = TlsClient::connect(served.address(), &authority);
    for _ in 0..2 {
        leaves.send(line("HOLD"));
        held(1);
        other.ask(line("OPEN"));
        assert_eq!(leaves.reply(), "+open\r\n");
    }
    // The server reads the later commands while the client is blocked.
    stays.send(lines("HOLD \n PING"));
    leaves.send(line("HOLD"));
    held(2);
    drop(leaves);
    held(1);
    assert_eq!(other.ask(line("OPEN")), "+OK\r\n");
    assert_eq!(stays.reply(), "+open\r\n");
    assert_eq!(stays.reply(), "+PONG\r\n");
}

#[test]
fn idle_connections_use_no_processor_time() {
    let authority = Authority::new();
    let app = || App::new().mount(Holder::default().start());
    let served = serve(app, authority.issue("localhost"), |server, tls| (server, tls));
    let connect = || TlsClient::connect(served.address(), &authority);
    let mut clients: Vec<_> = (0..30).map(|_| connect()).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        match number % 3 {
            0 => drop(client.ask(line("PING"))),
            1 => drop(client.ask(line("SUBSCRIBE news"))),
            _ => client.send(lines("HOLD \n PING")),
        }
    }
    let silent = RawClient::connect(served.address());
    let mut observer = RawClient::connect(&served.addresses()[1]);
    eventually(|| (observer.ask(line("HELD")) == ":10\r\n").then_some(()));
    let mut used = || {
        let reply = String::from_utf8(observer.ask(line("TIMEUSED")).to_vec()).expect("text");
        reply.trim_start_matches(':').trim_end().parse::<u64>().expect("a number")
    };
    let before = used();
    thread::sleep(Duration::from_secs(1));
    let used = used() - before;
    assert!(used < 200, "{used} ms of a second");
    drop(silent);
}

#[test]
fn the_server_sends_close_notify() {
    let authority = Authority::new();
    let served = serve(app, authority.issue("localhost"), |server, tls| (server, tls));
    let mut client = TlsClient::connect(served.address(), &authority);
    client.send(lines("PING \n QUIT"));
    assert_eq!(client.rest().expect("the server sends close_notify"), "+PONG\r\n+OK\r\n");
    let mut client = TlsClient::connect(served.address(), &authority);
    client.ask(line("PING"));
    let address = served.address().to_owned();
    served.stop().expect("the server stops gracefully");
    assert_eq!(client.rest().expect("the server sends close_notify"), "");
    assert!(RawClient::try_connect(&address).is_err());
}

/// Many clients close the socket without a `close_notify` alert.
#[test]
fn a_client_may_disconnect_without_close_notify() {
    let authority = Authority::new();
    let log = Log::default();
    let server_log = log.clone();
    let app = move || {
        server_log.keep(Level::DEBUG);
        app()
    };
    let served = serve(app, authority.issue("localhost"), |server, tls| (server, tls));
    TlsClient::connect(served.address(), &authority).ask(line("PING"));
    assert_eq!(log.addresses()[0], format!("{} (TLS)", served.address()));
    let lines = eventually(|| Some(log.lines()).filter(|lines| lines.len() >= 2));
    assert!(lines[1].ends_with("reason=\"the client has left\""), "{lines:?}");
}
