//! The command line.

use std::{
    fs, io,
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use clap::{Parser, ValueEnum};
use cli::{ClusterOptions, MovedKeysOptions, ServerOptions, TenantOptions};
use folder::DataFolder;

use crate::engine::{self, Engine};

/// Key-value server that keeps its keys on disk, with the string and generic key commands of Redis 7.0
#[derive(Parser)]
#[command(version)]
pub(crate) struct Options {
    /// Storage engine
    #[arg(long, default_value = "lsm")]
    pub(crate) engine: EngineName,
    /// Folder for the keys; the server creates it if it does not exist
    #[arg(long, value_name = "PATH", default_value = "kv-disk.data")]
    dir: PathBuf,
    /// When a write reaches the disk: always (before its reply), every=MS (at most MS milliseconds later) or os
    #[arg(long, value_name = "WHEN", default_value = "always")]
    pub(crate) durability: Durability,
    #[command(flatten)]
    pub(crate) server: ServerOptions,
    #[command(flatten)]
    pub(crate) cluster: ClusterOptions,
    #[command(flatten)]
    pub(crate) moved_keys: MovedKeysOptions,
    #[command(flatten)]
    pub(crate) tenants: TenantOptions,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum EngineName {
    /// LSM tree (fjall)
    Lsm,
    /// SQLite
    Sqlite,
}

/// When the disk must hold a committed write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Durability {
    Always,
    Every(Duration),
    Os,
}

impl FromStr for Durability {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match (text, text.strip_prefix("every=")) {
            ("always", _) => Ok(Durability::Always),
            ("os", _) => Ok(Durability::Os),
            (_, Some(time)) => cli::millis(time).map(Durability::Every),
            _ => Err("expected always, every=MS or os".to_owned()),
        }
    }
}

impl Options {
    /// Takes possession of the folder, or creates it.
    pub(crate) fn folder(&self) -> io::Result<DataFolder> {
        DataFolder::open(&self.dir)
    }

    /// Opens the engine's folder in the folder of this process, or creates it.
    pub(crate) fn open<E: Engine>(&self) -> io::Result<E> {
        let folder = self.dir.join(E::NAME);
        let other = engine::NAMES.into_iter().find(|name| *name != E::NAME && self.dir.join(name).exists());
        if let Some(other) = other {
            let text = format!("{} was created with --engine {other}", self.dir.display());
            return Err(io::Error::other(text));
        }
        let writable = fs::create_dir_all(&folder).and_then(|()| check_writable(&folder));
        let opened = writable.map_err(engine::Error::from).and_then(|()| E::open(&folder));
        opened.map_err(|error| io::Error::other(format!("{}: {error}", folder.display())))
    }
}

/// Checks that the folder is writable, because the engines report that less clearly.
fn check_writable(folder: &Path) -> io::Result<()> {
    let file = folder.join("write-test");
    fs::write(&file, [])?;
    fs::remove_file(file)
}
