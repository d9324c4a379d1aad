//! A proxy in front of a redis-server with TLS.

use std::{net::TcpListener, process::Command, time::Duration};

use thegiant::{ClientTls, Limits, prelude::*, proxy::Upstream};

use super::{
    authority::{Authority, Identity},
    client::TlsClient,
};
use crate::support::{
    Process, RawClient, Served, binary, eventually, info, large_value_passes, line, lines, request,
};

/// Starts a redis-server with this certificate. Returns the process and its TLS address.
///
/// The address of the process is a unix socket without TLS.
fn redis(authority: &Authority, identity: &Identity, options: &[&str]) -> (Process, String) {
    let (process, [port]) = Process::redis_on_ports(|[port]| tls_options(authority, identity, port, options));
    (process, format!("127.0.0.1:{port}"))
}

fn tls_options(authority: &Authority, identity: &Identity, port: &str, options: &[&str]) -> Vec<String> {
    let files = [
        "--tls-port",
        port,
        "--tls-cert-file",
        &identity.certificate,
        "--tls-key-file",
        &identity.key,
        "--tls-ca-cert-file",
        &authority.ca,
    ];
    let default = ["--tls-auth-clients", "no"];
    [&files[..], &default, options].concat().into_iter().map(str::to_owned).collect()
}

fn proxy(address: &str, tls: ClientTls) -> Served {
    proxy_with(address, tls, |upstream| upstream)
}

fn proxy_with(
    address: &str,
    tls: ClientTls,
    configure: impl FnOnce(Upstream) -> Upstream + Send + 'static,
) -> Served {
    let upstream = Upstream::new(address).tls(tls).expect("the files exist");
    Served::start(|| App::new().proxy(configure(upstream).start()))
}

/// Returns the reason why the proxy cannot reach its upstream.
fn reason(proxy: &Served) -> String {
    let reply = RawClient::connect(proxy.address()).ask(line("GET x"));
    let text = String::from_utf8_lossy(&reply).into_owned();
    let reason = text.split_once(" cannot be reached (").and_then(|(down, reason)| {
        down.starts_with("-UPSTREAMDOWN ").then_some(reason.strip_suffix("): the command was not sent\r\n")?)
    });
    reason.unwrap_or_else(|| panic!("{text}")).to_owned()
}

#[test]
fn requests_and_replies_pass() {
    let authority = Authority::new();
    let (_redis, address) = redis(&authority, &authority.issue("127.0.0.1"), &[]);
    let proxy = proxy(&address, ClientTls::new().ca(&authority.ca));
    let mut client = RawClient::connect(proxy.address());
    for _ in 0..3 {
        large_value_passes(&mut client);
    }
    let requests: Vec<u8> = (0..20_000).flat_map(|number| line(&format!("ECHO {number}"))).collect();
    client.while_sending(&[&requests], |client| {
        for number in 0..20_000 {
            let text = number.to_string();
            assert_eq!(client.reply(), format!("${}\r\n{text}\r\n", text.len()));
        }
    });
    client.send(line("HELLO 3"));
    client.reply();
    assert_eq!(client.ask(line("GET nothing")), "_\r\n");
}

#[test]
fn commands_on_dedicated_connections_pass() {
    let authority = Authority::new();
    let (redis, address) = redis(&authority, &authority.issue("127.0.0.1"), &[]);
    let proxy = proxy(&address, ClientTls::new().ca(&authority.ca));
    let [mut client, mut other] = [(); 2].map(|()| RawClient::connect(proxy.address()));
    assert_eq!(client.ask(line("SUBSCRIBE news")), "*3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n");
    for _ in 0..2 {
        assert_eq!(other.ask(line("PUBLISH news hello")), ":1\r\n");
        assert_eq!(client.reply(), "*3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$5\r\nhello\r\n");
    }
    client.ask(line("UNSUBSCRIBE news"));
    let mut observer = RawClient::connect(redis.address());
    let before = info(&mut observer, "stats").number("total_connections_received");
    // All these commands use the same dedicated connection again.
    for _ in 0..5 {
        assert_eq!(client.ask(line("WATCH x")), "+OK\r\n");
        client.send(lines("MULTI \n INCR x \n EXEC"));
        assert!(client.replies(3).starts_with(b"+OK\r\n+QUEUED\r\n*1\r\n:"));
        client.ask(line("RPUSH list value"));
        assert_eq!(client.ask(line("BLPOP list 0")), "*2\r\n$4\r\nlist\r\n$5\r\nvalue\r\n");
    }
    assert_eq!(info(&mut observer, "stats").number("total_connections_received"), before);
    assert_eq!(info(&mut client, "upstream").number("upstream_private_connections"), 0);
}

#[test]
fn a_connection_that_redis_has_closed_is_not_used_again() {
    let authority = Authority::new();
    let (redis, address) = redis(&authority, &authority.issue("127.0.0.1"), &[]);
    let proxy = proxy(&address, ClientTls::new().ca(&authority.ca));
    let mut client = RawClient::connect(proxy.address());
    let mut observer = RawClient::connect(redis.address());
    for _ in 0..5 {
        assert_eq!(client.ask(line("WATCH x")), "+OK\r\n");
        let clients = observer.ask(line("CLIENT LIST"));
        let clients = String::from_utf8_lossy(&clients).into_owned();
        let dedicated =
            clients.lines().find(|line| line.contains("cmd=watch")).expect("a connection watches");
        let id =
            dedicated.split(' ').find_map(|field| field.strip_prefix("id=")).expect("a number").to_owned();
        assert_eq!(client.ask(line("UNWATCH")), "+OK\r\n");
        assert_eq!(observer.ask(line(&format!("CLIENT KILL ID {id}"))), ":1\r\n");
    }
}

#[test]
fn tls_1_2_is_supported() {
    let authority = Authority::new();
    let (_redis, address) = redis(&authority, &authority.issue("127.0.0.1"), &["--tls-protocols", "TLSv1.2"]);
    let proxy = proxy(&address, ClientTls::new().ca(&authority.ca));
    assert_eq!(RawClient::connect(proxy.address()).ask(line("PING")), "+PONG\r\n");
}

#[test]
fn a_certificate_of_another_authority_is_refused() {
    let [authority, other] = [(); 2].map(|()| Authority::new());
    let (_redis, address) = redis(&authority, &authority.issue("127.0.0.1"), &[]);
    let wrong = proxy(&address, ClientTls::new().ca(&other.ca));
    assert_eq!(reason(&wrong), "the peer's certificate is from an unknown authority");
    // The system does not trust the authority either.
    let system = proxy(&address, ClientTls::new());
    assert_eq!(reason(&system), "the peer's certificate is from an unknown authority");
}

#[test]
fn a_certificate_of_an_authority_with_the_same_name_is_refused() {
    let [authority, other] = [(); 2].map(|()| Authority::named("ours"));
    let (_redis, address) = redis(&authority, &authority.issue("127.0.0.1"), &[]);
    let wrong = proxy(&address, ClientTls::new().ca(&other.ca));
    assert_eq!(reason(&wrong), "the peer's certificate is not signed by the trusted authority");
}

#[test]
fn a_certificate_for_another_name_is_refused() {
    let authority = Authority::new();
    let (_redis, address) = redis(&authority, &authority.issue("redis.internal"), &[]);
    let trust = || ClientTls::new().ca(&authority.ca);
    assert_eq!(
        reason(&proxy(&address, trust())),
        "the peer's certificate is for redis.internal, not for 127.0.0.1"
    );
    assert_eq!(
        reason(&proxy(&address, trust().server_name("redis.external"))),
        "the peer's certificate is for redis.internal, not for redis.external"
    );
    let right = proxy(&address, trust().server_name("redis.internal"));
    assert_eq!(RawClient::connect(right.address()).ask(line("PING")), "+PONG\r\n");
}

#[test]
fn an_expired_certificate_is_refused() {
    let authority = Authority::new();
    let (_redis, address) = redis(&authority, &authority.issue_expired("127.0.0.1"), &[]);
    let proxy = proxy(&address, ClientTls::new().ca(&authority.ca));
    assert_eq!(reason(&proxy), "the peer's certificate has expired");
}

#[test]
fn the_proxy_sends_its_certificate_if_the_upstream_requires_one() {
    let authority = Authority::new();
    let (_redis, address) = redis(&authority, &authority.issue("127.0.0.1"), &["--tls-auth-clients", "yes"]);
    let trust = || ClientTls::new().ca(&authority.ca);
    assert_eq!(reason(&proxy(&address, trust())), "the peer requires a certificate");
    let Identity { certificate, key } = authority.issue("a proxy");
    let proxy = proxy(&address, trust().certificate(certificate, key));
    assert_eq!(RawClient::connect(proxy.address()).ask(line("PING")), "+PONG\r\n");
}

#[test]
fn an_upstream_without_tls_is_an_error() {
    let authority = Authority::new();
    // A full server sends its error without reading the handshake.
    let plain =
        Served::with(App::new, |server| server.limits(Limits::new().max_clients(1)).bind("127.0.0.1:0"));
    let _only = RawClient::connect(plain.address());
    let full = proxy(plain.address(), ClientTls::new().ca(&authority.ca));
    assert_eq!(reason(&full), "the peer does not speak tls");
    // A server that sends nothing.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = silent.local_addr().expect("it is bound").to_string();
    let proxy = proxy_with(&address, ClientTls::new().ca(&authority.ca), |upstream| {
        upstream.connect_timeout(Duration::from_millis(200))
    });
    assert_eq!(reason(&proxy), "it does not answer");
}

#[test]
fn the_proxy_reconnects_when_the_certificate_is_valid_again() {
    let authority = Authority::new();
    let (redis, address) = redis(&authority, &authority.issue("redis.old"), &[]);
    let proxy = proxy(&address, ClientTls::new().ca(&authority.ca));
    assert_eq!(reason(&proxy), "the peer's certificate is for redis.old, not for 127.0.0.1");
    let right = authority.issue("127.0.0.1");
    let set = request(["CONFIG", "SET", "tls-cert-file", &right.certificate, "tls-key-file", &right.key]);
    assert_eq!(RawClient::connect(redis.address()).ask(set), "+OK\r\n");
    let mut client = RawClient::connect(proxy.address());
    eventually(|| (client.ask(line("PING")) == "+PONG\r\n").then_some(()));
    // The proxy also reconnects after a restart of the upstream.
    drop(redis);
    eventually(|| client.ask(line("PING")).starts_with(b"-UPSTREAMDOWN ").then_some(()));
    let port = address.rsplit_once(':').expect("a port").1;
    // Another test can use the port for a while.
    let _redis = eventually(|| Process::redis_on(&tls_options(&authority, &right, port, &[])));
    eventually(|| (client.ask(line("PING")) == "+PONG\r\n").then_some(()));
}

/// Tests `balancer` with TLS and a password on both sides. The servers require a certificate.
#[test]
fn the_balancer_uses_tls_on_both_sides() {
    let authority = Authority::new();
    let [server, own] = ["127.0.0.1", "localhost"].map(|name| authority.issue(name));
    let requirements = ["--requirepass", "behind", "--tls-auth-clients", "yes"];
    let [(_first, first), (_second, second)] = [(); 2].map(|()| redis(&authority, &server, &requirements));
    let options = [
        "--server-tls",
        "--server-ca",
        &authority.ca,
        "--server-cert",
        &own.certificate,
        "--server-key",
        &own.key,
        "--server-password",
        "behind",
        "--tls-cert",
        &own.certificate,
        "--tls-key",
        &own.key,
        "--password",
        "before",
        &first,
        &second,
    ];
    let balancer = Process::program_with("balancer", &options);
    let mut client = TlsClient::try_connect(balancer.address(), &authority, None)
        .expect("the balancer requires no certificate");
    assert_eq!(client.ask(line("GET a")), "-NOAUTH Authentication required.\r\n");
    assert_eq!(client.ask(line("AUTH before")), "+OK\r\n");
    for number in 0..20 {
        assert_eq!(client.ask(request(["SET", &format!("key:{number}"), "value"])), "+OK\r\n");
    }
    assert_eq!(client.ask(line("DBSIZE")), ":20\r\n");
    assert_eq!(client.ask(line("WATCH key:1")), "+OK\r\n");
    assert_eq!(client.ask(line("UNWATCH")), "+OK\r\n");

    let mistaken = Command::new(binary("balancer")).args(["--server-ca", "x", &first]).output();
    let mistaken = mistaken.expect("balancer can be started");
    let error = String::from_utf8(mistaken.stderr).expect("text");
    assert_eq!(mistaken.status.code(), Some(2));
    assert!(error.contains("required arguments were not provided:\n  --server-tls\n"), "{error}");
}
