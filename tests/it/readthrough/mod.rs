mod database;
mod down;
mod many;
mod threads;

use crate::support::{Folder, Postgres, Process, RawClient};

/// A database, with its files or its server.
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

    /// Starts `readthrough` on the database, with these options.
    ///
    /// The default query timeout is that of the tests, because a database can take seconds to answer on a busy machine.
    fn serve(&self, options: &[&str]) -> (Process, RawClient) {
        let url = self.url();
        let mut arguments = [&["--database", &url], options].concat();
        if !options.contains(&"--query-timeout") {
            arguments.extend(["--query-timeout", "60000"]);
        }
        let process = Process::program_with("readthrough", &arguments);
        let client = RawClient::connect(process.address());
        (process, client)
    }
}

/// Returns a field of the `readthrough` section of `INFO`.
fn stat(client: &mut RawClient, field: &str) -> u64 {
    crate::support::info(client, "readthrough").number(field)
}
