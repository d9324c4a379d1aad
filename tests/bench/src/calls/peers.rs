//! Workers and callers, all in one thread.

use std::io::{Read, Write};
use std::net::{self, SocketAddr};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use mio::net::TcpStream;
use mio::{Events, Poll};

use super::exchange::Exchange;
use crate::{Result, wire};

/// Nothing that works takes as long.
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
    /// What has arrived of a message.
    input: Vec<u8>,
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
            let begins = match index.checked_sub(workers) {
                None => exchange.worker_begins(),
                Some(caller) => exchange.caller_begins(caller),
            };
            stream.write_all(begins.as_bytes())?;
            let mut input = Vec::new();
            while !input.ends_with(exchange.begun()) {
                let mut byte = [0];
                stream.read_exact(&mut byte)?;
                input.extend(byte);
            }
            peers.push(Peer { stream: wire::watched(stream, &poll, index)?, input, called: None });
        }
        Ok(Peers { exchange, poll, peers, workers, busy: 0 })
    }

    /// Has all callers call for this time, each again when it has its result. Returns how long calls took, in
    /// nanoseconds.
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

    /// Has the callers make so many calls a second for this time, whatever becomes of those before. A call that has to
    /// wait for a caller has begun when it was due.
    pub(crate) fn run_at(&mut self, rate: f64, time: Duration) -> Result<Histogram<u64>> {
        let start = Instant::now();
        let mut latencies = histogram()?;
        let mut due = (0..)
            .map(|number| Duration::from_secs_f64(f64::from(number) / rate))
            .take_while(|due| *due < time);
        let mut next = due.next();
        let mut idle: Vec<usize> = (self.workers..self.peers.len()).collect();
        while next.is_some() || self.busy > 0 {
            while let Some(begins) = next.filter(|due| start + *due <= Instant::now())
                && let Some(caller) = idle.pop()
            {
                self.call(caller, start + begins)?;
                next = due.next();
            }
            // The system would sleep for too long: the driver has a processor of its own.
            let wait = next.map_or(PATIENCE, |_| Duration::ZERO);
            idle.extend(self.serve(Some(wait).filter(|_| self.busy > 0), &mut latencies)?);
        }
        Ok(latencies)
    }

    fn call(&mut self, index: usize, begun: Instant) -> Result<()> {
        let request = self.exchange.call(index - self.workers);
        self.busy += 1;
        let peer = &mut self.peers[index];
        peer.called = Some(begun);
        Ok(peer.stream.write_all(request.as_bytes())?)
    }

    /// Serves all connections on which something has arrived; waits for that, but not for longer. Returns the callers
    /// that have their results.
    fn serve(&mut self, wait: Option<Duration>, latencies: &mut Histogram<u64>) -> Result<Vec<usize>> {
        let Some(wait) = wait else { return Ok(Vec::new()) };
        let mut events = Events::with_capacity(1024);
        self.poll.poll(&mut events, Some(wait))?;
        if events.is_empty() && wait == PATIENCE {
            return Err(format!("a call by {} is not answered", self.exchange.title()).into());
        }
        let mut answered = Vec::new();
        for event in &events {
            let index = event.token().0;
            if self.answer(index)? {
                self.busy -= 1;
                let begun = self.peers[index].called.take().ok_or("a result that nobody has called for")?;
                latencies.saturating_record(begun.elapsed().as_nanos() as u64);
                answered.push(index);
            }
        }
        Ok(answered)
    }

    /// Reads what has arrived on a connection, and answers it if it is a worker's. Returns whether it was a result.
    fn answer(&mut self, index: usize) -> Result<bool> {
        let peer = &mut self.peers[index];
        wire::read_all(&mut peer.stream, |read| {
            peer.input.extend_from_slice(read);
            Ok(())
        })?;
        let (mut answers, mut is_result) = (String::new(), false);
        while let Some(len) = self.exchange.message(&peer.input) {
            let message: Vec<u8> = peer.input.drain(..len).collect();
            if index < self.workers {
                self.exchange.answer(&message, &mut answers);
            } else {
                is_result |= self.exchange.is_result(&message);
            }
        }
        // What is sent is small, and is always taken whole.
        peer.stream.write_all(answers.as_bytes())?;
        Ok(is_result)
    }
}

fn histogram() -> Result<Histogram<u64>> {
    Ok(Histogram::new_with_bounds(1_000, 60_000_000_000, 3)?)
}
