//! Measures what it costs to divide the keys among several instances: three instances of `kv` on the CPU of one.
//!
//! redis-benchmark knows the slots, and sends each command to the instance that owns the slot of its key.

use std::fs;

use crate::Result;
use crate::figure::{Limit, Pair};
use crate::load::Load;
use crate::options::Options;
use crate::program::Program;
use crate::proxy::Folder;
use crate::report;
use crate::server::{Server, free_address};
use crate::throughput::{Cell, Sample, Series, fill, pilot, sample};

const NAMES: [&str; 3] = ["a", "b", "c"];
const SLOTS: [&str; 3] = ["0-5460", "5461-10922", "10923-16383"];
const DEPTHS: [u64; 3] = [1, 16, 64];

/// Number of keys to which the commands are spread, if the command line does not say.
pub(crate) const KEYS: u64 = 100_000;

/// Maximum CPU time of a command with three instances, relative to one.
const TARGET: f64 = 1.05;

/// Returns the table of one instance and of three.
pub(crate) fn report(options: &Options) -> Result<String> {
    let kv = Program::workspace("kv")?;
    let folder = Folder::new()?;
    let alone = Server::start(&kv, &options.cpus)?;
    let instances = start(&kv, &folder, options)?;
    let load = Load { cpus: options.cpus.clone(), keys: options.keys, knows_slots: false };
    let slots = Load { knows_slots: true, ..load.clone() };
    fill(&alone, &load)?;
    fill(&instances[0], &slots)?;
    let cells =
        ["GET", "SET"].into_iter().flat_map(|command| DEPTHS.map(|pipeline| Cell { command, pipeline }));
    let mut series = Vec::new();
    for cell in cells {
        let requests = pilot(cell, &Pair { baseline: &alone, subject: &alone }, &load, options)?;
        series.push(Series { cell, requests, samples: Vec::new() });
    }
    for round in 1..=options.rounds() {
        eprintln!("instances: round {round} of {}", options.rounds());
        for Series { cell, requests, samples } in &mut series {
            let baseline = sample(&alone, &load, *cell, *requests)?;
            samples.push(Pair { baseline, subject: sample_all(&instances, &slots, *cell, *requests)? });
        }
    }
    let figures: Vec<_> = series
        .iter()
        .flat_map(|series| {
            let title = series.cell.title();
            [series.cpu_figure(&title, Some(Limit::OwnRatio(TARGET))), series.speed_figure(&title)]
        })
        .collect();
    let programs = Pair { subject: kv.clone().also_with("in three instances"), baseline: kv };
    Ok(report::report(&programs, options, &figures))
}

/// Starts three instances with a third of the slots each.
fn start(kv: &Program, folder: &Folder, options: &Options) -> Result<Vec<Server>> {
    let addresses = [free_address()?, free_address()?, free_address()?];
    let mut topology = "version 1\n".to_owned();
    for ((name, address), slots) in NAMES.iter().zip(addresses).zip(SLOTS) {
        topology += &format!("{name} {address} {slots}\n");
    }
    let file = folder.path().join("topology");
    fs::write(&file, topology)?;
    let instance = |(name, address): (&&str, _)| {
        let settings = format!("--cluster-topology {} --cluster-node {name}", file.display());
        Server::start(&kv.clone().with(settings).at(address), &options.cpus)
    };
    NAMES.iter().zip(addresses).map(instance).collect()
}

/// Sends the requests to all instances, and returns the CPU time of all.
fn sample_all(instances: &[Server], load: &Load, cell: Cell, requests: u64) -> Result<Sample> {
    let cpu = || instances.iter().map(Server::cpu_nanoseconds).sum::<Result<u64>>();
    let before = cpu()?;
    let per_second = load.run(&instances[0], cell, requests)?;
    let used = cpu()?.saturating_sub(before);
    Ok(Sample { nanoseconds: used as f64 / requests as f64, per_second })
}
