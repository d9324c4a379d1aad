//! Run with `cargo run -p compaction`, then try `redis-cli -p 6380 COUNT visits`.
//!
//! This example shows a log that is compacted in the background, after a number of commits. Clients do not wait for it. The
//! example `durable` explains group commit.

use std::{
    collections::HashMap,
    fs::{self, File},
    io::{self, Read, Write},
    mem,
    path::{Path, PathBuf},
};

use actix_rt::task::spawn_blocking;
use thegiant::{Commit, GroupCommit, prelude::*};

/// Counters in memory, and a log of their values.
struct Store {
    path: PathBuf,
    log: File,
    /// Length of the log up to the last commit.
    committed: u64,
    /// Lines since the last commit.
    uncommitted: Vec<u8>,
    values: HashMap<String, i64>,
    /// Number of commits from one compaction to the next.
    interval: u64,
    commits: u64,
    /// The lines that were committed since a compaction began. `None` if there is none in progress.
    meanwhile: Option<Vec<u8>>,
}

impl Actor for Store {
    type Context = Context<Self>;
}

#[commands(group_commit)]
impl Store {
    /// Adds to a counter and returns its new value.
    #[command("COUNT", write)]
    fn count(&mut self, name: Key<&str>, by: Option<i64>) -> Result<i64, Error> {
        if name.contains([' ', '\n']) {
            return Err(Error::err("a name has no spaces"));
        }
        let value = self.values.entry(name.to_string()).or_default();
        *value = value.saturating_add(by.unwrap_or(1));
        self.uncommitted.extend(line(*name, *value));
        Ok(*value)
    }
}

impl GroupCommit for Store {
    fn commit(&mut self, _: &mut Context<Self>) -> Commit {
        let lines = mem::take(&mut self.uncommitted);
        let written = self.log.write_all(&lines).and_then(|()| self.log.sync_data());
        if written.is_ok() {
            self.committed += lines.len() as u64;
            self.meanwhile.iter_mut().for_each(|meanwhile| meanwhile.extend(&lines));
        }
        written.map_err(Error::internal).into()
    }

    /// Begins a compaction. All values are on disk now, so they can be the first lines of the next log.
    fn committed(&mut self, context: &mut Context<Self>) {
        self.commits += 1;
        if self.commits < self.interval || self.meanwhile.is_some() {
            return;
        }
        (self.commits, self.meanwhile) = (0, Some(Vec::new()));
        let lines: Vec<u8> = self.values.iter().flat_map(|(name, value)| line(name, *value)).collect();
        let path = self.next_path();
        let written = spawn_blocking(move || {
            let mut log = File::create(path)?;
            log.write_all(&lines).and_then(|()| log.sync_data())
        });
        context.spawn(written.into_actor(self).map(|written, this, context| {
            let meanwhile = this.meanwhile.take().unwrap_or_default();
            let written = written.unwrap_or_else(|error| Err(io::Error::other(error)));
            match written.and_then(|()| this.next_log(&meanwhile)) {
                // The log in use has all values, so nothing is lost.
                Err(error) => tracing::warn!(%error, "the compaction failed"),
                Ok(log) => {
                    if this.switch_to(log).is_err() {
                        context.stop(); // The folder may have either log.
                    }
                }
            }
        }));
    }

    fn rollback(&mut self, _: &Error, context: &mut Context<Self>) {
        self.uncommitted.clear();
        if self.log.set_len(self.committed).and_then(|()| self.load()).is_err() {
            context.stop();
        }
    }
}

impl Store {
    fn open(path: &Path, interval: u64) -> io::Result<Self> {
        let path = std::path::absolute(path)?;
        let (log, committed, commits) = (append_to(&path)?, 0, 0);
        let (uncommitted, values, meanwhile) = (Vec::new(), HashMap::new(), None);
        let mut store = Store { path, log, committed, uncommitted, values, interval, commits, meanwhile };
        store.load()?;
        Ok(store)
    }

    /// Reads the log. Drops an incomplete line at its end: no client has got a reply for it.
    fn load(&mut self) -> io::Result<()> {
        let mut text = String::new();
        File::open(&self.path)?.read_to_string(&mut text)?;
        let text = &text[..text.rfind('\n').map_or(0, |end| end + 1)];
        let pairs = text.lines().filter_map(|line| line.split_once(' '));
        self.values =
            pairs.filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?))).collect();
        self.committed = text.len() as u64;
        self.log.set_len(self.committed)
    }

    /// Completes the compacted log by the lines since the compaction began.
    fn next_log(&self, meanwhile: &[u8]) -> io::Result<File> {
        let mut log = append_to(&self.next_path())?;
        log.write_all(meanwhile).and_then(|()| log.sync_data())?;
        Ok(log)
    }

    /// Replaces the log, and makes the new name durable before the next commit.
    fn switch_to(&mut self, log: File) -> io::Result<()> {
        fs::rename(self.next_path(), &self.path)?;
        File::open(self.path.parent().unwrap_or(Path::new("/")))?.sync_all()?;
        (self.committed, self.log) = (log.metadata()?.len(), log);
        Ok(())
    }

    fn next_path(&self) -> PathBuf {
        self.path.with_extension("next")
    }
}

fn append_to(path: &Path) -> io::Result<File> {
    File::options().create(true).append(true).open(path)
}

fn line(name: &str, value: i64) -> Vec<u8> {
    format!("{name} {value}\n").into_bytes()
}

fn app(path: &Path, interval: u64) -> io::Result<App> {
    Ok(App::new().mount(Store::open(path, interval)?.start()))
}

#[thegiant::main]
async fn main() -> io::Result<()> {
    Server::new(app(Path::new("counters.log"), 1000)?).bind("127.0.0.1:6380")?.run().await
}

#[cfg(test)]
mod tests {
    use thegiant::test::TestServer;

    use super::*;

    #[thegiant::test]
    async fn a_compacted_log_has_all_values() {
        let path = std::env::temp_dir().join(format!("compaction-{}.log", std::process::id()));
        let server = TestServer::start(app(&path, 3).expect("a log"));
        let mut client = server.connect();
        client.call(["COUNT", "other", "7"]).await;
        for count in 1..=20 {
            assert_eq!(client.call(["COUNT", "visits"]).await, Value::Integer(count));
        }
        let uncompacted = "other 7\n".len() + 9 * "visits 1\n".len() + 11 * "visits 10\n".len();
        while fs::metadata(&path).expect("a log").len() == uncompacted as u64 {
            client.call(["PING"]).await;
        }

        let server = TestServer::start(app(&path, 3).expect("a log"));
        let mut client = server.connect();
        assert_eq!(client.call(["COUNT", "visits"]).await, Value::Integer(21));
        assert_eq!(client.call(["COUNT", "other"]).await, Value::Integer(8));
        fs::remove_file(&path).expect("removed");
    }
}
