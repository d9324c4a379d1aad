use std::{
    net::TcpListener,
    pin::pin,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};

use actix::System;
use thegiant::{Timeouts, prelude::*, test::TestServer};
use tokio::time::timeout;

use crate::support::{
    ANY_PORT, Folder, Process, RawClient, Served, app, binary, eventually, exchange, gated, line, lines,
    request,
};

/// A test that waited for this time would fail.
const DAY: Duration = Duration::from_secs(24 * 3600);
const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_stop_closes_idle_clients() {
    let served = Served::start(app);
    let mut clients: Vec<RawClient> = (0..10).map(|_| RawClient::connect(served.address())).collect();
    for client in &mut clients {
        assert_eq!(client.ask(line("PING")), "+PONG\r\n");
    }
    served.stop().expect("it ends in order");
    for client in &mut clients {
        assert_eq!(client.rest(), "");
    }
}

#[test]
fn a_server_without_clients_stops() {
    Served::start(app).stop().expect("it ends in order");
}

#[test]
fn requests_read_before_a_stop_are_answered() {
    let (app, gatekeeper) = gated();
    let served = Served::start(app);
    let mut idle = RawClient::connect(served.address());
    idle.let_server_read();
    let mut client = RawClient::connect(served.address());
    client.send(lines("FIRST a \n GATE \n SECOND b \n PING \n NOPE"));
    gatekeeper.wait();
    served.handle().stop();
    // The idle client is closed as soon as the stop begins.
    assert_eq!(idle.rest(), "");
    gatekeeper.open();
    assert_eq!(
        client.rest(),
        "$7\r\nfirst a\r\n+through\r\n$8\r\nsecond b\r\n+PONG\r\n\
         -ERR unknown command 'NOPE', with args beginning with: \r\n"
    );
    served.ended().expect("it ends in order");
}

#[test]
fn connections_are_refused_during_a_stop() {
    let (app, gatekeeper) = gated();
    let served = Served::start(app);
    let mut client = RawClient::connect(served.address());
    client.send(line("GATE"));
    gatekeeper.wait();
    served.handle().stop();
    eventually(|| RawClient::try_connect(served.address()).is_err().then_some(()));
    gatekeeper.open();
    assert_eq!(client.rest(), "+through\r\n");
    served.ended().expect("it ends in order");
}

/// Returns a client that does not read its 100 MiB of replies.
fn client_that_does_not_read(address: &str) -> RawClient {
    let mut client = RawClient::connect(address);
    let value = "x".repeat(1 << 20);
    assert_eq!(client.ask(request(["SET", "large", &value])), "+OK\r\n");
    client.send(line("GET large").repeat(100));
    RawClient::connect(address).let_server_read();
    client
}

#[test]
fn replies_are_sent_before_a_stop_ends() {
    let served = Served::with(app, |server| server.timeouts(Timeouts::new().shutdown(DAY)).bind(ANY_PORT));
    let mut client = client_that_does_not_read(served.address());
    served.handle().stop();
    assert_eq!(client.rest().len(), 100 * ("$1048576\r\n".len() + (1 << 20) + 2));
    served.ended().expect("it ends in order");
}

#[thegiant::test]
async fn a_client_that_does_not_read_delays_a_stop_until_the_shutdown_timeout() {
    tokio::time::pause();
    let server = TestServer::with(Server::new(app()).timeouts(Timeouts::new().shutdown(DAY)));
    let mut client = server.connect();
    let value = "x".repeat(1 << 20);
    assert_eq!(client.call(["SET", "large", &value]).await, Value::Simple("OK".to_owned()));
    client.send("GET large\r\n".repeat(100)).await;
    let mut stop = pin!(server.stop());
    // The paused clock can run ahead of the timers, hence the second before and after.
    timeout(DAY - SECOND, &mut stop).await.expect_err("the client has time to read");
    timeout(2 * SECOND, &mut stop).await.expect("the client has had its time").expect("it ends in order");
}

#[test]
fn clients_are_served_until_what_comes_before_a_stop_has_ended() {
    let (begun, begin) = std::sync::mpsc::channel();
    let (end, ended) = tokio::sync::oneshot::channel();
    let served = Served::with(app, |server| {
        let first = async move {
            begun.send("first").expect("the test waits");
            // The test has ended it, or has failed.
            let _ = ended.await;
        };
        server.before_stop(first).bind(ANY_PORT)
    });
    served.handle().stop();
    assert_eq!(begin.recv(), Ok("first"));
    assert_eq!(RawClient::connect(served.address()).ask(line("PING")), "+PONG\r\n");
    end.send(()).expect("the server waits");
    served.ended().expect("it stops gracefully");
}

#[test]
fn a_second_stop_does_not_wait_for_what_comes_before_a_stop() {
    let served = Served::with(app, |server| server.before_stop(std::future::pending()).bind(ANY_PORT));
    served.handle().stop();
    let error = served.stop().expect_err("it is stopped at once");
    assert_eq!(error.to_string(), "stopped by a second signal");
}

#[test]
fn a_second_stop_ends_the_server_at_once() {
    let served = Served::with(app, |server| server.timeouts(Timeouts::new().shutdown(DAY)).bind(ANY_PORT));
    let _client = client_that_does_not_read(served.address());
    let mut idle = RawClient::connect(served.address());
    idle.let_server_read();
    served.handle().stop();
    assert_eq!(idle.rest(), "");
    served.stop().expect_err("it did not end in order");
}

#[test]
fn sigterm_and_sigint_stop_the_server_gracefully() {
    for signal in ["TERM", "INT"] {
        let kv = Process::program("kv");
        let mut client = RawClient::connect(kv.address());
        assert_eq!(client.ask(line("SET k v")), "+OK\r\n");
        kv.signal(signal);
        assert_eq!(client.rest(), "");
        assert_eq!(kv.wait().code(), Some(0), "SIG{signal}");
    }
}

/// An actor that has not started yet is started by actix while it is dropped, without an event loop.
struct Ticking(Arc<AtomicBool>);

impl Actor for Ticking {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        self.0.store(true, SeqCst);
        context.run_interval(SECOND, |_, _| {});
    }
}

#[commands]
impl Ticking {
    #[command("TICK")]
    fn tick(&self) {}
}

#[test]
fn no_actor_starts_if_the_server_cannot_listen() {
    let taken = TcpListener::bind(ANY_PORT).expect("a free port");
    let address = taken.local_addr().expect("it is bound").to_string();
    let has_started = Arc::new(AtomicBool::new(false));
    let ticking = Ticking(Arc::clone(&has_started));
    let error = System::new().block_on(async {
        Server::new(|| App::new().mount(ticking.start())).bind(&address)?.disable_signals().run().await
    });
    let error = error.expect_err("the port is in use");
    assert_eq!(
        error.to_string(),
        format!("cannot listen on {address}: Address already in use (os error 98)")
    );
    assert!(!has_started.load(SeqCst));
}

#[test]
fn a_program_that_cannot_listen_prints_one_line() {
    let taken = TcpListener::bind(ANY_PORT).expect("a free port");
    let address = taken.local_addr().expect("it is bound").to_string();
    let folder = Folder::new();
    for (name, options) in [
        ("kv", &["--bind"][..]),
        ("kv-disk", &["--bind"]),
        ("jobs", &["--bind"]),
        ("collector", &["--bind"]),
        ("balancer", &["127.0.0.1:1", "--bind"]),
        ("hello", &[]),
        ("chat", &[]),
        ("timers", &[]),
    ] {
        let mut program = Command::new(binary(name));
        program.current_dir(folder.path()).args(options).arg(&address);
        let output = program.output().expect("the program can be run");
        let printed = String::from_utf8_lossy(&output.stderr);
        let expected = format!("cannot listen on {address}: Address already in use");
        assert!(printed.contains(&expected) && printed.lines().count() == 1, "{name}: {printed}");
        assert_eq!((output.status.code(), &output.stdout[..]), (Some(1), &b""[..]), "{name}");
    }
}

#[test]
fn a_server_without_an_actix_system_is_an_error() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let error = runtime.block_on(async { Server::new(app).bind(ANY_PORT)?.run().await });
    let expected = "a server needs an actix system: start the program with #[thegiant::main]";
    assert_eq!(error.expect_err("there is no system").to_string(), expected);
}

/// As in Redis: a terminal that closes does not end the server.
#[test]
fn sighup_is_ignored() {
    let kv = Process::program("kv");
    let mut client = RawClient::connect(kv.address());
    assert_eq!(client.ask(line("SET k v")), "+OK\r\n");
    for _ in 0..3 {
        kv.signal("HUP");
        assert_eq!(client.ask(line("GET k")), "$1\r\nv\r\n");
    }
    kv.signal("TERM");
    assert_eq!(client.rest(), "");
    assert_eq!(kv.wait().code(), Some(0));
}

#[test]
fn a_second_signal_ends_the_server_at_once() {
    let kv = Process::program("kv");
    let _client = client_that_does_not_read(kv.address());
    let mut idle = RawClient::connect(kv.address());
    idle.let_server_read();
    kv.signal("TERM");
    assert_eq!(idle.rest(), "");
    kv.signal("TERM");
    assert_eq!(kv.wait().code(), Some(1));
}

/// The next server can bind the port although the system still keeps closed connections.
#[test]
fn a_port_can_be_bound_again_after_a_stop() {
    // Another test may take the port between the two servers, but hardly ten times in a row.
    let again = (0..10).find_map(|_| {
        let served = Served::start(app);
        let address = served.address().to_owned();
        let mut client = RawClient::connect(&address);
        assert_eq!(client.ask(line("PING")), "+PONG\r\n");
        served.stop().expect("it ends in order");
        Served::try_with(app, move |server| server.bind(address)).ok()
    });
    let again = again.expect("the port can be bound");
    assert_eq!(exchange(again.address(), line("PING")), "+PONG\r\n");
}
