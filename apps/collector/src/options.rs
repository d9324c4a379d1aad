//! The command line.

use std::{fs, io, path::PathBuf};

use cli::Values;

use crate::store::Store;

pub(crate) const HELP: &str =
    "  --dir PATH           keep the events in this folder, which is made if it is not there (collector.data)
  --max-age TIME       remove events that are older, such as 12h or 30d (s, m, h, d)
  --max-size SIZE      remove the oldest events beyond that, such as 500M or 20G (K, M, G, T)
  --stats              print a line a second
";

/// What is to be kept.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Retention {
    /// Milliseconds.
    pub(crate) max_age: Option<i64>,
    /// Bytes.
    pub(crate) max_size: Option<i64>,
}

#[derive(Debug)]
pub(crate) struct Options {
    folder: PathBuf,
    pub(crate) retention: Retention,
    pub(crate) prints_stats: bool,
}

impl Default for Options {
    fn default() -> Self {
        Options { folder: "collector.data".into(), retention: Retention::default(), prints_stats: false }
    }
}

impl Options {
    /// Takes an option, if there is one of this name.
    pub(crate) fn set(&mut self, name: &str, values: &mut Values<'_>) -> Result<bool, cli::Mistake> {
        match name {
            "dir" => self.folder = values.take()?.into(),
            "max-age" => self.retention.max_age = Some(amount(&values.take()?, &AGES, "30d")?),
            "max-size" => self.retention.max_size = Some(amount(&values.take()?, &SIZES, "20G")?),
            "stats" => self.prints_stats = true,
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Opens what is in the folder, or begins it.
    pub(crate) fn open(&self) -> io::Result<Store> {
        fs::create_dir_all(&self.folder)
            .and_then(|()| fs::write(self.folder.join("can-be-written"), []))
            .and_then(|()| fs::remove_file(self.folder.join("can-be-written")))
            .and_then(|()| Store::open(&self.folder).map_err(io::Error::other))
            .map_err(|error| io::Error::other(format!("{}: {error}", self.folder.display())))
    }
}

const AGES: [(char, i64); 4] = [('s', 1000), ('m', 60_000), ('h', 3_600_000), ('d', 86_400_000)];
const SIZES: [(char, i64); 4] = [('K', 1 << 10), ('M', 1 << 20), ('G', 1 << 30), ('T', 1 << 40)];

/// A number and a unit.
fn amount(text: &str, units: &[(char, i64)], example: &str) -> Result<i64, cli::Mistake> {
    let number = units.iter().find_map(|(unit, factor)| {
        let number: i64 = text.strip_suffix(*unit)?.parse().ok()?;
        number.checked_mul(*factor).filter(|amount| *amount > 0)
    });
    number.ok_or_else(|| format!("{text} is not like {example}").into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_have_a_unit() {
        assert_eq!(amount("30d", &AGES, "").ok(), Some(30 * 86_400_000));
        assert_eq!(amount("2G", &SIZES, "").ok(), Some(2 << 30));
        for wrong in ["", "30", "d", "-1d", "0s", "1.5h", "9999999999999d", "1G"] {
            assert!(amount(wrong, &AGES, "30d").is_err(), "{wrong}");
        }
    }
}
