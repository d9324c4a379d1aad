//! What it costs to be in front of another server: `balancer` beside twemproxy, and what `readthrough` has in its memory
//! beside `kv`.

use std::env;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process;

use crate::Result;
use crate::crowd;
use crate::figure::{Figure, Limit, Pair};
use crate::options::Options;
use crate::pinned;
use crate::program::{Dialect, Program};
use crate::server::{Server, free_address};
use crate::throughput::{self, Cell};

/// The part of twemproxy's processor time that a GET may cost by its depth.
const THROUGH: [(u64, f64); 3] = [(1, 0.8), (16, 0.45), (64, 0.45)];

/// The part of the processor time of a GET of `kv` that a hit may cost.
const HIT: f64 = 1.3;
const HIT_DEPTHS: [u64; 4] = [1, 16, 64, 512];

/// So many connections to the server do ten thousand clients share.
const CONNECTIONS: u64 = 8;

/// Commands of ten thousand clients that ask as fast as they can.
const CROWDED: u64 = 300_000;
const CROWDED_ROUNDS: usize = 3;

/// A GET by way of each, which have the same server behind them; and what ten thousand clients are to them.
pub(crate) fn figures(programs: &Pair<Program>, options: &Options) -> Result<Vec<Figure>> {
    let upstream = Server::start(&Program::find("redis-server")?, options.cpu)?;
    let folder = Folder::new()?;
    let told = programs.try_map(|program| folder.in_front_of(program, &upstream, 1))?;
    let cells = THROUGH.map(|(pipeline, _)| Cell { command: "GET", pipeline });
    let mut figures = Vec::new();
    for (series, (_, target)) in throughput::measure(&told, options, &cells)?.iter().zip(THROUGH) {
        let title = format!("{} by way of each", series.cell.title());
        figures.push(series.cpu_figure(&title, Some(Limit::Ratio(target))));
        figures.push(series.speed_figure(&title));
    }
    let told = programs.try_map(|program| folder.in_front_of(program, &upstream, CONNECTIONS))?;
    figures.extend(crowd::memory_figures(&told, options)?);
    let told = programs.try_map(|program| folder.in_front_of(program, &upstream, CONNECTIONS))?;
    let servers = told.try_map(|program| Server::start(program, options.cpu))?;
    let mut rounds = Vec::new();
    for round in 1..=CROWDED_ROUNDS {
        eprintln!("many clients: round {round} of {CROWDED_ROUNDS}");
        rounds.push(servers.try_map(|server| p99(server.address(), options))?);
    }
    let name = format!("GET of {} clients as fast as they can: ms, p99", options.crowd);
    figures.push(Figure { name, rounds, decimals: 1, target: None });
    Ok(figures)
}

/// A GET of what is in memory.
pub(crate) fn hits(programs: &Pair<Program>, options: &Options) -> Result<Vec<Figure>> {
    let folder = Folder::new()?;
    let database = folder.0.join("hits.db");
    let told = Pair {
        baseline: programs.baseline.clone(),
        subject: programs.subject.clone().with(format!("--database sqlite:{}", database.display())),
    };
    let cells = HIT_DEPTHS.map(|pipeline| Cell { command: "GET", pipeline });
    let series = throughput::measure(&told, options, &cells)?;
    let figure =
        |series: &throughput::Series| series.cpu_figure(&series.cell.title(), Some(Limit::OwnRatio(HIT)));
    Ok(series.iter().map(figure).collect())
}

/// What redis-benchmark says that one of a hundred of very many clients has waited, in milliseconds.
fn p99(address: SocketAddr, options: &Options) -> Result<f64> {
    let (ip, port, clients) = (address.ip(), address.port(), options.crowd);
    let line =
        format!("timeout 120 redis-benchmark -h {ip} -p {port} -c {clients} -n {CROWDED} -t get --csv");
    let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
    let output = pinned::command(options.cpu, "TERM", &words).output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    // "test","rps","avg_latency_ms","min_latency_ms","p50_latency_ms","p95_latency_ms","p99_latency_ms",…
    let figure =
        text.lines().find(|line| line.starts_with("\"GET\"")).and_then(|line| line.split(',').nth(6));
    let figure = figure.and_then(|figure| figure.trim_matches('"').parse().ok());
    figure
        .ok_or_else(|| format!("redis-benchmark failed: {}", String::from_utf8_lossy(&output.stderr)).into())
}

/// Where files are kept for as long as it is measured.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Result<Self> {
        let path = env::temp_dir().join(format!("bench-proxy-{}", process::id()));
        fs::create_dir_all(&path)?;
        Ok(Folder(path))
    }

    /// The proxy, told which server is behind it.
    fn in_front_of(&self, program: &Program, upstream: &Server, connections: u64) -> Result<Program> {
        let behind = upstream.address();
        if program.dialect != Dialect::Twemproxy {
            return Ok(program.clone().with(format!("--connections {connections} {behind}")));
        }
        let (address, stats) = (free_address()?, free_address()?.port());
        let file = self.0.join(address.port().to_string());
        fs::write(
            &file,
            format!(
                "measured:\n  listen: {address}\n  redis: true\n  hash: fnv1a_64\n  distribution: ketama\n  \
                 backlog: 4096\n  server_connections: {connections}\n  servers:\n   - {behind}:1\n"
            ),
        )?;
        let settings = format!("-c {} -s {stats} -a 127.0.0.1", file.display());
        Ok(program.clone().with(settings).at(address))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What is left behind is in a folder that is cleaned now and then.
        let _ = fs::remove_dir_all(&self.0);
    }
}
