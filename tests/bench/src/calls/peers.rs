//! Workers and callers, all in one thread.

use std::io::{ErrorKind, Read, Write};
use std::net::{self, SocketAddr};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use super::exchange::Exchange;
use crate::Result;

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
            stream.set_nonblocking(true)?;
            let mut stream = TcpStream::from_std(stream);
            poll.registry().register(&mut stream, Token(index), Interest::READABLE)?;
            peers.push(Peer { stream, input: Vec::new(), called: None });
        }
        Ok(Peers { exchange, poll, peers, workers, busy: 0 })
    }

    /// Has all callers call for this time, each again when it has its result. Returns how long calls took, in
    /// nanoseconds.
    pub(crate) fn run(&mut self, time: Duration) -> Result<Histogram<u64>> {
        let end = Instant::now() + time;
        let mut latencies = Histogram::new_with_bounds(1_000, 60_000_000_000, 3)?;
        (self.workers..self.peers.len()).try_for_each(|index| self.call(index))?;
        let mut events = Events::with_capacity(1024);
        while self.busy > 0 {
            self.poll.poll(&mut events, Some(PATIENCE))?;
            if events.is_empty() {
                return Err("a call is not answered".into());
            }
            for event in &events {
                self.serve(event.token().0, end, &mut latencies)?;
            }
        }
        Ok(latencies)
    }

    fn call(&mut self, index: usize) -> Result<()> {
        let request = self.exchange.call(index - self.workers);
        self.busy += 1;
        let peer = &mut self.peers[index];
        peer.called = Some(Instant::now());
        Ok(peer.stream.write_all(request.as_bytes())?)
    }

    /// Reads what has arrived on a connection, and answers it.
    fn serve(&mut self, index: usize, end: Instant, latencies: &mut Histogram<u64>) -> Result<()> {
        let mut results = 0;
        let peer = &mut self.peers[index];
        peer.read()?;
        let mut answers = Vec::new();
        while let Some(len) = self.exchange.message(&peer.input) {
            let message: Vec<u8> = peer.input.drain(..len).collect();
            if index < self.workers {
                self.exchange.answer(&message, &mut answers);
            } else if self.exchange.is_result(&message) {
                results += 1;
            }
        }
        // What is sent is small, and is always taken whole.
        peer.stream.write_all(&answers)?;
        for _ in 0..results {
            self.busy -= 1;
            let called = self.peers[index].called.take().ok_or("a result that nobody has called for")?;
            latencies.saturating_record(called.elapsed().as_nanos() as u64);
            if Instant::now() < end {
                self.call(index)?;
            }
        }
        Ok(())
    }
}

impl Peer {
    /// Reads all that has arrived: it is not told of that again.
    fn read(&mut self) -> Result<()> {
        let mut buffer = [0; 4096];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => return Err("the server has closed a connection".into()),
                Ok(read) => self.input.extend_from_slice(&buffer[..read]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }
}
