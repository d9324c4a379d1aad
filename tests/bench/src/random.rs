//! Measures a million random keys: the memory of a key, and the CPU time of a command whose data are in no cache.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use crate::Result;
use crate::figure::{Figure, Limit, Pair};
use crate::load::{Load, VALUE_BYTES};
use crate::options::Options;
use crate::program::Program;
use crate::server::Server;
use crate::throughput::{Workload, measure_workload};
use crate::window::Group;
use crate::wire::request;

/// Name of the memory measurement on the command line.
pub(crate) const MEMORY: &str = "random-memory";

const KEYS: u64 = 1_000_000;
/// Number of keys that are stored with one write.
const AT_ONCE: u64 = 1000;
const COMMANDS: [&str; 2] = ["SET", "GET"];
const DEPTHS: [u64; 2] = [16, 64];
/// Maximum CPU time of a command at 64 deep, relative to Redis.
const TARGET: f64 = 0.5;
/// Time for a server to finish its work after the last reply.
const PAUSE: Duration = Duration::from_millis(500);

/// Returns the measured commands.
pub(crate) fn workloads() -> impl Iterator<Item = Workload> {
    Workload::of(&COMMANDS, &DEPTHS).into_iter()
}

/// Returns the name of a measurement on the command line.
pub(crate) fn name(workload: Workload) -> String {
    format!("random-{}", workload.name())
}

/// Runs the selected measurements.
pub(crate) fn figures(programs: &Pair<Program>, options: &Options) -> Result<Vec<Figure>> {
    let workloads: Vec<Workload> = workloads().filter(|workload| options.selects(&name(*workload))).collect();
    if workloads.is_empty() && !options.selects(MEMORY) {
        return Ok(Vec::new());
    }
    let servers = programs.try_map(|program| Server::start(program, &options.cpus))?;
    let memory = Figure {
        name: format!("bytes per key with a value of {VALUE_BYTES} bytes, of a million"),
        rounds: vec![servers.try_map(fill)?],
        decimals: 0,
        target: Some(Limit::Ratio(1.0)),
    };
    let load = Load::new(options).of_keys(KEYS);
    let group = |server| Group::new(vec![server], vec![load.clone()]);
    let groups = Pair { baseline: group(servers.baseline), subject: group(servers.subject) };
    let mut figures = Vec::from_iter(options.selects(MEMORY).then_some(memory));
    for workload in workloads {
        let series = measure_workload(workload, groups.as_ref(), options)?;
        let target = (workload.pipeline == 64).then_some(Limit::Ratio(TARGET));
        figures.push(series.cpu_figure(&format!("{}, a million random keys", workload.title()), target));
    }
    Ok(figures)
}

/// Stores all keys that redis-benchmark may send, and returns the growth of the resident memory per key, in bytes.
fn fill(server: &Server) -> Result<f64> {
    thread::sleep(PAUSE);
    let before = server.resident_kib()?;
    let value = "x".repeat(VALUE_BYTES as usize);
    let mut stream = TcpStream::connect(server.address())?;
    for first in (0..KEYS).step_by(AT_ONCE as usize) {
        let set = |key| request(&["SET", &format!("key:{key:012}"), &value]);
        let requests: String = (first..first + AT_ONCE).map(set).collect();
        stream.write_all(requests.as_bytes())?;
        stream.read_exact(&mut vec![0; "+OK\r\n".len() * AT_ONCE as usize])?;
    }
    thread::sleep(PAUSE);
    let growth = server.resident_kib()?.saturating_sub(before);
    Ok(growth as f64 * 1024.0 / KEYS as f64)
}
