//! PostgreSQL has committed a transaction, and the reply is lost.

use super::{Database, add, bulk, connected, proxy::Proxy, stat};
use crate::support::{Process, RawClient, Reply, line, lines, request};

/// A server of jobs whose connections go through a proxy.
struct Jobs {
    database: Database,
    proxy: Proxy,
    process: Process,
    client: RawClient,
}

impl Jobs {
    fn start() -> Self {
        let database = Database::postgres();
        let Database::Postgres(server) = &database else { unreachable!() };
        let proxy = Proxy::start(server);
        let process = Process::program_with("jobs", &["--database", &proxy.url("answer_timeout=120")]);
        let client = connected(&process);
        Jobs { database, proxy, process, client }
    }

    /// Returns the number of times that the log and the rows have a job with a body that contains a text.
    fn copies(&self, text: &str) -> String {
        let Database::Postgres(server) = &self.database else { unreachable!() };
        server.answer(&format!(
            "SELECT (SELECT count(*) FROM jobs.log WHERE position('{text}'::bytea IN changes) > 0)
            + (SELECT count(*) FROM jobs.jobs WHERE position('{text}'::bytea IN body) > 0)"
        ))
    }

    /// Kills the server, and returns a client of the next one.
    fn restart(self) -> (Database, Process, RawClient) {
        drop(self.process);
        let (process, client) = self.database.start();
        (self.database, process, client)
    }
}

/// Takes all jobs of a queue, and returns the start of their bodies and the number of tries before.
fn bodies(client: &mut RawClient, queue: &str) -> Vec<(String, i64)> {
    let reply = client.ask(line(&format!("GETJOB NOHANG COUNT 100 FROM {queue}")));
    let Some(Reply::Array(jobs)) = Reply::only(&reply) else { panic!("the reply is {reply:?}") };
    let body_and_tries = |job: &Reply| match job {
        Reply::Array(fields) => match (&fields[2], &fields[3]) {
            (Reply::Bulk(body), Reply::Integer(tries)) => {
                (String::from_utf8_lossy(&body[..body.len().min(8)]).into_owned(), *tries)
            }
            other => panic!("the job has {other:?}"),
        },
        other => panic!("the job is {other:?}"),
    };
    jobs.iter().map(body_and_tries).collect()
}

fn untried<const N: usize>(bodies: [&str; N]) -> Vec<(String, i64)> {
    bodies.map(|body| (body.to_owned(), 0)).into()
}

#[test]
fn an_entry_of_the_log_is_written_once() {
    let mut jobs = Jobs::start();
    add(&mut jobs.client, "q first");
    jobs.proxy.lose_reply("second", 0);
    jobs.client.send(line("ADDJOB q second"));
    jobs.proxy.wait_until_down();
    assert_eq!(jobs.copies("second"), "1");
    jobs.proxy.forward_again();
    let id = bulk(&Reply::only(&jobs.client.reply()).expect("an id"));
    assert_eq!(jobs.copies("second"), "1");
    let (_database, _process, mut client) = jobs.restart();
    assert_eq!(client.ask(line(&format!("SHOW {id}"))).first(), Some(&b'*'));
    assert_eq!(stat(&mut client, "q", "added"), 2);
    assert_eq!(bodies(&mut client, "q"), untried(["first", "second"]));
}

#[test]
fn rows_in_several_statements_are_written_once() {
    let mut jobs = Jobs::start();
    let body = |name: &str| [name.as_bytes(), &vec![b' '; 9 << 20]].concat();
    let small = add(&mut jobs.client, "q small");
    jobs.proxy.lose_reply("COMMIT", 0);
    // The statements have up to 16 MiB.
    jobs.client.send(lines(&format!("MULTI\nACKJOB {small}")));
    for name in ["first", "second"] {
        jobs.client.send(request([b"ADDJOB".as_slice(), b"q", &body(name)]));
    }
    jobs.client.send(line("EXEC"));
    jobs.proxy.wait_until_down();
    assert_eq!(["small", "first", "second"].map(|name| jobs.copies(name)), ["0", "1", "1"]);
    jobs.proxy.forward_again();
    let replies = jobs.client.replies(5);
    assert!(replies.starts_with(b"+OK\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n*3\r\n:1\r\n$"), "{replies:?}");
    assert_eq!(["small", "first", "second"].map(|name| jobs.copies(name)), ["0", "1", "1"]);
    let (_database, _process, mut client) = jobs.restart();
    assert_eq!(["added", "done"].map(|field| stat(&mut client, "q", field)), [3, 1]);
    assert_eq!(bodies(&mut client, "q"), untried(["first   ", "second  "]));
}

#[test]
fn rows_that_replace_the_log_are_written_once() {
    let mut jobs = Jobs::start();
    // The first message adds the entry, and the second one writes its row a second later.
    jobs.proxy.lose_reply("first", 1);
    let first = add(&mut jobs.client, "q first");
    jobs.proxy.wait_until_down();
    assert_eq!(jobs.copies("first"), "1");
    jobs.client.send(lines(&format!("ADDJOB q second\nACKJOB {first}")));
    jobs.proxy.forward_again();
    let replies = jobs.client.replies(2);
    assert!(replies.ends_with(b"\r\n:1\r\n"), "{replies:?}");
    let (_database, _process, mut client) = jobs.restart();
    assert_eq!(["added", "done"].map(|field| stat(&mut client, "q", field)), [2, 1]);
    assert_eq!(bodies(&mut client, "q"), untried(["second"]));
}
