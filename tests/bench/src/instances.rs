//! Measures what it costs to divide the keys among several instances: three instances of `kv`, compared with one, and what it
//! costs one of them to check the slots.
//!
//! Three load generators know the slots: the keys of each have a hash tag whose slot belongs to one of the three instances. The same
//! commands go to the one instance.

use std::fs;
use std::ops::Range;

use crate::Result;
use crate::figure::{Limit, Pair};
use crate::load::Load;
use crate::options::Options;
use crate::program::Program;
use crate::proxy::Folder;
use crate::report;
use crate::server::{Server, free_address};
use crate::throughput::{Workload, measure_workload};
use crate::window::Group;

const NAMES: [&str; 3] = ["a", "b", "c"];
const SLOTS: u32 = 16384;
const DEPTHS: [u64; 3] = [1, 16, 64];

/// Number of keys to which the commands are spread, if the command line does not say.
pub(crate) const KEYS: u64 = 100_000;

/// Maximum CPU time of a command with three instances, relative to one.
const TARGET: f64 = 1.05;

/// Returns two tables: three instances compared with one, and one instance compared with a server without a cluster.
pub(crate) fn reports(options: &Options) -> Result<Vec<String>> {
    let kv = Program::workspace("kv")?;
    let folder = Folder::new()?;
    let alone = Group::new(vec![Server::start(&kv, &options.cpus)?], loads(options));
    let one = instances(1, &kv, &folder, options)?;
    let three = instances(3, &kv, &folder, options)?;
    for group in [&alone, &one, &three] {
        group.fill()?;
    }
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
        let workloads = Workload::of(&["GET", "SET"], &DEPTHS).into_iter();
        let series = workloads
            .map(|workload| measure_workload(workload, groups, options))
            .collect::<Result<Vec<_>>>()?;
        let figures = series.iter().flat_map(|series| {
            let title = series.workload.title();
            [series.cpu_figure(&title, target), series.speed_figure(&title)]
        });
        Ok(report::report(programs, options, &figures.collect::<Vec<_>>()))
    });
    reports.collect()
}

/// Returns the loads of three generators. The keys of each have the same slot, which belongs to one of three instances.
fn loads(options: &Options) -> Vec<Load> {
    let count = NAMES.len() as u32;
    let tag_of = |number: u32| {
        let slots = slots_of(number, count);
        (10..).find(|tag: &u32| slots.contains(&u32::from(thegiant::slot(tag.to_string().as_bytes()))))
    };
    let load = Load::new(options);
    (0..count).filter_map(tag_of).map(|tag| load.part(count.into(), tag)).collect()
}

/// Returns the slots of an instance.
fn slots_of(number: u32, count: u32) -> Range<u32> {
    number * SLOTS / count..(number + 1) * SLOTS / count
}

/// Starts instances with an equal part of the slots each.
fn instances(count: u32, kv: &Program, folder: &Folder, options: &Options) -> Result<Group> {
    let names = &NAMES[..count as usize];
    let addresses = names.iter().map(|_| free_address()).collect::<std::io::Result<Vec<_>>>()?;
    let mut topology = "version 1\n".to_owned();
    for ((name, address), number) in names.iter().zip(&addresses).zip(0..) {
        let slots = slots_of(number, count);
        topology += &format!("{name} {address} {}-{}\n", slots.start, slots.end - 1);
    }
    let file = folder.path().join(format!("topology-{count}"));
    fs::write(&file, topology)?;
    let instance = |(name, address): (&&str, _)| {
        let settings = format!("--cluster-topology {} --cluster-node {name}", file.display());
        Server::start(&kv.clone().with(settings).at(address), &options.cpus)
    };
    let servers = names.iter().zip(addresses).map(instance).collect::<Result<_>>()?;
    Ok(Group::new(servers, loads(options)))
}
