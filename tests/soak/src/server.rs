//! The server process.

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use crate::Result;

/// Longer than a server may take to end in order (it waits 10 s for its clients).
const STOP_DEADLINE: Duration = Duration::from_secs(20);

/// A running server; dropping it ends it.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
    /// Gathers what it says on standard error.
    complaints: Option<JoinHandle<String>>,
}

impl Server {
    pub(crate) fn start(path: &Path) -> Result<Server> {
        let mut child = Command::new(path)
            .args(["--bind", "127.0.0.1:0"])
            // Panics of handlers, and accepting that fails.
            .env("RUST_LOG", "warn")
            // What is free goes back to the system: the memory that counts is what is held.
            .env("MALLOC_TRIM_THRESHOLD_", "131072")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("cannot start {}: {error}", path.display()))?;
        let mut stderr = child.stderr.take().ok_or("it is piped")?;
        let complaints = thread::spawn(move || {
            let mut text = Vec::new();
            // What has been read until then is all there is.
            let _ = stderr.read_to_end(&mut text);
            String::from_utf8_lossy(&text).into_owned()
        });
        let mut line = String::new();
        BufReader::new(child.stdout.take().ok_or("it is piped")?).read_line(&mut line)?;
        let address = line.trim_end().strip_prefix("listening on ");
        let address = address.ok_or_else(|| format!("the server says {line:?}"))?.parse()?;
        Ok(Server { child, address, complaints: Some(complaints) })
    }

    /// Fails if it has ended.
    pub(crate) fn check(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => Err(format!("the server has ended: {status}").into()),
        }
    }

    pub(crate) fn resident_kib(&self) -> Result<u64> {
        self.memory("VmRSS:")
    }

    /// The most that it ever had.
    pub(crate) fn peak_kib(&self) -> Result<u64> {
        self.memory("VmHWM:")
    }

    /// Processor time that it has used.
    pub(crate) fn cpu_time(&self) -> Result<Duration> {
        // Its one thread does all the work.
        let text = fs::read_to_string(format!("/proc/{}/schedstat", self.child.id()))?;
        let nanoseconds = text.split(' ').next().unwrap_or_default();
        Ok(Duration::from_nanos(nanoseconds.parse()?))
    }

    /// How many descriptors it has open.
    pub(crate) fn descriptors(&self) -> Result<usize> {
        Ok(fs::read_dir(format!("/proc/{}/fd", self.child.id()))?.count())
    }

    /// Has it stop by SIGTERM, and fails if it does not do so in order, or has complained.
    pub(crate) fn stop(mut self) -> Result<()> {
        let kill = format!("kill -s TERM {}", self.child.id());
        Command::new("sh").args(["-c", &kill]).stderr(Stdio::null()).status()?;
        let started = Instant::now();
        let status = loop {
            match self.child.try_wait()? {
                Some(status) => break status,
                None if started.elapsed() > STOP_DEADLINE => {
                    return Err("SIGTERM does not end the server".into());
                }
                None => thread::sleep(Duration::from_millis(10)),
            }
        };
        let complaints = self.complaints.take().and_then(|thread| thread.join().ok()).unwrap_or_default();
        match (status.success(), complaints.as_str()) {
            (true, "") => Ok(()),
            _ => Err(format!("the server ended with {status}; it said: {complaints:?}").into()),
        }
    }

    fn memory(&self, name: &str) -> Result<u64> {
        let text = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = text.lines().find_map(|line| line.strip_prefix(name)).ok_or("it has memory")?;
        Ok(line.trim_end_matches("kB").trim().parse()?)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail only for a process that has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
