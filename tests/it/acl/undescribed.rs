//! Users of a proxy whose upstream has not described its commands yet.

use std::{
    io::{Read, Write},
    net::TcpListener,
    thread,
};

use thegiant::{prelude::*, proxy::Upstream};

use super::enforcement::log_in;
use crate::support::{ANY_PORT, Folder, Process, RawClient, Served, app, eventually, line, lines};

const DOWN: &str = "-UPSTREAMDOWN no upstream has described its commands yet: the command was not sent\r\n";

/// Serves a proxy whose user `u` is denied a category, and may use keys that begin with `a`.
fn proxy(upstream: &str) -> Served {
    let upstream = upstream.to_owned();
    let with = |server: Server| Ok(server.bind(ANY_PORT)?.user("u", "on nopass +@all -@admin ~a*"));
    Served::with(move || App::new().proxy(Upstream::new(upstream).start()), with)
}

/// Serves a proxy whose upstream accepts no connection while the listener exists.
fn proxy_of_silent_upstream() -> (TcpListener, Served) {
    let listener = TcpListener::bind(ANY_PORT).expect("a free port");
    let served = proxy(&listener.local_addr().expect("it is bound").to_string());
    (listener, served)
}

#[test]
fn their_requests_wait_for_the_description() {
    let redis = Process::redis(&[]);
    let mut admin = RawClient::connect(redis.address());
    assert_eq!(admin.ask(line("CLIENT PAUSE 500 ALL")), "+OK\r\n");
    let served = proxy(redis.address());
    let mut clients: Vec<_> = (0..20).map(|_| log_in(served.address())).collect();
    for client in &mut clients {
        client
            .send(lines("CLIENT GETNAME \n SET a x \n FLUSHALL \n SAVE \n GET b \n MULTI \n GET a \n EXEC"));
    }
    let no_command = "-NOPERM this user has no permissions to run the 'save' command\r\n";
    let no_key = "-NOPERM this user has no permissions to access one of the keys used as arguments\r\n";
    for mut client in clients {
        let transaction = "+OK\r\n+QUEUED\r\n*1\r\n$";
        let replies = String::from_utf8_lossy(&client.replies(8)).into_owned();
        let expected = format!("$-1\r\n+OK\r\n+OK\r\n{no_command}{no_key}{transaction}");
        assert!(replies.starts_with(&expected), "{replies}");
    }
}

#[test]
fn their_requests_fail_while_the_upstream_is_down() {
    let folder = Folder::new();
    let address = folder.socket("upstream.sock");
    let served = proxy(&address);
    let mut client = log_in(served.address());
    assert_eq!(client.ask(line("SET a x")), DOWN);
    // A user without restrictions gets the error of the proxy.
    let mut admin = RawClient::connect(served.address());
    assert!(admin.ask(line("SET a x")).starts_with(b"-UPSTREAMDOWN "));
    let _upstream = Served::with(app, move |server| server.bind(address));
    eventually(|| (client.ask(line("SET a x")) == "+OK\r\n").then_some(()));
}

#[test]
fn a_stop_does_not_wait_for_the_description() {
    let (_upstream, served) = proxy_of_silent_upstream();
    let mut client = log_in(served.address());
    // The first reply comes because the second request waits.
    client.send(lines("CLIENT GETNAME \n SET a x"));
    assert_eq!(client.reply(), "$-1\r\n");
    served.stop().expect("it ends");
    assert_eq!(client.rest(), DOWN);
}

#[test]
fn a_client_that_leaves_does_not_wait_for_the_description() {
    let (_upstream, served) = proxy_of_silent_upstream();
    let mut admin = RawClient::connect(served.address());
    let mut clients = || String::from_utf8_lossy(&admin.ask(line("CLIENT LIST"))).matches("id=").count();
    let mut leaving = log_in(served.address());
    leaving.send(lines("CLIENT GETNAME \n SET a x"));
    assert_eq!(leaving.reply(), "$-1\r\n");
    assert_eq!(clients(), 2);
    drop(leaving);
    eventually(|| (clients() == 1).then_some(()));
}

#[test]
fn a_changed_rule_ends_the_wait() {
    let (_upstream, served) = proxy_of_silent_upstream();
    let mut waiting = log_in(served.address());
    waiting.send(lines("CLIENT GETNAME \n EVAL x 0"));
    assert_eq!(waiting.reply(), "$-1\r\n");
    let mut admin = RawClient::connect(served.address());
    assert_eq!(admin.ask(line("ACL SETUSER u +@all allkeys allchannels")), "+OK\r\n");
    // It goes to the proxy, which waits for its connection, and gets the error of that.
    drop(admin);
    let reply = waiting.reply();
    assert!(reply.starts_with(b"-UPSTREAMDOWN 127.0.0.1:"), "{reply:?}");
}

/// It accepts connections and replies to `PING`, and closes them when it gets `COMMAND`.
#[test]
fn their_requests_fail_if_the_upstream_never_describes_its_commands() {
    let (listener, served) = proxy_of_silent_upstream();
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut request = [0; 1024];
            while let Ok(read @ 1..) = stream.read(&mut request)
                && !request[..read].windows(7).any(|part| part == b"COMMAND")
            {
                stream.write_all(b"+PONG\r\n").expect("the proxy reads it");
            }
        }
    });
    let mut client = log_in(served.address());
    assert_eq!(client.ask(line("SET a x")), DOWN);
    assert_eq!(client.ask(line("SET a x")), DOWN);
}

#[test]
fn an_exec_that_is_denied_ends_the_transaction_of_an_upstream() {
    let redis = Process::redis(&[]);
    let served = proxy(redis.address());
    let [mut admin, mut client] = [RawClient::connect(served.address()), log_in(served.address())];
    assert_eq!(client.ask(line("SET a 1")), "+OK\r\n");
    assert_eq!(admin.ask(line("ACL SETUSER u -exec")), "+OK\r\n");
    client.send(lines("MULTI \n SET a 2"));
    assert_eq!(client.replies(2), "+OK\r\n+QUEUED\r\n");
    client.send(lines("EXEC \n SET b x \n GET a"));
    let replies = String::from_utf8_lossy(&client.replies(3)).into_owned();
    assert!(replies.starts_with("-EXECABORT "), "{replies}");
    let no_key = "-NOPERM this user has no permissions to access one of the keys used as arguments\r\n";
    assert!(replies.ends_with(&format!("{no_key}$1\r\n1\r\n")), "{replies}");
}
