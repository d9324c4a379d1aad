//! Measures durable writes: `kv-disk` and `collector`, compared with Redis and `appendfsync always`.

use std::env;
use std::fs;
use std::path::PathBuf;
use std::process;

use crate::Result;
use crate::figure::{Figure, Limit, Pair};
use crate::options::Options;
use crate::program::Program;
use crate::throughput::{self, Workload};

/// Settings with which Redis replies to a write after it is on disk.
pub(crate) const REDIS_SETTINGS: &str = "--save '' --appendonly yes --appendfsync always";

const ENGINES: [&str; 2] = ["lsm", "sqlite"];

/// Default number of random keys. With a single key, group commit would write one value per group.
pub(crate) const KEYS: u64 = 200_000;

/// Maximum CPU time of a SET with the LSM engine, relative to Redis.
const TARGET: f64 = 1.0;

const SET: Workload = Workload { command: "SET", pipeline: 1 };
const XADD: Workload = Workload { command: "XADD", pipeline: 1 };

/// Measures each engine, and `collector`.
pub(crate) fn figures(programs: &Pair<Program>, options: &Options) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for engine in ENGINES {
        let folders = Folders::new(engine)?;
        let configured = programs.try_map(|program| {
            let folder = folders.of(program)?;
            Ok(program.clone().with(match program.is_redis() {
                true => format!("{REDIS_SETTINGS} --dir {folder}"),
                false => format!("--engine {engine} --dir {folder}"),
            }))
        })?;
        let title = format!("SET on disk, {engine}");
        for series in throughput::measure(&configured, options, &[SET])? {
            let target = (engine == "lsm").then_some(Limit::Ratio(TARGET));
            figures.push(series.cpu_figure(&title, target));
            figures.push(series.speed_figure(&title));
        }
    }
    if let Some(collector) = options.collector()? {
        let folders = Folders::new("collector")?;
        let Pair { baseline, .. } = programs;
        let configured = Pair {
            baseline: baseline.clone().with(format!("{REDIS_SETTINGS} --dir {}", folders.of(baseline)?)),
            subject: collector.clone().with(format!("--dir {}", folders.of(&collector)?)),
        };
        for series in throughput::measure(&configured, options, &[XADD])? {
            figures.push(series.cpu_figure("XADD on disk, collector", None));
            figures.push(series.speed_figure("XADD on disk, collector"));
        }
    }
    Ok(figures)
}

/// The data folders of the servers, next to the driver's binary. Dropping it removes them.
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
        // A leftover folder is harmless: it is in the target folder.
        let _ = fs::remove_dir_all(&self.0);
    }
}
