//! Runs the soak test, measures the server meanwhile, and reports problems at the end.

use std::{
    sync::atomic::Ordering,
    thread,
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;

use crate::{
    Result,
    batch::Batch,
    options::Options,
    server::Server,
    soak::{Soak, histogram},
};

/// Maximum memory of a server with one thread. The stored keys take only a fraction of it.
const MAX_RESIDENT_KIB: u64 = 128 * 1024;

/// Allowed growth of the memory of one thread from the first to the last third, in addition to a quarter.
const GROWTH_KIB: u64 = 16 * 1024;

/// Memory that each further thread may keep.
///
/// The batch pool of a thread takes up to 8 MiB, which takes a minute to fill. With eight threads, 88 MiB were in use
/// after one minute and after ten, and the free memory in the heaps of the threads grew from 20 to 28 MiB.
const THREAD_KIB: u64 = 10 * 1024;

/// Maximum CPU time per command in the last third, relative to the first third.
const MAX_CPU_RATIO: f64 = 2.0;

/// Maximum latency in the last third, relative to the first third.
const MAX_LATENCY_RATIO: u64 = 3;
/// Percentiles, each with an additional allowance, because the load generator and other processes share the CPUs.
const PERCENTILES: [(f64, Duration); 3] = [
    (50.0, Duration::from_millis(10)),
    (99.0, Duration::from_millis(250)),
    (99.9, Duration::from_millis(500)),
];

/// Time between two lines of progress.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(10);

/// Time limit for the server to notice closed connections.
const PATIENCE: Duration = Duration::from_secs(20);

/// The measurements of one third of the time.
struct Third {
    latency: Histogram<u64>,
    resident_kib: Vec<u64>,
    cpu_time: Duration,
    commands: u64,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    rlimit::increase_nofile_limit(20_000)?;
    println!("seed {}, {:.1} minutes", options.seed, options.minutes.as_secs_f64() / 60.0);
    let mut server = Server::start(
        &options.program("kv")?,
        &["--threads".to_owned(), options.threads.to_string()],
        "warn",
    )?;
    let soak = Soak::new(server.address, options.threads > 1);
    let idle = base_level(&server, &soak)?;

    let thirds = thread::scope(|scope| {
        soak.start(scope, options.seed);
        let thirds = watch(&mut server, &soak, options.minutes);
        // Also after a failure, because the scope waits for all threads.
        soak.end();
        thirds
    });

    let mut problems = soak.failures();
    match thirds {
        Ok(thirds) if problems.is_empty() => {
            problems = verdict(
                server,
                &soak,
                idle,
                &thirds,
                u64::from(options.threads.saturating_sub(1)) * THREAD_KIB,
            )?
        }
        // The server's log may show the cause.
        Ok(_) => problems.extend(server.stop().err().map(|error| error.to_string())),
        Err(error) => problems.insert(0, error.to_string()),
    }
    if problems.is_empty() { Ok(()) } else { Err(problems.join("\nsoak: ").into()) }
}

/// Returns the number of open descriptors without clients.
fn base_level(server: &Server, soak: &Soak) -> Result<usize> {
    soak.connect()?.ask(&ping())?;
    thread::sleep(Duration::from_millis(200));
    server.descriptors()
}

/// Measures the server until the time is over or the first failure.
fn watch(server: &mut Server, soak: &Soak, time: Duration) -> Result<[Third; 3]> {
    let mut thirds = [Third::new(), Third::new(), Third::new()];
    let (start, mut latency) = (Instant::now(), histogram());
    let mut next_line = PROGRESS_INTERVAL;
    let mut before = (server.cpu_time()?, 0);
    while start.elapsed() < time && !soak.is_over() {
        thread::sleep(Duration::from_millis(500));
        let elapsed = start.elapsed();
        let third = &mut thirds[(elapsed.as_secs_f64() * 3.0 / time.as_secs_f64()).min(2.0) as usize];
        server.check()?;
        let resident = server.resident_kib()?;
        third.resident_kib.push(resident);
        let now = (server.cpu_time()?, soak.commands.load(Ordering::Relaxed));
        third.cpu_time += now.0 - before.0;
        third.commands += now.1 - before.1;
        before = now;
        let taken = soak.take_latency();
        third.latency.add(&taken)?;
        latency.add(&taken)?;
        if elapsed >= next_line {
            print_line(soak, elapsed, resident, server.descriptors()?, &latency);
            latency.reset();
            next_line += PROGRESS_INTERVAL;
        }
    }
    Ok(thirds)
}

fn print_line(soak: &Soak, elapsed: Duration, resident: u64, descriptors: usize, latency: &Histogram<u64>) {
    println!(
        "{:5} s  {:9} commands  {:7} connections  {:4} MiB  {descriptors:4} descriptors  {}",
        elapsed.as_secs(),
        soak.commands.load(Ordering::Relaxed),
        soak.connections.load(Ordering::Relaxed),
        resident / 1024,
        percentiles(latency),
    );
}

/// Checks the server after all clients have disconnected, prints the figures and returns the problems.
///
/// The further threads of the server may keep `threads_kib` of memory.
fn verdict(
    server: Server,
    soak: &Soak,
    idle: usize,
    thirds: &[Third; 3],
    threads_kib: u64,
) -> Result<Vec<String>> {
    let mut problems = Vec::new();
    let left = descriptors_left(&server, idle)?;
    if left > idle {
        problems.push(format!("{left} descriptors are open at the end, {idle} at the start"));
    }
    let peak = server.peak_kib()?;
    let limit = MAX_RESIDENT_KIB + threads_kib;
    if peak > limit {
        problems.push(format!("peak memory is {} MiB, the limit is {} MiB", peak / 1024, limit / 1024));
    }
    let [first, _, last] = thirds;
    let (before, after) = (first.median_kib(), last.median_kib());
    if after > before + before / 4 + GROWTH_KIB + threads_kib {
        problems.push(format!("memory grew from {} to {} MiB", before / 1024, after / 1024));
    }
    let (before, after) = (first.cpu_nanoseconds(), last.cpu_nanoseconds());
    if after > before * MAX_CPU_RATIO {
        problems.push(format!("CPU time per command grew from {before:.0} to {after:.0} ns"));
    }
    for (percentile, slack) in PERCENTILES {
        let [before, after] = [first, last].map(|third| third.latency.value_at_percentile(percentile));
        if after > before * MAX_LATENCY_RATIO + slack.as_micros() as u64 {
            problems.push(format!("p{percentile} of the latency grew from {before} to {after} us"));
        }
    }
    if let Err(error) = stop_with_clients(server, soak) {
        problems.push(error.to_string());
    }
    summarize(soak, thirds, peak, (idle, left))?;
    Ok(problems)
}

/// Returns the number of open descriptors after the server has noticed that all clients have disconnected.
fn descriptors_left(server: &Server, idle: usize) -> Result<usize> {
    let start = Instant::now();
    loop {
        let left = server.descriptors()?;
        if left <= idle || start.elapsed() > PATIENCE {
            return Ok(left);
        }
        thread::sleep(Duration::from_millis(20));
    }
}

/// Checks that a stop gracefully closes idle connections and connections with half a request.
fn stop_with_clients(server: Server, soak: &Soak) -> Result<()> {
    let mut clients = Vec::new();
    for number in 0..20 {
        let mut client = soak.connect()?;
        client.ask(&ping())?;
        if number % 2 == 0 {
            client.send(b"*1\r\n$4\r\nPI")?;
        }
        clients.push(client);
    }
    server.stop()?;
    clients.iter_mut().try_for_each(|client| client.expect_end())
}

fn summarize(soak: &Soak, thirds: &[Third; 3], peak: u64, descriptors: (usize, usize)) -> Result<()> {
    let [first, _, last] = thirds;
    let mut all = histogram();
    for third in thirds {
        all.add(&third.latency)?;
    }
    println!();
    println!("connections made   {}", soak.connections.load(Ordering::Relaxed));
    println!("commands checked   {}", soak.commands.load(Ordering::Relaxed));
    println!("peak memory        {} MiB", peak / 1024);
    println!("  first, last third  {} MiB, {} MiB", first.median_kib() / 1024, last.median_kib() / 1024);
    println!("descriptors        {} at the start, {} at the end", descriptors.0, descriptors.1);
    let [early, late] = [first, last].map(Third::cpu_nanoseconds);
    println!("CPU time           {early:.0} ns per command in the first third, {late:.0} in the last");
    println!("latency            {}", percentiles(&all));
    println!("  first third      {}", percentiles(&first.latency));
    println!("  last third       {}", percentiles(&last.latency));
    Ok(())
}

fn percentiles(latency: &Histogram<u64>) -> String {
    let words = PERCENTILES.map(|(percentile, _)| {
        let milliseconds = latency.value_at_percentile(percentile) as f64 / 1000.0;
        format!("p{percentile} {milliseconds:.2}")
    });
    format!("{} ms", words.join("  "))
}

fn ping() -> Batch {
    Batch::of(&[b"PING"], "+PONG\r\n")
}

impl Third {
    fn new() -> Third {
        Third { latency: histogram(), resident_kib: Vec::new(), cpu_time: Duration::ZERO, commands: 0 }
    }

    /// Returns the server's CPU time per command.
    fn cpu_nanoseconds(&self) -> f64 {
        self.cpu_time.as_nanos() as f64 / self.commands.max(1) as f64
    }

    /// Returns the median of the resident memory.
    fn median_kib(&self) -> u64 {
        let mut sorted = self.resident_kib.clone();
        sorted.sort_unstable();
        sorted.get(sorted.len() / 2).copied().unwrap_or(0)
    }
}
