//! A redis-server that can be killed, stopped and started again.

use std::{
    env, fs,
    fs::File,
    net::TcpListener,
    path::PathBuf,
    process::{Child, Command, Stdio, id},
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use thegiant_resp::Value;

use super::{link::Link, replies::text_of};
use crate::Result;

/// Time limit for a server to load its data.
const START_DEADLINE: Duration = Duration::from_secs(60);

/// Name of the unix socket in the folder of each server.
const SOCKET: &str = "redis.sock";

/// A server with its own folder. Dropping it kills the process and removes the folder.
pub(crate) struct Redis {
    /// The address for the balancer.
    pub(crate) address: String,
    folder: PathBuf,
    arguments: Vec<String>,
    /// `None` while the server is down.
    process: Option<Child>,
}

static KEEPS_FOLDERS: AtomicBool = AtomicBool::new(false);

impl Redis {
    /// Sets whether the folders remain when the servers have ended.
    pub(crate) fn keep_folders(keep: bool) {
        KEEPS_FOLDERS.store(keep, Ordering::Relaxed);
    }

    /// Starts a server on a unix socket.
    pub(crate) fn on_socket(arguments: &[&str]) -> Result<Redis> {
        let mut redis = Redis::create(arguments)?;
        redis.address = redis.socket();
        redis.start()?;
        Ok(redis)
    }

    /// Starts a server on a free port. `arguments` returns the arguments for this and another free port.
    pub(crate) fn on_port(arguments: impl Fn(&str, &str) -> Vec<String>) -> Result<Redis> {
        Redis::with_file(|port, second| (arguments(port, second), None))
    }

    /// Starts a server on a free port, which needs a file in its folder.
    pub(crate) fn with_file(
        settings: impl Fn(&str, &str) -> (Vec<String>, Option<(&'static str, String)>),
    ) -> Result<Redis> {
        const ATTEMPTS: usize = 20;
        let mut last = String::new();
        for _ in 0..ATTEMPTS {
            let [port, second] = free_ports()?;
            let (arguments, file) = settings(&port, &second);
            let mut redis = Redis::create(&arguments.iter().map(String::as_str).collect::<Vec<_>>())?;
            if let Some((name, text)) = file {
                fs::write(redis.folder.join(name), text)?;
            }
            redis.address = format!("127.0.0.1:{port}");
            match redis.start() {
                Ok(()) => return Ok(redis),
                // Another process may have taken a port.
                Err(error) => last = error.to_string(),
            }
        }
        Err(last.into())
    }

    fn create(arguments: &[&str]) -> Result<Redis> {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let name = format!("thegiant-soak-{}-{}", id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let folder = env::temp_dir().join(name);
        fs::create_dir(&folder)?;
        let arguments = arguments.iter().map(|&argument| argument.to_owned()).collect();
        Ok(Redis { address: String::new(), folder, arguments, process: None })
    }

    /// Starts the process, and waits until it has loaded its data.
    pub(crate) fn start(&mut self) -> Result<()> {
        let begun = Instant::now();
        loop {
            let log = File::options().create(true).append(true).open(self.folder.join("log"))?;
            let child = Command::new("redis-server")
                .args(&self.arguments)
                .current_dir(&self.folder)
                .stdin(Stdio::null())
                .stdout(log)
                .spawn()
                .map_err(|error| format!("cannot start redis-server: {error}"))?;
            let child = self.process.insert(child);
            loop {
                // The port of a killed server may still be in use for a moment.
                if child.try_wait()?.is_some() {
                    break;
                }
                if is_loaded(&self.folder, &self.address) {
                    return Ok(());
                }
                if begun.elapsed() > START_DEADLINE {
                    return Err(format!("{} does not start", self.address).into());
                }
                thread::sleep(Duration::from_millis(10));
            }
            self.process = None;
            if begun.elapsed() > Duration::from_secs(5) {
                let log = fs::read_to_string(self.folder.join("log")).unwrap_or_default();
                let tail: Vec<_> = log.lines().rev().take(5).collect();
                return Err(format!("{} ends when it starts: {tail:?}", self.address).into());
            }
            thread::sleep(Duration::from_millis(100));
        }
    }

    /// Kills the process with `SIGKILL`.
    pub(crate) fn kill(&mut self) -> Result<()> {
        if let Some(mut process) = self.process.take() {
            process.kill()?;
            process.wait()?;
        }
        Ok(())
    }

    /// Sends `STOP` or `CONT`.
    pub(crate) fn signal(&self, name: &str) -> Result<()> {
        if let Some(process) = &self.process {
            let status =
                Command::new("sh").args(["-c", &format!("kill -s {name} {}", process.id())]).status()?;
            if !status.success() {
                return Err(format!("kill -s {name} has failed").into());
            }
        }
        Ok(())
    }

    /// Stops the process for this time.
    pub(crate) fn freeze(&self, time: Duration) -> Result<()> {
        self.signal("STOP")?;
        thread::sleep(time);
        self.signal("CONT")
    }

    pub(crate) fn is_running(&self) -> bool {
        self.process.is_some()
    }

    /// Connects without the balancer, over the unix socket.
    pub(crate) fn link(&self) -> Result<Link> {
        Link::open(&if self.folder.join(SOCKET).exists() { self.socket() } else { self.address.clone() })
    }

    /// Runs a command without the balancer.
    pub(crate) fn call(&self, line: &str) -> Result<Value> {
        self.link()?.call(line)
    }

    /// Returns a text reply.
    pub(crate) fn report(&self, line: &str) -> Result<String> {
        text_of(self.call(line)?)
    }

    /// Returns a field of `INFO replication`.
    pub(crate) fn replication(&self, field: &str) -> Result<String> {
        let info = self.report("INFO replication")?;
        let found = info.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        Ok(found.unwrap_or_default().to_owned())
    }

    fn socket(&self) -> String {
        format!("unix:{}", self.folder.join(SOCKET).display())
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        // Errors mean that there is nothing left to end or to remove.
        let _ = self.kill();
        if !KEEPS_FOLDERS.load(Ordering::Relaxed) {
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}

/// The arguments of all servers.
///
/// Without `fsync`, the data of an acknowledged write is in the memory of the kernel, where it survives `SIGKILL`.
pub(crate) fn arguments() -> Vec<&'static str> {
    vec![
        "--unixsocket",
        SOCKET,
        "--save",
        "",
        "--appendonly",
        "yes",
        "--appendfsync",
        "no",
        "--auto-aof-rewrite-min-size",
        "32mb",
        "--repl-diskless-sync-delay",
        "0",
    ]
}

fn is_loaded(folder: &std::path::Path, address: &str) -> bool {
    let socket = folder.join(SOCKET);
    let address = if socket.exists() { format!("unix:{}", socket.display()) } else { address.to_owned() };
    let pong = Link::open(&address).and_then(|mut link| link.call("PING"));
    pong.is_ok_and(|reply| reply == Value::Simple("PONG".to_owned()))
}

/// Returns two ports that were free a moment ago.
///
/// They are below the ports of outgoing connections, so that a killed server can use its port again.
fn free_ports() -> Result<[String; 2]> {
    let free = || {
        let ports = std::iter::repeat_with(|| fastrand::u16(10_000..32_000));
        ports.take(1000).find_map(|port| TcpListener::bind(("127.0.0.1", port)).ok()).ok_or("no free port")
    };
    let listeners = [free()?, free()?];
    let mut ports = [String::new(), String::new()];
    for (port, listener) in ports.iter_mut().zip(&listeners) {
        *port = listener.local_addr()?.port().to_string();
    }
    Ok(ports)
}
