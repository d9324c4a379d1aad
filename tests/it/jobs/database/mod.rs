//! Jobs in a database.

mod failures;
mod kills;
mod lost_replies;
mod model;
mod order;
mod owner;
mod proxy;
mod restarts;
mod silence;

use super::{add, bulk, connected, connected_with_resp3, id_in, job, jobs, stat};
use crate::support::{Folder, Postgres, Process, RawClient, Reply, eventually, line};

/// A database that outlives the servers which use it.
enum Database {
    Sqlite(Folder),
    Postgres(Postgres),
}

impl Database {
    fn sqlite() -> Self {
        Database::Sqlite(Folder::new())
    }

    fn postgres() -> Self {
        Database::Postgres(Postgres::start())
    }

    /// Returns a new database of each kind.
    fn all() -> [Self; 2] {
        [Self::sqlite(), Self::postgres()]
    }

    fn url(&self) -> String {
        match self {
            Database::Sqlite(folder) => format!("sqlite:{}", folder.path().join("jobs.db").display()),
            Database::Postgres(server) => server.url(),
        }
    }

    /// Waits until the tables of PostgreSQL have what its log had.
    fn folded(&self) {
        if let Database::Postgres(server) = self {
            eventually(|| (server.answer("SELECT count(*) FROM jobs.log") == "0").then_some(()));
        }
    }

    fn start(&self) -> (Process, RawClient) {
        self.start_with(&[])
    }

    fn start_with(&self, options: &[&str]) -> (Process, RawClient) {
        let url = self.url();
        let process = Process::program_with("jobs", &[&["--database", &url], options].concat());
        let client = connected(&process);
        (process, client)
    }
}

/// Returns everything that a client can see of these queues and jobs, except ages.
fn seen(client: &mut RawClient, queues: &[&str], ids: &[String]) -> Vec<String> {
    let mut seen = vec![shown(client, "SCHEDULES", &[])];
    for queue in queues {
        seen.push(shown(client, &format!("QPEEK {queue} 1000"), &[]));
        seen.push(shown(client, &format!("QSTAT {queue}"), &["oldest-ms", "workers"]));
    }
    for id in ids {
        seen.push(shown(client, &format!("SHOW {id}"), &["age-ms"]));
        seen.push(shown(client, &format!("RESULT {id}"), &[]));
    }
    seen
}

/// Returns the reply to a request as text, without these fields.
fn shown(client: &mut RawClient, request: &str, without: &[&str]) -> String {
    let reply = client.ask(line(request));
    let text = match Reply::only(&reply) {
        Some(Reply::Array(fields)) if !without.is_empty() => {
            let is_kept = |pair: &&[Reply]| !without.contains(&&*bulk(&pair[0]));
            fields.chunks(2).filter(is_kept).map(|pair| text(&pair[1])).collect::<Vec<_>>().join(" ")
        }
        Some(reply) => text(&reply),
        None => panic!("the reply to {request} is {reply:?}"),
    };
    format!("{request}: {text}")
}

fn text(reply: &Reply) -> String {
    match reply {
        Reply::Bulk(bytes) | Reply::Simple(bytes) | Reply::Error(bytes) => {
            String::from_utf8_lossy(bytes).into_owned()
        }
        Reply::Array(elements) => {
            let elements: Vec<_> = elements.iter().map(text).collect();
            format!("[{}]", elements.join(" "))
        }
        other => format!("{other:?}"),
    }
}
