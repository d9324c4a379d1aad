//! Measures ten thousand connections: the time to open them, and their memory.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use crate::Result;
use crate::figure::{Figure, Limit, Pair};
use crate::options::Options;
use crate::proc;
use crate::program::Program;
use crate::server::Server;

/// Names of the two measurements on the command line.
pub(crate) const OPEN: &str = "open";
pub(crate) const MEMORY: &str = "memory";

/// Number of connections to open, if the descriptor limit allows them.
pub(crate) const WANTED: u64 = 10_000;
/// Descriptors that the driver and the servers need for other purposes. Redis reserves 32.
const SPARE_DESCRIPTORS: u64 = 64;

pub(crate) const OPEN_ROUNDS: usize = 3;
/// Time for a server to finish its work after the last reply.
const PAUSE: Duration = Duration::from_millis(500);
const REPLY_DEADLINE: Duration = Duration::from_secs(60);
const REQUEST: &[u8] = b"*2\r\n$3\r\nGET\r\n$7\r\nmissing\r\n";

/// Returns the number of connections to open: ten thousand, or fewer if the descriptor limit is lower.
pub(crate) fn size() -> u64 {
    proc::descriptor_limit().saturating_sub(SPARE_DESCRIPTORS).clamp(1, WANTED)
}

/// Runs the selected measurements.
pub(crate) fn figures(programs: &Pair<Program>, options: &Options) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    if options.selects(OPEN) {
        figures.push(open_figure(programs, options)?);
    }
    if options.selects(MEMORY) {
        figures.extend(memory_figures(programs, options)?);
    }
    Ok(figures)
}

fn open_figure(programs: &Pair<Program>, options: &Options) -> Result<Figure> {
    let mut rounds = Vec::new();
    for round in 1..=OPEN_ROUNDS {
        eprintln!("opening connections: round {round} of {OPEN_ROUNDS}");
        rounds.push(programs.try_map(|program| open_seconds(program, options))?);
    }
    let name = "seconds to open all connections and get a reply on each".to_owned();
    let target = (options.crowd == WANTED).then_some(Limit::Value(1.0));
    Ok(Figure { name, rounds, decimals: 2, target })
}

fn open_seconds(program: &Program, options: &Options) -> Result<f64> {
    let server = Server::start(program, &options.cpus)?;
    let started = Instant::now();
    let mut crowd = Crowd::connect(server.address(), options.crowd)?;
    crowd.ask()?;
    // Dropping the crowd closes the connections, which is not part of the measurement.
    Ok(started.elapsed().as_secs_f64())
}

pub(crate) fn memory_figures(programs: &Pair<Program>, options: &Options) -> Result<Vec<Figure>> {
    let memory = programs.try_map(|program| Memory::measure(program, options))?;
    let figure = |moment: String, read: fn(&Memory) -> f64, target| Figure {
        name: format!("KiB per connection, {moment}"),
        rounds: vec![memory.map(read)],
        decimals: 2,
        target,
    };
    let idle = Some(Limit::Value(1.5));
    let later = format!("{} s later", options.rest().as_secs());
    Ok(vec![
        figure("nothing sent yet".to_owned(), |memory| memory.unused, idle),
        figure("right after one GET".to_owned(), |memory| memory.used, None),
        figure(later, |memory| memory.rested, idle),
    ])
}

/// Growth of the resident memory per connection, in KiB.
struct Memory {
    unused: f64,
    used: f64,
    rested: f64,
}

impl Memory {
    fn measure(program: &Program, options: &Options) -> Result<Memory> {
        eprintln!("memory of connections: {}", program.label);
        let server = Server::start(program, &options.cpus)?;
        thread::sleep(PAUSE);
        let before = server.resident_kib()?;
        let per_connection = || -> Result<f64> {
            let growth = server.resident_kib()? as f64 - before as f64;
            Ok(growth / options.crowd as f64)
        };

        let mut crowd = Crowd::connect(server.address(), options.crowd)?;
        crowd.ask_last()?;
        thread::sleep(PAUSE);
        let unused = per_connection()?;
        crowd.ask()?;
        let used = per_connection()?;
        thread::sleep(options.rest());
        Ok(Memory { unused, used, rested: per_connection()? })
    }
}

/// Returns the resident memory, in KiB, of a connection that has sent `request`, such as a blocking command.
pub(crate) fn kib_after(program: &Program, options: &Options, request: &str) -> Result<f64> {
    eprintln!("memory of connections after a request: {}", program.label);
    let server = Server::start(program, &options.cpus)?;
    thread::sleep(PAUSE);
    let before = server.resident_kib()?;
    let mut crowd = Crowd::connect(server.address(), options.crowd)?;
    crowd.streams.iter_mut().try_for_each(|stream| stream.write_all(request.as_bytes()))?;
    thread::sleep(options.rest());
    Ok((server.resident_kib()? as f64 - before as f64) / options.crowd as f64)
}

/// Many connections to one server.
struct Crowd {
    streams: Vec<TcpStream>,
}

impl Crowd {
    fn connect(address: SocketAddr, size: u64) -> io::Result<Crowd> {
        let connect = |_| {
            let stream = TcpStream::connect(address)?;
            stream.set_read_timeout(Some(REPLY_DEADLINE))?;
            Ok(stream)
        };
        Ok(Crowd { streams: (0..size).map(connect).collect::<io::Result<_>>()? })
    }

    /// Sends one request on every connection, then reads every reply.
    fn ask(&mut self) -> Result<()> {
        self.streams.iter_mut().try_for_each(|stream| stream.write_all(REQUEST))?;
        self.streams.iter().try_for_each(read_reply)
    }

    /// Sends one request on the newest connection. Its reply shows that the server has accepted all connections.
    fn ask_last(&mut self) -> Result<()> {
        match self.streams.last_mut() {
            Some(stream) => {
                stream.write_all(REQUEST)?;
                read_reply(stream)
            }
            None => Ok(()),
        }
    }
}

fn read_reply(stream: &TcpStream) -> Result<()> {
    let mut reply = String::new();
    BufReader::with_capacity(64, stream).read_line(&mut reply)?;
    match reply.trim_end() {
        "$-1" => Ok(()),
        "" => Err("the server closed a connection without a reply".into()),
        other => Err(format!("unexpected reply to GET of a missing key: '{other}'").into()),
    }
}
