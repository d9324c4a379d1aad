//! A client that checks every byte it gets.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    thread,
    time::Duration,
};

use fastrand::Rng;
use socket2::SockRef;

use crate::{
    Result,
    batch::{Batch, excerpt},
};

/// A reply that takes longer is lost.
const PATIENCE: Duration = Duration::from_secs(30);

/// Reads take up to this much.
const SCRATCH: usize = 64 * 1024;

pub(crate) struct Connection {
    stream: TcpStream,
    scratch: Vec<u8>,
}

impl Connection {
    pub(crate) fn open(address: SocketAddr) -> Result<Connection> {
        let failed = |error| format!("cannot connect: {error}");
        let stream = TcpStream::connect_timeout(&address, PATIENCE).map_err(failed)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Connection { stream, scratch: vec![0; SCRATCH] })
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Sends nothing more.
    pub(crate) fn half_close(&self) -> io::Result<()> {
        self.stream.shutdown(Shutdown::Write)
    }

    /// Whatever comes next, at most `len` bytes; 0 is the end.
    pub(crate) fn read(&mut self, len: usize) -> io::Result<&[u8]> {
        let len = len.min(self.scratch.len());
        let read = self.stream.read(&mut self.scratch[..len])?;
        Ok(&self.scratch[..read])
    }

    pub(crate) fn ask(&mut self, batch: &Batch) -> Result<()> {
        self.send(&batch.requests)?;
        self.expect(batch)
    }

    /// Reads the replies that are due, and fails at the first byte that differs, or is one too many.
    pub(crate) fn expect(&mut self, batch: &Batch) -> Result<()> {
        self.compare(batch, |_| SCRATCH)
    }

    /// The same in small pieces, late; more replies may follow.
    pub(crate) fn expect_slowly(&mut self, batch: &Batch, rng: &mut Rng) -> Result<()> {
        self.compare(batch, |due| {
            thread::sleep(Duration::from_micros(rng.u64(..5000)));
            rng.usize(1..=SCRATCH).min(due)
        })
    }

    /// Reads as much at a time as `pace` says, given what is due.
    fn compare(&mut self, batch: &Batch, mut pace: impl FnMut(usize) -> usize) -> Result<()> {
        let mut done = 0;
        while done < batch.replies.len() {
            let due = &batch.replies[done..];
            let differs = |at: usize, got: String| {
                let (due, request) = (excerpt(&due[at..]), batch.request_at(done + at));
                format!("{due} is due and comes {got}, for {request}")
            };
            match self.read(pace(due.len())) {
                Ok([]) => return Err(differs(0, "the end of the connection".to_owned()).into()),
                Ok(got) if due.starts_with(got) => done += got.len(),
                Ok(got) => {
                    let same = got.iter().zip(due).take_while(|(got, due)| got == due).count();
                    return Err(match batch.replies.len() - done > same {
                        true => differs(same, excerpt(&got[same..])).into(),
                        false => format!("{} is one reply too many", excerpt(&got[same..])).into(),
                    });
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    return Err(differs(0, format!("nothing for {PATIENCE:?}")).into());
                }
                Err(error) => return Err(differs(0, error.to_string()).into()),
            }
        }
        Ok(())
    }

    /// Reads a reply to `HELLO 3`, whose content is of no interest here.
    pub(crate) fn skip_map(&mut self) -> Result<()> {
        let mut reply = Vec::new();
        // It ends with the list of modules, which is empty.
        while !reply.ends_with(b"modules\r\n*0\r\n") {
            match self.read(SCRATCH)? {
                [] => return Err(format!("HELLO is answered with {}", excerpt(&reply)).into()),
                more => reply.extend(more),
            }
        }
        Ok(())
    }

    /// Fails unless the server ends the connection in order, with nothing more to say.
    pub(crate) fn expect_end(&mut self) -> Result<()> {
        match self.read(SCRATCH)? {
            [] => Ok(()),
            more => Err(format!("{} instead of the end of the connection", excerpt(more)).into()),
        }
    }

    /// Reads until the server ends the connection, in whatever way; fails if it does not.
    pub(crate) fn drain(&mut self) -> Result<()> {
        loop {
            match self.read(SCRATCH) {
                Ok([]) => return Ok(()),
                Ok(_) => {}
                Err(error) if matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe) => {
                    return Ok(());
                }
                Err(error) => return Err(format!("no end of the connection: {error}").into()),
            }
        }
    }

    /// Goes away at once: what the server still sends meets a reset.
    pub(crate) fn reset(self) -> io::Result<()> {
        SockRef::from(&self.stream).set_linger(Some(Duration::ZERO))
    }
}
