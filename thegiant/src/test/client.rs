//! A client that sends and receives bytes, and knows values.

use std::{collections::VecDeque, fmt, io, time::Duration};

use actix_rt::{net::TcpStream, time::timeout};
use bytes::Bytes;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::ToSocketAddrs,
};

use crate::{
    Value,
    resp::{Encoder, Incoming},
};

/// A client of a [`TestServer`](super::TestServer), or of any other server. When it is dropped, it has gone.
///
/// What is not as it should be panics and says what was expected and what has come.
pub struct TestClient {
    stream: Box<dyn Transport>,
    /// What has arrived and has not been looked at.
    input: Vec<u8>,
    /// Pushes that came before a reply that was waited for.
    pushed: VecDeque<Vec<Value>>,
    patience: Duration,
}

/// What bytes are sent and received by.
pub(super) trait Transport: AsyncRead + AsyncWrite + Unpin {}

impl<T: AsyncRead + AsyncWrite + Unpin> Transport for T {}

impl TestClient {
    pub(super) fn new(stream: impl Transport + 'static) -> Self {
        let patience = Duration::from_secs(60);
        TestClient { stream: Box::new(stream), input: Vec::new(), pushed: VecDeque::new(), patience }
    }

    /// Connects to a server by TCP: to one in another process, or to one that is bound to a port.
    ///
    /// ```
    /// use thegiant::{App, Server, Value, test::{TestClient, TestServer}};
    ///
    /// # async fn has_a_port() -> std::io::Result<()> {
    /// let server = TestServer::with(Server::new(App::new()).bind("127.0.0.1:0")?);
    /// let mut client = TestClient::connect(server.addresses()[0].to_string()).await?;
    /// assert_eq!(client.call(["PING"]).await, Value::Simple("PONG".into()));
    /// # Ok(())
    /// # }
    /// # actix::System::new().block_on(has_a_port()).unwrap();
    /// ```
    ///
    /// # Errors
    /// If there is none.
    pub async fn connect(address: impl ToSocketAddrs) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self::new(stream))
    }

    /// Has it wait for this long for what is expected; a minute, unless this is called.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Says `HELLO 3`: from then on it understands RESP3.
    ///
    /// # Panics
    /// If that is refused.
    pub async fn resp3(mut self) -> Self {
        let hello = self.call(["HELLO", "3"]).await;
        assert!(matches!(hello, Value::Map(_)), "HELLO 3 was answered with {hello:?}");
        self
    }

    /// Sends a request and returns its reply.
    ///
    /// # Panics
    /// If none comes.
    pub async fn call<W: AsRef<[u8]>>(&mut self, words: impl IntoIterator<Item = W>) -> Value {
        let words: Vec<W> = words.into_iter().collect();
        let mut request = Encoder::default();
        request.request(&words);
        self.send(request.into_vec()).await;
        self.reply().await
    }

    /// Sends bytes. It may have to wait for the server to take them.
    ///
    /// # Panics
    /// If the server has closed the connection, or does not take them.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let sent = timeout(self.patience, self.stream.write_all(bytes.as_ref())).await;
        match sent {
            Ok(Ok(())) => {}
            Ok(Err(error)) => panic!("{:?} could not be sent: {error}", shown(bytes.as_ref())),
            Err(_) => panic!("the server has not taken {:?}", shown(bytes.as_ref())),
        }
    }

    /// The next reply. Pushes that come before it are kept for [`pushed`](Self::pushed).
    ///
    /// # Panics
    /// If none comes.
    pub async fn reply(&mut self) -> Value {
        loop {
            match self.receive("a reply").await {
                Incoming::Reply(value) => return value,
                Incoming::Push(push) => self.pushed.push_back(push),
            }
        }
    }

    /// The next push, with all its elements. In RESP2, where there is no such thing, that is the next array.
    ///
    /// # Panics
    /// If none comes, or a reply does.
    pub async fn pushed(&mut self) -> Vec<Value> {
        if let Some(push) = self.pushed.pop_front() {
            return push;
        }
        match self.receive("a push").await {
            Incoming::Push(push) | Incoming::Reply(Value::Array(push)) => push,
            Incoming::Reply(value) => panic!("a push was expected, and the reply {value:?} has come"),
        }
    }

    /// Receives exactly these bytes.
    ///
    /// # Panics
    /// If others come, or none.
    pub async fn expect(&mut self, bytes: impl AsRef<[u8]>) {
        let expected = bytes.as_ref();
        while self.input.len() < expected.len() && expected.starts_with(&self.input) {
            if !self.read(&format!("{:?}", shown(expected))).await {
                break;
            }
        }
        let have = self.input.len().min(expected.len());
        assert!(
            self.input[..have] == *expected,
            "{:?} was expected, and {:?} has come",
            shown(expected),
            shown(&self.input)
        );
        self.input.drain(..have);
    }

    /// All that comes until the server closes the connection.
    ///
    /// # Panics
    /// If it does not.
    pub async fn rest(&mut self) -> Bytes {
        while self.read("the end of the connection").await {}
        std::mem::take(&mut self.input).into()
    }

    /// So many bytes or all that come until the end, and what comes along with them.
    pub(super) async fn receive_some(&mut self, len: usize) -> Vec<u8> {
        let mut is_open = true;
        while is_open && self.input.len() < len {
            is_open = self.read("a reply").await;
        }
        let_server_read().await;
        if is_open {
            // There should be nothing, and there is no need to wait for that.
            let _ = timeout(Duration::ZERO, self.stream.read_buf(&mut self.input)).await;
        }
        std::mem::take(&mut self.input)
    }

    /// Sends no more, and still receives.
    pub async fn half_close(&mut self) {
        // One that is closed already sends no more, either.
        let _ = self.stream.shutdown().await;
    }

    async fn receive(&mut self, what: &str) -> Incoming {
        loop {
            match Incoming::parse(&self.input) {
                Ok(Some((received, len))) => {
                    self.input.drain(..len);
                    return received;
                }
                Ok(None) => {}
                Err(error) => panic!("{:?} is no reply: {error}", shown(&self.input)),
            }
            if !self.read(what).await {
                panic!("{what} was expected, and the connection was closed after {:?}", shown(&self.input));
            }
        }
    }

    /// Reads what comes next; `false` at the end.
    async fn read(&mut self, what: &str) -> bool {
        let read = timeout(self.patience, self.stream.read_buf(&mut self.input)).await;
        match read {
            Ok(Ok(read)) => read > 0,
            Ok(Err(error)) if error.kind() == io::ErrorKind::BrokenPipe => false,
            Ok(Err(error)) => panic!("{what} was expected: {error}"),
            Err(_) => panic!("{what} was expected, and nothing has come after {:?}", shown(&self.input)),
        }
    }
}

impl fmt::Debug for TestClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestClient").field("input", &shown(&self.input)).finish_non_exhaustive()
    }
}

/// Waits long enough for the server to have read what was sent.
pub(super) async fn let_server_read() {
    for _ in 0..2 {
        actix_rt::task::yield_now().await;
    }
}

/// Bytes for people.
pub(super) fn shown(bytes: &[u8]) -> Bytes {
    const ENOUGH: usize = 1000;
    Bytes::copy_from_slice(&bytes[..bytes.len().min(ENOUGH)])
}
