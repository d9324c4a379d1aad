//! A client that sends and receives bytes or values.

use std::{collections::VecDeque, fmt, io, sync::Weak, time::Duration};

use actix_rt::net::TcpStream;
use bytes::Bytes;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::ToSocketAddrs,
};

use super::{patience::within, step::Step};
use crate::{
    Value,
    resp::{Incoming, RequestBuilder, ToArgs},
};

/// A client of a [`TestServer`](super::TestServer) or of any other server. Dropping it closes the connection.
///
/// If the server does not behave as expected, the methods panic. The message shows the expected and the
/// received bytes, and the line of the test that awaits the method.
pub struct TestClient {
    stream: Box<dyn Transport>,
    /// Received bytes that no method has returned yet.
    input: Vec<u8>,
    /// Pushes that arrived before a reply.
    pushed: VecDeque<Vec<Value>>,
    patience: Duration,
    /// The [`TestServer`](super::TestServer), if the client is connected to one in memory.
    server: Option<Weak<()>>,
}

/// A stream of bytes in both directions: TCP or memory.
pub(super) trait Transport: AsyncRead + AsyncWrite + Unpin {}

impl<T: AsyncRead + AsyncWrite + Unpin> Transport for T {}

impl TestClient {
    pub(super) fn new(stream: impl Transport + 'static, server: Option<Weak<()>>) -> Self {
        let patience = Duration::from_secs(60);
        TestClient { stream: Box::new(stream), input: Vec::new(), pushed: VecDeque::new(), patience, server }
    }

    /// Connects to a server over TCP, in this process or another.
    ///
    /// ```
    /// use thegiant::{App, Server, Value, test::{TestClient, TestServer}};
    ///
    /// # async fn has_a_port() -> std::io::Result<()> {
    /// let server = TestServer::with(Server::new(App::new()).bind("127.0.0.1:0")?);
    /// let mut client = TestClient::connect(server.addrs()[0].to_string()).await?;
    /// assert_eq!(client.call(["PING"]).await, Value::Simple("PONG".into()));
    /// # Ok(())
    /// # }
    /// # actix::System::new().block_on(has_a_port()).unwrap();
    /// ```
    ///
    /// # Errors
    /// Returns an error if the connection fails.
    pub async fn connect(address: impl ToSocketAddrs) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self::new(stream, None))
    }

    /// Sets the maximum time to wait for the server (default 60 s).
    ///
    /// It is real time, also while tokio's clock is paused.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Switches the connection to RESP3, with `HELLO 3`.
    ///
    /// # Panics
    /// Panics if the server refuses.
    pub fn resp3(mut self) -> impl Future<Output = Self> {
        Step::new(async move {
            self.request(["HELLO", "3"]).await?;
            match self.next_reply().await? {
                Value::Map(_) => Ok(self),
                hello => Err(format!("HELLO 3 failed: {hello:?}")),
            }
        })
    }

    /// Sends a request with the words of these values, and returns its reply.
    ///
    /// ```
    /// use thegiant::{App, Value, test::TestServer};
    ///
    /// # async fn echoes() {
    /// let server = TestServer::start(App::new());
    /// let mut client = server.connect();
    /// assert_eq!(client.call("PING").await, Value::simple("PONG"));
    /// assert_eq!(client.call(["ECHO", "seven"]).await, Value::bulk("seven"));
    /// assert_eq!(client.call(("ECHO", 7)).await, Value::bulk("7"));
    /// # }
    /// # actix::System::new().block_on(echoes());
    /// ```
    ///
    /// # Panics
    /// Panics if a value cannot be sent, or if no reply arrives in time.
    pub fn call(&mut self, words: impl ToArgs) -> impl Future<Output = Value> {
        Step::new(async move {
            self.request(words).await?;
            self.next_reply().await
        })
    }

    /// Sends bytes and waits until the connection has taken them.
    ///
    /// # Panics
    /// Panics if the connection is closed, or if the server does not read the bytes in time.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> impl Future<Output = ()> {
        Step::new(async move { self.write(bytes.as_ref()).await })
    }

    /// Returns the next reply. [`pushed`](Self::pushed) returns the pushes that arrive before it.
    ///
    /// # Panics
    /// Panics if no reply arrives in time.
    pub fn reply(&mut self) -> impl Future<Output = Value> {
        Step::new(self.next_reply())
    }

    /// Returns the elements of the next push.
    ///
    /// In RESP2, which has no pushes, it returns the next array.
    ///
    /// # Panics
    /// Panics if no push arrives in time, or if a reply arrives first.
    pub fn pushed(&mut self) -> impl Future<Output = Vec<Value>> {
        Step::new(async move {
            if let Some(push) = self.pushed.pop_front() {
                return Ok(push);
            }
            match self.receive("a push").await? {
                Incoming::Push(push) | Incoming::Reply(Value::Array(push)) => Ok(push),
                Incoming::Reply(value) => Err(format!("expected a push, received the reply {value:?}")),
            }
        })
    }

    /// Receives exactly these bytes.
    ///
    /// # Panics
    /// Panics if other bytes arrive, or if too few bytes arrive in time.
    pub fn expect(&mut self, bytes: impl AsRef<[u8]>) -> impl Future<Output = ()> {
        Step::new(async move {
            let expected = bytes.as_ref();
            while self.input.len() < expected.len() && expected.starts_with(&self.input) {
                if !self.read(&format!("{:?}", shortened(expected))).await? {
                    break;
                }
            }
            let len = self.input.len().min(expected.len());
            if self.input[..len] != *expected {
                let received = shortened(&self.input);
                return Err(format!("expected {:?}, received {received:?}", shortened(expected)));
            }
            self.input.drain(..len);
            Ok(())
        })
    }

    /// Returns all bytes until the server closes the connection.
    ///
    /// # Panics
    /// Panics if the server does not close the connection in time.
    pub fn rest(&mut self) -> impl Future<Output = Bytes> {
        Step::new(async move {
            while self.read("the end of the connection").await? {}
            Ok(std::mem::take(&mut self.input).into())
        })
    }

    /// Returns at least `min_len` bytes, or all bytes until the connection ends.
    pub(super) fn receive_at_least(&mut self, min_len: usize) -> impl Future<Output = Vec<u8>> {
        Step::new(async move {
            let mut is_open = true;
            while is_open && self.input.len() < min_len {
                is_open = self.read("a reply").await?;
            }
            let_server_read().await;
            if is_open {
                // Surplus bytes are in the buffer already, so there is no need to wait for them.
                let _ = within(Duration::ZERO, self.stream.read_buf(&mut self.input)).await;
            }
            Ok(std::mem::take(&mut self.input))
        })
    }

    /// Closes the sending half of the connection. The client can still receive.
    pub async fn half_close(&mut self) {
        // An error means that the connection is closed already.
        let _ = self.stream.shutdown().await;
    }

    /// Returns the likely reason for the end of the connection, for a message.
    fn reason(&self) -> &'static str {
        match &self.server {
            Some(server) if server.strong_count() == 0 => {
                "; the TestServer was dropped before: keep it in a variable until the end of the test"
            }
            _ => "",
        }
    }

    async fn request(&mut self, words: impl ToArgs) -> Result<(), String> {
        let mut request = RequestBuilder::default();
        request.arg(&words);
        match request.error() {
            Some(reason) => Err(format!("cannot send the request: {reason}")),
            None => self.write(&request.to_vec()).await,
        }
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), String> {
        let sent = within(self.patience, self.stream.write_all(bytes)).await;
        let bytes = shortened(bytes);
        match sent {
            Some(Ok(())) => Ok(()),
            Some(Err(error)) => Err(format!("cannot send {bytes:?}: {error}{}", self.reason())),
            None => Err(format!("the server did not read {bytes:?} in time")),
        }
    }

    async fn next_reply(&mut self) -> Result<Value, String> {
        loop {
            match self.receive("a reply").await? {
                Incoming::Reply(value) => return Ok(value),
                Incoming::Push(push) => self.pushed.push_back(push),
            }
        }
    }

    async fn receive(&mut self, what: &str) -> Result<Incoming, String> {
        loop {
            match Incoming::parse(&self.input) {
                Ok(Some((received, len))) => {
                    self.input.drain(..len);
                    return Ok(received);
                }
                Ok(None) => {}
                Err(error) => {
                    return Err(format!("received an invalid reply {:?}: {error}", shortened(&self.input)));
                }
            }
            if !self.read(what).await? {
                let (received, reason) = (shortened(&self.input), self.reason());
                return Err(format!(
                    "expected {what}, but the connection was closed after {received:?}{reason}"
                ));
            }
        }
    }

    /// Reads more bytes. Returns `false` at the end of the connection.
    async fn read(&mut self, what: &str) -> Result<bool, String> {
        let read = within(self.patience, self.stream.read_buf(&mut self.input)).await;
        match read {
            Some(Ok(read)) => Ok(read > 0),
            Some(Err(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
            Some(Err(error)) => Err(format!("expected {what}: {error}")),
            None => {
                let received = shortened(&self.input);
                Err(format!("expected {what}, received nothing in time after {received:?}"))
            }
        }
    }
}

impl fmt::Debug for TestClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestClient").field("input", &shortened(&self.input)).finish_non_exhaustive()
    }
}

/// Yields until the server has read the bytes that were sent.
pub(super) async fn let_server_read() {
    for _ in 0..2 {
        actix_rt::task::yield_now().await;
    }
}

/// Returns the beginning of the bytes, for a message.
pub(super) fn shortened(bytes: &[u8]) -> Bytes {
    const MAX_LEN: usize = 1000;
    Bytes::copy_from_slice(&bytes[..bytes.len().min(MAX_LEN)])
}
