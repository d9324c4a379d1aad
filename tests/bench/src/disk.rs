//! What a write costs that is on disk before it is answered: `kv-disk` and `collector` beside Redis with `appendfsync
//! always`.

use std::env;
use std::fs;
use std::path::PathBuf;
use std::process;

use crate::Result;
use crate::figure::{Figure, Limit, Pair};
use crate::options::Options;
use crate::program::Program;
use crate::throughput::{self, Cell};

/// A write is on disk before it is answered.
pub(crate) const REDIS_SETTINGS: &str = "--save '' --appendonly yes --appendfsync always";

const ENGINES: [&str; 2] = ["lsm", "sqlite"];

/// Random keys, unless the command line says otherwise: what is written to one key alone is written once.
pub(crate) const KEYS: u64 = 200_000;

/// The part of Redis' processor time that a SET in an LSM tree may cost.
const TARGET: f64 = 1.0;

const SET: Cell = Cell { command: "SET", pipeline: 1 };
const XADD: Cell = Cell { command: "XADD", pipeline: 1 };

/// The figures of each engine, beside the same server.
pub(crate) fn figures(programs: &Pair<Program>, options: &Options) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for engine in ENGINES {
        let folders = Folders::new(engine)?;
        let told = programs.try_map(|program| {
            let folder = folders.of(program)?;
            Ok(program.clone().with(match program.is_redis() {
                true => format!("{REDIS_SETTINGS} --dir {folder}"),
                false => format!("--engine {engine} --dir {folder}"),
            }))
        })?;
        let title = format!("SET on disk, {engine}");
        for series in throughput::measure(&told, options, &[SET])? {
            let target = (engine == "lsm").then_some(Limit::Ratio(TARGET));
            figures.push(series.cpu_figure(&title, target));
            figures.push(series.speed_figure(&title));
        }
    }
    if let Some(collector) = options.collector()? {
        let folders = Folders::new("collector")?;
        let Pair { baseline, .. } = programs;
        let told = Pair {
            baseline: baseline.clone().with(format!("{REDIS_SETTINGS} --dir {}", folders.of(baseline)?)),
            subject: collector.clone().with(format!("--dir {}", folders.of(&collector)?)),
        };
        for series in throughput::measure(&told, options, &[XADD])? {
            figures.push(series.cpu_figure("XADD on disk, collector", None));
            figures.push(series.speed_figure("XADD on disk, collector"));
        }
    }
    Ok(figures)
}

/// Where the servers keep what they are sent, on the disk that this program is on. It is removed in the end.
struct Folders(PathBuf);

impl Folders {
    fn new(engine: &str) -> Result<Self> {
        let path = env::current_exe()?.with_file_name(format!("bench-{}-{engine}", process::id()));
        fs::create_dir_all(&path)?;
        Ok(Folders(path))
    }

    fn of(&self, program: &Program) -> Result<String> {
        let folder = self.0.join(program.label.replace(' ', "-"));
        fs::create_dir_all(&folder)?;
        Ok(folder.to_string_lossy().into_owned())
    }
}

impl Drop for Folders {
    fn drop(&mut self) {
        // What is left behind is in a folder that is cleaned now and then.
        let _ = fs::remove_dir_all(&self.0);
    }
}
