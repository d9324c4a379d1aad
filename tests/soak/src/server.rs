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

/// Time limit of a graceful stop. The server itself waits 10 s for its clients.
const STOP_DEADLINE: Duration = Duration::from_secs(20);

/// A running server. Dropping it kills the process.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
    /// Collects the standard error output.
    stderr: Option<JoinHandle<String>>,
}

impl Server {
    /// Starts a program with these options on a free port.
    ///
    /// It must not log anything of this level. Panics of handlers and failures of `accept` are warnings.
    pub(crate) fn start(path: &Path, options: &[String], log_level: &str) -> Result<Server> {
        let mut child = Command::new(path)
            .args(["--bind", "127.0.0.1:0"])
            .args(options)
            .env("RUST_LOG", log_level)
            // Returns free memory to the system, so that the resident memory is the memory in use.
            .env("MALLOC_TRIM_THRESHOLD_", "131072")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("cannot start {}: {error}", path.display()))?;
        let mut pipe = child.stderr.take().ok_or("stderr is not piped")?;
        let stderr = thread::spawn(move || {
            let mut text = Vec::new();
            // After an error, the text read so far is all that is available.
            let _ = pipe.read_to_end(&mut text);
            String::from_utf8_lossy(&text).into_owned()
        });
        let mut line = String::new();
        BufReader::new(child.stdout.take().ok_or("stdout is not piped")?).read_line(&mut line)?;
        let address = line.trim_end().strip_prefix("listening on ");
        let address =
            address.ok_or_else(|| format!("unexpected first line of the server: {line:?}"))?.parse()?;
        Ok(Server { child, address, stderr: Some(stderr) })
    }

    /// Fails if the process has ended.
    pub(crate) fn check(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => Err(format!("the server has ended: {status}").into()),
        }
    }

    pub(crate) fn resident_kib(&self) -> Result<u64> {
        self.memory("VmRSS:")
    }

    /// Returns the largest resident memory so far.
    pub(crate) fn peak_kib(&self) -> Result<u64> {
        self.memory("VmHWM:")
    }

    /// Returns the CPU time used so far.
    pub(crate) fn cpu_time(&self) -> Result<Duration> {
        let mut nanoseconds = 0;
        for thread in fs::read_dir(format!("/proc/{}/task", self.child.id()))? {
            let text = fs::read_to_string(thread?.path().join("schedstat"))?;
            nanoseconds += text.split(' ').next().unwrap_or_default().parse::<u64>()?;
        }
        Ok(Duration::from_nanos(nanoseconds))
    }

    /// Returns the number of open descriptors.
    pub(crate) fn descriptors(&self) -> Result<usize> {
        Ok(fs::read_dir(format!("/proc/{}/fd", self.child.id()))?.count())
    }

    /// Stops the server with SIGTERM. Fails if it does not exit successfully, or if it has logged anything.
    pub(crate) fn stop(mut self) -> Result<()> {
        let kill = format!("kill -s TERM {}", self.child.id());
        Command::new("sh").args(["-c", &kill]).stderr(Stdio::null()).status()?;
        let started = Instant::now();
        let status = loop {
            match self.child.try_wait()? {
                Some(status) => break status,
                None if started.elapsed() > STOP_DEADLINE => {
                    return Err("timeout: the server does not exit after SIGTERM".into());
                }
                None => thread::sleep(Duration::from_millis(10)),
            }
        };
        let stderr = self.stderr.take().and_then(|thread| thread.join().ok()).unwrap_or_default();
        match (status.success(), stderr.as_str()) {
            (true, "") => Ok(()),
            _ => Err(format!("the server ended with {status}; its standard error: {stderr:?}").into()),
        }
    }

    fn memory(&self, name: &str) -> Result<u64> {
        let text = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        let line = line.ok_or_else(|| format!("/proc/PID/status has no field {name}"))?;
        Ok(line.trim_end_matches("kB").trim().parse()?)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both calls fail only if the process has already ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
