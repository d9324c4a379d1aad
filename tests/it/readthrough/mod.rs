mod database;
mod down;
mod many;

use crate::support::{Folder, Postgres, Process, RawClient};

/// A database, and what it needs.
enum Database {
    Sqlite(Folder),
    Postgres(Postgres),
}

impl Database {
    fn all() -> [Self; 2] {
        [Database::Sqlite(Folder::new()), Database::Postgres(Postgres::start())]
    }

    fn url(&self) -> String {
        match self {
            Database::Sqlite(folder) => format!("sqlite:{}", folder.path().join("entries.db").display()),
            Database::Postgres(postgres) => postgres.url(),
        }
    }

    /// The example in front of it, with these options. Unless they include a patience, it is as long as that of the tests:
    /// a database can take seconds to answer on a busy machine.
    fn serve(&self, options: &[&str]) -> (Process, RawClient) {
        let url = self.url();
        let default = ["--database", &url, "--patience", "60000"];
        let process = Process::example_with("readthrough", &[&default, options].concat());
        let client = RawClient::connect(process.address());
        (process, client)
    }
}

/// A field of its section of `INFO`.
fn told(client: &mut RawClient, field: &str) -> u64 {
    crate::support::info(client, "readthrough").number(field)
}
