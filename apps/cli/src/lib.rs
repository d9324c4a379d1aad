//! The command line that the examples have in common: `--bind ADDR`, `--password PASSWORD` and `--help`, and options of
//! their own.

use std::{
    env,
    ffi::OsString,
    fmt,
    io::{self, ErrorKind, Write},
    panic,
    path::Path,
    process,
};

#[cfg(feature = "tls")]
mod tls;

use lexopt::prelude::*;
use thegiant::{App, Server};
use tracing::level_filters::LevelFilter;

const DEFAULT_ADDRESS: &str = "127.0.0.1:6380";

const OPTIONS: &str =
    "  --bind ADDR          listen on ADDR: HOST:PORT, [V6]:PORT or unix:PATH; port 0 takes a free one;
                       can be given several times (127.0.0.1:6380 if it is not)
  --password PASSWORD  have clients authenticate with PASSWORD, as the user `default`
  -h, --help           print this
";

#[cfg(not(feature = "tls"))]
const TLS_OPTIONS: &str = "";

#[cfg(feature = "tls")]
const TLS_OPTIONS: &str = "  --tls-cert FILE      speak TLS at each HOST:PORT, with this certificate (PEM)
  --tls-key FILE       the private key of that
  --tls-ca FILE        turn away clients that have no certificate of this authority
";

const ENVIRONMENT: &str = "
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
    CommandLine::read("", |_, _| Ok(false)).serve_with(app, configure).await;
}

/// What is wrong with a command line.
pub type Mistake = lexopt::Error;

/// What comes behind an option, or an argument that has none.
pub struct Values<'a>(ValuesOf<'a>);

enum ValuesOf<'a> {
    Option(&'a mut lexopt::Parser),
    Argument(Option<OsString>),
}

impl Values<'_> {
    /// The next value of the option, or the argument.
    ///
    /// # Errors
    /// There is none, or it is no text.
    pub fn take(&mut self) -> Result<String, Mistake> {
        match &mut self.0 {
            ValuesOf::Option(parser) => parser.value()?.string(),
            ValuesOf::Argument(argument) => {
                argument.take().ok_or(Mistake::MissingValue { option: None })?.string()
            }
        }
    }
}

/// A command line that has been read, for an example that has options of its own.
#[derive(Default)]
pub struct CommandLine {
    addresses: Vec<String>,
    password: Option<String>,
    #[cfg(feature = "tls")]
    tls: tls::Options,
}

impl CommandLine {
    /// Reads it, and begins to log. `set` takes an option by its name and says whether there is one; `help` has the lines
    /// that say what these are for.
    ///
    /// It ends the process with exit code 2 if the command line is wrong, and with 0 if help is asked for.
    pub fn read(help: &str, set: impl FnMut(&str, &mut Values<'_>) -> Result<bool, Mistake>) -> Self {
        Self::read_with("[OPTIONS]", help, set)
    }

    /// The same, for a program that takes arguments that are no options, too, as `usage` says: their name is empty.
    pub fn read_with(
        usage: &str,
        help: &str,
        set: impl FnMut(&str, &mut Values<'_>) -> Result<bool, Mistake>,
    ) -> Self {
        match wanted(lexopt::Parser::from_env(), set) {
            Ok(Wanted::Help) => {
                say(format_args!(
                    "Usage: {} {usage}\n\nOptions:\n{help}{TLS_OPTIONS}{OPTIONS}{ENVIRONMENT}",
                    program()
                ));
                process::exit(0);
            }
            Ok(Wanted::Serve(command_line)) => {
                log();
                command_line
            }
            Err(error) => fail(2, &error),
        }
    }

    /// Serves `app`, as [`serve`] does.
    pub async fn serve(self, app: App) {
        self.serve_with(app, Ok).await;
    }

    async fn serve_with(self, app: App, configure: impl FnOnce(Server) -> io::Result<Server>) {
        if let Err(error) = run(app, self, configure).await {
            // What is no address is a mistake of the command line.
            fail(if error.kind() == ErrorKind::InvalidInput { 2 } else { 1 }, &error);
        }
    }
}

/// What the command line asks for.
enum Wanted {
    Help,
    Serve(CommandLine),
}

fn wanted(
    mut args: lexopt::Parser,
    mut set: impl FnMut(&str, &mut Values<'_>) -> Result<bool, Mistake>,
) -> Result<Wanted, Mistake> {
    let mut command_line = CommandLine::default();
    while let Some(arg) = args.next()? {
        match arg {
            Long("bind") => command_line.addresses.push(args.value()?.string()?),
            Long("password") => command_line.password = Some(args.value()?.string()?),
            Short('h') | Long("help") => return Ok(Wanted::Help),
            #[cfg(feature = "tls")]
            Long(name @ ("tls-cert" | "tls-key" | "tls-ca")) => {
                let option = command_line.tls.option(name);
                *option = Some(args.value()?.into());
            }
            Long(name) => {
                let name = name.to_owned();
                if !set(&name, &mut Values(ValuesOf::Option(&mut args)))? {
                    return Err(Mistake::UnexpectedOption(format!("--{name}")));
                }
            }
            Value(argument) => {
                if !set("", &mut Values(ValuesOf::Argument(Some(argument.clone()))))? {
                    return Err(Mistake::UnexpectedArgument(argument));
                }
            }
            _ => return Err(arg.unexpected()),
        }
    }
    if command_line.addresses.is_empty() {
        command_line.addresses.push(DEFAULT_ADDRESS.to_owned());
    }
    Ok(Wanted::Serve(command_line))
}

async fn run(
    app: App,
    options: CommandLine,
    configure: impl FnOnce(Server) -> io::Result<Server>,
) -> io::Result<()> {
    // An empty password is none.
    let server = Server::new(app).password(options.password.unwrap_or_default());
    #[cfg(feature = "tls")]
    let bind = options.tls.bind()?;
    #[cfg(not(feature = "tls"))]
    let bind = Server::bind;
    let server = configure(options.addresses.iter().try_fold(server, bind)?)?;
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
pub fn say(line: impl fmt::Display) {
    let _ = writeln!(io::stdout(), "{line}");
}

/// Ends the process. It does not return from `main`: actors that have been started but have not run
/// yet would do so while their runtime is taken down, and panic if they set a timer.
pub fn fail(code: i32, error: &dyn fmt::Display) -> ! {
    let _ = writeln!(io::stderr(), "{}: {error}", program());
    process::exit(code)
}

/// The name that this program was started by, without its folder.
fn program() -> String {
    let path = env::args_os().next().unwrap_or_default();
    Path::new(&path).file_name().unwrap_or(&path).to_string_lossy().into_owned()
}
