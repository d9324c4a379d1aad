//! What it costs to have somebody else do something: a call of `jobs`, beside the same exchange by other servers.
//!
//! A hundred workers wait for work on a connection each, and so do a hundred callers for their results. Whoever has
//! an answer sends it with the next question, whatever the server. All of them are this one thread.

mod exchange;
mod peers;

use std::time::{Duration, Instant};

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
    let exchanges = programs.map(Exchange::of);
    let servers = programs.try_map(|program| Server::start(program, options.cpu))?;
    let mut peers = Pair {
        baseline: Peers::connect(servers.baseline.address(), exchanges.baseline, WORKERS, CALLERS)?,
        subject: Peers::connect(servers.subject.address(), exchanges.subject, WORKERS, CALLERS)?,
    };
    peers.baseline.run(PILOT)?;
    peers.subject.run(PILOT)?;
    let mut rounds = Vec::new();
    for round in 1..=options.rounds() {
        eprintln!("calls: round {round} of {}", options.rounds());
        rounds.push(Pair {
            baseline: sample(&servers.baseline, &mut peers.baseline, options)?,
            subject: sample(&servers.subject, &mut peers.subject, options)?,
        });
    }
    let other = &programs.baseline.label;
    let figure = |name: String, read: fn(&Sample) -> f64, target| Figure {
        name,
        rounds: rounds.iter().map(|pair| pair.map(read)).collect(),
        decimals: 0,
        target,
    };
    let title = format!("a call with {WORKERS} workers and {CALLERS} callers, beside {other}");
    drop((peers, servers));
    let waiting = |program: &Program| {
        let exchange = Exchange::of(program);
        crowd::waiting_kib(program, options, &exchange.worker_begins())
    };
    Ok(vec![
        Figure {
            name: format!("KiB per waiting worker, of {}, beside {other}", options.crowd),
            rounds: vec![programs.try_map(waiting)?],
            decimals: 2,
            target: Some(Limit::Value(WAITING)),
        },
        figure(format!("{title}: CPU ns"), |sample| sample.nanoseconds, Some(Limit::Ratio(TARGET))),
        figure(format!("{title}: µs, p50"), |sample| sample.latencies[0], None),
        figure(format!("{title}: µs, p99"), |sample| sample.latencies[1], None),
    ])
}

/// How long callers wait when there are half as many calls as the other server can do, in rounds that alternate.
fn latencies(programs: &Pair<Program>, options: &Options, minutes: u64) -> Result<Vec<Figure>> {
    let exchanges = programs.map(Exchange::of);
    let servers = programs.try_map(|program| Server::start(program, options.cpu))?;
    let mut baseline = Peers::connect(servers.baseline.address(), exchanges.baseline, WORKERS, CALLERS)?;
    let mut subject = Peers::connect(servers.subject.address(), exchanges.subject, WORKERS, CALLERS)?;
    let rate = baseline.run(PACE)?.len() as f64 / PACE.as_secs_f64() / 2.0;
    subject.run(PILOT)?;
    let count = (minutes * 60).div_ceil(2 * ROUND.as_secs());
    let mut rounds = Vec::new();
    for round in 1..=count {
        eprintln!("{rate:.0} calls a second: round {round} of {count}");
        let (baseline, subject) = (baseline.run_at(rate, ROUND)?, subject.run_at(rate, ROUND)?);
        rounds.push(Pair { baseline, subject });
    }
    let figure = |(name, quantile): (&str, f64)| Figure {
        name: format!("{rate:.0} calls a second, half of what the first can do: µs, {name}"),
        rounds: rounds
            .iter()
            .map(|pair| pair.map(|all| all.value_at_quantile(quantile) as f64 / 1_000.0))
            .collect(),
        decimals: 0,
        target: None,
    };
    Ok(QUANTILES.map(figure).into())
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
