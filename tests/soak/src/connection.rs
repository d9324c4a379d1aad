//! A client that checks every byte that it receives.

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
    batch::{Batch, excerpt, request},
};

/// Timeout of a reply.
const PATIENCE: Duration = Duration::from_secs(30);

/// Maximum size of a read.
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

    /// Closes the sending side.
    pub(crate) fn half_close(&self) -> io::Result<()> {
        self.stream.shutdown(Shutdown::Write)
    }

    /// Reads at most `len` bytes. An empty slice is the end of the connection.
    pub(crate) fn read(&mut self, len: usize) -> io::Result<&[u8]> {
        let len = len.min(self.scratch.len());
        let read = self.stream.read(&mut self.scratch[..len])?;
        Ok(&self.scratch[..read])
    }

    pub(crate) fn ask(&mut self, batch: &Batch) -> Result<()> {
        self.send(&batch.requests)?;
        self.expect(batch)
    }

    /// Reads the expected replies. Fails at the first different or surplus byte.
    pub(crate) fn expect(&mut self, batch: &Batch) -> Result<()> {
        self.compare(batch, |_| SCRATCH)
    }

    /// Reads the expected replies slowly and in small pieces. More replies may follow.
    pub(crate) fn expect_slowly(&mut self, batch: &Batch, rng: &mut Rng) -> Result<()> {
        self.compare(batch, |due| {
            thread::sleep(Duration::from_micros(rng.u64(..5000)));
            rng.usize(1..=SCRATCH).min(due)
        })
    }

    /// Compares the input with the expected replies.
    ///
    /// `pace` returns the size of the next read for a number of missing bytes.
    fn compare(&mut self, batch: &Batch, mut pace: impl FnMut(usize) -> usize) -> Result<()> {
        let mut done = 0;
        while done < batch.replies.len() {
            let expected = &batch.replies[done..];
            let differs = |at: usize, got: String| {
                let (expected, request) = (excerpt(&expected[at..]), batch.request_at(done + at));
                format!("expected {expected}, got {got}, for {request}")
            };
            match self.read(pace(expected.len())) {
                Ok([]) => return Err(differs(0, "the end of the connection".to_owned()).into()),
                Ok(got) if expected.starts_with(got) => done += got.len(),
                Ok(got) => {
                    let same = got.iter().zip(expected).take_while(|(got, expected)| got == expected).count();
                    return Err(match batch.replies.len() - done > same {
                        true => differs(same, excerpt(&got[same..])).into(),
                        false => format!("unexpected further reply {}", excerpt(&got[same..])).into(),
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

    /// Reads the reply to `HELLO 3` without checking its content.
    pub(crate) fn skip_map(&mut self) -> Result<()> {
        let mut reply = Vec::new();
        // The reply ends with the empty list of modules.
        while !reply.ends_with(b"modules\r\n*0\r\n") {
            match self.read(SCRATCH)? {
                [] => {
                    return Err(format!(
                        "the connection ended within the reply to HELLO: {}",
                        excerpt(&reply)
                    )
                    .into());
                }
                more => reply.extend(more),
            }
        }
        Ok(())
    }

    /// Returns the ID of the client.
    pub(crate) fn id(&mut self) -> Result<u64> {
        self.send(&request(&[b"CLIENT", b"ID"]))?;
        let mut reply = Vec::new();
        while !reply.ends_with(b"\r\n") {
            match self.read(SCRATCH)? {
                [] => return Err("the connection ended before the reply to CLIENT ID".into()),
                more => reply.extend(more),
            }
        }
        let text = String::from_utf8_lossy(&reply);
        let number = text.trim_end().strip_prefix(':').and_then(|digits| digits.parse().ok());
        number.ok_or_else(|| format!("unexpected reply to CLIENT ID: {text:?}").into())
    }

    /// Reads replies until the connection ends, gracefully or with a reset. Fails at the first different byte.
    pub(crate) fn expect_until_end(&mut self, batch: &Batch) -> Result<()> {
        let mut expected = &batch.replies[..];
        loop {
            match self.read(SCRATCH) {
                Ok([]) => return Ok(()),
                Ok(got) => match expected.strip_prefix(got) {
                    Some(rest) => expected = rest,
                    None => {
                        let (got, expected) = (excerpt(got), excerpt(expected));
                        return Err(format!("killed: expected a part of {expected}, got {got}").into());
                    }
                },
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return Ok(()),
                Err(error) => return Err(format!("killed, but the connection does not end: {error}").into()),
            }
        }
    }

    /// Fails unless the server closes the connection gracefully and without further bytes.
    pub(crate) fn expect_end(&mut self) -> Result<()> {
        match self.read(SCRATCH)? {
            [] => Ok(()),
            more => Err(format!("expected the end of the connection, got {}", excerpt(more)).into()),
        }
    }

    /// Reads until the connection ends, gracefully or with a reset. Fails if it does not end.
    pub(crate) fn drain(&mut self) -> Result<()> {
        loop {
            match self.read(SCRATCH) {
                Ok([]) => return Ok(()),
                Ok(_) => {}
                Err(error) if matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe) => {
                    return Ok(());
                }
                Err(error) => return Err(format!("the connection does not end: {error}").into()),
            }
        }
    }

    /// Resets the connection, so that the server's further writes fail.
    pub(crate) fn reset(self) -> io::Result<()> {
        SockRef::from(&self.stream).set_linger(Some(Duration::ZERO))
    }
}
