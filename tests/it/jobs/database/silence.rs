//! A PostgreSQL that accepts connections and does not answer.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener},
    os::unix::net::UnixStream,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    thread,
};

use super::{add, connected, owner::refusal_of};
use crate::support::{Postgres, Process, line};

/// Forwards connections to a server, until it is silent: then it accepts connections, reads and keeps all of it.
struct Proxy {
    address: SocketAddr,
    is_silent: Arc<AtomicBool>,
}

impl Proxy {
    fn start(server: &Postgres) -> Self {
        let socket = server.socket();
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let is_silent = Arc::new(AtomicBool::new(false));
        let proxy = Proxy { address, is_silent: Arc::clone(&is_silent) };
        thread::spawn(move || {
            for client in listener.incoming() {
                let client = client.expect("a connection");
                let Ok(server) = UnixStream::connect(&socket) else { return };
                let (from_client, from_server) = (client.try_clone(), server.try_clone());
                forward(from_client.expect("a socket"), server, Arc::clone(&is_silent));
                forward(from_server.expect("a socket"), client, Arc::clone(&is_silent));
            }
        });
        proxy
    }
}

fn forward(
    mut from: impl Read + Send + 'static,
    mut to: impl Write + Send + 'static,
    is_silent: Arc<AtomicBool>,
) {
    thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(len @ 1..) = from.read(&mut buffer) {
            if !is_silent.load(SeqCst) && to.write_all(&buffer[..len]).is_err() {
                return;
            }
        }
    });
}

#[test]
fn a_server_that_does_not_answer_at_the_start_is_an_error() {
    // The kernel accepts connections of a listener.
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address");
    let error = refusal_of(&format!("postgres://test@{address}/postgres?connect_timeout=1"));
    let text = "jobs: postgres: error communicating with the server: the server has not answered for 1s\n";
    assert_eq!(error, text);
}

#[test]
fn a_server_that_does_not_answer_any_more_ends_jobs() {
    let server = Postgres::start();
    let proxy = Proxy::start(&server);
    let url = format!("postgres://test@{}/postgres?connect_timeout=1&answer_timeout=2", proxy.address);
    let process = Process::program_with("jobs", &["--database", &url]);
    let mut client = connected(&process);
    add(&mut client, "q body");
    proxy.is_silent.store(true, SeqCst);
    let error = client.ask(line("ADDJOB q lost"));
    let error = String::from_utf8_lossy(&error);
    // The commit has failed, or the connection after it.
    assert!(
        error.starts_with("-MISCONF Errors writing to the database: ")
            && error.contains("the server has not answered for "),
        "{error}"
    );
    assert_eq!(process.wait().code(), Some(1));
}
