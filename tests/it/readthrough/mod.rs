mod cluster;
mod database;
mod down;
mod failover;
mod many;
mod threads;

use std::thread;

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

/// Clients read a key right after they have written it, while others read all keys.
fn clients_read_their_own_writes(options: &[&str]) {
    for database in Database::all() {
        let (process, _) = database.serve(options);
        let address = process.address();
        let write = |writer: usize| {
            let mut client = RawClient::connect(address);
            for number in 0..50 {
                assert_eq!(client.ask(format!("SET key:{writer} {number}\r\n")), "+OK\r\n");
                let expected = format!("${}\r\n{number}\r\n", number.to_string().len());
                assert_eq!(client.ask(format!("GET key:{writer}\r\n")), expected);
                assert_eq!(client.ask(format!("MGET key:{writer}\r\n")), format!("*1\r\n{expected}"));
            }
        };
        // Concurrent reads could put old values into the cache.
        let read = |reader: usize| {
            let mut client = RawClient::connect(address);
            for number in 0..1000 {
                client.ask(format!("GET key:{}\r\n", (reader + number) % 8));
            }
        };
        thread::scope(|scope| {
            for number in 0..8 {
                scope.spawn(move || write(number));
                scope.spawn(move || read(number));
            }
        });
    }
}
