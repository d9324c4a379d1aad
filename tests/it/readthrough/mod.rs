mod database;
mod down;
mod many;

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
    fn serve(&self, options: &[&str]) -> (Process, RawClient) {
        let url = self.url();
        let process = Process::program_with("readthrough", &[&["--database", &url], options].concat());
        let client = RawClient::connect(process.address());
        (process, client)
    }
}

/// Returns a field of the `readthrough` section of `INFO`.
fn stat(client: &mut RawClient, field: &str) -> u64 {
    crate::support::info(client, "readthrough").number(field)
}
