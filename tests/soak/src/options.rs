//! The command line.

use std::{env, path::PathBuf, time::Duration};

use lexopt::prelude::*;

use crate::Result;

pub(crate) const USAGE: &str = "\
Runs kv under load and trouble and checks every reply.

Usage: tests/soak/run [OPTIONS]

  --minutes N    how long: 0.5 is half a minute, 120 are two hours (5)
  --seed N       what is sent, and how it is cut, follows from this number (a new one each time)
  --server PATH  another build of kv
  -h, --help     this text
";

/// What the command line asks for.
pub(crate) enum Wanted {
    Help,
    Soak(Options),
}

pub(crate) struct Options {
    pub(crate) time: Duration,
    pub(crate) seed: u64,
    pub(crate) server: PathBuf,
}

impl Options {
    pub(crate) fn from_command_line() -> Result<Wanted> {
        let mut options = Options {
            time: Duration::from_secs(300),
            seed: fastrand::u64(..),
            // `tests/soak/run` has built it next to this driver.
            server: env::current_exe()?.with_file_name("kv"),
        };
        let mut arguments = lexopt::Parser::from_env();
        while let Some(argument) = arguments.next()? {
            match argument {
                Long("minutes") => {
                    let minutes: f64 = arguments.value()?.parse()?;
                    options.time = Duration::try_from_secs_f64(minutes * 60.0)?;
                }
                Long("seed") => options.seed = arguments.value()?.parse()?,
                Long("server") => options.server = arguments.value()?.into(),
                Short('h') | Long("help") => return Ok(Wanted::Help),
                other => return Err(other.unexpected().into()),
            }
        }
        Ok(Wanted::Soak(options))
    }
}
