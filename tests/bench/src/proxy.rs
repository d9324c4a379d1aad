//! Measures proxies: `balancer` compared with twemproxy and haproxy, and cached values of `readthrough` compared with `kv`.

use std::env;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process;

use crate::Result;
use crate::crowd;
use crate::figure::{Figure, Limit, Pair};
use crate::options::Options;
use crate::pinned;
use crate::program::{Dialect, Program};
use crate::server::{Server, free_address};
use crate::throughput::{self, Workload};

/// Pipeline depths.
const DEPTHS: [u64; 3] = [1, 16, 64];
/// Maximum CPU time of a GET of each depth, relative to twemproxy.
const MAXIMA: [f64; DEPTHS.len()] = [0.75, 0.15, 0.10];

/// Maximum CPU time of a cache hit, relative to a GET of `kv`.
const HIT: f64 = 1.3;
const HIT_DEPTHS: [u64; 4] = [1, 16, 64, 512];

/// Number of upstream connections that ten thousand clients share.
const CONNECTIONS: u64 = 8;

/// Number of commands that ten thousand clients send at full speed.
const CROWDED: u64 = 300_000;
const CROWDED_ROUNDS: usize = 3;

/// Measures a GET through each proxy to the same server, and ten thousand clients of each proxy.
pub(crate) fn figures(programs: &Pair<Program>, options: &Options) -> Result<Vec<Figure>> {
    let mut figures = gets(programs, options, Some(MAXIMA))?;
    let upstream = Server::start(&Program::find("redis-server")?, &options.cpus)?;
    let folder = Folder::new()?;
    let configured = programs.try_map(|program| folder.in_front_of(program, &upstream, CONNECTIONS))?;
    figures.extend(crowd::memory_figures(&configured, options)?);
    let configured = programs.try_map(|program| folder.in_front_of(program, &upstream, CONNECTIONS))?;
    let servers = configured.try_map(|program| Server::start(program, &options.cpus))?;
    let mut rounds = Vec::new();
    for round in 1..=CROWDED_ROUNDS {
        eprintln!("many clients: round {round} of {CROWDED_ROUNDS}");
        rounds.push(servers.try_map(|server| p99(server.address(), options))?);
    }
    let name = format!("GET of {} clients at full speed: ms, p99", options.crowd);
    figures.push(Figure { name, rounds, decimals: 1, target: None });
    Ok(figures)
}

/// Measures a GET through each proxy to the same server. The maxima are those of the CPU time, one for each depth.
pub(crate) fn gets(
    programs: &Pair<Program>,
    options: &Options,
    maxima: Option<[f64; DEPTHS.len()]>,
) -> Result<Vec<Figure>> {
    let upstream = Server::start(&Program::find("redis-server")?, &options.cpus)?;
    let folder = Folder::new()?;
    let configured = programs.try_map(|program| folder.in_front_of(program, &upstream, 1))?;
    let workloads = DEPTHS.map(|pipeline| Workload { command: "GET", pipeline });
    let mut figures = Vec::new();
    for (index, series) in throughput::measure(&configured, options, &workloads)?.iter().enumerate() {
        let title = format!("{} through the proxy", series.workload.title());
        let target = maxima.map(|maxima| Limit::Ratio(maxima[index]));
        figures.push(series.cpu_figure(&title, target));
        figures.push(series.speed_figure(&title));
    }
    Ok(figures)
}

/// Measures a GET of a cached value.
pub(crate) fn hits(programs: &Pair<Program>, options: &Options) -> Result<Vec<Figure>> {
    let folder = Folder::new()?;
    let database = folder.0.join("hits.db");
    let configured = Pair {
        baseline: programs.baseline.clone(),
        subject: programs.subject.clone().with(format!("--database sqlite:{}", database.display())),
    };
    let workloads = HIT_DEPTHS.map(|pipeline| Workload { command: "GET", pipeline });
    let series = throughput::measure(&configured, options, &workloads)?;
    let figure =
        |series: &throughput::Series| series.cpu_figure(&series.workload.title(), Some(Limit::OwnRatio(HIT)));
    Ok(series.iter().map(figure).collect())
}

/// Returns redis-benchmark's 99th percentile of the latency with many clients, in milliseconds.
fn p99(address: SocketAddr, options: &Options) -> Result<f64> {
    let (ip, port, clients) = (address.ip(), address.port(), options.crowd);
    let line =
        format!("timeout 120 redis-benchmark -h {ip} -p {port} -c {clients} -n {CROWDED} -t get --csv");
    let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
    let output = pinned::command(&options.cpus, "TERM", &words).output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    // "test","rps","avg_latency_ms","min_latency_ms","p50_latency_ms","p95_latency_ms","p99_latency_ms",…
    let figure =
        text.lines().find(|line| line.starts_with("\"GET\"")).and_then(|line| line.split(',').nth(6));
    let figure = figure.and_then(|figure| figure.trim_matches('"').parse().ok());
    figure
        .ok_or_else(|| format!("redis-benchmark failed: {}", String::from_utf8_lossy(&output.stderr)).into())
}

/// A temporary folder. Dropping it removes it.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Result<Self> {
        let path = env::temp_dir().join(format!("bench-proxy-{}", process::id()));
        fs::create_dir_all(&path)?;
        Ok(Folder(path))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Returns the proxy, configured for the upstream server.
    pub(crate) fn in_front_of(
        &self,
        program: &Program,
        upstream: &Server,
        connections: u64,
    ) -> Result<Program> {
        let upstream = upstream.address();
        let address = free_address()?;
        let file = self.0.join(address.port().to_string());
        let (text, settings) = match program.dialect {
            Dialect::Twemproxy => (
                format!(
                    "measured:\n  listen: {address}\n  redis: true\n  hash: fnv1a_64\n  distribution: ketama\n  \
                     backlog: 4096\n  server_connections: {connections}\n  servers:\n   - {upstream}:1\n"
                ),
                format!("-c {} -s {} -a 127.0.0.1", file.display(), free_address()?.port()),
            ),
            // haproxy opens a connection to the server for each client.
            Dialect::Haproxy => (
                format!(
                    "global\n  nbthread 1\n  maxconn 4000\ndefaults\n  mode tcp\n  timeout connect 5s\n  timeout client \
                     1h\n  timeout server 1h\nlisten measured\n  bind {address}\n  server upstream {upstream}\n"
                ),
                format!("-f {}", file.display()),
            ),
            _ => {
                let settings = format!("--connections {connections} {upstream}");
                return Ok(program.clone().with(settings).counted_at(upstream));
            }
        };
        fs::write(&file, text)?;
        Ok(program.clone().with(settings).at(address).counted_at(upstream))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // A leftover folder is harmless: it is in the system's temporary folder.
        let _ = fs::remove_dir_all(&self.0);
    }
}
