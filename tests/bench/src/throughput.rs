//! Measures the cost of a command: CPU time and commands per second.

use std::borrow::Borrow;

use crate::Result;
use crate::figure::{Figure, Limit, Pair};
use crate::load::{Load, Slots};
use crate::options::Options;
use crate::program::Program;
use crate::server::Server;

const COMMANDS: [&str; 2] = ["SET", "GET"];
const PIPELINES: [u64; 4] = [1, 16, 64, 512];

/// Number of commands of a warm-up run.
const PILOT: u64 = 20_000;

/// One command at one depth of pipelining.
#[derive(Clone, Copy)]
pub(crate) struct Cell {
    pub(crate) command: &'static str,
    pub(crate) pipeline: u64,
}

impl Cell {
    pub(crate) fn all() -> impl Iterator<Item = Cell> {
        let pipelines = |command| PIPELINES.map(|pipeline| Cell { command, pipeline });
        COMMANDS.into_iter().flat_map(pipelines)
    }

    /// Returns the name of the measurement on the command line.
    pub(crate) fn name(self) -> String {
        format!("{}-{}", self.command.to_lowercase(), self.pipeline)
    }

    pub(crate) fn title(self) -> String {
        match self.pipeline {
            1 => format!("{}, no pipeline", self.command),
            depth => format!("{}, {depth} deep", self.command),
        }
    }

    /// Rounds `requests` up to a multiple of the pipeline, because redis-benchmark only sends whole pipelines.
    fn whole(self, requests: u64) -> u64 {
        requests.next_multiple_of(self.pipeline)
    }

    /// Returns the maximum CPU time of a command, relative to Redis.
    fn target(self) -> Limit {
        Limit::Ratio(match self.pipeline {
            1 => 0.90,
            16 => 0.50,
            _ => 0.40,
        })
    }
}

/// The result of one round of one server.
pub(crate) struct Sample {
    pub(crate) nanoseconds: f64,
    pub(crate) per_second: f64,
}

/// A cell with the size and the results of its rounds.
pub(crate) struct Series {
    pub(crate) cell: Cell,
    pub(crate) requests: u64,
    pub(crate) samples: Vec<Pair<Sample>>,
}

/// Returns the CPU time of every selected cell, then its commands per second.
pub(crate) fn figures(programs: &Pair<Program>, options: &Options) -> Result<Vec<Figure>> {
    let cells: Vec<Cell> = Cell::all().filter(|cell| options.selects(&cell.name())).collect();
    if cells.is_empty() {
        return Ok(Vec::new());
    }
    let series = measure(programs, options, &cells)?;
    let cpu = series.iter().map(|series| series.cpu_figure(&series.cell.title(), Some(series.cell.target())));
    let speed = series.iter().map(|series| series.speed_figure(&series.cell.title()));
    Ok(cpu.chain(speed).collect())
}

/// Measures all cells in rounds.
///
/// Each round runs each cell on both servers, one after the other. A disturbance of the machine then affects
/// both servers alike, and hardly changes the round's ratio.
pub(crate) fn measure(programs: &Pair<Program>, options: &Options, cells: &[Cell]) -> Result<Vec<Series>> {
    let load = Load { cpus: options.cpus.clone(), keys: options.keys, slots: Slots::Unknown };
    let servers = programs.try_map(|program| Server::start(program, &options.cpus))?;
    if cells.iter().any(|cell| cell.command != "XADD") {
        servers.try_map(|server| fill(server, &load))?;
    }
    let pilots = cells.iter().map(|&cell| {
        Ok(Series { cell, requests: pilot(cell, &servers, &load, options)?, samples: Vec::new() })
    });
    let mut series = pilots.collect::<Result<Vec<_>>>()?;
    for round in 1..=options.rounds() {
        eprintln!("commands: round {round} of {}", options.rounds());
        for Series { cell, requests, samples } in &mut series {
            samples.push(servers.try_map(|server| sample(server, &load, *cell, *requests))?);
        }
    }
    Ok(series)
}

/// Stores the keys that GET reads. Five writes per random key leave fewer than 1 % of the keys missing.
pub(crate) fn fill(server: &Server, load: &Load) -> Result<f64> {
    let cell = Cell { command: "SET", pipeline: 64 };
    let requests = 5 * load.keys.unwrap_or(0);
    load.run(server, cell, cell.whole(requests.max(PILOT)))
}

/// Warms up both servers and returns the number of requests of a round.
pub(crate) fn pilot(
    cell: Cell,
    servers: &Pair<impl Borrow<Server>>,
    load: &Load,
    options: &Options,
) -> Result<u64> {
    let speed = servers.try_map(|server| load.run(server.borrow(), cell, cell.whole(PILOT)))?.baseline;
    let requests = (speed * options.round_time().as_secs_f64()) as u64;
    Ok(cell.whole(requests.max(PILOT)))
}

pub(crate) fn sample(server: &Server, load: &Load, cell: Cell, requests: u64) -> Result<Sample> {
    let before = server.cpu_nanoseconds()?;
    let per_second = load.run(server, cell, requests)?;
    let used = server.cpu_nanoseconds()?.saturating_sub(before);
    Ok(Sample { nanoseconds: used as f64 / requests as f64, per_second })
}

impl Series {
    pub(crate) fn cpu_figure(&self, title: &str, target: Option<Limit>) -> Figure {
        let rounds = self.samples.iter().map(|pair| pair.map(|sample| sample.nanoseconds)).collect();
        Figure { name: format!("{title}: CPU ns per command"), rounds, decimals: 0, target }
    }

    pub(crate) fn speed_figure(&self, title: &str) -> Figure {
        let rounds = self.samples.iter().map(|pair| pair.map(|sample| sample.per_second)).collect();
        Figure { name: format!("{title}: commands per second"), rounds, decimals: 0, target: None }
    }
}
