//! What it costs to have somebody else do something: a call of `jobs`, beside the same exchange by other servers.
//!
//! A hundred workers wait for work on a connection each, and so do a hundred callers for their results. Whoever has
//! an answer sends it with the next question, whatever the server; `jobs` has a command for both as well. All of them
//! are this one thread.

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

/// The part of the other server's processor time that a call may cost.
const TARGET: f64 = 0.6;

const PILOT: Duration = Duration::from_millis(200);

/// How long it is tried how many calls the other server can do, and how long a round of latencies is.
const PACE: Duration = Duration::from_secs(2);
const ROUND: Duration = Duration::from_secs(5);

/// KiB that a worker may take that waits for work.
const WAITING: f64 = 2.5;

/// What one round of one server gave.
struct Sample {
    nanoseconds: f64,
    latencies: [f64; 2],
}

/// Calls of `jobs` beside those of another server.
pub(crate) fn figures(programs: &Pair<Program>, options: &Options) -> Result<Vec<Figure>> {
    if let Some(minutes) = options.latency {
        return latencies(programs, options, minutes);
    }
    pinned::stay(options.cpu)?;
    let mut figures = vec![waiting(programs, options)?];
    for exchanges in Exchange::pairs(programs) {
        let servers = programs.try_map(|program| Server::start(program, options.cpu))?;
        figures.extend(costs(&servers, exchanges, &programs.baseline.label, options)?);
    }
    Ok(figures)
}

/// What a worker takes that waits for work.
fn waiting(programs: &Pair<Program>, options: &Options) -> Result<Figure> {
    let begins = Exchange::pairs(programs).next().ok_or("nothing to measure")?.map(|it| it.worker_begins());
    let Pair { baseline, subject } = programs;
    let waiting = Pair {
        baseline: crowd::waiting_kib(baseline, options, &begins.baseline)?,
        subject: crowd::waiting_kib(subject, options, &begins.subject)?,
    };
    Ok(Figure {
        name: format!("KiB per waiting worker, of {}, beside {}", options.crowd, baseline.label),
        rounds: vec![waiting],
        decimals: 2,
        target: Some(Limit::Value(WAITING)),
    })
}

/// What a call costs.
fn costs(
    servers: &Pair<Server>,
    exchanges: Pair<Exchange>,
    other: &str,
    options: &Options,
) -> Result<Vec<Figure>> {
    let mut peers = connect(servers, exchanges)?;
    peers.baseline.run(PILOT)?;
    peers.subject.run(PILOT)?;
    let title = format!("{}, beside {other}", exchanges.subject.title());
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

/// How long callers wait when there are half as many calls as the other server can do, in rounds that alternate.
fn latencies(programs: &Pair<Program>, options: &Options, minutes: u64) -> Result<Vec<Figure>> {
    let pairs: Vec<_> = Exchange::pairs(programs).collect();
    let rounds = (minutes * 60).div_ceil(2 * ROUND.as_secs() * pairs.len() as u64);
    let other = &programs.baseline.label;
    let figures = pairs.into_iter().map(|exchanges| {
        let servers = programs.try_map(|program| Server::start(program, options.cpu))?;
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
    let rate = baseline.run(PACE)?.len() as f64 / PACE.as_secs_f64() / 2.0;
    subject.run(PILOT)?;
    let title = format!("{} at {rate:.0} a second, half of what {other} can do", exchanges.subject.title());
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
