//! Measures what a command costs more than on a bare epoll server.
//!
//! Without a pipeline, most of a server's CPU time is the kernel's, and the same for all servers. The difference
//! shows the server's own part.

use crate::Result;
use crate::figure::{Figure, Limit, Pair};
use crate::options::Options;
use crate::program::Program;
use crate::throughput::Workload;
use crate::window::{Group, alternate};

/// Returns the name of this measurement on the command line.
pub(crate) fn name(workload: Workload) -> String {
    format!("above-{}", workload.name())
}

/// Returns the maximum cost, relative to Redis.
fn target(workload: Workload) -> Limit {
    Limit::Ratio(match workload.pipeline {
        1 => 0.35,
        16 => 0.22,
        64 => 0.20,
        _ => 0.16,
    })
}

/// Returns the cost of every selected workload above the bare server.
pub(crate) fn figures(programs: &Pair<Program>, options: &Options) -> Result<Vec<Figure>> {
    let workloads: Vec<Workload> =
        Workload::all().filter(|workload| options.selects(&name(*workload))).collect();
    if workloads.is_empty() {
        return Ok(Vec::new());
    }
    let bare = Group::start(&Program::bare()?, options)?;
    let groups = programs.try_map(|program| Group::start(program, options))?;
    groups.try_map(Group::fill)?;
    let mut series = Vec::new();
    for workload in workloads {
        eprintln!("above a bare epoll server: {}", workload.title());
        let loaded = [bare.load(workload)?, groups.baseline.load(workload)?, groups.subject.load(workload)?];
        let turns = alternate(loaded, options)?.into_iter().map(|samples| {
            let [bare, baseline, subject] = samples.map(|sample| sample.nanoseconds);
            Pair { baseline: baseline - bare, subject: subject - bare }
        });
        series.push((workload, turns.collect()));
    }
    let figure = |(workload, rounds): (Workload, _)| Figure {
        name: format!("{}: CPU ns per command above a bare epoll server", workload.title()),
        rounds,
        decimals: 0,
        target: Some(target(workload)),
    };
    Ok(series.into_iter().map(figure).collect())
}
