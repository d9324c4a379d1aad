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

/// Serves an application with TLS, and at a second address without.
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
fn redis_cli_is_served() {
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
fn many_commands_in_a_pipeline() {
    let authority = Authority::new();
    let served = serve(app, authority.issue("localhost"), |server, tls| (server, tls));
    let mut client = TlsClient::connect(served.address(), &authority);
    let requests: Vec<u8> = (0..20_000).flat_map(|number| line(&format!("FIRST {number}"))).collect();
    client.send(&requests);
    for number in 0..20_000 {
        let text = format!("first {number}");
        assert_eq!(client.reply(), format!("${}\r\n{text}\r\n", text.len()));
    }
    // In pieces that are no records of their own.
    for piece in requests[..20_000].chunks(7) {
        client.send(piece);
    }
    assert_eq!(client.reply(), "$7\r\nfirst 0\r\n");
}

/// When the socket is full, the end of the replies waits inside TLS, and has to leave without being asked for. How much
/// a socket takes is tried out, and then each number of replies thereabouts.
#[test]
fn a_client_that_reads_late_gets_all() {
    let authority = Authority::new();
    let served = serve(app, authority.issue("localhost"), |server, tls| (server, tls));
    let mut observer = RawClient::connect(&served.addresses()[1]);
    let value = vec![b'x'; 12_000];
    observer.ask(request([&b"SET"[..], b"a", &value]));
    let expected = [b"$12000\r\n", &value[..], b"\r\n"].concat();
    // Asks so many times without reading, unless the server has stopped before; says how often it has answered.
    let mut ask = |client: &mut TlsClient, most: usize| {
        // Of one that has gone, requests may still be run.
        eventually(|| (info(&mut observer, "clients").number("connected_clients") == 2).then_some(()));
        let before = calls_of_get(&mut observer);
        let mut calls = before;
        for asked in 1..=most {
            client.send(line("GET a"));
            observer.let_server_read();
            calls = calls_of_get(&mut observer);
            if calls < before + asked {
                break;
            }
        }
        calls - before
    };
    let mut client = TlsClient::connect(served.address(), &authority);
    let answered = ask(&mut client, 10_000);
    assert!(answered < 10_000);
    drop(client);
    for count in answered - 8..=answered {
        let mut client = TlsClient::connect(served.address(), &authority);
        let answered = ask(&mut client, count);
        for _ in 0..answered {
            assert!(client.reply() == expected);
        }
    }
}

/// How often `GET` has been called.
fn calls_of_get(observer: &mut RawClient) -> usize {
    let stats = info(observer, "commandstats");
    let Some(stats) = stats.get("cmdstat_get") else { return 0 };
    let calls = stats.strip_prefix("calls=").and_then(|rest| rest.split(',').next());
    calls.and_then(|calls| calls.parse().ok()).expect("a number")
}

#[test]
fn what_is_published_reaches_who_is_idle() {
    let authority = Authority::new();
    let served = serve(App::new, authority.issue("localhost"), |server, tls| (server, tls));
    let mut listeners: Vec<_> = (0..10).map(|_| TlsClient::connect(served.address(), &authority)).collect();
    for client in &mut listeners {
        assert_eq!(client.ask(line("SUBSCRIBE news")), "*3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n");
    }
    let mut publisher = TlsClient::connect(served.address(), &authority);
    for text in ["first", "second"] {
        assert_eq!(publisher.ask(line(&format!("PUBLISH news {text}"))), ":10\r\n");
        let told = format!("*3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n${}\r\n{text}\r\n", text.len());
        listeners.iter_mut().for_each(|client| assert_eq!(client.reply(), told));
    }
}

/// Holds what it is asked to.
#[derive(Default)]
struct Holder(Vec<Responder<Simple>>);

impl Actor for Holder {
    type Context = Context<Self>;
}

#[commands]
impl Holder {
    /// Is answered by `OPEN`.
    #[command("HOLD", blocking)]
    fn hold(&mut self, responder: Responder<Simple>) {
        self.0.push(responder);
    }

    /// How many wait.
    #[command("HELD")]
    fn held(&self) -> usize {
        self.0.iter().filter(|responder| !responder.is_closed()).count()
    }

    /// Answers all that wait.
    #[command("OPEN")]
    fn open(&mut self) {
        for responder in self.0.drain(..) {
            // It may have left.
            let _ = responder.send(Simple("open"));
        }
    }

    /// Processor time that this server has used, in milliseconds.
    #[command("TIMEUSED")]
    fn time_used(&self) -> u64 {
        cpu_time_of_this_thread().as_millis() as u64
    }
}

#[test]
fn who_waits_is_answered_and_who_leaves_is_noticed() {
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
    // What comes behind is read meanwhile.
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
fn connections_on_which_nothing_happens_take_no_time() {
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
fn a_connection_ends_in_order() {
    let authority = Authority::new();
    let served = serve(app, authority.issue("localhost"), |server, tls| (server, tls));
    let mut client = TlsClient::connect(served.address(), &authority);
    client.send(lines("PING \n QUIT"));
    assert_eq!(client.rest().expect("it says that it is the end"), "+PONG\r\n+OK\r\n");
    let mut client = TlsClient::connect(served.address(), &authority);
    client.ask(line("PING"));
    let address = served.address().to_owned();
    served.stop().expect("it ends in order");
    assert_eq!(client.rest().expect("it says that it is the end"), "");
    assert!(RawClient::try_connect(&address).is_err());
}

/// As many clients do.
#[test]
fn a_client_may_leave_without_saying_so() {
    let authority = Authority::new();
    let log = Log::default();
    let kept = log.clone();
    let app = move || {
        kept.keep(Level::DEBUG);
        app()
    };
    let served = serve(app, authority.issue("localhost"), |server, tls| (server, tls));
    TlsClient::connect(served.address(), &authority).ask(line("PING"));
    let lines = eventually(|| Some(log.lines()).filter(|lines| lines.len() >= 2));
    assert!(lines[1].ends_with("reason=\"the client has left\""), "{lines:?}");
}
