//! The load generator: redis-benchmark.

use std::process::{Child, Output, Stdio};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::Result;
use crate::options::Options;
use crate::pinned;
use crate::server::Server;
use crate::throughput::Workload;

pub(crate) const CONNECTIONS: u64 = 50;
pub(crate) const VALUE_BYTES: u64 = 64;

/// Time limit of a run. It ends the bench if a server hangs.
const DEADLINE_SECONDS: u64 = 60;

/// More commands than any server runs while it is measured.
const ENDLESS: u64 = 2_000_000_000;

/// Time in which redis-benchmark opens its connections, and the server fills its caches.
const WARM_UP: Duration = Duration::from_millis(300);

/// The commands of a load generator, and where it runs.
#[derive(Clone)]
pub(crate) struct Load {
    /// List of CPUs, as `taskset` takes it.
    cpus: String,
    connections: u64,
    /// The number of random keys; `None` for one key.
    pub(crate) keys: Option<u64>,
    /// The hash tag of all keys, which sets their slot.
    tag: Option<u32>,
}

/// A redis-benchmark that sends commands until it is dropped, except while it is paused.
pub(crate) struct Generator(Child);

impl Load {
    pub(crate) fn new(options: &Options) -> Load {
        let (cpus, keys) = (options.cpus.clone(), options.keys);
        Load { cpus, connections: CONNECTIONS, keys, tag: None }
    }

    /// Spreads the commands over this many random keys.
    pub(crate) fn of_keys(self, keys: u64) -> Load {
        Load { keys: Some(keys), ..self }
    }

    /// Returns one of several parts of the load, whose keys have this hash tag.
    pub(crate) fn part(&self, parts: u64, tag: u32) -> Load {
        let of = |whole: u64| whole.div_ceil(parts);
        Load { connections: of(self.connections), keys: self.keys.map(of), tag: Some(tag), ..self.clone() }
    }

    /// Sends `requests` commands.
    pub(crate) fn run(&self, server: &Server, workload: Workload, requests: u64) -> Result<()> {
        // `timeout` forwards TERM to redis-benchmark.
        let timeout = ["timeout".to_owned(), DEADLINE_SECONDS.to_string()];
        let line = [&timeout[..], &self.command_line(server, workload, requests)].concat();
        let output = pinned::command(&self.cpus, "TERM", &line).output()?;
        if output.status.success() { Ok(()) } else { Err(failure(&output).into()) }
    }

    /// Starts a redis-benchmark. It is paused after a short while, in which it opens its connections.
    pub(crate) fn start(&self, server: &Server, workload: Workload) -> Result<Generator> {
        let mut command = pinned::command(&self.cpus, "KILL", &self.command_line(server, workload, ENDLESS));
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        let mut generator = Generator(child);
        thread::sleep(WARM_UP);
        generator.pause()?;
        Ok(generator)
    }

    fn command_line(&self, server: &Server, workload: Workload, requests: u64) -> Vec<String> {
        let (ip, port) = (server.address().ip(), server.address().port());
        let (command, pipeline) = (workload.command, workload.pipeline);
        let value = "x".repeat(VALUE_BYTES as usize);
        let connections = self.connections;
        let mut line = format!(
            "redis-benchmark -h {ip} -p {port} -c {connections} -d {VALUE_BYTES} -n {requests} -P {pipeline} --csv"
        );
        if let Some(keys) = self.keys {
            line.push_str(&format!(" -r {keys}"));
        }
        let key = self.tag.map(|tag| format!("key:{{{tag}}}:__rand_int__"));
        line.push_str(&match (command, key) {
            // redis-benchmark has no test of this name.
            ("XADD", _) => format!(" XADD events * value {value}"),
            (_, None) => format!(" -t {}", command.to_lowercase()),
            ("SET", Some(key)) => format!(" SET {key} {value}"),
            (_, Some(key)) => format!(" {command} {key}"),
        });
        line.split(' ').map(str::to_owned).collect()
    }
}

impl Generator {
    pub(crate) fn resume(&mut self) -> Result<()> {
        self.signal(Signal::CONT)
    }

    pub(crate) fn pause(&mut self) -> Result<()> {
        self.signal(Signal::STOP)
    }

    fn signal(&mut self, signal: Signal) -> Result<()> {
        if let Some(status) = self.0.try_wait()? {
            return Err(format!("redis-benchmark has ended ({status})").into());
        }
        Ok(kill_process(Pid::from_child(&self.0), signal)?)
    }
}

impl Drop for Generator {
    fn drop(&mut self) {
        // Both calls fail only if the process has already ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn failure(output: &Output) -> String {
    const TIMED_OUT: i32 = 124;
    if output.status.code() == Some(TIMED_OUT) {
        return format!("redis-benchmark did not end within {DEADLINE_SECONDS} s");
    }
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    format!("redis-benchmark failed ({}): {} {}", output.status, stderr.trim(), stdout.trim())
}
