//! What it costs to see to keys: processor time of a transaction, and of a command while others track keys.

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

/// The name of transactions on the command line.
pub(crate) const MULTI: &str = "multi";

/// Who sends commands.
const CLIENTS: usize = 50;

/// How many commands a transaction has, and the part of Redis' processor time that it may cost.
const COMMANDS: usize = 10;
const TARGET: f64 = 0.6;

/// Who track other keys, how many commands are sent at once beside them, and how much more these may cost for that.
const TRACKERS: usize = 1000;
pub(crate) const DEPTHS: [usize; 2] = [1, 16];
const TRACKED: f64 = 1.05;

const PILOT: Duration = Duration::from_millis(100);
const PATIENCE: Duration = Duration::from_secs(30);

/// The figures of keys, as far as they were asked for.
pub(crate) fn figures(programs: &Pair<Program>, options: &Options) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    if options.wants(MULTI) {
        pinned::stay(options.cpu)?;
        figures.push(transactions(programs, options)?);
    }
    for depth in DEPTHS {
        if options.wants(&tracked_name(depth)) {
            pinned::stay(options.cpu)?;
            figures.push(tracked(programs, options, depth)?);
        }
    }
    Ok(figures)
}

/// The name of commands beside those who track, on the command line.
pub(crate) fn tracked_name(depth: usize) -> String {
    format!("tracked-{depth}")
}

/// What a SET costs while others track other keys, as a part of what it costs without them.
fn tracked(programs: &Pair<Program>, options: &Options, depth: usize) -> Result<Figure> {
    let exchange = Exchange { request: set().repeat(depth), reply: depth * "+OK\r\n".len() };
    let mut alone = programs.try_map(|program| Busy::start(program, options))?;
    let mut beside = programs.try_map(|program| Busy::start(program, options))?;
    let _trackers = beside.try_map(|busy| trackers(busy.server.address()))?;
    let mut rounds = Vec::new();
    for round in 1..=options.rounds() {
        eprintln!("{}: round {round} of {}", tracked_name(depth), options.rounds());
        let without = alone.cost(&exchange, options)?;
        let with = beside.cost(&exchange, options)?;
        rounds.push(Pair {
            baseline: with.baseline / without.baseline,
            subject: with.subject / without.subject,
        });
    }
    let name =
        format!("SET, {depth} deep, beside {TRACKERS} who track other keys: CPU, as a part of that without");
    Ok(Figure { name, rounds, decimals: 3, target: Some(Limit::Value(TRACKED)) })
}

/// Clients that have read a key each, and want to know when it changes.
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
    let mut busy = programs.try_map(|program| Busy::start(program, options))?;
    busy.baseline.clients.exchange(&exchange, PILOT)?;
    busy.subject.clients.exchange(&exchange, PILOT)?;
    let mut rounds = Vec::new();
    for round in 1..=options.rounds() {
        eprintln!("{MULTI}: round {round} of {}", options.rounds());
        rounds.push(busy.cost(&exchange, options)?);
    }
    let name = format!("MULTI, {COMMANDS} SETs, EXEC: CPU ns per transaction");
    Ok(Figure { name, rounds, decimals: 0, target: Some(Limit::Ratio(TARGET)) })
}

fn set() -> String {
    request(&["SET", "key", &"x".repeat(VALUE_BYTES as usize)])
}

/// A server, and the clients that keep it busy.
struct Busy {
    server: Server,
    clients: Clients,
}

impl Busy {
    fn start(program: &Program, options: &Options) -> Result<Self> {
        let server = Server::start(program, options.cpu)?;
        let clients = Clients::connect(server.address(), CLIENTS)?;
        Ok(Busy { server, clients })
    }

    /// Processor time of the server per exchange, in nanoseconds.
    fn cost(&mut self, exchange: &Exchange, options: &Options) -> Result<f64> {
        let before = self.server.cpu_nanoseconds()?;
        let exchanges = self.clients.exchange(exchange, options.round_time())?;
        Ok(self.server.cpu_nanoseconds()?.saturating_sub(before) as f64 / exchanges as f64)
    }
}

impl Pair<Busy> {
    fn cost(&mut self, exchange: &Exchange, options: &Options) -> Result<Pair<f64>> {
        Ok(Pair {
            baseline: self.baseline.cost(exchange, options)?,
            subject: self.subject.cost(exchange, options)?,
        })
    }
}

/// What each client sends, and how many bytes it gets.
struct Exchange {
    request: String,
    reply: usize,
}

/// Clients that ask again as soon as they are answered.
struct Clients {
    poll: Poll,
    events: Events,
    /// With the bytes that each still waits for.
    streams: Vec<(TcpStream, usize)>,
}

impl Clients {
    fn connect(address: SocketAddr, count: usize) -> Result<Self> {
        let poll = Poll::new()?;
        let mut streams = Vec::new();
        for index in 0..count {
            let stream = net::TcpStream::connect(address)?;
            stream.set_nodelay(true)?;
            streams.push((wire::watched(stream, &poll, index)?, 0));
        }
        Ok(Clients { poll, events: Events::with_capacity(1024), streams })
    }

    /// Has each ask and be answered, again and again for this time. Returns how often that was done.
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
                return Err("a client is not answered".into());
            }
            for event in &self.events {
                let (stream, missing) = &mut self.streams[event.token().0];
                wire::read_all(stream, |read| {
                    *missing = missing.checked_sub(read.len()).ok_or("more than was to be answered")?;
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
