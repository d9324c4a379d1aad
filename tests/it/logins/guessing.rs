//! Failed logins delay the next ones from their address.

use std::time::{Duration, Instant};

use thegiant::{Timeouts, prelude::*, test::TestServer};
use tracing::Level;

use crate::support::{ANY_PORT, Log, RawClient, Served, app, client_list, line, lines};

const WRONG: &str = "-WRONGPASS invalid username-password pair or user is disabled.\r\n";
const OK: &str = "+OK\r\n";

/// A server whose time stands still while it has something to do.
fn test_server() -> TestServer {
    tokio::time::pause();
    let app = || App::new().fallback(|_: &Request| Simple("hello"));
    TestServer::with(Server::new(app).password("secret").user("alice", "on >wonderland +@all"))
}

#[thegiant::test]
async fn each_login_after_five_failures_waits() {
    let server = test_server();
    let mut client = server.connect();
    let start = tokio::time::Instant::now();
    for (request, reply) in [
        ("AUTH wrong", WRONG),
        ("AUTH default wrong", WRONG),
        ("HELLO 3 AUTH alice wrong", WRONG),
        ("AUTH nobody wrong", WRONG),
        ("AUTH alice wonderland", OK),
        ("AUTH wrong", WRONG),
    ] {
        client.send(format!("{request}\r\n")).await;
        client.expect(reply).await;
    }
    assert!(start.elapsed() < Duration::from_millis(50));
    for (request, reply, millis) in [
        ("AUTH wrong", WRONG, 100),
        ("HELLO 2 AUTH default wrong SETNAME me", WRONG, 200),
        ("RESET", "+RESET\r\n", 0),
        ("HI", "-NOAUTH Authentication required.\r\n", 0),
        ("AUTH alice wonderland", OK, 400),
        // A success proves nothing about the guesses of others.
        ("AUTH secret", OK, 400),
        ("HI", "+hello\r\n", 0),
        ("AUTH wrong", WRONG, 400),
        ("AUTH wrong", WRONG, 800),
        ("AUTH wrong", WRONG, 1600),
        ("AUTH wrong", WRONG, 2000),
        ("AUTH secret", OK, 2000),
    ] {
        let start = tokio::time::Instant::now();
        client.send(format!("{request}\r\n")).await;
        client.expect(reply).await;
        let took = start.elapsed().as_millis();
        assert!((millis..millis + 50).contains(&took), "{request}: {took} ms instead of {millis}");
    }
    tokio::time::sleep(Duration::from_secs(60)).await;
    let start = tokio::time::Instant::now();
    client.send("AUTH wrong\r\nAUTH secret\r\n").await;
    client.expect([WRONG, OK].concat()).await;
    assert!(start.elapsed() < Duration::from_millis(50));
}

#[thegiant::test]
async fn the_rest_of_a_pipeline_waits_in_its_order() {
    let server = test_server();
    let mut client = server.connect();
    client
        .send(["AUTH wrong\r\n".repeat(8).as_str(), "HI\r\nAUTH secret\r\nHI\r\nHELLO 3\r\nHI\r\n"].concat())
        .await;
    client.expect(WRONG.repeat(8)).await;
    client.expect("-NOAUTH Authentication required.\r\n+OK\r\n+hello\r\n").await;
    assert!(matches!(client.reply().await, Value::Map(_)));
    client.expect("+hello\r\n").await;
}

/// A login that waits in a transaction would hold the queue of an actor.
#[thegiant::test]
async fn a_transaction_does_not_wait_for_a_login() {
    let server = test_server();
    let mut client = server.connect();
    client.send("AUTH secret\r\nMULTI\r\nAUTH wrong\r\nHI\r\nAUTH secret\r\nEXEC\r\n").await;
    client.expect(format!("{OK}{OK}{}*3\r\n{WRONG}+hello\r\n{OK}", "+QUEUED\r\n".repeat(3))).await;
    client.send("AUTH wrong\r\n".repeat(4)).await;
    client.expect(WRONG.repeat(4)).await;
    let start = tokio::time::Instant::now();
    client.send("MULTI\r\nAUTH wrong\r\nHI\r\nHELLO 3 AUTH default secret\r\nEXEC\r\nHI\r\n").await;
    let refused = "-ERR this login has to wait, which it cannot do in a transaction or behind another login: send AUTH alone\r\n";
    client
        .expect(format!("{OK}{}*3\r\n{refused}+hello\r\n{refused}+hello\r\n", "+QUEUED\r\n".repeat(3)))
        .await;
    assert!(start.elapsed() < Duration::from_millis(50));
}

#[thegiant::test]
async fn an_address_has_few_logins_that_wait() {
    let server = test_server();
    let mut first = server.connect();
    first.send("AUTH wrong\r\n".repeat(5)).await;
    first.expect(WRONG.repeat(5)).await;
    let mut clients: Vec<_> = (0..40).map(|_| server.connect()).collect();
    for client in &mut clients {
        client.send("AUTH secret\r\n").await;
    }
    for client in &mut clients[32..] {
        client
            .expect("-ERR too many logins from this address wait after failed ones: try again later\r\n")
            .await;
    }
    // Clients that leave make room, and are no failures.
    drop(clients);
    let mut client = server.connect();
    tokio::time::sleep(Duration::from_millis(10)).await;
    let start = tokio::time::Instant::now();
    client.send("AUTH secret\r\n").await;
    client.expect(OK).await;
    assert!(start.elapsed() < Duration::from_millis(150), "{:?}", start.elapsed());
}

#[thegiant::test]
async fn a_stop_does_not_wait_for_the_delay() {
    let server = test_server();
    let mut client = server.connect();
    client.send("AUTH wrong\r\n".repeat(5 + 6)).await;
    client.expect(WRONG.repeat(5 + 5)).await;
    let start = tokio::time::Instant::now();
    server.stop().await.expect("it stops");
    assert!(start.elapsed() < Duration::from_millis(500), "{:?}", start.elapsed());
    client.expect("-UNBLOCKED the server is shutting down\r\n").await;
}

#[thegiant::test]
async fn the_delay_can_be_switched_off() {
    tokio::time::pause();
    let server = Server::new(App::new).password("secret").timeouts(Timeouts::new().auth_delay(None));
    let server = TestServer::with(server);
    let mut client = server.connect();
    let start = tokio::time::Instant::now();
    client.send(["AUTH wrong\r\n".repeat(100).as_str(), "AUTH secret\r\n"].concat()).await;
    client.expect([WRONG.repeat(100).as_str(), OK].concat()).await;
    assert!(start.elapsed() < Duration::from_millis(100));
    client.send("CONFIG GET auth-delay\r\nCONFIG SET auth-delay 1\r\n").await;
    client.expect("*2\r\n$10\r\nauth-delay\r\n$1\r\n0\r\n+OK\r\n").await;
    let start = tokio::time::Instant::now();
    client.send("AUTH secret\r\n").await;
    client.expect(OK).await;
    assert_eq!(start.elapsed().as_secs(), 1);
}

#[test]
fn other_addresses_are_not_delayed() {
    let served = Served::with(app, |server| server.password("secret").bind(ANY_PORT));
    let mut guesser = RawClient::connect(served.address());
    guesser.send(lines("AUTH wrong").repeat(1000));
    let start = Instant::now();
    assert_eq!(guesser.replies(7), WRONG.repeat(7));
    assert!(start.elapsed() >= Duration::from_millis(300));
    let start = Instant::now();
    for _ in 0..20 {
        let mut innocent = RawClient::connect_from([127, 0, 0, 2], served.address());
        assert_eq!(innocent.ask(line("AUTH secret")), OK);
        assert_eq!(innocent.ask(line("FIRST a")), "$7\r\nfirst a\r\n");
    }
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    let mut innocent = RawClient::connect_from([127, 0, 0, 2], served.address());
    innocent.ask(line("AUTH secret"));
    let waiting = client_list(&mut innocent, "");
    assert_eq!(waiting.iter().filter(|client| client.text("flags") == "b").count(), 1);
    // It has had a few tries in the second since, and leaves while it waits.
    drop(guesser);
    while client_list(&mut innocent, "").len() > 1 {
        assert!(start.elapsed() < Duration::from_secs(2), "the server does not notice the end");
    }
}

#[thegiant::test]
async fn failures_are_logged_once_a_minute() {
    let log = Log::default();
    log.keep(Level::WARN);
    let server = test_server();
    for _ in 0..2 {
        let mut client = server.connect();
        client.send("AUTH wrong\r\nAUTH wrong\r\n").await;
        client.expect(WRONG.repeat(2)).await;
        tokio::time::sleep(Duration::from_secs(25)).await;
    }
    assert_eq!(log.lines(), [""; 0]);
    tokio::time::sleep(Duration::from_secs(15)).await;
    let expected = "WARN logins have failed within a minute, most of them from this address failures=4 \
                    address=\"127.0.0.1\" of_address=4";
    assert_eq!(log.lines(), [expected]);
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(log.lines(), [expected]);
}
