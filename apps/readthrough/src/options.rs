//! The command line.

use std::{str::FromStr, time::Duration};

use cli::{Mistake, Values};

use crate::cache::Lifetimes;

pub(crate) const HELP: &str =
    "  --database URL       read through to this database: sqlite:PATH or postgres://USER:PASSWORD@HOST/NAME
                       (sqlite:readthrough.db); its table `entries` is made if it is not there
  --connections N      at most so many connections to it (8)
  --patience MS        wait for its answers for so long (2000)
  --ttl SECONDS        take a value for true for so long, a tenth more or less (60)
  --negative-ttl SECONDS
                       the same, of a key that there is not (5)
  --stale SECONDS      answer what is older for so long while it is read again, or cannot be (3600)
  --memory MIB         keep so much in memory (64)
";

#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) database: String,
    pub(crate) connections: u32,
    pub(crate) patience: Duration,
    pub(crate) lifetimes: Lifetimes,
    pub(crate) memory: usize,
}

impl Default for Options {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Options {
            database: "sqlite:readthrough.db".to_owned(),
            connections: 8,
            patience: seconds(2),
            lifetimes: Lifetimes { value: seconds(60), absence: seconds(5), stale: seconds(3600) },
            memory: 64 << 20,
        }
    }
}

impl Options {
    /// Takes an option, if there is one of this name.
    pub(crate) fn set(&mut self, name: &str, values: &mut Values<'_>) -> Result<bool, Mistake> {
        match name {
            "database" => self.database = values.take()?,
            "connections" => self.connections = number(name, values, 1)?,
            "patience" => self.patience = Duration::from_millis(number(name, values, 1)?),
            "ttl" => self.lifetimes.value = Duration::from_secs_f64(number(name, values, 0.0)?),
            "negative-ttl" => self.lifetimes.absence = Duration::from_secs_f64(number(name, values, 0.0)?),
            "stale" => self.lifetimes.stale = Duration::from_secs_f64(number(name, values, 0.0)?),
            "memory" => self.memory = number::<usize>(name, values, 1)?.min(usize::MAX >> 20) << 20,
            _ => return Ok(false),
        }
        Ok(true)
    }
}

fn number<T: FromStr + PartialOrd>(name: &str, values: &mut Values<'_>, least: T) -> Result<T, Mistake> {
    let value = values.take()?;
    match value.parse() {
        Ok(number) if number >= least => Ok(number),
        _ => Err(format!("--{name} {value}: that is not a number it can be").into()),
    }
}
