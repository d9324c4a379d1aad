//! The connection of typed clients.

use std::{
    future::Future,
    io::Read,
    net::TcpListener,
    thread,
    time::{Duration, Instant},
};

use thegiant::{Bytes, Limits};
use thegiant_client::{CallError, ClientTls, Connection, ConnectionBuilder};

use super::{
    authority::{Authority, Identity},
    listener::serve,
};
use crate::support::{ANY_PORT, RawClient, Served, app, large_value};

fn run<T>(test: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime")
        .block_on(test)
}

fn served(identity: Identity) -> Served {
    serve(app, identity, |server, tls| (server, tls))
}

/// Returns the port of the address for TLS.
fn builder(served: &Served, host: &str, tls: ClientTls) -> Result<ConnectionBuilder, CallError> {
    let port = served.address().rsplit(':').next().expect("a port");
    Connection::builder(format!("{host}:{port}")).tls(tls)
}

/// Returns the reason why a client cannot connect, without its address.
async fn reason(served: &Served, host: &str, tls: ClientTls) -> String {
    let error = builder(served, host, tls).expect("the files exist").connect().await.expect_err("an error");
    let CallError::NotSent(reason) = error else { panic!("{error:?}") };
    let (address, reason) = reason.split_once(" cannot be reached with TLS: ").expect("the address");
    assert!(address.starts_with(host), "{address}");
    reason.to_owned()
}

#[test]
fn calls_of_any_size_pass() {
    let authority = Authority::new();
    let served = served(authority.issue("127.0.0.1"));
    run(async {
        let tls = ClientTls::new().ca(&authority.ca);
        let connection = builder(&served, "127.0.0.1", tls)?.connect().await?;
        let value = large_value();
        for _ in 0..3 {
            connection.call::<()>(("SET", "large", &*value)).await?;
            let (one, other) = tokio::try_join!(
                connection.call::<Bytes>(("GET", "large")),
                connection.call(("GET", "large"))
            )?;
            assert!(one == value && Some(one) == other);
        }
        let mut calls = Vec::new();
        for number in 0..20_000 {
            calls.push(tokio::spawn(connection.call::<i64>(("ECHO", number))));
        }
        for (number, call) in calls.into_iter().enumerate() {
            assert_eq!(call.await.expect("no panic"), Ok(i64::try_from(number).expect("a small number")));
        }
        Ok::<(), CallError>(())
    })
    .expect("each call has its reply");
}

#[test]
fn a_server_with_another_certificate_is_refused() {
    let [authority, other] = [(); 2].map(|()| Authority::new());
    let trust = || ClientTls::new().ca(&authority.ca);
    run(async {
        let (host, unknown) = ("127.0.0.1", "the peer's certificate is from an unknown authority");
        let ours = served(authority.issue(host));
        assert_eq!(reason(&ours, host, ClientTls::new().ca(&other.ca)).await, unknown);
        // The system does not trust the authority either.
        assert_eq!(reason(&ours, host, ClientTls::new()).await, unknown);

        let expired = served(authority.issue_expired(host));
        assert_eq!(reason(&expired, host, trust()).await, "the peer's certificate has expired");

        let named = served(authority.issue("jobs.internal"));
        let text = "the peer's certificate is for jobs.internal, not for 127.0.0.1";
        assert_eq!(reason(&named, host, trust()).await, text);
        let connected =
            builder(&named, host, trust().server_name("jobs.internal")).expect("a name").connect().await;
        assert_eq!(connected.expect("a connection").call("PING").await, Ok("PONG".to_owned()));
    });
}

#[test]
fn a_server_can_require_a_certificate_of_the_client() {
    let [authority, other] = [(); 2].map(|()| Authority::new());
    let ca = authority.ca.clone();
    let served = serve(app, authority.issue("127.0.0.1"), |server, tls| (server, tls.client_ca(ca)));
    let with = |identity: Identity| {
        let tls = ClientTls::new().ca(&authority.ca).certificate(identity.certificate, identity.key);
        builder(&served, "127.0.0.1", tls).expect("the files exist").connect()
    };
    run(async {
        assert_eq!(
            with(authority.issue("somebody")).await.expect("a connection").call("PING").await,
            Ok("PONG".to_owned())
        );
        // The server says so after the handshake of the client.
        let tls = ClientTls::new().ca(&authority.ca);
        let refused = builder(&served, "127.0.0.1", tls).expect("the file exists").connect().await.map(drop);
        assert_eq!(refused, Err(CallError::NotSent("the peer requires a certificate".to_owned())));
        let refused = with(other.issue("somebody")).await.map(drop);
        assert_eq!(
            refused,
            Err(CallError::NotSent("the peer does not trust the certificate's authority".to_owned()))
        );
    });
}

#[test]
fn an_unusable_file_or_address_is_an_error_at_once() {
    let authority = Authority::new();
    let error = |address: &str, tls: ClientTls| {
        Connection::builder(address).tls(tls).map(drop).expect_err("an error").to_string()
    };
    let text = error("localhost:1", ClientTls::new().ca("/nowhere.crt"));
    assert!(
        text.starts_with("the request was not sent: cannot use the certificate /nowhere.crt: "),
        "{text}"
    );
    let text = error("unix:/run/jobs.sock", ClientTls::new().ca(&authority.ca));
    assert!(
        text.ends_with("cannot use TLS with unix:/run/jobs.sock: TLS needs an address of the form HOST:PORT"),
        "{text}"
    );
}

#[test]
fn a_server_without_tls_and_a_silent_one_are_errors() {
    let authority = Authority::new();
    // It sends its error at once.
    let plain = Served::with(app, |server| server.limits(Limits::new().max_clients(1)).bind(ANY_PORT));
    let _first = RawClient::connect(plain.address());
    run(async {
        let tls = || ClientTls::new().ca(&authority.ca);
        assert_eq!(reason(&plain, "127.0.0.1", tls()).await, "the peer does not speak TLS");

        let silent = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = silent.local_addr().expect("an address").to_string();
        let start = Instant::now();
        let builder = Connection::builder(&*address).tls(tls()).expect("the file exists");
        let error = builder.connect_timeout(Duration::from_millis(100)).connect().await.map(drop);
        assert_eq!(error, Err(CallError::NotSent(format!("{address} did not reply in time"))));
        assert!(start.elapsed() < Duration::from_secs(3));
    });
}

#[test]
fn the_server_learns_the_name_that_the_client_wants() {
    let authority = Authority::new();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address").to_string();
    let hello = thread::spawn(move || {
        let mut hello = [0; 512];
        let (mut client, _) = listener.accept().expect("a client");
        let len = client.read(&mut hello).expect("the first message");
        hello[..len].to_vec()
    });
    run(async {
        let tls = ClientTls::new().ca(&authority.ca).server_name("jobs.internal");
        let connected = Connection::builder(address).tls(tls).expect("the file exists").connect().await;
        assert!(matches!(connected, Err(CallError::NotSent(_))));
    });
    let hello = hello.join().expect("the server");
    assert!(hello.windows(13).any(|bytes| bytes == b"jobs.internal"));
}
