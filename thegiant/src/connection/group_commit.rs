//! What an actor says of how it commits.

use std::{fmt, future::Future, time::Duration};

use actix::{Actor, Context, ResponseFuture};

use crate::{Error, command::Commands};

/// An actor whose replies wait until what they say holds: a store whose clients get an `OK` only for what is on disk.
///
/// What `#[commands(group_commit)]` asks for. Whatever requests of whichever clients the actor finds when it has its turn, it
/// runs. When the next turn brings no more, [`group_commit`](Self::commit) is called, once for this **group** of commands, and
/// when it has succeeded the replies leave. So 50 clients that write at the same time share one write to the disk. Nobody else waits: not the
/// clients of other actors, and no client for anything that comes after its own command.
///
/// A log of all values, and the values in memory, is a store that survives the loss of power:
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
///     /// Of a line that was being written when the power went, the end is missing: it was promised to nobody.
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
///         // A real store would not take keys with spaces.
///         self.unwritten.extend_from_slice(format!("{} {value}\n", *key).as_bytes());
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
///         written.into()
///     }
///
///     fn rollback(&mut self, _: &Error, context: &mut Context<Self>) {
///         self.unwritten.clear();
///         if self.log.set_len(self.committed).and_then(|()| self.read_back()).is_err() {
///             context.stop(); // What it would say from now on could not be trusted.
///         }
///     }
/// }
/// ```
///
/// # Which commands are waited for
/// All but those with the flag `readonly` are held to have changed something. Of a group without any, nothing is committed,
/// and its replies leave at once. A read whose group has something to be committed waits with the others: what it has seen
/// may not hold yet.
///
/// A [`Responder`](crate::Responder) of such an actor, and a future that one of its methods has returned, may answer at any
/// time: the answer belongs to the group of that moment. What is [pushed](crate::Client::push) is not held back.
///
/// # Off the event loop
/// A [`Commit::later`] lets the actor go on meanwhile. What it runs then makes the next group, which is committed
/// after this one; there is never more than one commit under way. A group is given no more commands than
/// [`max_group_size`](Self::max_group_size): what exceeds it waits in front of the actor.
///
/// # Errors
/// When it fails, the actor is to [take back](Self::rollback) what was not committed, this group and the one that has
/// been run since. Then every command of these that may have changed something is answered with the error; what has only
/// read is run again, so that its reply is true; of a transaction, nothing has been run. A commit that panics has
/// failed.
///
/// # Counters
/// `INFO persistence` tells `committed_groups`, `committed_commands`, `committed_commands_per_group`, `commit_usec` (how long
/// commits have taken, in microseconds, with the time in which the actor has done something else), `commit_failures` and
/// `last_commit_status` (`ok` or `err`).
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not say how it uses_group_commit",
    label = "`#[commands(group_commit)]` needs `impl GroupCommit for {Self}`",
    note = "an actor in a `SyncArbiter` cannot commit: start it on an `Arbiter` of its own instead"
)]
pub trait GroupCommit: Actor<Context = Context<Self>> + Commands<CommandContext = Context<Self>> {
    /// Whether there is anything to commit: `false` for an actor that is generic over where it keeps things, and keeps
    /// them in memory. That costs what it would without `#[commands(group_commit)]`.
    const USES_GROUP_COMMIT: bool = true;

    /// Makes what has been done since the last time hold: writes it to the disk, commits it.
    ///
    /// Its own [`max_group_size`](Self::max_group_size) and [`commit_delay`](Self::commit_delay) say when.
    fn commit(&mut self, context: &mut Context<Self>) -> Commit;

    /// A commit has failed: goes back to what was committed last.
    ///
    /// An actor that cannot go back should stop, or end the program, rather than answer what may not be so.
    fn rollback(&mut self, error: &Error, context: &mut Context<Self>);

    /// A group with so many commands is committed before others are run; the requests that came with the last one
    /// belong to it as well. 10,000, unless it is said otherwise.
    fn max_group_size(&self) -> usize {
        10_000
    }

    /// How long a group that has something to be committed waits for more. Unless it is said otherwise, that is as long as
    /// each turn of the event loop brings more: some microseconds, and never longer than there are clients that do not wait.
    ///
    /// To wait longer is for disks whose writes are few and dear, since every writer waits for as long. A
    /// millisecond is the least.
    fn commit_delay(&self) -> Duration {
        Duration::ZERO
    }
}

/// How a commit ends: now or later.
pub struct Commit(pub(super) CommitResult);

pub(super) enum CommitResult {
    Now(Result<(), Error>),
    Later(ResponseFuture<Result<(), Error>>),
}

impl Commit {
    /// A commit that takes its time, on a thread for blocking work for example.
    ///
    /// ```
    /// use std::{fs::File, sync::Arc};
    /// use actix_rt::task::spawn_blocking;
    /// use thegiant::Commit;
    ///
    /// fn sync(log: Arc<File>) -> Commit {
    ///     Commit::later(async move { spawn_blocking(move || log.sync_data()).await? })
    /// }
    /// ```
    pub fn later<E: Into<Error>>(ending: impl Future<Output = Result<(), E>> + 'static) -> Self {
        Commit(CommitResult::Later(Box::pin(async { ending.await.map_err(Into::into) })))
    }
}

impl<E: Into<Error>> From<Result<(), E>> for Commit {
    fn from(result: Result<(), E>) -> Self {
        Commit(CommitResult::Now(result.map_err(Into::into)))
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
