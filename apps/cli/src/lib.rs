//! Shared command line of the apps: listening addresses, password, TLS and log.
//!
//! - [`ServerOptions`]: options that every app flattens into its own options
//! - [`ClusterOptions`]: options of an app whose instances can be a cluster; [`MovedKeysOptions`]: that of one with keys on
//!   disk
//! - [`TenantOptions`]: the option of apps whose users can be tenants
//! - [`run`]: the `main` of an app
//! - [`Secret`]: reads a password that stays out of the process list
//! - [`millis`], [`seconds`]: parse durations
//! - [`usage_error`]: the error of a mistake in the command line

#[cfg(feature = "tls")]
mod tls;

mod cluster;
mod secret;
mod tenants;
mod time;

use std::{
    env, fmt,
    io::{self, ErrorKind, Write},
    num::NonZero,
    panic,
    path::{Path, PathBuf},
    process, thread,
};

use clap::{Args, Parser, ValueEnum};
pub use cluster::{ClusterOptions, MovedKeysOptions};
pub use secret::Secret;
pub use tenants::TenantOptions;
use thegiant::{App, DebugAccess, Server};
pub use time::{millis, seconds};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::{filter::filter_fn, prelude::*};

/// Options of every app.
#[derive(Args)]
#[command(
    next_help_heading = "Server options",
    after_help = "The environment variable RUST_LOG sets the log level on standard error: \
                  off, error, warn, info (default), debug or trace."
)]
pub struct ServerOptions {
    /// Address to listen on: HOST:PORT, [V6]:PORT or unix:PATH; port 0 takes a free one (repeatable)
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:6380")]
    bind: Vec<String>,
    /// Number of threads that serve connections; 0 means the number of CPUs
    #[arg(long, value_name = "N", default_value_t = 1)]
    threads: u16,
    /// Clients that may run DEBUG, a command for tests
    #[arg(long, value_name = "WHO", value_enum, default_value_t = Debuggers::No)]
    enable_debug_command: Debuggers,
    #[command(flatten)]
    password: Password,
    /// File with the users and their ACL rules, one line each as in ACL LIST; ACL LOAD reads it again, ACL SAVE writes it
    #[arg(long, value_name = "FILE")]
    aclfile: Option<PathBuf>,
    /// Channels of new users, unless their rules say otherwise
    #[arg(long, value_name = "CHANNELS", value_enum, default_value_t = Channels::Resetchannels)]
    acl_pubsub_default: Channels,
    #[cfg(feature = "tls")]
    #[command(flatten)]
    tls: tls::TlsOptions,
}

impl ServerOptions {
    /// Returns a server for `app` that listens on the addresses.
    ///
    /// # Errors
    /// Returns an error if the password or a certificate cannot be read, or if the server cannot listen on an
    /// address. A mistake in the command line gives an error of kind
    /// [`InvalidInput`](ErrorKind::InvalidInput).
    pub fn bind(&self, app: App) -> io::Result<Server> {
        let password = self.password.read()?.unwrap_or_default();
        let server = Server::new(app).password(password).workers(self.threads());
        let server = server.debug_commands(self.enable_debug_command.into());
        let server = server.acl_pubsub_default(matches!(self.acl_pubsub_default, Channels::Allchannels));
        let server = match &self.aclfile {
            Some(file) => server.acl_file(file),
            None => server,
        };
        #[cfg(feature = "tls")]
        let bind = self.tls.bind();
        #[cfg(not(feature = "tls"))]
        let bind = Server::bind;
        self.bind.iter().try_fold(server, bind)
    }

    /// Returns the number of threads, which is also the number of shards of an app.
    pub fn threads(&self) -> u16 {
        let cpus = || thread::available_parallelism().map_or(1, NonZero::get);
        if self.threads == 0 { u16::try_from(cpus()).unwrap_or(u16::MAX) } else { self.threads }
    }

    /// Prints each address and serves `app` until the server stops.
    ///
    /// # Errors
    /// Returns the errors of [`bind`](Self::bind) and [`Server::run`].
    pub async fn serve(&self, app: App) -> io::Result<()> {
        serve(self.bind(app)?).await
    }
}

/// The clients that may run `DEBUG`.
#[derive(Clone, Copy, ValueEnum)]
enum Debuggers {
    /// No client
    No,
    /// Clients on this machine
    Local,
    /// All clients
    Yes,
}

impl From<Debuggers> for DebugAccess {
    fn from(debuggers: Debuggers) -> Self {
        match debuggers {
            Debuggers::No => DebugAccess::No,
            Debuggers::Local => DebugAccess::Local,
            Debuggers::Yes => DebugAccess::Yes,
        }
    }
}

/// The channels of a new user.
#[derive(Clone, Copy, ValueEnum)]
enum Channels {
    /// All channels
    Allchannels,
    /// No channel
    Resetchannels,
}

/// Prints each address of a server and serves until it stops.
///
/// # Errors
/// Returns the errors of [`Server::run`].
pub async fn serve(server: Server) -> io::Result<()> {
    say_addresses(&server);
    server.run().await
}

/// Prints each address of a server.
pub fn say_addresses(server: &Server) {
    for address in server.addrs() {
        say(format_args!("listening on {address}"));
    }
}

/// Options for the password that clients send with `AUTH`.
#[derive(Args)]
pub struct Password {
    /// Password of the user `default` (other users of this machine see it in the process list)
    #[arg(long, value_name = "PASSWORD", allow_hyphen_values = true)]
    password: Option<String>,
    /// File with the password (the environment variable THEGIANT_PASSWORD can hold the password instead)
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
}

impl Password {
    /// Returns the password, or `None` if none is set.
    ///
    /// # Errors
    /// Returns the errors of [`Secret::read`].
    pub fn read(&self) -> io::Result<Option<String>> {
        Secret {
            option: "--password",
            value: self.password.as_deref(),
            file: self.password_file.as_deref(),
            variable: "THEGIANT_PASSWORD",
        }
        .read()
    }
}

/// Parses the command line, starts the log and runs `serve`.
///
/// The process exits with code 2 if the command line is wrong, and with code 1 if `serve` fails for another
/// reason.
pub async fn run<P: Parser, F: Future<Output = io::Result<()>>>(serve: impl FnOnce(P) -> F) {
    let options = P::parse();
    start_log();
    if let Err(error) = serve(options).await {
        fail(&error);
    }
}

/// Logs to standard error, including each panic as one line.
fn start_log() {
    let level = env::var("RUST_LOG").ok().and_then(|level| level.parse().ok());
    let log = tracing_subscriber::fmt()
        .with_max_level(level.unwrap_or(LevelFilter::INFO))
        .with_writer(io::stderr)
        .with_ansi(false)
        .finish();
    // `serve` prints the addresses, at any level of the log.
    log.with(filter_fn(|event| event.target() != "thegiant::listening")).init();
    panic::set_hook(Box::new(|panicked| tracing::error!("{}", panicked.to_string().replace('\n', " "))));
}

/// Prints a line to standard output and ignores write errors.
pub fn say(line: impl fmt::Display) {
    let _ = writeln!(io::stdout(), "{line}");
}

/// Returns the error of a mistake in the command line. With it, [`run`] exits with code 2.
pub fn usage_error(text: impl Into<String>) -> io::Error {
    io::Error::new(ErrorKind::InvalidInput, text.into())
}

/// Prints the error and ends the process.
///
/// `main` must not return here. If it did, actix would run the actors that have not started yet while the
/// runtime shuts down. They would panic when they set a timer.
fn fail(error: &io::Error) -> ! {
    let _ = writeln!(io::stderr(), "{}: {error}", program());
    process::exit(if error.kind() == ErrorKind::InvalidInput { 2 } else { 1 })
}

/// Returns the file name under which this program was started.
fn program() -> String {
    let path = env::args_os().next().unwrap_or_default();
    Path::new(&path).file_name().unwrap_or(&path).to_string_lossy().into_owned()
}
