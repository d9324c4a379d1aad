//! The workers and callers, all in one thread.

use std::io::{Read, Write};
use std::net::{self, SocketAddr};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use mio::net::TcpStream;
use mio::{Events, Poll};

use super::exchange::Exchange;
use crate::{Result, wire};

/// Maximum time without an event. A working server takes far less.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Peers {
    exchange: Exchange,
    poll: Poll,
    peers: Vec<Peer>,
    workers: usize,
    /// Callers that wait for a result.
    busy: usize,
}

struct Peer {
    stream: TcpStream,
    /// Input that is not yet a complete message.
    input: Vec<u8>,
    /// Start of the pending call.
    called: Option<Instant>,
}

impl Peers {
    pub(crate) fn connect(
        address: SocketAddr,
        exchange: Exchange,
        workers: usize,
        callers: usize,
    ) -> Result<Self> {
        let poll = Poll::new()?;
        let mut peers = Vec::new();
        for index in 0..workers + callers {
            let mut stream = net::TcpStream::connect(address)?;
            stream.set_nodelay(true)?;
            let setup = match index.checked_sub(workers) {
                None => exchange.worker_setup(),
                Some(caller) => exchange.caller_setup(caller),
            };
            stream.write_all(setup.as_bytes())?;
            let mut input = Vec::new();
            while !input.ends_with(exchange.setup_reply()) {
                let mut byte = [0];
                stream.read_exact(&mut byte)?;
                input.extend(byte);
            }
            peers.push(Peer { stream: wire::register(stream, &poll, index)?, input, called: None });
        }
        Ok(Peers { exchange, poll, peers, workers, busy: 0 })
    }

    /// Runs calls at full speed for this time: each caller calls again when it has its result.
    ///
    /// Returns the latencies in nanoseconds.
    pub(crate) fn run(&mut self, time: Duration) -> Result<Histogram<u64>> {
        let end = Instant::now() + time;
        let mut latencies = histogram()?;
        (self.workers..self.peers.len()).try_for_each(|index| self.call(index, Instant::now()))?;
        while self.busy > 0 {
            for index in self.serve(Some(PATIENCE), &mut latencies)? {
                if Instant::now() < end {
                    self.call(index, Instant::now())?;
                }
            }
        }
        Ok(latencies)
    }

    /// Starts `rate` calls per second for this time, even if earlier calls are late.
    ///
    /// If all callers are busy, the latency of a call includes its wait for a caller.
    pub(crate) fn run_at(&mut self, rate: f64, time: Duration) -> Result<Histogram<u64>> {
        let start = Instant::now();
        let mut latencies = histogram()?;
        let mut due = (0..)
            .map(|number| Duration::from_secs_f64(f64::from(number) / rate))
            .take_while(|due| *due < time);
        let mut next = due.next();
        let mut idle: Vec<usize> = (self.workers..self.peers.len()).collect();
        while next.is_some() || self.busy > 0 {
            while let Some(offset) = next.filter(|due| start + *due <= Instant::now())
                && let Some(caller) = idle.pop()
            {
                self.call(caller, start + offset)?;
                next = due.next();
            }
            // Polls without sleeping, because a sleep can be too long. The driver has a CPU for itself.
            let wait = next.map_or(PATIENCE, |_| Duration::ZERO);
            idle.extend(self.serve(Some(wait).filter(|_| self.busy > 0), &mut latencies)?);
        }
        Ok(latencies)
    }

    fn call(&mut self, index: usize, started: Instant) -> Result<()> {
        let request = self.exchange.call(index - self.workers);
        self.busy += 1;
        let peer = &mut self.peers[index];
        peer.called = Some(started);
        Ok(peer.stream.write_all(request.as_bytes())?)
    }

    /// Waits for input at most `wait`, and serves all connections with input. Returns the callers with results.
    fn serve(&mut self, wait: Option<Duration>, latencies: &mut Histogram<u64>) -> Result<Vec<usize>> {
        let Some(wait) = wait else { return Ok(Vec::new()) };
        let mut events = Events::with_capacity(1024);
        self.poll.poll(&mut events, Some(wait))?;
        if events.is_empty() && wait == PATIENCE {
            return Err(format!("timeout: a call with {} got no result", self.exchange.title()).into());
        }
        let mut finished = Vec::new();
        for event in &events {
            let index = event.token().0;
            if self.answer(index)? {
                self.busy -= 1;
                let started = self.peers[index].called.take().ok_or("a result without a call")?;
                latencies.saturating_record(started.elapsed().as_nanos() as u64);
                finished.push(index);
            }
        }
        Ok(finished)
    }

    /// Reads the messages of a connection, and sends a worker's results. Returns whether a result arrived.
    fn answer(&mut self, index: usize) -> Result<bool> {
        let peer = &mut self.peers[index];
        wire::read_all(&mut peer.stream, |read| {
            peer.input.extend_from_slice(read);
            Ok(())
        })?;
        let (mut answers, mut is_result) = (String::new(), false);
        while let Some(len) = self.exchange.message_len(&peer.input) {
            let message: Vec<u8> = peer.input.drain(..len).collect();
            if index < self.workers {
                self.exchange.answer(&message, &mut answers);
            } else {
                is_result |= self.exchange.is_result(&message);
            }
        }
        // The socket buffer always has room for these small writes.
        peer.stream.write_all(answers.as_bytes())?;
        Ok(is_result)
    }
}

fn histogram() -> Result<Histogram<u64>> {
    Ok(Histogram::new_with_bounds(1_000, 60_000_000_000, 3)?)
}
