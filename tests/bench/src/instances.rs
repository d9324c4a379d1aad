//! Measures what it costs to divide the keys among several instances: three instances of `kv` on the CPU of one, and what it
//! costs one of them to check the slots.
//!
//! redis-benchmark knows the slots, and sends each command to the instance that owns the slot of its key. The keys are as long with
//! one instance as with three.

use std::fs;

use crate::Result;
use crate::figure::{Limit, Pair};
use crate::load::{Load, Slots};
use crate::options::Options;
use crate::program::Program;
use crate::proxy::Folder;
use crate::report;
use crate::server::{Server, free_address};
use crate::throughput::{Cell, Series, fill, measure_cell};

const NAMES: [&str; 3] = ["a", "b", "c"];
const SLOTS: u32 = 16384;
const DEPTHS: [u64; 3] = [1, 16, 64];

/// Number of keys to which the commands are spread, if the command line does not say.
pub(crate) const KEYS: u64 = 100_000;

/// Maximum CPU time of a command with three instances, relative to one.
const TARGET: f64 = 1.05;

/// Servers that divide the keys, and how redis-benchmark uses them.
struct Group {
    servers: Vec<Server>,
    load: Load,
}

/// Returns two tables: three instances compared with one, and one instance compared with a server without a cluster.
pub(crate) fn reports(options: &Options) -> Result<Vec<String>> {
    let kv = Program::workspace("kv")?;
    let folder = Folder::new()?;
    let load = Load { cpus: options.cpus.clone(), keys: options.keys, slots: Slots::Tagged };
    let alone = Group { servers: vec![Server::start(&kv, &options.cpus)?], load };
    let one = Group::of_instances(1, &kv, &folder, options)?;
    let three = Group::of_instances(3, &kv, &folder, options)?;
    let labelled = |label: &str| kv.clone().also_with(label);
    let (one_label, three_label) = (labelled("as one instance"), labelled("as three instances"));
    let programs = [
        Pair { baseline: one_label.clone(), subject: three_label },
        Pair { baseline: kv.clone(), subject: one_label },
    ];
    let groups = [
        (Pair { baseline: &one, subject: &three }, Some(Limit::OwnRatio(TARGET))),
        (Pair { baseline: &alone, subject: &one }, None),
    ];
    let reports = programs.iter().zip(groups).map(|(programs, (groups, target))| {
        let series = measure(&groups, options)?;
        let figures = series.iter().flat_map(|series| {
            let title = series.cell.title();
            [series.cpu_figure(&title, target), series.speed_figure(&title)]
        });
        Ok(report::report(programs, options, &figures.collect::<Vec<_>>()))
    });
    reports.collect()
}

fn measure(groups: &Pair<&Group>, options: &Options) -> Result<Vec<Series>> {
    groups.try_map(|group| fill(&group.servers[0], &group.load))?;
    let cells =
        ["GET", "SET"].into_iter().flat_map(|command| DEPTHS.map(|pipeline| Cell { command, pipeline }));
    let groups = groups.map(|group| (&group.servers[..], &group.load));
    cells.map(|cell| measure_cell(cell, groups, options)).collect()
}

impl Group {
    /// Starts instances with an equal part of the slots each.
    fn of_instances(count: u32, kv: &Program, folder: &Folder, options: &Options) -> Result<Self> {
        let names = &NAMES[..count as usize];
        let addresses = names.iter().map(|_| free_address()).collect::<std::io::Result<Vec<_>>>()?;
        let mut topology = "version 1\n".to_owned();
        for ((name, address), number) in names.iter().zip(&addresses).zip(0..) {
            let (first, next) = (number * SLOTS / count, (number + 1) * SLOTS / count);
            topology += &format!("{name} {address} {first}-{}\n", next - 1);
        }
        let file = folder.path().join(format!("topology-{count}"));
        fs::write(&file, topology)?;
        let instance = |(name, address): (&&str, _)| {
            let settings = format!("--cluster-topology {} --cluster-node {name}", file.display());
            Server::start(&kv.clone().with(settings).at(address), &options.cpus)
        };
        let servers = names.iter().zip(addresses).map(instance).collect::<Result<_>>()?;
        // redis-benchmark refuses a cluster of one instance.
        let slots = if count > 1 { Slots::Known } else { Slots::Tagged };
        Ok(Group { servers, load: Load { cpus: options.cpus.clone(), keys: options.keys, slots } })
    }
}
