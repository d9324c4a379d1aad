//! The command line that the examples have in common: `--bind ADDR`, `--password PASSWORD` and `--help`.

use std::{
    env,
    io::{self, ErrorKind, Write},
    panic,
    path::Path,
    process,
};

use lexopt::prelude::*;
use thegiant::{App, Server};
use tracing::level_filters::LevelFilter;

const DEFAULT_ADDRESS: &str = "127.0.0.1:6380";

const OPTIONS: &str = "Options:
  --bind ADDR          listen on ADDR: HOST:PORT, [V6]:PORT or unix:PATH; port 0 takes a free one;
                       can be given several times (127.0.0.1:6380 if it is not)
  --password PASSWORD  have clients authenticate with PASSWORD, as the user `default`
  -h, --help           print this

The environment variable RUST_LOG says what is logged to standard error:
off, error, warn, info (the default), debug or trace.";

/// Serves `app` where the command line says, until it is told to stop: what is left to do in the
/// `main` of an example.
///
/// It ends the process with exit code 2 if the command line is wrong, and with 1 if the application
/// cannot be served.
pub async fn serve(app: App) {
    serve_with(app, Ok).await;
}

/// The same, with a server that `configure` has had a look at before it runs.
pub async fn serve_with(app: App, configure: impl FnOnce(Server) -> io::Result<Server>) {
    match wanted(lexopt::Parser::from_env()) {
        Ok(Wanted::Help) => {
            say(format_args!("Usage: {} [OPTIONS]\n\n{OPTIONS}", program()));
            process::exit(0);
        }
        Ok(Wanted::Serve(options)) => {
            log();
            if let Err(error) = run(app, options, configure).await {
                // What is no address is a mistake of the command line.
                fail(if error.kind() == ErrorKind::InvalidInput { 2 } else { 1 }, &error);
            }
        }
        Err(error) => fail(2, &error),
    }
}

/// What the command line asks for.
enum Wanted {
    Help,
    Serve(Options),
}

#[derive(Default)]
struct Options {
    addresses: Vec<String>,
    password: Option<String>,
}

fn wanted(mut args: lexopt::Parser) -> Result<Wanted, lexopt::Error> {
    let mut options = Options::default();
    while let Some(arg) = args.next()? {
        match arg {
            Long("bind") => options.addresses.push(args.value()?.string()?),
            Long("password") => options.password = Some(args.value()?.string()?),
            Short('h') | Long("help") => return Ok(Wanted::Help),
            _ => return Err(arg.unexpected()),
        }
    }
    if options.addresses.is_empty() {
        options.addresses.push(DEFAULT_ADDRESS.to_owned());
    }
    Ok(Wanted::Serve(options))
}

async fn run(
    app: App,
    options: Options,
    configure: impl FnOnce(Server) -> io::Result<Server>,
) -> io::Result<()> {
    // An empty password is none.
    let server = Server::new(app).password(options.password.unwrap_or_default());
    let server = configure(options.addresses.iter().try_fold(server, Server::bind)?)?;
    for address in server.addresses() {
        say(format_args!("listening on {address}"));
    }
    server.run().await
}

/// Logs to standard error, a panic as one line too.
fn log() {
    let level = env::var("RUST_LOG").ok().and_then(|level| level.parse().ok());
    tracing_subscriber::fmt()
        .with_max_level(level.unwrap_or(LevelFilter::INFO))
        .with_writer(io::stderr)
        .with_ansi(false)
        .init();
    panic::set_hook(Box::new(|panicked| tracing::error!("{}", panicked.to_string().replace('\n', " "))));
}

/// Prints a line, if anybody reads it.
pub fn say(line: impl std::fmt::Display) {
    let _ = writeln!(io::stdout(), "{line}");
}

/// Ends the process. It does not return from `main`: actors that have been started but have not run
/// yet would do so while their runtime is taken down, and panic if they set a timer.
fn fail(code: i32, error: &dyn std::error::Error) -> ! {
    let _ = writeln!(io::stderr(), "{}: {error}", program());
    process::exit(code)
}

/// The name that this program was started by, without its folder.
fn program() -> String {
    let path = env::args_os().next().unwrap_or_default();
    Path::new(&path).file_name().unwrap_or(&path).to_string_lossy().into_owned()
}
