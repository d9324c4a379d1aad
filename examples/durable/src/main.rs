//! Run with `cargo run -p durable`, then try `redis-cli -p 6380 SET greeting hello`.
//!
//! This example shows group commit: clients get `OK` when their data is on disk, and clients that write at the same
//! time share one `fsync`. The data is in the file `durable.log` in the current directory.

use std::{
    collections::HashMap,
    fs::File,
    io::{self, BufRead, BufReader, Seek, Write},
    mem,
    path::Path,
};

use thegiant::{Commit, GroupCommit, prelude::*};

/// Values in memory, and a log of all changes.
struct Store {
    log: File,
    /// Length of the log up to the last commit.
    committed: u64,
    /// Changes since the last commit.
    uncommitted: Vec<u8>,
    values: HashMap<String, String>,
}

impl Actor for Store {
    type Context = Context<Self>;
}

#[commands(group_commit)]
impl Store {
    /// Sets the value of a key.
    #[command("SET", write)]
    fn set(&mut self, key: Key<&str>, value: &str) -> Result<(), Error> {
        if key.contains([' ', '\n']) || value.contains('\n') {
            return Err(Error::err("a key has no spaces, and a value is one line"));
        }
        writeln!(self.uncommitted, "{key} {value}").map_err(Error::internal)?;
        self.values.insert(key.to_string(), value.to_owned());
        Ok(())
    }

    /// Returns the value of a key.
    #[command("GET", readonly)]
    fn get(&self, key: Key<&str>) -> Option<&String> {
        self.values.get(*key)
    }
}

impl GroupCommit for Store {
    /// Runs once for all commands of a group. Their replies leave when it has succeeded.
    fn commit(&mut self, _: &mut Context<Self>) -> Commit {
        let lines = mem::take(&mut self.uncommitted);
        let written = self.log.write_all(&lines).and_then(|()| self.log.sync_data());
        if written.is_ok() {
            self.committed += lines.len() as u64;
        }
        // The writers get `ERR internal error`, and the log gets the reason.
        written.map_err(Error::internal).into()
    }

    /// Runs after a failed commit. The writers of the group have got the error.
    fn rollback(&mut self, _: &Error, context: &mut Context<Self>) {
        self.uncommitted.clear();
        if self.log.set_len(self.committed).and_then(|()| self.load()).is_err() {
            context.stop(); // The values in memory may be wrong: end the server.
        }
    }
}

impl Store {
    fn open(path: &Path) -> io::Result<Self> {
        let log = File::options().create(true).read(true).append(true).open(path)?;
        let mut store = Store { log, committed: 0, uncommitted: Vec::new(), values: HashMap::new() };
        store.load()?;
        Ok(store)
    }

    /// Reads the log. Drops an incomplete line at its end: no client has got an `OK` for it.
    fn load(&mut self) -> io::Result<()> {
        (self.committed, self.values) = (0, HashMap::new());
        self.log.rewind()?;
        let mut lines = BufReader::new(&self.log);
        let mut line = String::new();
        while lines.read_line(&mut line)? > 0 && line.ends_with('\n') {
            self.committed += line.len() as u64;
            if let Some((key, value)) = line.trim_end_matches('\n').split_once(' ') {
                self.values.insert(key.to_owned(), value.to_owned());
            }
            line.clear();
        }
        self.log.set_len(self.committed)
    }
}

fn app(path: &Path) -> io::Result<App> {
    Ok(App::new().mount(Store::open(path)?.start()))
}

#[thegiant::main]
async fn main() -> io::Result<()> {
    Server::new(app(Path::new("durable.log"))?).bind("127.0.0.1:6380")?.run().await
}

#[cfg(test)]
mod tests {
    use std::fs;

    use thegiant::test::TestServer;

    use super::*;

    #[thegiant::test]
    async fn a_new_server_has_what_was_committed() {
        let path = std::env::temp_dir().join(format!("durable-{}.log", std::process::id()));
        let server = TestServer::start(app(&path).expect("a log"));
        let mut client = server.connect();
        client.send("SET a 1\r\nSET b 2\r\nSET a 3\r\nSET \"x y\" 1\r\n").await;
        client.expect("+OK\r\n+OK\r\n+OK\r\n-ERR a key has no spaces, and a value is one line\r\n").await;
        assert_eq!(fs::read_to_string(&path).expect("a log"), "a 1\nb 2\na 3\n");

        // As after a power failure in the middle of a write.
        let mut log = File::options().append(true).open(&path).expect("a log");
        log.write_all(b"c 4").expect("written");
        let server = TestServer::start(app(&path).expect("a log"));
        let mut client = server.connect();
        client.send("GET a\r\nGET b\r\nGET c\r\n").await;
        client.expect("$1\r\n3\r\n$1\r\n2\r\n$-1\r\n").await;
        fs::remove_file(&path).expect("removed");
    }
}
