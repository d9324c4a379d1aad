//! What it costs to see to keys: processor time of a transaction, and of a command while others track keys.

use std::error::Error;
use std::io::{ErrorKind, Read, Write};
use std::net::{self, SocketAddr};
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use crate::Result;
use crate::figure::{Figure, Limit, Pair};
use crate::load::VALUE_BYTES;
use crate::options::Options;
use crate::pinned;
use crate::program::Program;
use crate::server::Server;

/// The name of transactions on the command line.
pub(crate) const MULTI: &str = "multi";

/// Who sends transactions, and how many commands each has.
const CLIENTS: usize = 50;
/// How many commands are sent at once beside those who track.
pub(crate) const DEPTHS: [usize; 2] = [1, 16];
const COMMANDS: usize = 10;

/// The part of Redis' processor time that a transaction may cost.
const TARGET: f64 = 0.6;

/// Who track, and how much more a command of others may cost for that.
const TRACKERS: usize = 1000;
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
    let set = words(&["SET", "key", &"x".repeat(VALUE_BYTES as usize)]);
    let request = set.repeat(depth);
    let exchange = Exchange { request: request.as_bytes(), reply: depth * "+OK\r\n".len() };
    let alone = programs.try_map(|program| Server::start(program, options.cpu))?;
    let beside = programs.try_map(|program| Server::start(program, options.cpu))?;
    let mut clients_alone = alone.try_map(|server| Clients::connect(server.address(), CLIENTS))?;
    let mut clients_beside = beside.try_map(|server| Clients::connect(server.address(), CLIENTS))?;
    let _trackers = beside.try_map(|server| trackers(server.address()))?;
    let mut rounds = Vec::new();
    for round in 1..=options.rounds() {
        eprintln!("{}: round {round} of {}", tracked_name(depth), options.rounds());
        let ratio = |beside: &Server, with: &mut Clients, alone: &Server, without: &mut Clients| {
            let without = cost(alone, without, &exchange, options)?;
            Ok::<_, Box<dyn Error>>(cost(beside, with, &exchange, options)? / without)
        };
        rounds.push(Pair {
            baseline: ratio(
                &beside.baseline,
                &mut clients_beside.baseline,
                &alone.baseline,
                &mut clients_alone.baseline,
            )?,
            subject: ratio(
                &beside.subject,
                &mut clients_beside.subject,
                &alone.subject,
                &mut clients_alone.subject,
            )?,
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
            [&["HELLO", "3"][..], &["CLIENT", "TRACKING", "ON"], &["GET", &key]].map(words).concat();
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
    let set = words(&["SET", "key", &"x".repeat(VALUE_BYTES as usize)]);
    let request = [words(&["MULTI"]), set.repeat(COMMANDS), words(&["EXEC"])].concat();
    let reply = ["+OK\r\n", &"+QUEUED\r\n".repeat(COMMANDS), "*10\r\n", &"+OK\r\n".repeat(COMMANDS)].concat();
    let servers = programs.try_map(|program| Server::start(program, options.cpu))?;
    let mut clients = servers.try_map(|server| Clients::connect(server.address(), CLIENTS))?;
    let exchange = Exchange { request: request.as_bytes(), reply: reply.len() };
    clients.baseline.exchange(&exchange, PILOT)?;
    clients.subject.exchange(&exchange, PILOT)?;
    let mut rounds = Vec::new();
    for round in 1..=options.rounds() {
        eprintln!("{MULTI}: round {round} of {}", options.rounds());
        rounds.push(Pair {
            baseline: cost(&servers.baseline, &mut clients.baseline, &exchange, options)?,
            subject: cost(&servers.subject, &mut clients.subject, &exchange, options)?,
        });
    }
    let name = format!("MULTI, {COMMANDS} SETs, EXEC: CPU ns per transaction");
    Ok(Figure { name, rounds, decimals: 0, target: Some(Limit::Ratio(TARGET)) })
}

fn cost(server: &Server, clients: &mut Clients, exchange: &Exchange<'_>, options: &Options) -> Result<f64> {
    let before = server.cpu_nanoseconds()?;
    let exchanges = clients.exchange(exchange, options.round_time())?;
    Ok(server.cpu_nanoseconds()?.saturating_sub(before) as f64 / exchanges as f64)
}

/// A request, as clients send it.
fn words(words: &[&str]) -> String {
    let words = words.iter().map(|word| format!("${}\r\n{word}\r\n", word.len())).collect::<Vec<_>>();
    format!("*{}\r\n{}", words.len(), words.concat())
}

/// What each client sends, and how many bytes it gets.
struct Exchange<'a> {
    request: &'a [u8],
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
            stream.set_nonblocking(true)?;
            let mut stream = TcpStream::from_std(stream);
            poll.registry().register(&mut stream, Token(index), Interest::READABLE)?;
            streams.push((stream, 0));
        }
        Ok(Clients { poll, events: Events::with_capacity(1024), streams })
    }

    /// Has each ask and be answered, again and again for this time. Returns how often that was done.
    fn exchange(&mut self, exchange: &Exchange<'_>, time: Duration) -> Result<usize> {
        let started = Instant::now();
        for (stream, missing) in &mut self.streams {
            stream.write_all(exchange.request)?;
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
                read_some(stream, missing)?;
                if *missing == 0 {
                    done += 1;
                    if started.elapsed() < time {
                        stream.write_all(exchange.request)?;
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

/// Reads what there is.
fn read_some(stream: &mut TcpStream, missing: &mut usize) -> Result<()> {
    let mut buffer = [0; 4096];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return Err("the server has closed a connection".into()),
            Ok(read) => *missing = missing.checked_sub(read).ok_or("more than was to be answered")?,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}
