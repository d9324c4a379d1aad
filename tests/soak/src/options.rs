//! The command line.

use std::{env, path::PathBuf, time::Duration};

use lexopt::prelude::*;

use crate::Result;

pub(crate) const USAGE: &str = "\
Runs kv under load and with misbehaving clients, and checks every reply.

Usage: tests/soak/run [OPTIONS]

  --minutes N    duration, such as 0.5 or 120 (default 5)
  --seed N       seed of the random requests (default: random)
  --server PATH  use another build of kv
  -h, --help     print this text
";

/// The action that the command line requests.
pub(crate) enum Invocation {
    Help,
    Soak(Options),
}

pub(crate) struct Options {
    pub(crate) time: Duration,
    pub(crate) seed: u64,
    pub(crate) server: PathBuf,
}

impl Options {
    pub(crate) fn from_command_line() -> Result<Invocation> {
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
                Short('h') | Long("help") => return Ok(Invocation::Help),
                other => return Err(other.unexpected().into()),
            }
        }
        Ok(Invocation::Soak(options))
    }
}
