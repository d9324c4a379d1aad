//! The command line.

use std::{env, io, path::PathBuf, time::Duration};

use clap::{Parser, ValueEnum};

/// Runs kv under load and trouble, or balancer while its servers fail, and checks every reply
#[derive(Parser)]
#[command(bin_name = "tests/soak/run")]
pub(crate) struct Options {
    /// Running time, in minutes
    #[arg(long, value_name = "N", default_value = "5", value_parser = minutes)]
    pub(crate) minutes: Duration,
    /// Seed of the requests and of the places where they are cut [default: a random number]
    #[arg(long, value_name = "N", default_value_t = fastrand::u64(..), hide_default_value = true)]
    pub(crate) seed: u64,
    /// Runs balancer in front of these servers
    #[arg(long, value_name = "SERVERS")]
    pub(crate) proxy: Option<Proxied>,
    /// With --proxy: brings about only faults whose name contains this text
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true, requires = "proxy")]
    pub(crate) fault: String,
    /// With --proxy: prints each fault, and the clients that wait long after it
    #[arg(long, requires = "proxy")]
    pub(crate) verbose: bool,
    /// With --proxy: keeps the folders of the servers, with their logs
    #[arg(long, requires = "proxy")]
    pub(crate) keep: bool,
    /// Number of threads of the program, and of shards of kv
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) threads: u16,
    /// Another build of kv or balancer
    #[arg(long, value_name = "PATH")]
    server: Option<PathBuf>,
}

/// The servers behind the balancer.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Proxied {
    /// Three servers that do not know each other, with `--no-eject`
    Servers,
    /// The same without `--no-eject`
    Ejection,
    /// Redis Cluster of three masters and three replicas
    Cluster,
    /// Master with two replicas, and three sentinels
    Sentinel,
}

impl Options {
    /// Returns the path of the program. `tests/soak/run` has built it next to this driver.
    pub(crate) fn program(&self, name: &str) -> io::Result<PathBuf> {
        self.server.clone().map_or_else(|| Ok(env::current_exe()?.with_file_name(name)), Ok)
    }
}

fn minutes(text: &str) -> Result<Duration, String> {
    let minutes: f64 = text.parse().map_err(|_| "expected a number".to_owned())?;
    Duration::try_from_secs_f64(minutes * 60.0).map_err(|error| error.to_string())
}
