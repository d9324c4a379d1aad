//! Measures what a command costs more than on a bare epoll server.
//!
//! Without a pipeline, most of a server's CPU time is the kernel's, and the same for all servers. The difference
//! shows the server's own part.

use crate::Result;
use crate::figure::{Figure, Limit, Pair};
use crate::options::Options;
use crate::program::Program;
use crate::throughput::Cell;
use crate::window::{Group, alternate};

/// Returns the name of this measurement on the command line.
pub(crate) fn name(cell: Cell) -> String {
    format!("above-{}", cell.name())
}

/// Returns the maximum cost, relative to Redis.
fn target(cell: Cell) -> Limit {
    Limit::Ratio(match cell.pipeline {
        1 => 0.35,
        16 => 0.22,
        64 => 0.20,
        _ => 0.16,
    })
}

/// Returns the cost of every selected cell above the bare server.
pub(crate) fn figures(programs: &Pair<Program>, options: &Options) -> Result<Vec<Figure>> {
    let cells: Vec<Cell> = Cell::all().filter(|cell| options.selects(&name(*cell))).collect();
    if cells.is_empty() {
        return Ok(Vec::new());
    }
    let bare = Group::start(&Program::bare()?, options)?;
    let groups = programs.try_map(|program| Group::start(program, options))?;
    groups.try_map(Group::fill)?;
    let mut series = Vec::new();
    for cell in cells {
        eprintln!("above a bare epoll server: {}", cell.title());
        let loaded = [bare.load(cell)?, groups.baseline.load(cell)?, groups.subject.load(cell)?];
        let turns = alternate(loaded, options)?.into_iter().map(|samples| {
            let [bare, baseline, subject] = samples.map(|sample| sample.nanoseconds);
            Pair { baseline: baseline - bare, subject: subject - bare }
        });
        series.push((cell, turns.collect()));
    }
    let figure = |(cell, rounds): (Cell, _)| Figure {
        name: format!("{}: CPU ns per command above a bare epoll server", cell.title()),
        rounds,
        decimals: 0,
        target: Some(target(cell)),
    };
    Ok(series.into_iter().map(figure).collect())
}
