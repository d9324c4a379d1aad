//! A client that sends and receives bytes or values.

use std::{collections::VecDeque, fmt, io, sync::Weak, time::Duration};

use actix_rt::net::TcpStream;
use bytes::Bytes;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::ToSocketAddrs,
};

use super::patience::within;
use crate::{
    Value,
    resp::{Encoder, Incoming},
};

/// A client of a [`TestServer`](super::TestServer) or of any other server. Dropping it closes the connection.
///
/// If the server does not behave as expected, the methods panic. The message shows the expected and the
/// received bytes.
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
    pub async fn resp3(mut self) -> Self {
        let hello = self.call(["HELLO", "3"]).await;
        assert!(matches!(hello, Value::Map(_)), "HELLO 3 failed: {hello:?}");
        self
    }

    /// Sends a request and returns its reply.
    ///
    /// # Panics
    /// Panics if no reply arrives in time.
    pub async fn call<W: AsRef<[u8]>>(&mut self, words: impl IntoIterator<Item = W>) -> Value {
        let words: Vec<W> = words.into_iter().collect();
        let mut request = Encoder::default();
        request.request(&words);
        self.send(request.into_vec()).await;
        self.reply().await
    }

    /// Sends bytes and waits until the connection has taken them.
    ///
    /// # Panics
    /// Panics if the connection is closed, or if the server does not read the bytes in time.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let sent = within(self.patience, self.stream.write_all(bytes.as_ref())).await;
        match sent {
            Some(Ok(())) => {}
            Some(Err(error)) => {
                panic!("cannot send {:?}: {error}{}", shortened(bytes.as_ref()), self.reason())
            }
            None => panic!("the server did not read {:?} in time", shortened(bytes.as_ref())),
        }
    }

    /// Returns the next reply. [`pushed`](Self::pushed) returns the pushes that arrive before it.
    ///
    /// # Panics
    /// Panics if no reply arrives in time.
    pub async fn reply(&mut self) -> Value {
        loop {
            match self.receive("a reply").await {
                Incoming::Reply(value) => return value,
                Incoming::Push(push) => self.pushed.push_back(push),
            }
        }
    }

    /// Returns the elements of the next push. In RESP2, which has no pushes, it returns the next array.
    ///
    /// # Panics
    /// Panics if no push arrives in time, or if a reply arrives first.
    pub async fn pushed(&mut self) -> Vec<Value> {
        if let Some(push) = self.pushed.pop_front() {
            return push;
        }
        match self.receive("a push").await {
            Incoming::Push(push) | Incoming::Reply(Value::Array(push)) => push,
            Incoming::Reply(value) => panic!("expected a push, received the reply {value:?}"),
        }
    }

    /// Receives exactly these bytes.
    ///
    /// # Panics
    /// Panics if other bytes arrive, or if too few bytes arrive in time.
    pub async fn expect(&mut self, bytes: impl AsRef<[u8]>) {
        let expected = bytes.as_ref();
        while self.input.len() < expected.len() && expected.starts_with(&self.input) {
            if !self.read(&format!("{:?}", shortened(expected))).await {
                break;
            }
        }
        let len = self.input.len().min(expected.len());
        assert!(
            self.input[..len] == *expected,
            "expected {:?}, received {:?}",
            shortened(expected),
            shortened(&self.input)
        );
        self.input.drain(..len);
    }

    /// Returns all bytes until the server closes the connection.
    ///
    /// # Panics
    /// Panics if the server does not close the connection in time.
    pub async fn rest(&mut self) -> Bytes {
        while self.read("the end of the connection").await {}
        std::mem::take(&mut self.input).into()
    }

    /// Returns at least `min_len` bytes, or all bytes until the connection ends.
    pub(super) async fn receive_at_least(&mut self, min_len: usize) -> Vec<u8> {
        let mut is_open = true;
        while is_open && self.input.len() < min_len {
            is_open = self.read("a reply").await;
        }
        let_server_read().await;
        if is_open {
            // Surplus bytes are in the buffer already, so there is no need to wait for them.
            let _ = within(Duration::ZERO, self.stream.read_buf(&mut self.input)).await;
        }
        std::mem::take(&mut self.input)
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

    async fn receive(&mut self, what: &str) -> Incoming {
        loop {
            match Incoming::parse(&self.input) {
                Ok(Some((received, len))) => {
                    self.input.drain(..len);
                    return received;
                }
                Ok(None) => {}
                Err(error) => panic!("received an invalid reply {:?}: {error}", shortened(&self.input)),
            }
            if !self.read(what).await {
                panic!(
                    "expected {what}, but the connection was closed after {:?}{}",
                    shortened(&self.input),
                    self.reason()
                );
            }
        }
    }

    /// Reads more bytes. Returns `false` at the end of the connection.
    async fn read(&mut self, what: &str) -> bool {
        let read = within(self.patience, self.stream.read_buf(&mut self.input)).await;
        match read {
            Some(Ok(read)) => read > 0,
            Some(Err(error)) if error.kind() == io::ErrorKind::BrokenPipe => false,
            Some(Err(error)) => panic!("expected {what}: {error}"),
            None => panic!("expected {what}, received nothing in time after {:?}", shortened(&self.input)),
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
