//! The interface of group commit.

use std::{fmt, future::Future, time::Duration};

use actix::{Actor, Context, ResponseFuture};

use crate::{Error, command::Commands};

/// An actor with group commit: its replies are held back until the data they acknowledge is on disk.
///
/// `#[commands(group_commit)]` requires this trait. The actor runs all requests in its queue, of all clients.
/// When a turn of the event loop brings no more, [`commit`](Self::commit) is called once for this **group**
/// of commands. After it has succeeded, the replies are sent. So 50 clients that write at the same time share
/// one write to the disk. A client waits only for the group of its own command, and clients of other actors do
/// not wait.
///
/// This store keeps its values in memory and in a log, and survives a power failure:
///
/// ```
/// use std::{collections::HashMap, fs::File, io::{self, BufRead, BufReader, Write}};
/// use thegiant::{GroupCommit, Commit, prelude::*};
///
/// struct Store { log: File, committed: u64, unwritten: Vec<u8>, values: HashMap<String, String> }
///
/// impl Store {
///     fn open(path: &str) -> io::Result<Self> {
///         let log = File::options().create(true).read(true).append(true).open(path)?;
///         let mut store = Store { log, committed: 0, unwritten: Vec::new(), values: HashMap::new() };
///         store.read_back()?;
///         Ok(store)
///     }
///
///     /// A last line without an end was never acknowledged, so it is cut off.
///     fn read_back(&mut self) -> io::Result<()> {
///         let mut lines = BufReader::new(&self.log);
///         let mut line = String::new();
///         io::Seek::rewind(&mut lines)?;
///         (self.committed, self.values) = (0, HashMap::new());
///         while lines.read_line(&mut line)? > 0 && line.ends_with('\n') {
///             self.committed += line.len() as u64;
///             if let Some((key, value)) = line.trim_end_matches('\n').split_once(' ') {
///                 self.values.insert(key.to_owned(), value.to_owned());
///             }
///             line.clear();
///         }
///         self.log.set_len(self.committed)
///     }
/// }
///
/// impl Actor for Store { type Context = Context<Self>; }
///
/// #[commands(group_commit)]
/// impl Store {
///     /// Sets the value of a key.
///     #[command("SET", write)]
///     fn set(&mut self, key: Key<&str>, value: &str) {
///         // A real store would refuse keys with spaces.
///         self.unwritten.extend_from_slice(format!("{key} {value}\n").as_bytes());
///         self.values.insert(key.to_string(), value.to_owned());
///     }
///
///     /// Returns the value of a key.
///     #[command("GET", readonly)]
///     fn get(&self, key: Key<&str>) -> Option<&String> {
///         self.values.get(*key)
///     }
/// }
///
/// impl GroupCommit for Store {
///     fn commit(&mut self, _: &mut Context<Self>) -> Commit {
///         let unwritten = std::mem::take(&mut self.unwritten);
///         let written = self.log.write_all(&unwritten).and_then(|()| self.log.sync_data());
///         if written.is_ok() {
///             self.committed += unwritten.len() as u64;
///         }
///         // The writers get `ERR internal error`, and the log gets the reason.
///         written.map_err(Error::internal).into()
///     }
///
///     fn rollback(&mut self, _: &Error, context: &mut Context<Self>) {
///         self.unwritten.clear();
///         if self.log.set_len(self.committed).and_then(|()| self.read_back()).is_err() {
///             context.stop(); // Its values are no longer those on disk: end the server.
///         }
///     }
/// }
/// ```
///
/// # Which replies are held back
///
/// Every command without the flag `readonly` counts as a write. A group without a write needs no commit, and
/// its replies are sent at once. In a group with a write, the replies to reads are held back too, since a
/// read may have returned data that is not on disk yet.
///
/// A [`Responder`](crate::Responder), or a future that a method has returned, may reply at any time. Its
/// reply belongs to the group that is open at that moment. A [push](crate::Client::push) is not held back.
///
/// Only a reply to a command is followed by [`commit`](Self::commit) and [`committed`](Self::committed). A command that waits without
/// a reply counts when it gets one. Until then, no `committed` follows the changes and pushes of such a command.
///
/// # Off the event loop
/// With [`Commit::later`], the actor runs more commands during the commit. They form the next group, which is
/// committed after this one. At most one commit is in progress. When a group has
/// [`max_group_size`](Self::max_group_size) commands, further requests wait in the queue of the actor.
///
/// # Errors
/// After a failed commit the actor must [roll back](Self::rollback) all uncommitted changes: those of this
/// group and of the next one. Then every write of both groups is answered with the error. Reads run again, so
/// that their replies are correct. Transactions are answered with `EXECABORT`. A panic in `commit` counts as
/// a failure.
///
/// # Counters
/// `INFO persistence` shows `committed_groups`, `committed_commands`, `committed_commands_per_group`,
/// `commit_usec`, `commit_failures` and `last_commit_status` (`ok` or `err`). `commit_usec` is the total time
/// of all commits in microseconds, including the time in which the actor ran other commands.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not implement `GroupCommit`",
    label = "`#[commands(group_commit)]` needs `impl GroupCommit for {Self}`",
    note = "an actor in a `SyncArbiter` cannot use group commit: start it on its own `Arbiter` instead"
)]
pub trait GroupCommit: Actor<Context = Context<Self>> + Commands<CommandContext = Context<Self>> {
    /// Whether the actor uses group commit (default `true`).
    ///
    /// A generic actor sets `false` for a storage that is only in memory. It then has no cost of group
    /// commit.
    const USES_GROUP_COMMIT: bool = true;

    /// Makes all changes since the last commit durable, for example by a write to the disk.
    ///
    /// Its own [`max_group_size`](Self::max_group_size) and [`commit_delay`](Self::commit_delay) say when.
    fn commit(&mut self, context: &mut Context<Self>) -> Commit;

    /// Discards all changes since the last successful commit, after a commit has failed.
    ///
    /// An actor that cannot do this should call `context.stop()`, so that it does not reply with wrong data. The
    /// server then stops with an error, or starts a [supervised](crate::App::mount_supervised) actor again.
    fn rollback(&mut self, error: &Error, context: &mut Context<Self>);

    /// Runs after each successful commit, when its replies are on their way (default: does nothing).
    ///
    /// The changes up to this [`commit`](Self::commit) are durable now. Those of commands that ran while the commit was in
    /// progress ([`Commit::later`]) are not. This is the place to begin work on the committed data, such as a
    /// compaction in the background after every thousandth commit: `examples/compaction` shows it.
    fn committed(&mut self, _context: &mut Context<Self>) {}

    /// Returns the number of commands after which a group is committed (default 10,000).
    ///
    /// Requests of the batch that reaches the limit belong to the group as well.
    fn max_group_size(&self) -> usize {
        10_000
    }

    /// Returns how long a group with a write waits for more commands (default zero).
    ///
    /// With zero, a group waits as long as each turn of the event loop brings more commands: some
    /// microseconds.
    ///
    /// A longer delay suits disks with few and slow writes, since every writer waits that long. The shortest
    /// delay is a millisecond.
    fn commit_delay(&self) -> Duration {
        Duration::ZERO
    }
}

/// The outcome of a commit: a result, or a future.
///
/// ```
/// use thegiant::Commit;
///
/// let done: Commit = Ok(()).into();
/// let done_later = Commit::later(async { Ok(()) });
/// ```
pub struct Commit(pub(super) CommitResult);

pub(super) enum CommitResult {
    Now(Result<(), Error>),
    Later(ResponseFuture<Result<(), Error>>),
}

impl Commit {
    /// Creates a commit that ends later, for example on a thread for blocking work.
    ///
    /// ```
    /// use std::{fs::File, sync::Arc};
    /// use actix_rt::task::spawn_blocking;
    /// use thegiant::{Commit, Error};
    ///
    /// fn sync(log: Arc<File>) -> Commit {
    ///     Commit::later(async move {
    ///         let synced = spawn_blocking(move || log.sync_data()).await.map_err(Error::internal)?;
    ///         synced.map_err(Error::internal)
    ///     })
    /// }
    /// ```
    pub fn later(ending: impl Future<Output = Result<(), Error>> + 'static) -> Self {
        Commit(CommitResult::Later(Box::pin(ending)))
    }
}

impl From<Result<(), Error>> for Commit {
    fn from(result: Result<(), Error>) -> Self {
        Commit(CommitResult::Now(result))
    }
}

impl fmt::Debug for Commit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            CommitResult::Now(result) => f.debug_tuple("Now").field(result).finish(),
            CommitResult::Later(_) => f.write_str("Later"),
        }
    }
}
