//! The command line.

use std::time::Duration;

use crate::Result;
use crate::above;
use crate::crowd;
use crate::disk;
use crate::feature::Feature;
use crate::figure::Pair;
use crate::instances;
use crate::keys;
use crate::machine;
use crate::program::Program;
use crate::publish;
use crate::random;
use crate::threads;
use crate::throughput::Workload;

pub(crate) const USAGE: &str = "\
Compares kv with Redis on this machine: the cost of a command and of a connection.

Usage: tests/bench/run [OPTIONS]

  --quick         measure for a shorter time: half a minute, rough figures
  --only NAME     run only this measurement (repeatable): set, get, set-1, get-16, … (1, 16, 64, 512),
                  open, memory, publish, publish-200, publish-200-50, … (200, 1000; 1, 50), publish-memory,
                  multi, tracked, tracked-1, tracked-16; above, above-get, above-get-1, …: the CPU time
                  above that of a bare epoll server; random, random-memory, random-get, random-get-16, …: a million
                  random keys
  --server PATH   measure another server in place of kv
  --against PATH  compare with another server in place of redis-server, such as kv before a change
  --keys N        spread the commands over N random keys (redis-benchmark -r) instead of one key
  --latency N     measure only the latency at half load, for N minutes
  --calls         measure only the calls of jobs, compared with Redis lists and with nats-server;
                  with --latency, their latency
  --disk          measure only durable writes: SET of kv-disk and XADD of collector, compared with redis-server
  --proxy         measure only proxies: a GET through balancer, compared with twemproxy (nutcracker) and with
                  haproxy in TCP mode, and a cached GET of readthrough, compared with kv
  --threads       measure only what a second thread costs kv, redis-server and balancer, on all CPUs
  --instances     measure only what three instances of kv cost that divide the keys, compared with one, on all CPUs
  --middleware    measure only what a middleware that does nothing costs a small server
  --users         measure only what ACL rules for the user of all clients cost a small server
  --cpu LIST      the CPUs that server and load generator share (default: the last one)
  -h, --help      print this text
";

/// The measurements to run, and their parameters.
pub(crate) struct Options {
    pub(crate) quick: bool,
    pub(crate) keys: Option<u64>,
    /// List of the CPUs that server and load generator share, as `taskset` takes it.
    pub(crate) cpus: String,
    /// Measure only latencies, for this number of minutes.
    pub(crate) latency: Option<u64>,
    pub(crate) suite: Suite,
    /// Number of connections to open at once.
    pub(crate) crowd: u64,
    only: Vec<String>,
    server: Option<String>,
    against: Option<String>,
}

/// A group of measurements.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Suite {
    /// The cost of commands and connections.
    Commands,
    /// Calls of `jobs`.
    Calls,
    /// Durable writes.
    Disk,
    /// Proxies.
    Proxies,
    /// A second thread.
    Threads,
    /// Three instances.
    Instances,
    /// A feature of a small server.
    Feature(Feature),
}

impl Options {
    pub(crate) fn parse(arguments: Vec<String>) -> Result<Options> {
        let mut options = Options::new()?;
        let mut words = arguments.into_iter().flat_map(split_at_equals);
        while let Some(word) = words.next() {
            match word.as_str() {
                "--quick" => options.quick = true,
                "--only" => options.only.push(known_name(value(&word, words.next())?)?),
                "--server" => options.server = Some(value(&word, words.next())?),
                "--against" => options.against = Some(value(&word, words.next())?),
                "--keys" => options.keys = Some(number(&word, words.next())?.max(1)),
                "--latency" => options.latency = Some(number(&word, words.next())?),
                "--calls" => options.choose(Suite::Calls)?,
                "--disk" => {
                    options.choose(Suite::Disk)?;
                    options.keys.get_or_insert(disk::KEYS);
                }
                "--proxy" => options.choose(Suite::Proxies)?,
                "--threads" => {
                    options.choose(Suite::Threads)?;
                    options.cpus = machine::cpus()?;
                    options.keys.get_or_insert(threads::KEYS);
                }
                "--instances" => {
                    options.choose(Suite::Instances)?;
                    options.cpus = machine::cpus()?;
                    options.keys.get_or_insert(instances::KEYS);
                }
                "--middleware" => options.choose(Suite::Feature(Feature::Middleware))?,
                "--users" => options.choose(Suite::Feature(Feature::Rules))?,
                "--cpu" => options.cpus = value(&word, words.next())?,
                _ => return Err(format!("unknown option '{word}'; --help lists them").into()),
            }
        }
        Ok(options)
    }

    fn new() -> Result<Options> {
        let (cpus, crowd) = (machine::last_cpu()?.to_string(), crowd::size());
        Ok(Options {
            quick: false,
            keys: None,
            cpus,
            latency: None,
            suite: Suite::Commands,
            crowd,
            only: Vec::new(),
            server: None,
            against: None,
        })
    }

    fn choose(&mut self, suite: Suite) -> Result<()> {
        if self.suite != Suite::Commands && self.suite != suite {
            return Err("write only one of --calls, --disk, --proxy, --threads, --instances, --middleware and --users".into());
        }
        self.suite = suite;
        Ok(())
    }

    /// Returns whether the measurement `name` is selected. `set` selects `set-1`, `set-16` and so on.
    pub(crate) fn selects(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| selects(only, name))
    }

    pub(crate) fn programs(&self) -> Result<Pair<Program>> {
        self.pair("redis-server", "kv")
    }

    /// Returns `kv-disk` and `redis-server` with durable writes.
    pub(crate) fn on_disk(&self) -> Result<Pair<Program>> {
        let mut programs = self.pair("redis-server", "kv-disk")?;
        if programs.baseline.is_redis() {
            programs.baseline = programs.baseline.with(disk::REDIS_SETTINGS.to_owned());
        }
        Ok(programs)
    }

    /// Returns a program of this workspace and its baseline, unless the command line names others.
    fn pair(&self, baseline: &str, subject: &str) -> Result<Pair<Program>> {
        let baseline = Program::find(self.against.as_deref().unwrap_or(baseline))?;
        let subject = match &self.server {
            Some(path) => Program::find(path)?,
            None => Program::workspace(subject)?,
        };
        Ok(Pair { baseline, subject }.with_distinct_labels())
    }

    /// Returns `collector`, or `None` if the command line names another server to measure.
    pub(crate) fn collector(&self) -> Result<Option<Program>> {
        if self.server.is_some() { Ok(None) } else { Program::workspace("collector").map(Some) }
    }

    /// Returns `balancer` and twemproxy.
    pub(crate) fn proxies(&self) -> Result<Pair<Program>> {
        self.pair("nutcracker", "balancer")
    }

    /// Returns `balancer` and haproxy.
    pub(crate) fn tcp_proxies(&self) -> Result<Pair<Program>> {
        self.pair("haproxy", "balancer")
    }

    /// Returns `jobs` with each server that offers a similar exchange.
    pub(crate) fn exchanges(&self) -> Result<Vec<Pair<Program>>> {
        let others = ["redis-server", "nats-server"];
        let count = if self.against.is_some() { 1 } else { others.len() };
        others[..count].iter().map(|other| self.pair(other, "jobs")).collect()
    }

    /// Returns how often each server has its turn with a command.
    pub(crate) fn windows(&self) -> usize {
        match (self.suite == Suite::Disk, self.quick) {
            (true, true) => 8,
            (true, false) => 40,
            (false, true) => 20,
            (false, false) => 200,
        }
    }

    /// Returns the time of a turn.
    pub(crate) fn window(&self) -> Duration {
        // A group of writes takes milliseconds.
        Duration::from_millis(if self.suite == Suite::Disk { 150 } else { 25 })
    }

    /// Returns the number of rounds of calls.
    pub(crate) fn rounds(&self) -> usize {
        if self.quick { 3 } else { 7 }
    }

    /// Returns the duration of a round of one server.
    pub(crate) fn round_time(&self) -> Duration {
        Duration::from_millis(if self.quick { 250 } else { 700 })
    }

    /// Returns the idle time of used connections before the second reading of their memory.
    pub(crate) fn rest(&self) -> Duration {
        Duration::from_secs(if self.quick { 5 } else { 20 })
    }
}

fn split_at_equals(argument: String) -> Vec<String> {
    match argument.split_once('=') {
        Some((name, value)) if name.starts_with("--") => vec![name.to_owned(), value.to_owned()],
        _ => vec![argument],
    }
}

fn value(option: &str, word: Option<String>) -> Result<String> {
    word.ok_or_else(|| format!("{option} needs a value").into())
}

fn number(option: &str, word: Option<String>) -> Result<u64> {
    let word = value(option, word)?;
    word.parse().map_err(|_| format!("{option} takes a number, not '{word}'").into())
}

fn known_name(name: String) -> Result<String> {
    let workloads = Workload::all().map(|workload| workload.name());
    let publish = publish::Broadcast::all().map(|workload| workload.name());
    let others =
        [crowd::OPEN, crowd::MEMORY, publish::MEMORY, keys::MULTI, random::MEMORY].map(str::to_owned);
    let tracked = keys::DEPTHS.map(keys::tracked_name);
    let above = Workload::all().map(above::name);
    let random = random::workloads().map(random::name);
    let mut known = workloads.chain(above).chain(publish).chain(others).chain(tracked).chain(random);
    if known.any(|candidate| selects(&name, &candidate)) {
        Ok(name)
    } else {
        Err(format!("unknown measurement '{name}'; --help lists the names").into())
    }
}

fn selects(only: &str, name: &str) -> bool {
    name.strip_prefix(only).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Options> {
        Options::parse(line.split_whitespace().map(str::to_owned).collect())
    }

    #[test]
    fn a_command_selects_all_its_pipelines() -> Result<()> {
        let options = parse("--only=get --only set-1")?;
        let selected = ["get-1", "get-512", "set-1", "set-16", "memory"].map(|name| options.selects(name));
        assert_eq!(selected, [true, true, true, false, false]);
        Ok(())
    }

    #[test]
    fn all_measurements_are_selected_by_default() -> Result<()> {
        assert!(parse("--quick")?.selects("memory"));
        Ok(())
    }

    #[test]
    fn invalid_options_are_errors() {
        for line in [
            "--only ge",
            "--only",
            "--keys many",
            "--fast",
            "stray",
            "--disk --proxy",
            "--users --middleware",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
