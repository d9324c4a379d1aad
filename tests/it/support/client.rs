//! A client that sends and receives raw bytes.

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

/// Time after which a test fails. A correct server needs far less.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A connection that sends any bytes, and returns replies as the server sent them.
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
    /// Connects to an address such as `127.0.0.1:6380` or `unix:/run/app.sock`.
    pub(crate) fn connect(address: &str) -> Self {
        Self::try_connect(address).unwrap_or_else(|error| panic!("cannot connect to {address}: {error}"))
    }

    /// Connects to a TCP address from a port of this IP address, such as `127.0.0.2`.
    pub(crate) fn connect_from(source: [u8; 4], address: &str) -> Self {
        let socket =
            socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
        socket.bind(&SocketAddr::from((source, 0)).into()).expect("a local address");
        let address: SocketAddr = address.parse().expect("an address");
        socket.connect(&address.into()).expect("it can be reached");
        Self::over(Socket::Tcp(socket.into())).expect("a socket that is open")
    }

    pub(crate) fn try_connect(address: &str) -> io::Result<Self> {
        Self::over(Socket::connect(address)?)
    }

    fn over(socket: Socket) -> io::Result<Self> {
        either!(&socket, stream => {
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.set_write_timeout(Some(PATIENCE))?;
        });
        Ok(RawClient { socket: BufReader::new(socket) })
    }

    /// Returns the address of this end, as the server sees it.
    pub(crate) fn local_address(&self) -> String {
        match self.socket.get_ref() {
            Socket::Tcp(stream) => stream.local_addr().expect("it is connected").to_string(),
            Socket::Unix(_) => panic!("the client of a unix socket has no address"),
        }
    }

    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_send(bytes).expect("the server reads the requests");
    }

    pub(crate) fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.socket.get_mut().write_all(bytes.as_ref())
    }

    /// Sends until the socket accepts nothing for `wait`. Returns the number of bytes that it accepted.
    pub(crate) fn send_until_stuck(&mut self, bytes: &[u8], wait: Duration) -> usize {
        let socket = self.socket.get_mut();
        either!(socket, stream => stream.set_write_timeout(Some(wait))).expect("the timeout is not zero");
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

    /// Sends until the server closes the connection. Returns the number of sent bytes.
    pub(crate) fn send_until_closed(&mut self, bytes: &[u8]) -> usize {
        let mut sent = 0;
        while sent < bytes.len() {
            match self.socket.get_mut().write(&bytes[sent..]) {
                Ok(written) => sent += written,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset) => {
                    break;
                }
                Err(error) => panic!("{error}"),
            }
        }
        sent
    }

    /// Reads the next reply. Returns its bytes.
    pub(crate) fn reply(&mut self) -> Bytes {
        self.try_reply().expect("a reply")
    }

    pub(crate) fn try_reply(&mut self) -> io::Result<Bytes> {
        read_reply(&mut self.socket).map(Bytes::from)
    }

    /// Reads the next `count` replies. Returns their bytes.
    pub(crate) fn replies(&mut self, count: usize) -> Bytes {
        let mut replies = Vec::new();
        for _ in 0..count {
            replies.extend_from_slice(&self.reply());
        }
        replies.into()
    }

    /// Sends a request and returns its reply.
    pub(crate) fn ask(&mut self, bytes: impl AsRef<[u8]>) -> Bytes {
        self.send(bytes);
        self.reply()
    }

    /// Returns whether the server has sent nothing that the test has not read.
    pub(crate) fn is_silent(&self) -> bool {
        let socket = either!(self.socket.get_ref(), socket => SockRef::from(socket));
        socket.set_nonblocking(true).expect("a socket can be made nonblocking");
        let mut byte = [MaybeUninit::uninit()];
        let is_silent = matches!(socket.peek(&mut byte), Err(error) if error.kind() == ErrorKind::WouldBlock);
        socket.set_nonblocking(false).expect("a socket can be made nonblocking");
        self.socket.buffer().is_empty() && is_silent
    }

    /// Closes the sending direction. The client still receives.
    pub(crate) fn half_close(&self) {
        either!(self.socket.get_ref(), stream => stream.shutdown(Shutdown::Write)).expect("it is connected");
    }

    /// Closes the connection with a reset, as the kernel does for some killed processes.
    pub(crate) fn reset(self) {
        let socket = either!(self.socket.get_ref(), stream => SockRef::from(stream));
        socket.set_linger(Some(Duration::ZERO)).expect("it is connected");
    }

    /// Returns the client id.
    pub(crate) fn id(&mut self) -> u64 {
        let reply = self.ask("CLIENT ID\r\n");
        let digits = reply.strip_prefix(b":").and_then(|reply| reply.strip_suffix(b"\r\n"));
        digits.and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok()).expect("a number")
    }

    /// Reads everything up to the end of the connection.
    pub(crate) fn rest(&mut self) -> Bytes {
        let mut rest = Vec::new();
        match self.socket.read_to_end(&mut rest) {
            Ok(_) => {}
            // The server closed the connection before it had read all requests. That is an ordinary end.
            Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
            Err(error) => panic!("{error} after {:?}", Bytes::from(rest)),
        }
        rest.into()
    }

    /// Sends the pieces while `receive` reads: from another thread, unless the buffer of the socket takes all at once.
    pub(crate) fn while_sending<T>(&mut self, pieces: &[&[u8]], receive: impl FnOnce(&mut Self) -> T) -> T {
        const TAKEN_AT_ONCE: usize = 16 * 1024;
        // The server may close the connection before it has read everything.
        if let [piece] = pieces
            && piece.len() <= TAKEN_AT_ONCE
        {
            let _ = self.try_send(piece);
            return receive(self);
        }
        let mut sender = self.socket.get_ref().try_clone().expect("the socket can be cloned");
        thread::scope(|scope| {
            scope.spawn(move || pieces.iter().try_for_each(|piece| sender.write_all(piece)));
            receive(self)
        })
    }

    /// Waits until the server has read the earlier requests of all clients.
    ///
    /// A server with one thread serves all its connections between two replies to one of them.
    pub(crate) fn let_server_read(&mut self) {
        for _ in 0..2 {
            assert_eq!(self.ask("PING\r\n"), "+PONG\r\n");
        }
    }
}

/// Sends the bytes, closes the sending direction, and returns everything that the server sends.
pub(crate) fn exchange(address: &str, bytes: impl AsRef<[u8]> + Send) -> Bytes {
    let mut client = RawClient::connect(address);
    let mut sender = client.socket.get_ref().try_clone().expect("the socket can be cloned");
    thread::scope(|scope| {
        scope.spawn(move || {
            // The server may close the connection before it has read everything.
            let _ = sender.write_all(bytes.as_ref());
            let _ = either!(&sender, stream => stream.shutdown(Shutdown::Write));
        });
        client.rest()
    })
}

/// Reads one reply of either protocol with all its elements.
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
            let expected = bytes + 2;
            if from.by_ref().take(expected as u64).read_to_end(&mut reply)? < expected {
                return Err(ErrorKind::UnexpectedEof.into());
            }
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
