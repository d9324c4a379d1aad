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

/// Number of turns in which each server gets half of the connections.
pub(crate) const OPEN_TURNS: u64 = 50;
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

/// Opens connections to both servers in turn, because the speed of a shared machine changes within a second.
fn open_figure(programs: &Pair<Program>, options: &Options) -> Result<Figure> {
    eprintln!("opening connections");
    let servers = programs.try_map(|program| Server::start(program, &options.cpus))?;
    thread::sleep(PAUSE);
    let Pair { mut baseline, mut subject } = servers.map(|server| Crowd::new(server.address()));
    let size = (options.crowd / 2 / OPEN_TURNS).max(1);
    let mut rounds = Vec::new();
    for _ in 0..OPEN_TURNS {
        rounds.push(Pair { baseline: baseline.open_timed(size)?, subject: subject.open_timed(size)? });
    }
    let name = "microseconds to open a connection and get a reply on it".to_owned();
    Ok(Figure { name, rounds, decimals: 1, target: Some(Limit::Value(100.0)) })
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

        let mut crowd = Crowd::new(server.address());
        crowd.open(options.crowd)?;
        crowd.ask_last()?;
        thread::sleep(PAUSE);
        let unused = per_connection()?;
        crowd.ask_from(0)?;
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
    let mut crowd = Crowd::new(server.address());
    crowd.open(options.crowd)?;
    crowd.streams.iter_mut().try_for_each(|stream| stream.write_all(request.as_bytes()))?;
    thread::sleep(options.rest());
    Ok((server.resident_kib()? as f64 - before as f64) / options.crowd as f64)
}

/// Many connections to one server.
struct Crowd {
    address: SocketAddr,
    streams: Vec<TcpStream>,
}

impl Crowd {
    fn new(address: SocketAddr) -> Crowd {
        Crowd { address, streams: Vec::new() }
    }

    /// Opens more connections.
    fn open(&mut self, count: u64) -> io::Result<()> {
        for _ in 0..count {
            let stream = TcpStream::connect(self.address)?;
            stream.set_read_timeout(Some(REPLY_DEADLINE))?;
            self.streams.push(stream);
        }
        Ok(())
    }

    /// Opens more connections, and gets a reply on each. Returns the time per connection in microseconds.
    fn open_timed(&mut self, count: u64) -> Result<f64> {
        let before = self.streams.len();
        let started = Instant::now();
        self.open(count)?;
        self.ask_from(before)?;
        Ok(started.elapsed().as_secs_f64() * 1e6 / count as f64)
    }

    /// Sends one request on each connection but the first ones, then reads every reply.
    fn ask_from(&mut self, first: usize) -> Result<()> {
        self.streams[first..].iter_mut().try_for_each(|stream| stream.write_all(REQUEST))?;
        self.streams[first..].iter().try_for_each(read_reply)
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
