//! The command line.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use cli::Values;

use crate::engine::{self, Engine};

pub(crate) const HELP: &str =
    "  --engine ENGINE      keep the keys in an LSM tree (lsm, the default) or in SQLite (sqlite)
  --dir PATH           keep them in this folder, which is made if it is not there (kv-disk.data)
  --durability WHEN    when the disk has to hold what is written:
                         always     before it is answered (the default)
                         every MS   that many milliseconds later at the latest
                         os         when the operating system sees fit
";

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum EngineName {
    #[default]
    Lsm,
    Sqlite,
}

/// When the disk has to hold what has been written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Durability {
    #[default]
    Always,
    Every(Duration),
    Os,
}

#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) engine: EngineName,
    pub(crate) durability: Durability,
    folder: PathBuf,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            engine: EngineName::default(),
            durability: Durability::default(),
            folder: "kv-disk.data".into(),
        }
    }
}

impl Options {
    /// Takes an option, if there is one of this name.
    pub(crate) fn set(&mut self, name: &str, values: &mut Values<'_>) -> Result<bool, cli::Mistake> {
        match name {
            "dir" => self.folder = values.take()?.into(),
            "engine" => {
                self.engine = match values.take()?.as_str() {
                    "lsm" => EngineName::Lsm,
                    "sqlite" => EngineName::Sqlite,
                    other => return Err(format!("there is no engine {other}: it is lsm or sqlite").into()),
                }
            }
            "durability" => {
                self.durability = match values.take()?.as_str() {
                    "always" => Durability::Always,
                    "os" => Durability::Os,
                    "every" => match values.take()?.parse() {
                        Ok(milliseconds @ 1..) => Durability::Every(Duration::from_millis(milliseconds)),
                        _ => return Err("every how many milliseconds? Write --durability every 1000".into()),
                    },
                    other => {
                        return Err(format!("{other} is not a time: it is always, every MS or os").into());
                    }
                }
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Opens what is in the folder, or begins it.
    pub(crate) fn open<E: Engine>(&self) -> io::Result<E> {
        let folder = self.folder.join(E::NAME);
        let other =
            engine::NAMES.into_iter().find(|name| *name != E::NAME && self.folder.join(name).exists());
        if let Some(other) = other {
            let text = format!("{} was made with --engine {other}", self.folder.display());
            return Err(io::Error::other(text));
        }
        let writable = fs::create_dir_all(&folder).and_then(|()| try_to_write(&folder));
        let opened = writable.map_err(engine::Error::from).and_then(|()| E::open(&folder));
        opened.map_err(|error| io::Error::other(format!("{}: {error}", folder.display())))
    }
}

/// What an engine says of a folder that can only be read is less clear.
fn try_to_write(folder: &Path) -> io::Result<()> {
    let file = folder.join("can-be-written");
    fs::write(&file, [])?;
    fs::remove_file(file)
}
