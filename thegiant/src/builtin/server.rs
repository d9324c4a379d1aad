//! `TIME`, `LOLWUT`, `ROLE`, `READONLY`, `READWRITE`, `MONITOR`, `SHUTDOWN`.

use super::Report;
use crate::{Args, Array, Error, Role, commands, conn::ConnectionState, observe::unix_time};

#[commands(rows = SERVER, group = "server")]
impl ConnectionState {
    /// Returns the server time.
    #[command("TIME", fast, loading, stale, tenant_safe)]
    fn time(&self) -> [String; 2] {
        let now = unix_time();
        [now.as_secs().to_string(), now.subsec_micros().to_string()]
    }

    /// Displays computer art and the server version.
    #[command("LOLWUT", readonly, fast, tenant_safe)]
    fn lolwut(&self, _parameter: Option<Vec<&[u8]>>) -> Report {
        Report(format!("{GIANT}\nthegiant ver. {}\n", env!("CARGO_PKG_VERSION")))
    }

    /// Returns the replication role.
    #[command("ROLE", noscript, loading, stale, fast, tenant_safe, categories("admin", "dangerous"))]
    fn role(&self) -> RoleReply {
        RoleReply(self.server.role.get())
    }

    /// Enables read-only queries for a connection to a Redis Cluster replica node.
    #[command("READONLY", loading, stale, fast, tenant_safe, categories("connection"))]
    fn readonly(&self) -> Result<(), Error> {
        if self.server.cluster.is_some() { Ok(()) } else { Err(NO_CLUSTER) }
    }

    /// Enables read-write queries for a connection to a Redis Cluster replica node.
    #[command("READWRITE", loading, stale, fast, tenant_safe, categories("connection"))]
    fn readwrite(&self) -> Result<(), Error> {
        self.readonly()
    }

    /// Listens for all requests received by the server in real-time.
    #[command("MONITOR", admin, noscript, loading, stale)]
    fn monitor(&self) -> Result<(), Error> {
        if self.transaction.is_running() {
            return Err(Error::from_static("ERR MONITOR isn't allowed for DENY BLOCKING client"));
        }
        self.set_monitor(true);
        Ok(())
    }

    /// Shuts down the server.
    #[command("SHUTDOWN", admin, noscript, loading, stale, no_multi, allow_busy)]
    fn shutdown(&mut self, option: Option<Vec<ShutdownOption>>) -> Result<NoReply, Error> {
        let options = option.unwrap_or_default();
        let has = |wanted| options.contains(&wanted);
        if has(ShutdownOption::Abort) {
            let is_alone = options.iter().all(|option| *option == ShutdownOption::Abort);
            return Err(if is_alone { NO_SHUTDOWN } else { Error::SYNTAX });
        }
        if has(ShutdownOption::Save) && has(ShutdownOption::NoSave) {
            return Err(Error::SYNTAX);
        }
        let stop = self.server.stop.as_ref().ok_or(SHUTDOWN_NOT_ALLOWED)?;
        // Sending fails only if the server has already stopped.
        let _ = stop.send(());
        self.closing = true;
        Ok(NoReply)
    }
}

pub(super) const NO_CLUSTER: Error = Error::from_static("ERR This instance has cluster support disabled");
const NO_SHUTDOWN: Error = Error::from_static("ERR No shutdown in progress.");
const SHUTDOWN_NOT_ALLOWED: Error = Error::from_static(
    "ERR SHUTDOWN is not allowed. The operator can allow it, or stop the server with a signal.",
);

#[derive(Args, PartialEq, Eq)]
enum ShutdownOption {
    NoSave,
    Save,
    Now,
    Force,
    Abort,
}

/// The reply of `ROLE`. A master has no replicas that it knows, and a replica has no link to its master.
struct RoleReply(Role);

impl crate::Reply for RoleReply {
    fn write_to(self, out: &mut crate::resp::Encoder) {
        match self.0 {
            Role::Master => ("master", 0, Array([0; 0])).write_to(out),
            Role::Replica { host, port } => ("slave", host, port, "connect", -1).write_to(out),
        }
    }
}

/// Sends no reply, as Redis does: the client sees the connection close.
struct NoReply;

impl crate::Reply for NoReply {
    fn write_to(self, _: &mut crate::resp::Encoder) {}
}

const GIANT: &str = r"
              .-------.
             /  o   o  \        fee-fi-fo-fum,
            |     ^     |       I smell the bytes
             \  '---'  /        of a RESP reply: come!
          .---'-------'---.
         /  |           |  \
        /   |  ~~~~~~~  |   \
       /  / |           | \  \
      |  |  |           |  |  |
     (____) |     .     | (____)
            |    / \    |
            |   |   |   |
            |   |   |   |
         ___|   |   |   |___
        (_______|   |_______)
   /\_/\    .  o  .    /\   /\  /\
";
