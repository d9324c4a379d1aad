//! The load generator: redis-benchmark.

use std::process::Output;

use crate::Result;
use crate::pinned;
use crate::server::Server;
use crate::throughput::Cell;

pub(crate) const CONNECTIONS: u64 = 50;
pub(crate) const VALUE_BYTES: u64 = 64;

/// redis-benchmark puts a hash tag of five bytes in the place of `{tag}` if it knows the slots.
const TAGGED_KEY: &str = "key:{tag}:__rand_int__";

/// Time limit of a run, far above the length of any round. It ends the bench if a server hangs.
const DEADLINE_SECONDS: u64 = 60;

/// The parameters that all runs share.
#[derive(Clone)]
pub(crate) struct Load {
    /// List of CPUs, as `taskset` takes it.
    pub(crate) cpus: String,
    pub(crate) keys: Option<u64>,
    pub(crate) slots: Slots,
}

/// What the keys of redis-benchmark say about their slots.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Slots {
    /// Nothing.
    Unknown,
    /// All keys have the same hash tag, and are as long as with [`Slots::Known`].
    Tagged,
    /// redis-benchmark asks the server for the instances of its cluster, and sends each command to its instance, with a hash tag
    /// of that instance.
    Known,
}

impl Load {
    /// Sends `requests` commands and returns the number of replies per second.
    pub(crate) fn run(&self, server: &Server, cell: Cell, requests: u64) -> Result<f64> {
        // `timeout` forwards TERM to redis-benchmark.
        let mut command = pinned::command(&self.cpus, "TERM", &self.command_line(server, cell, requests));
        let output = command.output()?;
        let text = String::from_utf8_lossy(&output.stdout);
        match commands_per_second(&text, cell.command) {
            Some(figure) if output.status.success() => Ok(figure),
            _ => Err(failure(&output).into()),
        }
    }

    fn command_line(&self, server: &Server, cell: Cell, requests: u64) -> Vec<String> {
        let (ip, port) = (server.address().ip(), server.address().port());
        let (command, pipeline) = (cell.command, cell.pipeline);
        let value = "x".repeat(VALUE_BYTES as usize);
        let mut line = format!(
            "timeout {DEADLINE_SECONDS} redis-benchmark -h {ip} -p {port} -c {CONNECTIONS} -d {VALUE_BYTES} \
             -n {requests} -P {pipeline} --csv"
        );
        if self.slots == Slots::Known {
            line.push_str(" --cluster");
        }
        if let Some(keys) = self.keys {
            line.push_str(&format!(" -r {keys}"));
        }
        line.push_str(&match (command, self.slots) {
            // redis-benchmark has no test of this name.
            ("XADD", _) => format!(" XADD events * value {value}"),
            (_, Slots::Unknown) => format!(" -t {}", command.to_lowercase()),
            ("SET", _) => format!(" SET {TAGGED_KEY} {value}"),
            _ => format!(" {command} {TAGGED_KEY}"),
        });
        line.split(' ').map(str::to_owned).collect()
    }
}

/// Parses the second column of `"GET","123456.78","0.203",…`.
fn commands_per_second(csv: &str, command: &str) -> Option<f64> {
    let mut rows = csv.lines().map(|line| line.split(',').map(|cell| cell.trim_matches('"')));
    let is_command = |name: &str| name.split(' ').next() == Some(command);
    let mut row = rows.find_map(|mut row| row.next().is_some_and(is_command).then_some(row))?;
    row.next()?.parse().ok()
}

fn failure(output: &Output) -> String {
    const TIMED_OUT: i32 = 124;
    if output.status.code() == Some(TIMED_OUT) {
        return format!("redis-benchmark did not end within {DEADLINE_SECONDS} s");
    }
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    format!("redis-benchmark failed ({}): {} {}", output.status, stderr.trim(), stdout.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_the_row_of_a_command() {
        let csv = "\"test\",\"rps\",\"avg_latency_ms\"\n\"GET\",\"196850.39\",\"0.203\"\n";
        assert_eq!(commands_per_second(csv, "GET"), Some(196_850.39));
        assert_eq!(commands_per_second(csv, "SET"), None);
        assert_eq!(commands_per_second("", "GET"), None);
    }
}
