//! A PostgreSQL that accepts connections and does not answer.

use std::{net::TcpListener, os::unix::net::UnixListener};

use super::{add, connected, owner::refusal_of, proxy::Proxy, stat};
use crate::support::{Folder, Postgres, Process, line};

#[test]
fn a_server_that_does_not_answer_at_the_start_is_an_error() {
    // The kernel accepts connections of a listener.
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address");
    let folder = Folder::new();
    let _listener = UnixListener::bind(folder.path().join(".s.PGSQL.5432")).expect("a socket");
    let socket = folder.path().display().to_string().replace('/', "%2F");
    let text = "jobs: postgres: error communicating with the server: the server has not answered for 1s\n";
    for hosts in
        [&address.to_string(), &socket, &format!("{socket},{address}"), &format!("{address},{socket}")]
    {
        assert_eq!(
            refusal_of(&format!("postgres://test@{hosts}/postgres?connect_timeout=1")),
            text,
            "{hosts}"
        );
    }
}

const LIMITS: &str = "connect_timeout=1&answer_timeout=2";

#[test]
fn a_server_that_does_not_answer_any_more_ends_jobs() {
    let server = Postgres::start();
    let proxy = Proxy::start(&server);
    ends_jobs(&proxy.url(LIMITS), || proxy.be_silent());
}

#[test]
fn a_server_on_a_unix_socket_that_does_not_answer_any_more_ends_jobs() {
    let server = Postgres::start();
    ends_jobs(&format!("{}&{LIMITS}", server.url()), || server.freeze());
}

#[test]
fn a_server_that_does_not_answer_any_more_ends_jobs_if_another_host_is_a_unix_socket() {
    let server = Postgres::start();
    let proxy = Proxy::start(&server);
    ends_jobs(&proxy.url(LIMITS).replace("/postgres?", ",%2Fnothing/postgres?"), || proxy.be_silent());
}

fn ends_jobs(url: &str, be_silent: impl FnOnce()) {
    let process = Process::program_with("jobs", &["--database", url]);
    let mut client = connected(&process);
    add(&mut client, "q body");
    be_silent();
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

/// PostgreSQL has committed it, and waits for the standby without a limit.
#[test]
fn a_commit_that_waits_for_a_lost_standby_ends_jobs_and_may_have_succeeded() {
    let primary = Postgres::start();
    let standby = primary.standby();
    let url = format!("{}&{LIMITS}", primary.url());
    ends_jobs(&url, || standby.freeze());
    standby.thaw();
    let process = Process::program_with("jobs", &["--database", &url]);
    assert_eq!(stat(&mut connected(&process), "q", "ready"), 2);
}
