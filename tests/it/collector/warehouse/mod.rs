//! Events that a collector ships to PostgreSQL.

mod kills;
mod outages;
mod owner;
mod rows;

use std::path::Path;

use super::start;
use crate::support::{Folder, Postgres, Process, RawClient, Reply, eventually, info, line};

/// A collector with a warehouse.
struct Shipping {
    folder: Folder,
    url: String,
    name: &'static str,
}

impl Shipping {
    fn new(postgres: &Postgres, name: &'static str) -> Self {
        Shipping { folder: Folder::new(), url: postgres.url(), name }
    }

    fn start(&self) -> (Process, RawClient) {
        self.start_with(&[])
    }

    fn start_with(&self, options: &[&str]) -> (Process, RawClient) {
        start(self.folder.path(), &[&["--database", &self.url, "--name", self.name], options].concat())
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }
}

/// Returns a field of `INFO`.
fn field(client: &mut RawClient, name: &str) -> u64 {
    info(client, "warehouse").number(&format!("warehouse_{name}"))
}

/// Waits until the warehouse has this number of events.
fn wait_for(postgres: &Postgres, events: usize) {
    let events = events.to_string();
    eventually(|| (postgres.answer("SELECT count(*) FROM collector.events") == events).then_some(()));
}

/// Waits until the collector says that the warehouse has all events.
fn wait_until_complete(client: &mut RawClient, streams: &[&str]) {
    let added: i64 = streams.iter().map(|stream| length(client, stream)).sum();
    eventually(|| {
        let shown = info(client, "warehouse collector");
        let is_complete = shown.number("warehouse_connected") == 1
            && shown.number("warehouse_behind_events") == 0
            && shown.number("events") == added as u64;
        is_complete.then_some(())
    });
}

fn length(client: &mut RawClient, stream: &str) -> i64 {
    match Reply::only(&client.ask(line(&format!("XLEN {stream}")))) {
        Some(Reply::Integer(length)) => length,
        other => panic!("{other:?}"),
    }
}

/// Returns the ids of a stream on the disk of a collector, one a line.
fn ids_on_disk(client: &mut RawClient, stream: &str) -> String {
    let Some(Reply::Array(events)) = Reply::only(&client.ask(line(&format!("XRANGE {stream} - +")))) else {
        panic!("the events of {stream}")
    };
    let ids = events.iter().map(|event| match event {
        Reply::Array(parts) => match &parts[0] {
            Reply::Bulk(id) => String::from_utf8_lossy(id).into_owned(),
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    });
    ids.collect::<Vec<_>>().join("\n")
}

/// Returns the ids of a stream of a collector in the warehouse, one a line, in ascending order.
fn ids_in_warehouse(postgres: &Postgres, collector: &str, stream: &str) -> String {
    // Not by `ctid`: after a crash of the server, new rows can get places before old ones.
    postgres.answer(&format!(
        "SELECT ms || '-' || seq FROM collector.events WHERE collector = '{collector}' AND stream = '{stream}' \
         ORDER BY ms, seq"
    ))
}
