//! The command line.

use std::{fmt, io, path::PathBuf};

use clap::{Args, Parser};
use cli::{ClusterOptions, MovedKeysOptions, ServerOptions};
use folder::DataFolder;

use crate::{store::Store, warehouse::WarehouseOptions};

/// Server that collects events on disk, with the stream commands of Redis 7.0
#[derive(Parser)]
#[command(version)]
pub(crate) struct Options {
    /// Folder for the events; the server creates it if it does not exist
    #[arg(long, value_name = "PATH", default_value = "collector.data")]
    dir: PathBuf,
    #[command(flatten)]
    pub(crate) retention: Retention,
    /// Read the whole database at the start, and refuse to start if it is damaged
    #[arg(long)]
    verify: bool,
    /// Maximum size of SQLite's write-ahead log, such as 1G (units: K, M, G, T): writes are refused while another program
    /// keeps a larger log from being emptied [default: no limit]
    #[arg(long, value_name = "SIZE", value_parser = bytes)]
    max_wal: Option<i64>,
    /// Print statistics to standard output once a second
    #[arg(long)]
    pub(crate) stats: bool,
    #[command(flatten)]
    pub(crate) warehouse: WarehouseOptions,
    #[command(flatten)]
    pub(crate) cluster: ClusterOptions,
    #[command(flatten)]
    pub(crate) moved_keys: MovedKeysOptions,
    #[command(flatten)]
    pub(crate) server: ServerOptions,
}

/// The limits on the age and size of events.
#[derive(Args, Clone, Copy, Debug, Default)]
pub(crate) struct Retention {
    /// Maximum age of an event, such as 12h or 30d (units: s, m, h, d) [default: no limit]
    #[arg(long, value_name = "TIME", value_parser = milliseconds)]
    pub(crate) max_age: Option<i64>,
    /// Maximum size of all events, such as 500M or 20G (units: K, M, G, T) [default: no limit]
    #[arg(long, value_name = "SIZE", value_parser = bytes)]
    pub(crate) max_size: Option<i64>,
}

impl Options {
    /// Opens the database in the folder, or creates it.
    pub(crate) fn open(&self) -> io::Result<Store> {
        let named = |error: &dyn fmt::Display| io::Error::other(format!("{}: {error}", self.dir.display()));
        let max_wal = self.max_wal.map(i64::unsigned_abs);
        let store = Store::open(DataFolder::open(&self.dir)?, max_wal).map_err(|error| named(&error))?;
        if self.verify {
            let damage = store.first_damage().unwrap_or_else(|error| Some(error.to_string()));
            damage.map_or(Ok(()), |damage| Err(named(&format_args!("the database is damaged: {damage}"))))?;
        }
        Ok(store)
    }
}

const AGES: [(char, i64); 4] = [('s', 1000), ('m', 60_000), ('h', 3_600_000), ('d', 86_400_000)];
const SIZES: [(char, i64); 4] = [('K', 1 << 10), ('M', 1 << 20), ('G', 1 << 30), ('T', 1 << 40)];

fn milliseconds(text: &str) -> Result<i64, String> {
    amount(text, &AGES).ok_or_else(|| "expected a time such as 12h or 30d".to_owned())
}

fn bytes(text: &str) -> Result<i64, String> {
    amount(text, &SIZES).ok_or_else(|| "expected a size such as 500M or 20G".to_owned())
}

/// Parses a number and a unit.
fn amount(text: &str, units: &[(char, i64)]) -> Option<i64> {
    units.iter().find_map(|(unit, factor)| {
        let number: i64 = text.strip_suffix(*unit)?.parse().ok()?;
        number.checked_mul(*factor).filter(|amount| *amount > 0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_without_a_unit_are_rejected() {
        assert_eq!(milliseconds("30d").ok(), Some(30 * 86_400_000));
        assert_eq!(bytes("2G").ok(), Some(2 << 30));
        for wrong in ["", "30", "d", "-1d", "0s", "1.5h", "9999999999999d", "1G"] {
            assert!(milliseconds(wrong).is_err(), "{wrong}");
        }
    }
}
