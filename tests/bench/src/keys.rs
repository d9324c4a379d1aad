//! Measures the CPU time of transactions, and of commands while other clients track keys.

use std::io::{Read, Write};
use std::net::{self, SocketAddr};
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Poll};

use crate::Result;
use crate::figure::{Figure, Limit, Pair};
use crate::load::VALUE_BYTES;
use crate::options::Options;
use crate::pinned;
use crate::program::Program;
use crate::server::Server;
use crate::wire::{self, request};

/// Name of the transaction measurement on the command line.
pub(crate) const MULTI: &str = "multi";

/// Number of clients that send commands.
const CLIENTS: usize = 50;

/// Number of commands in a transaction.
const COMMANDS: usize = 10;
/// Maximum CPU time of a transaction, relative to Redis.
const TARGET: f64 = 0.6;

/// Number of clients that track other keys.
const TRACKERS: usize = 1000;
/// Pipeline depths of the commands sent meanwhile.
pub(crate) const DEPTHS: [usize; 2] = [1, 16];
/// Maximum CPU time of a command, relative to a server without tracking clients.
const TRACKED: f64 = 1.05;

const PILOT: Duration = Duration::from_millis(100);
const PATIENCE: Duration = Duration::from_secs(30);

/// Runs the selected measurements.
pub(crate) fn figures(programs: &Pair<Program>, options: &Options) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    if options.selects(MULTI) {
        pinned::pin_driver(&options.cpus)?;
        figures.push(transactions(programs, options)?);
    }
    for depth in DEPTHS {
        if options.selects(&tracked_name(depth)) {
            pinned::pin_driver(&options.cpus)?;
            figures.push(tracked(programs, options, depth)?);
        }
    }
    Ok(figures)
}

/// Returns the name of a tracking measurement on the command line.
pub(crate) fn tracked_name(depth: usize) -> String {
    format!("tracked-{depth}")
}

/// Measures the CPU time of SET with tracking clients, relative to a server without them.
fn tracked(programs: &Pair<Program>, options: &Options, depth: usize) -> Result<Figure> {
    let exchange = Exchange { request: set().repeat(depth), reply: depth * "+OK\r\n".len() };
    let mut alone = programs.try_map(|program| Loaded::start(program, options))?;
    let mut beside = programs.try_map(|program| Loaded::start(program, options))?;
    let _trackers = beside.try_map(|loaded| trackers(loaded.server.address()))?;
    let mut rounds = Vec::new();
    eprintln!("{}", tracked_name(depth));
    for _ in 0..options.windows() {
        let without = alone.cost(&exchange, options)?;
        let with = beside.cost(&exchange, options)?;
        rounds.push(Pair {
            baseline: with.baseline / without.baseline,
            subject: with.subject / without.subject,
        });
    }
    let name = format!(
        "SET, {depth} deep, with {TRACKERS} clients tracking other keys: CPU relative to no tracking"
    );
    Ok(Figure { name, rounds, decimals: 3, target: Some(Limit::Value(TRACKED)) })
}

/// Connects clients that each track one key.
fn trackers(address: SocketAddr) -> Result<Vec<net::TcpStream>> {
    let tracker = |index| {
        let mut stream = net::TcpStream::connect(address)?;
        let key = format!("other:{index}");
        let requests =
            [&["HELLO", "3"][..], &["CLIENT", "TRACKING", "ON"], &["GET", &key]].map(request).concat();
        stream.write_all(requests.as_bytes())?;
        let (mut reply, end) = (Vec::new(), b"+OK\r\n_\r\n");
        while !reply.ends_with(end) {
            let mut buffer = [0; 1024];
            match stream.read(&mut buffer)? {
                0 => return Err("the server has closed a connection".into()),
                read => reply.extend_from_slice(&buffer[..read]),
            }
        }
        Ok(stream)
    };
    (0..TRACKERS).map(tracker).collect()
}

fn transactions(programs: &Pair<Program>, options: &Options) -> Result<Figure> {
    let queued = "+QUEUED\r\n".len() * COMMANDS;
    let executed = format!("*{COMMANDS}\r\n").len() + "+OK\r\n".len() * COMMANDS;
    let exchange = Exchange {
        request: [request(&["MULTI"]), set().repeat(COMMANDS), request(&["EXEC"])].concat(),
        reply: "+OK\r\n".len() + queued + executed,
    };
    let mut loaded = programs.try_map(|program| Loaded::start(program, options))?;
    loaded.baseline.clients.exchange(&exchange, PILOT)?;
    loaded.subject.clients.exchange(&exchange, PILOT)?;
    let mut rounds = Vec::new();
    eprintln!("{MULTI}");
    for _ in 0..options.windows() {
        rounds.push(loaded.cost(&exchange, options)?);
    }
    let name = format!("MULTI, {COMMANDS} SETs, EXEC: CPU ns per transaction");
    Ok(Figure { name, rounds, decimals: 0, target: Some(Limit::Ratio(TARGET)) })
}

fn set() -> String {
    request(&["SET", "key", &"x".repeat(VALUE_BYTES as usize)])
}

/// A server with its clients.
struct Loaded {
    server: Server,
    clients: Clients,
}

impl Loaded {
    fn start(program: &Program, options: &Options) -> Result<Self> {
        let server = Server::start(program, &options.cpus)?;
        let clients = Clients::connect(server.address(), CLIENTS)?;
        Ok(Loaded { server, clients })
    }

    /// Returns the CPU time of the server per exchange, in nanoseconds.
    fn cost(&mut self, exchange: &Exchange, options: &Options) -> Result<f64> {
        let before = self.server.cpu_nanoseconds()?;
        let exchanges = self.clients.exchange(exchange, options.window())?;
        Ok(self.server.cpu_nanoseconds()?.saturating_sub(before) as f64 / exchanges as f64)
    }
}

impl Pair<Loaded> {
    fn cost(&mut self, exchange: &Exchange, options: &Options) -> Result<Pair<f64>> {
        Ok(Pair {
            baseline: self.baseline.cost(exchange, options)?,
            subject: self.subject.cost(exchange, options)?,
        })
    }
}

/// A request and the length of its reply in bytes.
struct Exchange {
    request: String,
    reply: usize,
}

/// Clients that send the next request as soon as they have the reply.
struct Clients {
    poll: Poll,
    events: Events,
    /// Each connection with the number of missing reply bytes.
    streams: Vec<(TcpStream, usize)>,
}

impl Clients {
    fn connect(address: SocketAddr, count: usize) -> Result<Self> {
        let poll = Poll::new()?;
        let mut streams = Vec::new();
        for index in 0..count {
            let stream = net::TcpStream::connect(address)?;
            stream.set_nodelay(true)?;
            streams.push((wire::register(stream, &poll, index)?, 0));
        }
        Ok(Clients { poll, events: Events::with_capacity(1024), streams })
    }

    /// Repeats the exchange on all connections for this time. Returns the number of exchanges.
    fn exchange(&mut self, exchange: &Exchange, time: Duration) -> Result<usize> {
        let started = Instant::now();
        for (stream, missing) in &mut self.streams {
            stream.write_all(exchange.request.as_bytes())?;
            *missing = exchange.reply;
        }
        let (mut done, mut waiting) = (0, self.streams.len());
        while waiting > 0 {
            self.poll.poll(&mut self.events, Some(PATIENCE))?;
            if self.events.is_empty() {
                return Err("timeout: a client got no reply".into());
            }
            for event in &self.events {
                let (stream, missing) = &mut self.streams[event.token().0];
                wire::read_all(stream, |read| {
                    *missing = missing.checked_sub(read.len()).ok_or("a reply is longer than expected")?;
                    Ok(())
                })?;
                if *missing == 0 {
                    done += 1;
                    if started.elapsed() < time {
                        stream.write_all(exchange.request.as_bytes())?;
                        *missing = exchange.reply;
                    } else {
                        waiting -= 1;
                    }
                }
            }
        }
        Ok(done)
    }
}
