//! The measurable servers and their command lines.

use std::env;
use std::iter;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use crate::Result;
use crate::epoll;
use crate::feature;
use crate::figure::Pair;
use crate::machine;

/// Settings of Redis without persistence, and with thegiant's backlog.
///
/// With Redis' default backlog of 511, the kernel drops connections when thousands arrive at once. The
/// measurement would then show the time of the retransmits.
pub(crate) const REDIS_SETTINGS: &str = "--save '' --appendonly no --maxclients 20000 --tcp-backlog 4096";

/// A server program.
#[derive(Clone)]
pub(crate) struct Program {
    path: String,
    /// The heading of the table's column.
    pub(crate) label: String,
    /// The label with the version, if known.
    pub(crate) version: String,
    pub(crate) dialect: Dialect,
    /// Further command line words besides the address.
    pub(crate) settings: String,
    /// The listening address, if a configuration file sets it.
    pub(crate) address: Option<SocketAddr>,
    /// The server behind a proxy, which counts the commands.
    pub(crate) counted_at: Option<SocketAddr>,
}

/// The style of a program's command line.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Dialect {
    Redis,
    Giant,
    Nats,
    Twemproxy,
    Haproxy,
    /// The server of [`epoll`].
    Bare,
    /// The server of [`feature`].
    Store,
}

impl Program {
    /// Finds a server by its path, or by its name on the `PATH`.
    pub(crate) fn find(path: &str) -> Result<Program> {
        let label = file_name(path);
        let dialect = Dialect::of(&label);
        let version = match dialect {
            Dialect::Redis => format!("{label} {}", redis_version(path)?),
            _ => label.clone(),
        };
        let settings = if dialect == Dialect::Redis { REDIS_SETTINGS } else { "" }.to_owned();
        Ok(Program {
            path: path.to_owned(),
            label,
            version,
            dialect,
            settings,
            address: None,
            counted_at: None,
        })
    }

    /// Returns a program of this workspace, which `tests/bench/run` has built next to this driver.
    pub(crate) fn workspace(name: &str) -> Result<Program> {
        let path = env::current_exe()?.with_file_name(name);
        let program = Program::find(&path.to_string_lossy())?;
        Ok(Program { version: format!("{name} {}", machine::source_version()), ..program })
    }

    /// Returns the bare epoll server, which is this driver itself.
    pub(crate) fn bare() -> Result<Program> {
        Program::driver("bare epoll server", Dialect::Bare)
    }

    /// Returns the server with a small application, which is this driver itself.
    pub(crate) fn store() -> Result<Program> {
        Program::driver("store", Dialect::Store)
    }

    fn driver(label: &str, dialect: Dialect) -> Result<Program> {
        let path = env::current_exe()?.to_string_lossy().into_owned();
        let (label, version) = (label.to_owned(), label.to_owned());
        Ok(Program {
            path,
            version,
            label,
            dialect,
            settings: String::new(),
            address: None,
            counted_at: None,
        })
    }

    /// Replaces the settings.
    pub(crate) fn with(self, settings: String) -> Program {
        Program { settings, ..self }
    }

    /// Adds settings, which the label and the version then show.
    pub(crate) fn also_with(mut self, settings: &str) -> Program {
        for text in [&mut self.settings, &mut self.label, &mut self.version] {
            *text = format!("{text} {settings}");
        }
        self
    }

    /// Sets the address that the settings already contain.
    pub(crate) fn at(self, address: SocketAddr) -> Program {
        Program { address: Some(address), ..self }
    }

    /// Makes the server behind this proxy the one that counts the commands.
    pub(crate) fn counted_at(self, address: SocketAddr) -> Program {
        Program { counted_at: Some(address), ..self }
    }

    /// Returns whether the program is not part of this workspace. Ratio targets compare with foreign programs.
    pub(crate) fn is_foreign(&self) -> bool {
        !matches!(self.dialect, Dialect::Giant | Dialect::Store)
    }

    pub(crate) fn is_redis(&self) -> bool {
        self.dialect == Dialect::Redis
    }

    /// Returns the command line that starts this server on an address.
    pub(crate) fn command_line(&self, address: SocketAddr) -> Vec<String> {
        let (ip, port, settings) = (address.ip(), address.port(), &self.settings);
        let line = match self.dialect {
            Dialect::Giant => format!("--bind {address} {settings}"),
            Dialect::Nats => format!("-a {ip} -p {port} {settings}"),
            Dialect::Redis => format!("--bind {ip} --port {port} {settings}"),
            Dialect::Twemproxy | Dialect::Haproxy => settings.clone(),
            Dialect::Bare => format!("{} {address}", epoll::OPTION),
            Dialect::Store => format!("{} {address} {settings}", feature::OPTION),
        };
        iter::once(self.path.clone()).chain(line.split_whitespace().map(unquoted)).collect()
    }
}

impl Dialect {
    fn of(file_name: &str) -> Dialect {
        match file_name {
            name if name.contains("redis") || name.contains("valkey") => Dialect::Redis,
            name if name.contains("nats") => Dialect::Nats,
            name if name.contains("nutcracker") => Dialect::Twemproxy,
            name if name.contains("haproxy") => Dialect::Haproxy,
            _ => Dialect::Giant,
        }
    }
}

impl Pair<Program> {
    /// Distinguishes two builds of the same program by their labels.
    pub(crate) fn with_distinct_labels(mut self) -> Pair<Program> {
        if self.baseline.label == self.subject.label {
            self.baseline.label.push_str(" before");
            self.subject.label.push_str(" after");
        }
        self
    }
}

/// Removes the quotes of a word, as a shell does. `''` becomes an empty word.
fn unquoted(word: &str) -> String {
    word.trim_matches('\'').to_owned()
}

fn file_name(path: &str) -> String {
    let name = Path::new(path).file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

/// Returns `7.0.15` for `Redis server v=7.0.15 sha=…`.
fn redis_version(path: &str) -> Result<String> {
    let output = Command::new(path).arg("--version").output();
    let output = output.map_err(|error| format!("cannot start {path}: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let version = text.split_whitespace().find_map(|word| word.strip_prefix("v="));
    Ok(version.unwrap_or("of unknown version").to_owned())
}
