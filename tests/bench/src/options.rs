//! The command line.

use std::time::Duration;

use crate::Result;
use crate::crowd;
use crate::disk;
use crate::figure::Pair;
use crate::keys;
use crate::machine;
use crate::program::Program;
use crate::publish;
use crate::throughput::Cell;

pub(crate) const USAGE: &str = "\
Puts kv beside Redis on this machine and prints what a command and a connection cost each of them.

Usage: tests/bench/run [OPTIONS]

  --quick         fewer and shorter rounds: half a minute, rough figures
  --only NAME     only this (repeatable): set, get, set-1, get-16, … (1, 16, 64, 512), open, memory,
                  publish, publish-200, publish-200-50, … (200, 1000; 1, 50), publish-memory, multi, tracked, tracked-1, tracked-16
  --server PATH   another server in place of kv
  --against PATH  another server in place of redis-server, such as kv before a change
  --keys N        spread the commands over N random keys (redis-benchmark -r) instead of one
  --latency N     instead, for N minutes, how long clients wait at half load
  --calls         instead, what a call of jobs costs beside the same by lists of Redis, and by nats-server;
                  with --latency, how long callers wait
  --disk          instead, what a write costs that is on disk before it is answered: SET of kv-disk and XADD of
                  collector beside redis-server
  --proxy         instead, what a GET costs by way of balancer beside the same by twemproxy (nutcracker), both before one
                  redis-server; and what a hit of readthrough costs beside a GET of kv
  --cpu N         the processor that server and load generator share (default: the last one)
  -h, --help      this text
";

/// What to measure, and how.
pub(crate) struct Options {
    pub(crate) quick: bool,
    pub(crate) keys: Option<u64>,
    pub(crate) cpu: usize,
    /// For so many minutes, latencies alone.
    pub(crate) latency: Option<u64>,
    /// What calls cost, alone.
    pub(crate) calls: bool,
    /// What it costs to have writes on disk, alone.
    pub(crate) disk: bool,
    /// What it costs to be in front of another server, alone.
    pub(crate) proxy: bool,
    /// How many connections to open at once.
    pub(crate) crowd: u64,
    only: Vec<String>,
    server: Option<String>,
    against: Option<String>,
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
                "--calls" => options.calls = true,
                "--disk" => {
                    options.disk = true;
                    options.keys.get_or_insert(disk::KEYS);
                }
                "--proxy" => options.proxy = true,
                "--cpu" => options.cpu = number(&word, words.next())? as usize,
                _ => return Err(format!("unknown option '{word}'; --help lists them").into()),
            }
        }
        Ok(options)
    }

    fn new() -> Result<Options> {
        let (cpu, crowd) = (machine::last_cpu()?, crowd::size());
        Ok(Options {
            quick: false,
            keys: None,
            cpu,
            latency: None,
            calls: false,
            disk: false,
            proxy: false,
            crowd,
            only: Vec::new(),
            server: None,
            against: None,
        })
    }

    /// Whether the measurement of this name was asked for: `set` stands for `set-1`, `set-16` and so on.
    pub(crate) fn wants(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| stands_for(only, name))
    }

    pub(crate) fn programs(&self) -> Result<Pair<Program>> {
        self.pair("redis-server", "kv")
    }

    /// `kv-disk`, beside a server that can do the same.
    pub(crate) fn on_disk(&self) -> Result<Pair<Program>> {
        let mut programs = self.pair("redis-server", "kv-disk")?;
        if programs.baseline.is_redis() {
            programs.baseline = programs.baseline.with(disk::REDIS_SETTINGS.to_owned());
        }
        Ok(programs)
    }

    /// An example beside another server, unless the command line says otherwise.
    fn pair(&self, baseline: &str, example: &str) -> Result<Pair<Program>> {
        let baseline = Program::find(self.against.as_deref().unwrap_or(baseline))?;
        let subject = match &self.server {
            Some(path) => Program::find(path)?,
            None => Program::example(example)?,
        };
        Ok(Pair { baseline, subject }.told_apart())
    }

    /// `collector`, unless another server is put in the place of examples.
    pub(crate) fn collector(&self) -> Result<Option<Program>> {
        if self.server.is_some() { Ok(None) } else { Program::example("collector").map(Some) }
    }

    /// `balancer`, beside another proxy.
    pub(crate) fn proxies(&self) -> Result<Pair<Program>> {
        self.pair("nutcracker", "balancer")
    }

    /// `jobs`, beside each of those that can do the same.
    pub(crate) fn exchanges(&self) -> Result<Vec<Pair<Program>>> {
        let others = ["redis-server", "nats-server"];
        let most = if self.against.is_some() { 1 } else { others.len() };
        others[..most].iter().map(|other| self.pair(other, "jobs")).collect()
    }

    pub(crate) fn rounds(&self) -> usize {
        if self.quick { 3 } else { 7 }
    }

    /// How long a round of one server and one command takes, as Redis does it.
    pub(crate) fn round_time(&self) -> Duration {
        Duration::from_millis(if self.quick { 250 } else { 700 })
    }

    /// How long used connections are left alone before their memory is read again.
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
    let cells = Cell::all().map(|cell| cell.name());
    let publish = publish::Cell::all().map(|cell| cell.name());
    let others = [crowd::OPEN, crowd::MEMORY, publish::LISTENING, keys::MULTI].map(str::to_owned);
    let tracked = keys::DEPTHS.map(keys::tracked_name);
    let mut known = cells.chain(publish).chain(others).chain(tracked);
    if known.any(|candidate| stands_for(&name, &candidate)) {
        Ok(name)
    } else {
        Err(format!("nothing to measure is named '{name}'; --help lists the names").into())
    }
}

fn stands_for(only: &str, name: &str) -> bool {
    name.strip_prefix(only).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Options> {
        Options::parse(line.split_whitespace().map(str::to_owned).collect())
    }

    #[test]
    fn a_command_stands_for_all_its_pipelines() -> Result<()> {
        let options = parse("--only=get --only set-1")?;
        let wanted = ["get-1", "get-512", "set-1", "set-16", "memory"].map(|name| options.wants(name));
        assert_eq!(wanted, [true, true, true, false, false]);
        Ok(())
    }

    #[test]
    fn everything_is_wanted_unless_something_is_named() -> Result<()> {
        assert!(parse("--quick")?.wants("memory"));
        Ok(())
    }

    #[test]
    fn mistakes_are_told() {
        for line in ["--only ge", "--only", "--keys many", "--fast", "stray"] {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
