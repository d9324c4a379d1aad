//! A real Redis Sentinel, and the servers that it watches.

use std::{
    fs,
    process::{Child, Command, Stdio},
};

use super::{Folder, Process, RawClient, Reply, eventually, line, on_free_ports, report};

/// A real sentinel. Dropping it kills the process.
pub(crate) struct Sentinel {
    child: Child,
    pub(crate) address: String,
    _folder: Folder,
}

impl Sentinel {
    /// Starts a sentinel that knows this master. It requires a password.
    pub(crate) fn of(master: &str) -> Self {
        on_free_ports(|[port]| Self::start(master, &port))
    }

    /// Returns `None` if another process uses the port.
    fn start(master: &str, port: &str) -> Option<Self> {
        let folder = Folder::new();
        let settings = format!(
            "port {port}\nbind 127.0.0.1\nrequirepass secret\nsentinel monitor mymaster {} 1\n\
             sentinel down-after-milliseconds mymaster 500\nsentinel failover-timeout mymaster 5000\n",
            master.replace(':', " ")
        );
        fs::write(folder.path().join("sentinel.conf"), settings).expect("the file can be written");
        let child = Command::new("redis-server")
            .args(["sentinel.conf", "--sentinel"])
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn();
        let address = format!("127.0.0.1:{port}");
        let mut sentinel =
            Sentinel { child: child.expect("tests/run installs redis-server"), address, _folder: folder };
        eventually(|| {
            let has_ended = sentinel.child.try_wait().expect("it is a child of this process").is_some();
            (has_ended || RawClient::try_connect(&sentinel.address).is_ok()).then_some(!has_ended)
        })
        .then_some(sentinel)
    }

    pub(crate) fn client(&self) -> RawClient {
        let mut client = RawClient::connect(&self.address);
        assert_eq!(client.ask(line("AUTH secret")), "+OK\r\n");
        client
    }

    /// Returns the address of the master.
    fn master(&self) -> String {
        match Reply::only(&self.client().ask(line("SENTINEL GET-MASTER-ADDR-BY-NAME mymaster"))) {
            Some(Reply::Array(fields)) => {
                let text = |field: &Reply| match field {
                    Reply::Bulk(text) => String::from_utf8_lossy(text).into_owned(),
                    other => panic!("{other:?} is no text"),
                };
                fields.iter().map(text).collect::<Vec<_>>().join(":")
            }
            reply => panic!("{reply:?} is no address"),
        }
    }

    /// Makes a replica the master, and waits until the other replica follows it. Before that, the sentinel starts no other
    /// failover.
    pub(crate) fn fail_over(&self) -> String {
        let before = self.master();
        // The sentinel may not have heard of the replicas lately.
        eventually(|| (self.client().ask(line("SENTINEL FAILOVER mymaster")) == "+OK\r\n").then_some(()));
        let master = self.master_after(&before);
        let is_over = || {
            let fields = self.client().ask(line("SENTINEL MASTER mymaster"));
            !String::from_utf8_lossy(&fields).contains("failover_in_progress")
        };
        eventually(|| is_over().then_some(()));
        master
    }

    /// Waits until the sentinel names another master.
    pub(crate) fn master_after(&self, before: &str) -> String {
        eventually(|| Some(self.master()).filter(|master| master != before))
    }
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        // The process may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A redis-server on a TCP port.
pub(crate) struct RedisWithPort {
    pub(crate) process: Process,
    pub(crate) address: String,
}

impl RedisWithPort {
    pub(crate) fn start(master: Option<&RedisWithPort>) -> Self {
        let master = master.map(|master| master.address.replace(':', " "));
        let (process, [port]) = Process::redis_on_ports(|[port]| {
            let listening = ["--port", port, "--bind", "127.0.0.1", "--repl-diskless-sync-delay", "0"];
            let replication = master.as_deref().map(|master| ["--replicaof", master]);
            let options = listening.into_iter().chain(replication.into_iter().flatten());
            options.map(str::to_owned).collect()
        });
        RedisWithPort { process, address: format!("127.0.0.1:{port}") }
    }

    pub(crate) fn client(&self) -> RawClient {
        RawClient::connect(&self.address)
    }

    pub(crate) fn replicas(&self) -> usize {
        report(&mut self.client(), "INFO replication").matches("state=online").count()
    }
}
