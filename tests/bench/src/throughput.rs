//! Measures the cost of a command: CPU time and commands per second.

use crate::Result;
use crate::figure::{Figure, Limit, Pair};
use crate::options::Options;
use crate::program::Program;
use crate::window::{Group, Sample, alternate};

const COMMANDS: [&str; 2] = ["SET", "GET"];
const PIPELINES: [u64; 4] = [1, 16, 64, 512];

/// One command at one depth of pipelining.
#[derive(Clone, Copy)]
pub(crate) struct Workload {
    pub(crate) command: &'static str,
    pub(crate) pipeline: u64,
}

impl Workload {
    pub(crate) fn all() -> impl Iterator<Item = Workload> {
        Workload::of(&COMMANDS, &PIPELINES).into_iter()
    }

    /// Returns each command at each depth.
    pub(crate) fn of(commands: &[&'static str], depths: &[u64]) -> Vec<Workload> {
        let at_depths = |&command| depths.iter().map(move |&pipeline| Workload { command, pipeline });
        commands.iter().flat_map(at_depths).collect()
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
    pub(crate) fn whole(self, requests: u64) -> u64 {
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

/// A workload with its results.
pub(crate) struct Series {
    pub(crate) workload: Workload,
    pub(crate) samples: Vec<Pair<Sample>>,
}

/// Returns the CPU time of every selected workload, then its commands per second.
pub(crate) fn figures(programs: &Pair<Program>, options: &Options) -> Result<Vec<Figure>> {
    let workloads: Vec<Workload> =
        Workload::all().filter(|workload| options.selects(&workload.name())).collect();
    if workloads.is_empty() {
        return Ok(Vec::new());
    }
    let series = measure(programs, options, &workloads)?;
    let cpu = series
        .iter()
        .map(|series| series.cpu_figure(&series.workload.title(), Some(series.workload.target())));
    let speed = series.iter().map(|series| series.speed_figure(&series.workload.title()));
    Ok(cpu.chain(speed).collect())
}

/// Starts both servers and measures all workloads.
pub(crate) fn measure(
    programs: &Pair<Program>,
    options: &Options,
    workloads: &[Workload],
) -> Result<Vec<Series>> {
    let groups = programs.try_map(|program| Group::start(program, options))?;
    if workloads.iter().any(|workload| workload.command != "XADD") {
        groups.try_map(Group::fill)?;
    }
    workloads.iter().map(|&workload| measure_workload(workload, groups.as_ref(), options)).collect()
}

/// Measures a workload of two groups of servers.
pub(crate) fn measure_workload(
    workload: Workload,
    groups: Pair<&Group>,
    options: &Options,
) -> Result<Series> {
    eprintln!("{}", workload.title());
    let loaded = groups.try_map(|group| group.load(workload))?;
    let samples = alternate([loaded.baseline, loaded.subject], options)?;
    let samples = samples.into_iter().map(|[baseline, subject]| Pair { baseline, subject }).collect();
    Ok(Series { workload, samples })
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
