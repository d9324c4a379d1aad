//! Measures a call of `jobs`, compared with the same exchange through other servers.
//!
//! A hundred workers wait for jobs, and a hundred callers wait for results, each on its own connection. A
//! worker sends a result and its next request in one write. `jobs` also has one command for both. One thread
//! runs all clients.

mod exchange;
mod peers;

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::Result;
use crate::crowd;
use crate::figure::{Figure, Limit, Pair};
use crate::latency::QUANTILES;
use crate::options::Options;
use crate::pinned;
use crate::program::Program;
use crate::server::Server;
use exchange::Exchange;
use peers::Peers;

const WORKERS: usize = 100;
const CALLERS: usize = 100;

/// Maximum CPU time of a call, relative to the other server.
const TARGET: f64 = 0.6;

const PILOT: Duration = Duration::from_millis(200);

/// Duration of the run that determines the maximum rate of the other server.
const MAX_RATE_RUN: Duration = Duration::from_secs(2);
/// Duration of a latency round.
const ROUND: Duration = Duration::from_secs(5);

/// Maximum memory of a waiting worker, in KiB.
const MAX_WAITING_KIB: f64 = 2.5;

/// The result of one round of one server.
struct Sample {
    nanoseconds: f64,
    latencies: [f64; 2],
}

/// Measures the calls of `jobs` and of another server.
pub(crate) fn figures(programs: &Pair<Program>, options: &Options) -> Result<Vec<Figure>> {
    if let Some(minutes) = options.latency {
        return latencies(programs, options, minutes);
    }
    pinned::pin_driver(&options.cpus)?;
    let mut figures = vec![waiting(programs, options)?];
    for exchanges in Exchange::pairs(programs) {
        let servers = programs.try_map(|program| Server::start(program, &options.cpus))?;
        figures.extend(costs(&servers, exchanges, &programs.baseline.label, options)?);
    }
    Ok(figures)
}

/// Measures the memory of a waiting worker.
fn waiting(programs: &Pair<Program>, options: &Options) -> Result<Figure> {
    let setup = Exchange::pairs(programs).next().ok_or("no exchange to measure")?.map(|it| it.worker_setup());
    let Pair { baseline, subject } = programs;
    let waiting = Pair {
        baseline: crowd::kib_after(baseline, options, &setup.baseline)?,
        subject: crowd::kib_after(subject, options, &setup.subject)?,
    };
    Ok(Figure {
        name: format!("KiB per waiting worker, of {}, compared with {}", options.crowd, baseline.label),
        rounds: vec![waiting],
        decimals: 2,
        target: Some(Limit::Value(MAX_WAITING_KIB)),
    })
}

/// Measures the CPU time and the latency of a call.
fn costs(
    servers: &Pair<Server>,
    exchanges: Pair<Exchange>,
    other: &str,
    options: &Options,
) -> Result<Vec<Figure>> {
    let mut peers = connect(servers, exchanges)?;
    peers.baseline.run(PILOT)?;
    peers.subject.run(PILOT)?;
    let title = format!("{}, compared with {other}", exchanges.subject.title());
    let mut rounds = Vec::new();
    for round in 1..=options.rounds() {
        eprintln!("{title}: round {round} of {}", options.rounds());
        rounds.push(Pair {
            baseline: sample(&servers.baseline, &mut peers.baseline, options)?,
            subject: sample(&servers.subject, &mut peers.subject, options)?,
        });
    }
    let figure = |name: &str, read: fn(&Sample) -> f64, target| Figure {
        name: format!("{title}: {name}"),
        rounds: rounds.iter().map(|pair| pair.map(read)).collect(),
        decimals: 0,
        target,
    };
    Ok(vec![
        figure("CPU ns per call", |sample| sample.nanoseconds, Some(Limit::Ratio(TARGET))),
        figure("µs, p50", |sample| sample.latencies[0], None),
        figure("µs, p99", |sample| sample.latencies[1], None),
    ])
}

fn connect(servers: &Pair<Server>, exchanges: Pair<Exchange>) -> Result<Pair<Peers>> {
    let peers = |server: &Server, exchange| Peers::connect(server.address(), exchange, WORKERS, CALLERS);
    Ok(Pair {
        baseline: peers(&servers.baseline, exchanges.baseline)?,
        subject: peers(&servers.subject, exchanges.subject)?,
    })
}

/// Measures the latency at half of the other server's maximum rate, in alternating rounds.
fn latencies(programs: &Pair<Program>, options: &Options, minutes: u64) -> Result<Vec<Figure>> {
    let pairs: Vec<_> = Exchange::pairs(programs).collect();
    let rounds = (minutes * 60).div_ceil(2 * ROUND.as_secs() * pairs.len() as u64);
    let other = &programs.baseline.label;
    let figures = pairs.into_iter().map(|exchanges| {
        let servers = programs.try_map(|program| Server::start(program, &options.cpus))?;
        latency(&servers, exchanges, other, rounds)
    });
    Ok(figures.collect::<Result<Vec<_>>>()?.into_iter().flatten().collect())
}

fn latency(
    servers: &Pair<Server>,
    exchanges: Pair<Exchange>,
    other: &str,
    count: u64,
) -> Result<[Figure; 3]> {
    let Pair { mut baseline, mut subject } = connect(servers, exchanges)?;
    let rate = baseline.run(MAX_RATE_RUN)?.len() as f64 / MAX_RATE_RUN.as_secs_f64() / 2.0;
    subject.run(PILOT)?;
    let title =
        format!("{} at {rate:.0} a second, half of the maximum of {other}", exchanges.subject.title());
    let mut rounds = Vec::new();
    for round in 1..=count {
        eprintln!("{title}: round {round} of {count}");
        rounds.push(Pair { baseline: baseline.run_at(rate, ROUND)?, subject: subject.run_at(rate, ROUND)? });
    }
    Ok(QUANTILES.map(|(name, quantile)| {
        let micros = |all: &Histogram<u64>| all.value_at_quantile(quantile) as f64 / 1_000.0;
        Figure {
            name: format!("{title}: µs, {name}"),
            rounds: rounds.iter().map(|pair| pair.map(micros)).collect(),
            decimals: 0,
            target: None,
        }
    }))
}

fn sample(server: &Server, peers: &mut Peers, options: &Options) -> Result<Sample> {
    let (before, started) = (server.cpu_nanoseconds()?, Instant::now());
    let latencies = peers.run(options.round_time())?;
    let used = server.cpu_nanoseconds()?.saturating_sub(before);
    let calls = latencies.len();
    eprintln!("  {:.0} calls a second", calls as f64 / started.elapsed().as_secs_f64());
    let micros = |quantile| latencies.value_at_quantile(quantile) as f64 / 1_000.0;
    Ok(Sample { nanoseconds: used as f64 / calls as f64, latencies: [micros(0.5), micros(0.99)] })
}
