//! Run with `cargo run -p sessions`, then try it with redis-cli:
//!
//! ```console
//! $ redis-cli -p 6380
//! 127.0.0.1:6380> SESSION SET 7f3a ann 60
//! OK
//! 127.0.0.1:6380> SESSION GET 7f3a
//! 1) "user"
//! 2) "ann"
//! 3) "seconds_left"
//! 4) (integer) 59
//! 127.0.0.1:6380> SESSION GET 91bc
//! (error) NOSESSION there is no session with this id
//! 127.0.0.1:6380> SUBSCRIBE __keyevent@0__:expired
//! 1) "subscribe"
//! 2) "__keyevent@0__:expired"
//! 3) (integer) 1
//! 1) "message"
//! 2) "__keyevent@0__:expired"
//! 3) "7f3a"
//! ```
//!
//! This example shows the sessions of a web site. They expire, and the keyspace events `expired` and `ended` tell clients so. They
//! outlive the server: each change is in the file `sessions.log` in the current directory before its client gets a reply. The
//! example `compaction` keeps such a log short.

use std::{fs, io, io::Write, path::Path};

use thegiant::{Commit, EventClass, ExpiringMap, GroupCommit, KeyEvents, now, prelude::*};

/// How long a session lasts, in seconds: an argument from 1 to 86400.
#[derive(FromArg)]
#[arg(range = 1..=86_400, error = "a session lasts 1 to 86400 seconds")]
struct Lifetime(i64);

/// A map in RESP3; an array of names and values in RESP2.
#[derive(Reply)]
struct Session<'a> {
    user: &'a str,
    seconds_left: i64,
}

/// An error whose text clients read, behind the code of the variant.
#[derive(Debug, thiserror::Error, ReplyError)]
enum SessionError {
    #[error("an id has no spaces, and a user is one line")]
    Invalid,
    #[error("there is no session with this id")]
    #[reply(code = "NOSESSION")]
    Unknown,
}

struct Sessions {
    /// The user of each session.
    users: ExpiringMap<String, String>,
    /// One line for each change: id, deadline and user, or only the id of a session that has ended.
    log: fs::File,
    /// Lines since the last commit.
    uncommitted: String,
}

impl Actor for Sessions {
    type Context = Context<Self>;
}

#[commands(expire(users), group_commit)]
impl Sessions {
    /// Begins the session of a user, or replaces one.
    #[command("SESSION SET", write)]
    fn set(&mut self, id: Key<String>, user: String, time: Lifetime) -> Result<(), SessionError> {
        if id.contains(char::is_whitespace) || user.contains(char::is_control) {
            return Err(SessionError::Invalid);
        }
        self.put(id.into(), user, time);
        Ok(())
    }

    /// Returns the user of a session, and the time that is left.
    #[command("SESSION GET", readonly, fast)]
    fn get(&self, id: Key<&str>) -> Result<Session<'_>, SessionError> {
        let user = self.users.get(*id).ok_or(SessionError::Unknown)?;
        let left = self.users.deadline(*id).unwrap_or_default() - now();
        Ok(Session { user, seconds_left: left / 1000 })
    }

    /// Lets a session last from now on for this time.
    #[command("SESSION KEEP", write)]
    fn keep(&mut self, id: Key<String>, time: Lifetime) -> Result<(), SessionError> {
        let user = self.users.remove(&*id).ok_or(SessionError::Unknown)?;
        self.put(id.into(), user, time);
        Ok(())
    }

    /// Ends a session. Returns whether there was one.
    #[command("SESSION END", write)]
    fn end(&mut self, id: Key<&str>, events: &mut KeyEvents) -> bool {
        let is_known = self.users.remove(*id).is_some();
        if is_known {
            self.uncommitted += &format!("{id}\n");
            events.add(EventClass::Generic, "ended", 0, id);
        }
        is_known
    }
}

impl GroupCommit for Sessions {
    /// Runs once for all commands that arrived at the same time. Their replies leave when it has succeeded.
    fn commit(&mut self, _: &mut Context<Self>) -> Commit {
        let lines = std::mem::take(&mut self.uncommitted);
        let written = self.log.write_all(lines.as_bytes()).and_then(|()| self.log.sync_data());
        written.map_err(Error::internal).into()
    }

    /// Runs after a failed commit. It ends the server: the next one has what is in the log.
    fn rollback(&mut self, _: &Error, context: &mut Context<Self>) {
        context.stop();
    }
}

impl Sessions {
    fn load(mut users: ExpiringMap<String, String>, path: &Path) -> io::Result<Self> {
        let log = fs::File::options().create(true).append(true).open(path)?;
        let text = fs::read_to_string(path)?;
        // A line without an end was not committed: no client has got a reply for it.
        let text = &text[..text.rfind('\n').map_or(0, |end| end + 1)];
        log.set_len(text.len() as u64)?;
        for line in text.lines() {
            match line.splitn(3, ' ').collect::<Vec<_>>()[..] {
                [id, time, user] => {
                    users.insert_until(id.into(), user.into(), time.parse().unwrap_or_default())
                }
                _ => users.remove(line),
            };
        }
        Ok(Sessions { users, log, uncommitted: String::new() })
    }

    fn put(&mut self, id: String, user: String, time: Lifetime) {
        let deadline = now() + time.0 * 1000;
        self.uncommitted += &format!("{id} {deadline} {user}\n");
        self.users.insert_until(id, user, deadline);
    }
}

fn server(path: &Path) -> io::Result<Server> {
    let app = App::new();
    let users = ExpiringMap::new(app.keyspace());
    let app = app.mount(Sessions::load(users, path)?.start());
    Ok(Server::new(app).notify_keyspace_events("Egx"))
}

#[thegiant::main]
async fn main() -> io::Result<()> {
    server(Path::new("sessions.log"))?.bind("127.0.0.1:6380")?.run().await
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use thegiant::test::TestServer;

    use super::*;

    #[thegiant::test]
    async fn sessions_expire_and_outlive_the_server() -> io::Result<()> {
        tokio::time::pause(); // From here on, the clock jumps to the next timer.
        let path = std::env::temp_dir().join(format!("sessions-example-{}.log", std::process::id()));
        let first = TestServer::with(server(&path)?);
        let mut client = first.connect();
        client.send("SESSION SET a ann 60\r\nSESSION SET b bob 60\r\nSESSION SET c cid 86401\r\n").await;
        client.expect("+OK\r\n+OK\r\n-ERR a session lasts 1 to 86400 seconds\r\n").await;
        client.send("SESSION SET \"x y\" cid 60\r\nSESSION SET c cid 60\r\nSESSION KEEP b 3600\r\n").await;
        client.expect("-ERR an id has no spaces, and a user is one line\r\n+OK\r\n+OK\r\n").await;
        client.send("SESSION END c\r\nSESSION END c\r\nSESSION GET c\r\n").await;
        client.expect(":1\r\n:0\r\n-NOSESSION there is no session with this id\r\n").await;

        // As after a power failure in the middle of a write.
        fs::File::options().append(true).open(&path)?.write_all(b"b 0")?;
        let second = TestServer::with(server(&path)?);
        let (mut client, mut listener) = (second.connect(), second.connect().resp3().await);
        listener.send("SUBSCRIBE __keyevent@0__:expired\r\n").await;
        listener.pushed().await;
        tokio::time::sleep(Duration::from_secs(61)).await;
        assert_eq!(listener.pushed().await[2], Value::from("a"));
        client.send("SESSION GET a\r\nSESSION GET b\r\n").await;
        client.expect("-NOSESSION there is no session with this id\r\n").await;
        client.expect("*4\r\n$4\r\nuser\r\n$3\r\nbob\r\n$12\r\nseconds_left\r\n:3538\r\n").await;
        fs::remove_file(&path)
    }
}
