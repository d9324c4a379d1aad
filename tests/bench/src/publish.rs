//! Measures publish/subscribe: CPU time per delivery of a message.
//!
//! One client publishes one or more messages at once, and all other clients are subscribers. It publishes
//! again when all subscribers have the previous messages, so the server cannot merge separate messages into
//! one write. One thread runs all clients.

use std::io::{Read, Write};
use std::net::{self, SocketAddr};
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Poll};

use crate::Result;
use crate::crowd;
use crate::figure::{Figure, Limit, Pair};
use crate::load::VALUE_BYTES;
use crate::options::Options;
use crate::pinned;
use crate::program::Program;
use crate::server::Server;
use crate::wire;

const SUBSCRIBERS: [usize; 2] = [200, 1000];
const DEPTHS: [usize; 2] = [1, 50];

/// Name of the measurement of the subscribers' memory on the command line.
pub(crate) const MEMORY: &str = "publish-memory";

/// Maximum memory of a subscriber, in KiB.
const MAX_KIB: f64 = 2.0;

const PILOT: Duration = Duration::from_millis(100);
const PATIENCE: Duration = Duration::from_secs(30);

const SUBSCRIBE: &str = "SUBSCRIBE news\r\n";
const SUBSCRIBED_REPLY: &str = "*3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n";

/// One number of subscribers and one number of messages at once.
#[derive(Clone, Copy)]
pub(crate) struct Broadcast {
    subscribers: usize,
    depth: usize,
}

impl Broadcast {
    pub(crate) fn all() -> impl Iterator<Item = Broadcast> {
        let depths = |subscribers| DEPTHS.map(|depth| Broadcast { subscribers, depth });
        SUBSCRIBERS.into_iter().flat_map(depths)
    }

    /// Returns the name of the measurement on the command line.
    pub(crate) fn name(self) -> String {
        format!("publish-{}-{}", self.subscribers, self.depth)
    }

    /// Returns the maximum CPU time of a delivery, relative to Redis.
    fn target(self) -> Limit {
        Limit::Ratio(if self.depth == 1 { 0.95 } else { 0.75 })
    }

    fn title(self) -> String {
        let at_once = if self.depth == 1 { String::new() } else { format!(", {} at once", self.depth) };
        format!("PUBLISH to {}{at_once}: CPU ns per delivery", self.subscribers)
    }
}

/// Runs the selected measurements.
pub(crate) fn figures(programs: &Pair<Program>, options: &Options) -> Result<Vec<Figure>> {
    pinned::pin_driver(&options.cpus)?;
    let broadcasts = Broadcast::all().filter(|broadcast| options.selects(&broadcast.name()));
    let mut figures =
        broadcasts.map(|broadcast| costs(programs, options, broadcast)).collect::<Result<Vec<_>>>()?;
    if options.selects(MEMORY) {
        figures.push(Figure {
            name: "KiB per subscriber".to_owned(),
            rounds: vec![programs.try_map(|program| crowd::kib_after(program, options, SUBSCRIBE))?],
            decimals: 2,
            target: Some(Limit::Value(MAX_KIB)),
        });
    }
    Ok(figures)
}

fn costs(programs: &Pair<Program>, options: &Options, broadcast: Broadcast) -> Result<Figure> {
    let servers = programs.try_map(|program| Server::start(program, &options.cpus))?;
    let Pair { mut baseline, mut subject } =
        servers.try_map(|server| Audience::connect(server.address(), broadcast.subscribers))?;
    baseline.publish(broadcast.depth, PILOT)?;
    subject.publish(broadcast.depth, PILOT)?;
    let mut rounds = Vec::new();
    eprintln!("{}", broadcast.name());
    for _ in 0..options.windows() {
        rounds.push(Pair {
            baseline: sample(&servers.baseline, &mut baseline, broadcast, options)?,
            subject: sample(&servers.subject, &mut subject, broadcast, options)?,
        });
    }
    Ok(Figure { name: broadcast.title(), rounds, decimals: 0, target: Some(broadcast.target()) })
}

fn sample(server: &Server, audience: &mut Audience, broadcast: Broadcast, options: &Options) -> Result<f64> {
    let before = server.cpu_nanoseconds()?;
    let deliveries = audience.publish(broadcast.depth, options.window())?;
    Ok(server.cpu_nanoseconds()?.saturating_sub(before) as f64 / deliveries as f64)
}

/// The publisher and the subscribers.
struct Audience {
    poll: Poll,
    events: Events,
    /// The first one publishes.
    streams: Vec<TcpStream>,
}

impl Audience {
    fn connect(address: SocketAddr, subscribers: usize) -> Result<Self> {
        let poll = Poll::new()?;
        let mut streams = Vec::new();
        for index in 0..=subscribers {
            let mut stream = net::TcpStream::connect(address)?;
            stream.set_nodelay(true)?;
            if index > 0 {
                stream.write_all(SUBSCRIBE.as_bytes())?;
                stream.read_exact(&mut [0; SUBSCRIBED_REPLY.len()])?;
            }
            streams.push(wire::register(stream, &poll, index)?);
        }
        Ok(Audience { poll, events: Events::with_capacity(1024), streams })
    }

    /// Publishes `depth` messages at once, repeatedly for this time. Returns the number of deliveries.
    fn publish(&mut self, depth: usize, time: Duration) -> Result<usize> {
        let message = "x".repeat(VALUE_BYTES as usize);
        let request =
            format!("*3\r\n$7\r\nPUBLISH\r\n$4\r\nnews\r\n${VALUE_BYTES}\r\n{message}\r\n").repeat(depth);
        let subscribers = self.streams.len() - 1;
        let delivery = format!("*3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n${VALUE_BYTES}\r\n{message}\r\n").len();
        let reply = format!(":{subscribers}\r\n").len();
        let (started, mut delivered) = (Instant::now(), 0);
        while started.elapsed() < time {
            self.streams[0].write_all(request.as_bytes())?;
            self.read(depth * (reply + subscribers * delivery))?;
            delivered += depth * subscribers;
        }
        Ok(delivered)
    }

    /// Reads `missing` bytes in total from all connections.
    fn read(&mut self, mut missing: usize) -> Result<()> {
        while missing > 0 {
            self.poll.poll(&mut self.events, Some(PATIENCE))?;
            if self.events.is_empty() {
                return Err("timeout: a message was not delivered".into());
            }
            for event in &self.events {
                wire::read_all(&mut self.streams[event.token().0], |read| {
                    missing = missing.checked_sub(read.len()).ok_or("received more bytes than expected")?;
                    Ok(())
                })?;
            }
        }
        Ok(())
    }
}
