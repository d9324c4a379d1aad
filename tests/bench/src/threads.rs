//! Measures what a second thread costs: a server with two threads, compared with the same server with one.
//!
//! Server and load generator share all CPUs here, since two threads on one CPU would take turns.

use crate::Result;
use crate::figure::{Limit, Pair};
use crate::options::Options;
use crate::program::Program;
use crate::proxy::Folder;
use crate::report;
use crate::server::Server;
use crate::throughput::{self, Series, Workload};

/// Number of keys to which the commands are spread, if the command line does not say.
pub(crate) const KEYS: u64 = 100_000;

const DEPTHS: [u64; 3] = [1, 16, 64];

/// The option of the programs of this workspace.
const THREADS: &str = "--threads 2";
const REDIS_THREADS: &str = "--io-threads 2 --io-threads-do-reads yes";

/// A server, and what is measured.
struct Measured {
    program: Program,
    /// The settings for a second thread.
    threads: &'static str,
    commands: &'static [&'static str],
    /// Maximum CPU time with two threads, relative to one.
    target: fn(Workload) -> Option<Limit>,
}

/// Returns the tables of `kv`, redis-server and `balancer`.
pub(crate) fn reports(options: &Options) -> Result<Vec<String>> {
    let upstream = Server::start(&Program::find("redis-server")?, &options.cpus)?;
    let folder = Folder::new()?;
    let balancer = folder.in_front_of(&Program::workspace("balancer")?, &upstream, 1)?;
    let (kv, redis) = (Program::workspace("kv")?, Program::find("redis-server")?);
    let measured = [
        Measured { program: kv, threads: THREADS, commands: &["GET", "SET"], target: sharded },
        Measured { program: redis, threads: REDIS_THREADS, commands: &["GET", "SET"], target: |_| None },
        Measured { program: balancer, threads: THREADS, commands: &["GET"], target: proxied },
    ];
    measured.into_iter().map(|measured| measured.report(options)).collect()
}

impl Measured {
    fn report(self, options: &Options) -> Result<String> {
        let Measured { program, threads, commands, target } = self;
        let programs = Pair { subject: program.clone().also_with(threads), baseline: program };
        let workloads = Workload::of(commands, &DEPTHS);
        let figures = |series: &Series| {
            let title = series.workload.title();
            [series.cpu_figure(&title, target(series.workload)), series.speed_figure(&title)]
        };
        let series = throughput::measure(&programs, options, &workloads)?;
        let figures: Vec<_> = series.iter().flat_map(figures).collect();
        Ok(report::report(&programs, options, &figures))
    }
}

/// Returns the maximum CPU time of a command with two threads and two shards, relative to one thread.
fn sharded(workload: Workload) -> Option<Limit> {
    Some(Limit::OwnRatio(if workload.pipeline == 1 { 1.3 } else { 1.2 }))
}

/// Returns the maximum CPU time of a command through a proxy with two threads, relative to one thread.
fn proxied(_cell: Workload) -> Option<Limit> {
    Some(Limit::OwnRatio(1.15))
}
