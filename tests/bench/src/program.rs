//! The servers that can be measured, and how each is started.

use std::env;
use std::iter;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use crate::Result;
use crate::figure::Pair;
use crate::machine;

/// Nothing is kept on disk. The backlog is that of thegiant: with Redis' own 511 the kernel drops connections
/// when thousands come at once, and the time to open them would be that of the retransmits.
pub(crate) const REDIS_SETTINGS: &str = "--save '' --appendonly no --maxclients 20000 --tcp-backlog 4096";

/// A server program.
#[derive(Clone)]
pub(crate) struct Program {
    path: String,
    /// What the table's column is headed.
    pub(crate) label: String,
    /// The label with what is known of its version.
    pub(crate) version: String,
    pub(crate) dialect: Dialect,
    /// What it is told beside its address.
    pub(crate) settings: String,
    /// Where it listens, if it has been told by another way than its command line.
    pub(crate) address: Option<SocketAddr>,
}

/// Whose command line a program understands.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Dialect {
    Redis,
    Giant,
    Nats,
    Twemproxy,
}

impl Program {
    /// A server by its path, or by its name alone where that is on the `PATH`.
    pub(crate) fn find(path: &str) -> Result<Program> {
        let label = file_name(path);
        let dialect = Dialect::of(&label);
        let version = match dialect {
            Dialect::Redis => format!("{label} {}", redis_version(path)?),
            Dialect::Giant | Dialect::Nats | Dialect::Twemproxy => label.clone(),
        };
        let settings = if dialect == Dialect::Redis { REDIS_SETTINGS } else { "" }.to_owned();
        Ok(Program { path: path.to_owned(), label, version, dialect, settings, address: None })
    }

    /// The example that `tests/bench/run` has built next to this driver.
    pub(crate) fn example(name: &str) -> Result<Program> {
        let path = env::current_exe()?.with_file_name(name);
        let program = Program::find(&path.to_string_lossy())?;
        Ok(Program { version: format!("{name} {}", machine::source_version()), ..program })
    }

    /// Told this, beside its address.
    pub(crate) fn with(self, settings: String) -> Program {
        Program { settings, ..self }
    }

    /// Told where to listen by its settings.
    pub(crate) fn at(self, address: SocketAddr) -> Program {
        Program { address: Some(address), ..self }
    }

    /// Whether it is no build of ours, which targets are about.
    pub(crate) fn is_another(&self) -> bool {
        self.dialect != Dialect::Giant
    }

    pub(crate) fn is_redis(&self) -> bool {
        self.dialect == Dialect::Redis
    }

    /// The words that start this server on an address.
    pub(crate) fn command_line(&self, address: SocketAddr) -> Vec<String> {
        let (ip, port, settings) = (address.ip(), address.port(), &self.settings);
        let line = match self.dialect {
            Dialect::Giant => format!("--bind {address} {settings}"),
            Dialect::Nats => format!("-a {ip} -p {port} {settings}"),
            Dialect::Redis => format!("--bind {ip} --port {port} {settings}"),
            Dialect::Twemproxy => settings.clone(),
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
            _ => Dialect::Giant,
        }
    }
}

impl Pair<Program> {
    /// Two builds of one program get labels that differ.
    pub(crate) fn told_apart(mut self) -> Pair<Program> {
        if self.baseline.label == self.subject.label {
            self.baseline.label.push_str(" before");
            self.subject.label.push_str(" after");
        }
        self
    }
}

/// A word as the shell would hand it over: `''` is an empty one.
fn unquoted(word: &str) -> String {
    word.trim_matches('\'').to_owned()
}

fn file_name(path: &str) -> String {
    let name = Path::new(path).file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

/// `7.0.15`, from `Redis server v=7.0.15 sha=…`.
fn redis_version(path: &str) -> Result<String> {
    let output = Command::new(path).arg("--version").output();
    let output = output.map_err(|error| format!("{path} cannot be started: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let version = text.split_whitespace().find_map(|word| word.strip_prefix("v="));
    Ok(version.unwrap_or("of unknown version").to_owned())
}
