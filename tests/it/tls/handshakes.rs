//! A failed handshake is one line in the log, and does not affect other clients.

use std::time::Duration;

use thegiant::{ClientTls, Limits, Timeouts, prelude::*, proxy::Upstream};
use tracing::Level;

use super::{
    authority::{Authority, Identity},
    client::TlsClient,
    listener::serve,
};
use crate::support::{Log, RawClient, Served, app, eventually, info, line};

/// Starts a server with TLS. Returns the server and its log.
fn logged(
    identity: Identity,
    configure: impl FnOnce(Server, thegiant::ServerTls) -> (Server, thegiant::ServerTls) + Send + 'static,
) -> (Served, Log) {
    let log = Log::default();
    let server_log = log.clone();
    let app = move || {
        server_log.keep(Level::INFO);
        app()
    };
    (serve(app, identity, configure), log)
}

/// Waits for the first line of the log. Returns it without the id and address of the client.
fn first_line(log: &Log) -> String {
    let line = eventually(|| log.lines().first().cloned());
    line.split(' ')
        .filter(|word| !word.starts_with("id=") && !word.starts_with("client="))
        .collect::<Vec<_>>()
        .join(" ")
}

fn failure(reason: &str) -> String {
    format!("INFO closed: the TLS handshake failed error={reason}")
}

#[track_caller]
fn assert_serves(served: &Served, authority: &Authority) {
    assert_eq!(TlsClient::connect(served.address(), authority).ask(line("PING")), "+PONG\r\n");
}

#[test]
fn a_client_without_tls_is_logged() {
    let authority = Authority::new();
    let (served, log) = logged(authority.issue("localhost"), |server, tls| (server, tls));
    let mut client = RawClient::connect(served.address());
    client.send(line("PING"));
    // The server may send a TLS alert, but no reply.
    assert!(!client.rest().starts_with(b"+"));
    assert_eq!(first_line(&log), failure("the peer does not speak TLS"));
    assert_serves(&served, &authority);
    assert_eq!(log.lines().len(), 1);
}

#[test]
fn a_client_that_does_not_trust_the_server_is_logged() {
    let [authority, other] = [(); 2].map(|()| Authority::new());
    let (served, log) = logged(authority.issue("localhost"), |server, tls| (server, tls));
    TlsClient::try_connect(served.address(), &other, None)
        .err()
        .expect("the client does not trust the server");
    assert_eq!(first_line(&log), failure("the peer does not trust the certificate's authority"));
    assert_serves(&served, &authority);
}

/// The time limit for authentication includes the handshake. Other clients do not wait.
#[test]
fn a_client_that_sends_nothing_is_disconnected() {
    let authority = Authority::new();
    let (served, log) = logged(authority.issue("localhost"), |server, tls| {
        (server.timeouts(Timeouts::new().auth(Duration::from_secs(1))), tls)
    });
    let mut silent: Vec<_> = (0..5).map(|_| RawClient::connect(served.address())).collect();
    assert_serves(&served, &authority);
    let mut client = TlsClient::connect(served.address(), &authority);
    for client in &mut silent {
        assert_eq!(client.rest(), "");
    }
    assert_eq!(first_line(&log), failure("the handshake took too long"));
    eventually(|| (log.lines().len() == 5).then_some(()));
    // A client without a password has no time limit after its handshake.
    assert_eq!(client.ask(line("PING")), "+PONG\r\n");
}

/// Health checks and port scans must not fill the log.
#[test]
fn a_client_that_disconnects_before_the_handshake_is_not_logged() {
    let authority = Authority::new();
    let (served, log) = logged(authority.issue("localhost"), |server, tls| (server, tls));
    drop(RawClient::connect(served.address()));
    RawClient::connect(served.address()).reset();
    let mut observer = RawClient::connect(&served.addresses()[1]);
    eventually(|| (info(&mut observer, "clients").number("connected_clients") == 1).then_some(()));
    assert_eq!(info(&mut observer, "stats").number("total_connections_received"), 3);
    assert_eq!(log.lines(), [""; 0]);
}

#[test]
fn clients_without_a_valid_certificate_are_logged() {
    let [authority, other] = [(); 2].map(|()| Authority::new());
    let ca = authority.ca.clone();
    let (served, log) = logged(authority.issue("localhost"), |server, tls| (server, tls.client_ca(ca)));
    let connect = |identity: Option<&Identity>| {
        TlsClient::try_connect(served.address(), &authority, identity)?.try_ask(line("PING"))
    };
    assert_eq!(
        connect(Some(&authority.issue("somebody"))).expect("the server accepts the certificate"),
        "+PONG\r\n"
    );
    let refusal = connect(None).expect_err("the client has no certificate").to_string();
    assert!(refusal.contains("CertificateRequired"), "{refusal}");
    assert_eq!(first_line(&log), failure("the peer sent no certificate"));
    connect(Some(&other.issue("somebody"))).expect_err("another authority issued the certificate");
    let lines = eventually(|| Some(log.lines()).filter(|lines| lines.len() == 2));
    assert!(lines[1].ends_with("error=the peer's certificate is from an unknown authority"), "{}", lines[1]);
}

#[test]
fn a_client_in_its_handshake_counts_for_max_clients() {
    let authority = Authority::new();
    let served = serve(app, authority.issue("localhost"), |server, tls| {
        (server.limits(Limits::new().max_clients(2)), tls)
    });
    let mut observer = RawClient::connect(&served.addresses()[1]);
    observer.let_server_read();
    let silent = RawClient::connect(served.address());
    let mut connected = |count| info(&mut observer, "clients").number("connected_clients") == count;
    eventually(|| connected(2).then_some(()));
    // The server sends no error: a client in its handshake cannot read one.
    assert_eq!(RawClient::connect(served.address()).rest(), "");
    TlsClient::try_connect(served.address(), &authority, None)
        .err()
        .expect("the server has too many clients");
    drop(silent);
    eventually(|| connected(1).then_some(()));
    assert_serves(&served, &authority);
}

#[test]
fn a_proxy_without_a_certificate_is_logged_by_its_upstream() {
    let authority = Authority::new();
    let ca = authority.ca.clone();
    let (served, log) = logged(authority.issue("127.0.0.1"), |server, tls| (server, tls.client_ca(ca)));
    let address = served.address().to_owned();
    let tls = ClientTls::new().ca(&authority.ca);
    let proxy = Served::start(move || {
        App::new().proxy(Upstream::new(address).tls(tls).expect("the files exist").start())
    });
    let reply = RawClient::connect(proxy.address()).ask(line("GET x"));
    let reply = String::from_utf8_lossy(&reply).into_owned();
    assert!(
        reply.starts_with("-UPSTREAMDOWN ") && reply.contains("(the peer requires a certificate)"),
        "{reply}"
    );
    assert_eq!(first_line(&log), failure("the peer sent no certificate"));
}
