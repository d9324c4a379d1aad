//! Measures servers in turn, in windows of a few milliseconds.
//!
//! A machine that others use, too, changes its speed by a third within a second. Two windows that follow each other have nearly the
//! same speed, so the median of the ratios of many pairs of windows is within about one percent.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use crate::Result;
use crate::load::{Generator, Load};
use crate::options::Options;
use crate::program::Program;
use crate::server::Server;
use crate::throughput::Workload;
use crate::wire::request;

/// Number of commands that store one key.
const FEWEST: u64 = 20_000;

/// Time limit of a reply. It ends the bench if a server hangs.
const PATIENCE: Duration = Duration::from_secs(30);

/// The costs in one window.
#[derive(Clone, Copy)]
pub(crate) struct Sample {
    /// CPU time per command.
    pub(crate) nanoseconds: f64,
    pub(crate) per_second: f64,
}

/// Servers that are measured together, with the parts of their load.
pub(crate) struct Group {
    servers: Vec<Server>,
    /// Each goes to one server, in turn.
    loads: Vec<Load>,
}

/// A group with its load generators.
pub(crate) struct Loaded<'a> {
    servers: &'a [Server],
    generators: Vec<Generator>,
    /// Connections to the servers.
    connections: Vec<Connection>,
    /// Connections to the servers that count the commands: the same ones, or those behind proxies.
    counters: Vec<Connection>,
}

/// A connection of the driver.
struct Connection(BufReader<TcpStream>);

impl Group {
    pub(crate) fn new(servers: Vec<Server>, loads: Vec<Load>) -> Group {
        Group { servers, loads }
    }

    /// Starts a server that gets the whole load.
    pub(crate) fn start(program: &Program, options: &Options) -> Result<Group> {
        Ok(Group::new(vec![Server::start(program, &options.cpus)?], vec![Load::new(options)]))
    }

    /// Stores the keys that GET reads. Five writes per random key leave fewer than 1 % of the keys missing.
    pub(crate) fn fill(&self) -> Result<()> {
        let workload = Workload { command: "SET", pipeline: 64 };
        self.targets().try_for_each(|(server, load)| {
            let requests = 5 * load.keys.unwrap_or(0);
            load.run(server, workload, workload.whole(requests.max(FEWEST)))
        })
    }

    /// Returns each part of the load with its server.
    fn targets(&self) -> impl Iterator<Item = (&Server, &Load)> {
        self.servers.iter().cycle().zip(&self.loads)
    }

    /// Starts the load generators for one command.
    pub(crate) fn load(&self, workload: Workload) -> Result<Loaded<'_>> {
        let connect = |address: fn(&Server) -> SocketAddr| {
            self.servers.iter().map(|server| Connection::open(address(server))).collect::<Result<Vec<_>>>()
        };
        let (connections, counters) = (connect(Server::address)?, connect(Server::counted_at)?);
        let generators =
            self.targets().map(|(server, load)| load.start(server, workload)).collect::<Result<_>>()?;
        Ok(Loaded { servers: &self.servers, generators, connections, counters })
    }
}

impl Loaded<'_> {
    /// Lets the load generators run for this time.
    fn window(&mut self, time: Duration) -> Result<Sample> {
        let (commands, used) = (self.commands()?, self.cpu_nanoseconds()?);
        let started = Instant::now();
        self.generators.iter_mut().try_for_each(Generator::resume)?;
        thread::sleep(time);
        self.generators.iter_mut().try_for_each(Generator::pause)?;
        let elapsed = started.elapsed();
        // The reply comes after those to the commands that have arrived before.
        self.connections.iter_mut().try_for_each(Connection::ping)?;
        let used = self.cpu_nanoseconds()?.saturating_sub(used);
        // Each INFO before the window is a command, too. The PING is one of thousands.
        let counted = self.commands()?.saturating_sub(commands + self.counters.len() as u64);
        if counted == 0 {
            return Err("a server has run no command in a window".into());
        }
        let count = counted as f64;
        Ok(Sample { nanoseconds: used as f64 / count, per_second: count / elapsed.as_secs_f64() })
    }

    /// Returns the number of commands that the servers have run.
    fn commands(&mut self) -> Result<u64> {
        self.counters.iter_mut().map(Connection::commands).sum()
    }

    fn cpu_nanoseconds(&self) -> Result<u64> {
        self.servers.iter().map(Server::cpu_nanoseconds).sum()
    }
}

impl Connection {
    fn open(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Connection(BufReader::new(stream)))
    }

    fn ping(&mut self) -> Result<()> {
        let reply = self.line(&["PING"])?;
        if reply == "+PONG" { Ok(()) } else { Err(format!("the reply to PING is '{reply}'").into()) }
    }

    /// Returns the number of commands that the server has run.
    fn commands(&mut self) -> Result<u64> {
        let header = self.line(&["INFO", "stats"])?;
        let len: usize = header.strip_prefix('$').and_then(|len| len.parse().ok()).ok_or(header)?;
        let mut text = vec![0; len + "\r\n".len()];
        self.0.read_exact(&mut text)?;
        let text = String::from_utf8_lossy(&text);
        let mut lines = text.lines();
        let count = lines.find_map(|line| line.strip_prefix("total_commands_processed:")?.parse().ok());
        count.ok_or_else(|| "INFO stats has no total_commands_processed".into())
    }

    /// Sends a request and returns the first line of the reply.
    fn line(&mut self, words: &[&str]) -> Result<String> {
        self.0.get_mut().write_all(request(words).as_bytes())?;
        let mut line = String::new();
        self.0.read_line(&mut line)?;
        Ok(line.trim_end().to_owned())
    }
}

/// Measures servers in turn. Returns the samples of each turn, in the order of `loaded`.
pub(crate) fn alternate<const N: usize>(
    mut loaded: [Loaded<'_>; N],
    options: &Options,
) -> Result<Vec<[Sample; N]>> {
    let mut turns = Vec::new();
    for turn in 0..options.windows() {
        let mut samples = [Sample { nanoseconds: 0.0, per_second: 0.0 }; N];
        for place in 0..N {
            // Every second turn goes backwards, so that a machine that gets slower is not seen as a difference.
            let index = if turn % 2 == 0 { place } else { N - 1 - place };
            samples[index] = loaded[index].window(options.window())?;
        }
        turns.push(samples);
    }
    Ok(turns)
}
