//! A PostgreSQL that accepts connections and does not answer.

use std::net::TcpListener;

use super::{add, connected, owner::refusal_of, proxy::Proxy};
use crate::support::{Postgres, Process, line};

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
    let url = proxy.url("connect_timeout=1&answer_timeout=2");
    let process = Process::program_with("jobs", &["--database", &url]);
    let mut client = connected(&process);
    add(&mut client, "q body");
    proxy.be_silent();
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
