//! The command line.

use std::{io, num::NonZeroU32, path::PathBuf, time::Duration};

use clap::Parser;
use cli::{ClusterOptions, Secret, ServerOptions};

use crate::cache::Lifetimes;

/// Cache in front of an SQL database
#[derive(Parser)]
#[command(version)]
pub(crate) struct Options {
    /// Database URL, sqlite:PATH or postgres://USER@HOST/NAME; with several hosts, HOST,HOST, the one that accepts writes
    /// [default: sqlite:readthrough.db]
    #[arg(long, value_name = "URL")]
    database: Option<String>,
    /// File with the database URL, for a URL with a password (the environment variable DATABASE_URL can hold
    /// the URL instead)
    #[arg(long, value_name = "FILE")]
    database_file: Option<PathBuf>,
    /// Maximum number of database connections
    #[arg(long, value_name = "N", default_value = "8")]
    pub(crate) connections: NonZeroU32,
    /// Database query timeout, in ms
    #[arg(long, value_name = "MS", default_value = "2000", value_parser = cli::millis)]
    pub(crate) query_timeout: Duration,
    /// Send queries as plain text, for pgbouncer before 1.21 with pool_mode=transaction
    #[arg(long)]
    pub(crate) no_prepared_statements: bool,
    /// Maximum size of the cache, in MiB
    #[arg(long, value_name = "MIB", default_value = "64")]
    memory: NonZeroU32,
    /// Time for which a cached value is fresh, in seconds, give or take a tenth
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = cli::seconds)]
    ttl: Duration,
    /// Time for which the cache remembers that a key does not exist, in seconds, give or take a tenth
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = cli::seconds)]
    negative_ttl: Duration,
    /// Time for which the cache still serves an expired value while it reads the new one, in seconds
    #[arg(long, value_name = "SECONDS", default_value = "3600", value_parser = cli::seconds)]
    stale: Duration,
    #[command(flatten)]
    pub(crate) cluster: ClusterOptions,
    #[command(flatten)]
    pub(crate) server: ServerOptions,
}

impl Options {
    /// Returns the URL of the database.
    pub(crate) fn database(&self) -> io::Result<String> {
        let url = Secret {
            option: "--database",
            value: self.database.as_deref(),
            file: self.database_file.as_deref(),
            variable: "DATABASE_URL",
        };
        Ok(url.read()?.unwrap_or_else(|| "sqlite:readthrough.db".to_owned()))
    }

    /// Returns how long cached values stay valid.
    pub(crate) fn lifetimes(&self) -> Lifetimes {
        Lifetimes { value: self.ttl, absence: self.negative_ttl, stale: self.stale }
    }

    /// Returns the maximum size of the cache, in bytes.
    pub(crate) fn memory(&self) -> usize {
        usize::try_from(u64::from(self.memory.get()) << 20).unwrap_or(usize::MAX)
    }
}
