//! Compares `kv` with Redis on this machine: the cost of a command and of a connection.
//!
//! Run with `tests/bench/run`; `--help` lists the options. It prints the table to stdout and the progress to stderr.

mod above;
mod calls;
mod crowd;
mod disk;
mod epoll;
mod feature;
mod figure;
mod instances;
mod keys;
mod latency;
mod load;
mod machine;
mod options;
mod pinned;
mod proc;
mod program;
mod proxy;
mod publish;
mod random;
mod report;
mod server;
mod threads;
mod throughput;
mod window;
mod wire;

use std::env;
use std::error::Error;
use std::io::{self, Write};
use std::process::ExitCode;

use figure::Pair;
use options::{Options, Suite, USAGE};
use program::Program;

type Result<T, E = Box<dyn Error>> = std::result::Result<T, E>;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == "--help" || argument == "-h") {
        return exit_code(print(USAGE));
    }
    if let [option, address] = &arguments[..]
        && option == epoll::OPTION
    {
        let address = address.parse().map_err(Box::from);
        return exit_code(address.and_then(epoll::serve));
    }
    if let [option, address, settings @ ..] = &arguments[..]
        && option == feature::OPTION
    {
        let address = address.parse().map_err(Box::from);
        return exit_code(address.and_then(|address| feature::serve(address, settings)));
    }
    match Options::parse(arguments) {
        Ok(options) => exit_code(run(&options)),
        Err(mistake) => {
            eprintln!("bench: {mistake}");
            ExitCode::from(2)
        }
    }
}

fn run(options: &Options) -> Result<()> {
    match options.suite {
        Suite::Commands => measure_commands(options),
        Suite::Calls => options.exchanges()?.iter().try_for_each(|programs| {
            print(&report::report(programs, options, &calls::figures(programs, options)?))
        }),
        Suite::Disk => {
            let programs = options.on_disk()?;
            let figures = disk::figures(&programs, options)?;
            print(&report::report(&programs, options, &figures))
        }
        Suite::Proxies => measure_proxies(options),
        Suite::Threads => threads::reports(options)?.iter().try_for_each(|report| print(report)),
        Suite::Instances => instances::reports(options)?.iter().try_for_each(|report| print(report)),
        Suite::Feature(feature) => print(&feature::report(options, feature)?),
    }
}

/// Measures the cost of commands and connections, or only the latency.
fn measure_commands(options: &Options) -> Result<()> {
    let programs = options.programs()?;
    let mut figures = latency::figures(&programs, options)?;
    if options.latency.is_none() {
        figures.extend(throughput::figures(&programs, options)?);
        figures.extend(above::figures(&programs, options)?);
        figures.extend(crowd::figures(&programs, options)?);
        figures.extend(publish::figures(&programs, options)?);
        figures.extend(keys::figures(&programs, options)?);
        figures.extend(random::figures(&programs, options)?);
    }
    print(&report::report(&programs, options, &figures))
}

fn measure_proxies(options: &Options) -> Result<()> {
    let programs = options.proxies()?;
    print(&report::report(&programs, options, &proxy::figures(&programs, options)?))?;
    let programs = options.tcp_proxies()?;
    print(&report::report(&programs, options, &proxy::gets(&programs, options, None)?))?;
    let cached = Pair { baseline: Program::workspace("kv")?, subject: Program::workspace("readthrough")? };
    print(&report::report(&cached, options, &proxy::hits(&cached, options)?))
}

fn print(text: &str) -> Result<()> {
    Ok(io::stdout().write_all(text.as_bytes())?)
}

fn exit_code(outcome: Result<()>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}
