//! Measures the latency at half of the maximum load.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::Result;
use crate::figure::{Figure, Pair};
use crate::load::{CONNECTIONS, VALUE_BYTES};
use crate::options::Options;
use crate::program::Program;
use crate::server::Server;

/// Time under load of one server, before the other server gets the load.
const ROUND: Duration = Duration::from_secs(10);
const PILOT: Duration = Duration::from_secs(2);

const REQUEST: &[u8] = b"*2\r\n$3\r\nGET\r\n$3\r\nkey\r\n";

pub(crate) const QUANTILES: [(&str, f64); 3] = [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999)];

/// Measures both servers in alternating rounds, for the time in the options.
pub(crate) fn figures(programs: &Pair<Program>, options: &Options) -> Result<Vec<Figure>> {
    let Some(minutes) = options.latency else { return Ok(Vec::new()) };
    let servers = programs.try_map(|program| Server::start(program, &options.cpus))?;
    servers.try_map(|server| set(server.address()))?;
    let period = 2 * servers.try_map(|server| min_period(server.address()))?.baseline;
    let rate = CONNECTIONS as f64 / period.as_secs_f64();
    let rounds = (minutes * 60).div_ceil(2 * ROUND.as_secs());
    let mut latencies = Vec::new();
    for round in 1..=rounds {
        eprintln!("latency at {rate:.0} commands a second: round {round} of {rounds}");
        latencies.push(servers.try_map(|server| load(server.address(), period, ROUND))?);
    }
    Ok(QUANTILES.map(|(name, quantile)| figure(name, quantile, rate, &latencies)).into())
}

fn figure(name: &str, quantile: f64, rate: f64, latencies: &[Pair<Histogram<u64>>]) -> Figure {
    let micros = |latencies: &Histogram<u64>| latencies.value_at_quantile(quantile) as f64 / 1_000.0;
    Figure {
        name: format!("GET at {rate:.0} a second, half of the baseline's maximum: µs, {name}"),
        rounds: latencies.iter().map(|pair| pair.map(micros)).collect(),
        decimals: 0,
        target: None,
    }
}

fn set(address: SocketAddr) -> Result<()> {
    let mut stream = TcpStream::connect(address)?;
    let value = "x".repeat(VALUE_BYTES as usize);
    write!(stream, "SET key {value}\r\n")?;
    Ok(stream.read_exact(&mut [0; b"+OK\r\n".len()])?)
}

/// Returns the shortest time between two requests of a connection that the server sustains.
fn min_period(address: SocketAddr) -> Result<Duration> {
    let requests = load(address, Duration::ZERO, PILOT)?.len();
    Ok(PILOT.mul_f64(CONNECTIONS as f64 / requests as f64))
}

/// Sends one request per `period` on each connection. Returns the latencies in nanoseconds.
fn load(address: SocketAddr, period: Duration, time: Duration) -> Result<Histogram<u64>> {
    let start = Instant::now() + Duration::from_millis(100);
    let ask = |index: u64| {
        // Spreads the connections evenly over the period.
        let first = start + period.mul_f64(index as f64 / CONNECTIONS as f64);
        thread::spawn(move || ask(address, first, period, start + time).map_err(|error| error.to_string()))
    };
    let threads: Vec<_> = (0..CONNECTIONS).map(ask).collect();
    let mut all = histogram()?;
    for thread in threads {
        let one = thread.join().map_err(|_| "a connection panicked")??;
        all.add(one)?;
    }
    Ok(all)
}

fn ask(address: SocketAddr, first: Instant, period: Duration, end: Instant) -> Result<Histogram<u64>> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    let mut reply = vec![0; format!("${VALUE_BYTES}\r\n").len() + VALUE_BYTES as usize + 2];
    let mut latencies = histogram()?;
    let mut due = first;
    while due < end {
        let sent = match due.checked_duration_since(Instant::now()) {
            // The latency excludes oversleeping, which the driver causes.
            Some(wait) if !wait.is_zero() => {
                thread::sleep(wait);
                Instant::now()
            }
            // The latency includes the delay by a late previous reply, which the server causes.
            _ if period.is_zero() => Instant::now(),
            _ => due,
        };
        stream.write_all(REQUEST)?;
        stream.read_exact(&mut reply)?;
        latencies.saturating_record(sent.elapsed().as_nanos() as u64);
        due = if period.is_zero() { Instant::now() } else { due + period };
    }
    Ok(latencies)
}

fn histogram() -> Result<Histogram<u64>> {
    Ok(Histogram::new_with_bounds(1_000, 60_000_000_000, 3)?)
}
