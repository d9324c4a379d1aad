//! A client that sends and receives bytes.

use std::{
    io::{self, BufRead, BufReader, ErrorKind, Read, Write},
    mem::MaybeUninit,
    net::{Shutdown, SocketAddr, TcpStream},
    os::unix::net::UnixStream,
    thread,
    time::Duration,
};

use socket2::SockRef;
use thegiant::Bytes;

/// How long anything may take before a test gives up. Nothing that works takes nearly as long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A connection that sends what it is told to, and returns replies as they came.
#[derive(Debug)]
pub(crate) struct RawClient {
    socket: BufReader<Socket>,
}

#[derive(Debug)]
enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

macro_rules! either {
    ($socket:expr, $name:ident => $call:expr) => {
        match $socket {
            Socket::Tcp($name) => $call,
            Socket::Unix($name) => $call,
        }
    };
}

impl RawClient {
    /// Connects to `127.0.0.1:6380` or `unix:/run/app.sock`.
    pub(crate) fn connect(address: &str) -> Self {
        Self::try_connect(address).unwrap_or_else(|error| panic!("cannot connect to {address}: {error}"))
    }

    pub(crate) fn try_connect(address: &str) -> io::Result<Self> {
        let socket = Socket::connect(address)?;
        either!(&socket, stream => {
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.set_write_timeout(Some(PATIENCE))?;
        });
        Ok(RawClient { socket: BufReader::new(socket) })
    }

    /// Where it is, as the server sees it.
    pub(crate) fn local_address(&self) -> String {
        match self.socket.get_ref() {
            Socket::Tcp(stream) => stream.local_addr().expect("it is connected").to_string(),
            Socket::Unix(_) => panic!("a client has no address of its own on a unix socket"),
        }
    }

    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_send(bytes).expect("the server takes what is sent");
    }

    pub(crate) fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.socket.get_mut().write_all(bytes.as_ref())
    }

    /// Sends until the server has taken nothing for a while; returns how much it took.
    pub(crate) fn send_until_stuck(&mut self, bytes: &[u8], wait: Duration) -> usize {
        let socket = self.socket.get_mut();
        either!(socket, stream => stream.set_write_timeout(Some(wait))).expect("a wait of some length");
        let mut sent = 0;
        while sent < bytes.len() {
            match socket.write(&bytes[sent..]) {
                Ok(written) => sent += written,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => break,
                Err(error) => panic!("{error}"),
            }
        }
        sent
    }

    /// The next reply, as it came.
    pub(crate) fn reply(&mut self) -> Bytes {
        self.try_reply().expect("a reply")
    }

    pub(crate) fn try_reply(&mut self) -> io::Result<Bytes> {
        read_reply(&mut self.socket).map(Bytes::from)
    }

    /// The next `count` replies, as they came.
    pub(crate) fn replies(&mut self, count: usize) -> Bytes {
        (0..count).flat_map(|_| self.reply()).collect()
    }

    /// Sends a request and returns its reply.
    pub(crate) fn ask(&mut self, bytes: impl AsRef<[u8]>) -> Bytes {
        self.send(bytes);
        self.reply()
    }

    /// Whether nothing has come that was not read.
    pub(crate) fn is_silent(&self) -> bool {
        let socket = either!(self.socket.get_ref(), socket => SockRef::from(socket));
        socket.set_nonblocking(true).expect("it can be set");
        let mut byte = [MaybeUninit::uninit()];
        let is_silent = matches!(socket.peek(&mut byte), Err(error) if error.kind() == ErrorKind::WouldBlock);
        socket.set_nonblocking(false).expect("it can be set");
        self.socket.buffer().is_empty() && is_silent
    }

    /// Sends no more, but still receives.
    pub(crate) fn half_close(&self) {
        either!(self.socket.get_ref(), stream => stream.shutdown(Shutdown::Write)).expect("it is connected");
    }

    /// Goes away as a process does that is killed: not in order, but with a reset.
    pub(crate) fn reset(self) {
        let socket = either!(self.socket.get_ref(), stream => SockRef::from(stream));
        socket.set_linger(Some(Duration::ZERO)).expect("it is connected");
    }

    /// Its number at the server.
    pub(crate) fn id(&mut self) -> u64 {
        let reply = self.ask("CLIENT ID\r\n");
        let digits = reply.strip_prefix(b":").and_then(|reply| reply.strip_suffix(b"\r\n"));
        digits.and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok()).expect("a number")
    }

    /// All that still comes, up to the end of the connection.
    pub(crate) fn rest(&mut self) -> Bytes {
        let mut rest = Vec::new();
        match self.socket.read_to_end(&mut rest) {
            Ok(_) => {}
            // The server has closed before it had read everything: an end like any other.
            Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
            Err(error) => panic!("after {:?}: {error}", Bytes::from(rest)),
        }
        rest.into()
    }

    /// Sends the pieces one by one, and meanwhile receives.
    pub(crate) fn while_sending<T>(&mut self, pieces: &[&[u8]], receive: impl FnOnce(&mut Self) -> T) -> T {
        let mut sender = self.socket.get_ref().try_clone().expect("a second descriptor");
        thread::scope(|scope| {
            // The server may close before it has taken all.
            scope.spawn(move || pieces.iter().try_for_each(|piece| sender.write_all(piece)));
            receive(self)
        })
    }

    /// Returns when the server has read what any client sent before: a server with one thread goes
    /// through all its connections between two replies to one of them.
    pub(crate) fn let_server_read(&mut self) {
        for _ in 0..2 {
            assert_eq!(self.ask("PING\r\n"), "+PONG\r\n");
        }
    }
}

/// Sends all of it, then nothing more, and returns all that comes back.
pub(crate) fn exchange(address: &str, bytes: impl AsRef<[u8]> + Send) -> Bytes {
    let mut client = RawClient::connect(address);
    let mut sender = client.socket.get_ref().try_clone().expect("a second descriptor");
    thread::scope(|scope| {
        scope.spawn(move || {
            // The server may close before it has taken all.
            let _ = sender.write_all(bytes.as_ref());
            let _ = either!(&sender, stream => stream.shutdown(Shutdown::Write));
        });
        client.rest()
    })
}

/// Reads one reply of either protocol, with all its elements.
pub(crate) fn read_reply(from: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let mut reply = Vec::new();
    let mut missing = 1;
    while missing > 0 {
        let start = reply.len();
        from.read_until(b'\n', &mut reply)?;
        let line = &reply[start..];
        let [kind, length @ .., b'\r', b'\n'] = line else {
            return Err(io::Error::new(ErrorKind::UnexpectedEof, format!("{:?}", Bytes::from(reply))));
        };
        let length = || std::str::from_utf8(length).ok()?.parse::<usize>().ok();
        let (elements, bytes) = match kind {
            b'*' | b'~' | b'>' => (length().unwrap_or(0), None),
            b'%' => (2 * length().unwrap_or(0), None),
            b'$' | b'=' => (0, length()),
            _ => (0, None),
        };
        missing = missing - 1 + elements;
        if let Some(bytes) = bytes {
            let start = reply.len();
            reply.resize(start + bytes + 2, 0);
            from.read_exact(&mut reply[start..])?;
        }
    }
    Ok(reply)
}

impl Socket {
    fn connect(address: &str) -> io::Result<Self> {
        if let Some(path) = address.strip_prefix("unix:") {
            return UnixStream::connect(path).map(Socket::Unix);
        }
        let address: SocketAddr = address.parse().map_err(io::Error::other)?;
        let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_nodelay(true)?;
        Ok(Socket::Tcp(stream))
    }

    fn try_clone(&self) -> io::Result<Self> {
        match self {
            Socket::Tcp(stream) => stream.try_clone().map(Socket::Tcp),
            Socket::Unix(stream) => stream.try_clone().map(Socket::Unix),
        }
    }
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        either!(self, stream => stream.read(buffer))
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        either!(self, stream => stream.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        either!(self, stream => stream.flush())
    }
}
