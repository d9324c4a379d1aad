//! What it costs to see to keys: processor time of a transaction, and of a command while others track keys.

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
const COMMANDS: usize = 10;

/// The part of Redis' processor time that a transaction may cost.
const TARGET: f64 = 0.6;

const PILOT: Duration = Duration::from_millis(100);
const PATIENCE: Duration = Duration::from_secs(30);

/// The figures of keys, as far as they were asked for.
pub(crate) fn figures(programs: &Pair<Program>, options: &Options) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    if options.wants(MULTI) {
        pinned::stay(options.cpu)?;
        figures.push(transactions(programs, options)?);
    }
    Ok(figures)
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
