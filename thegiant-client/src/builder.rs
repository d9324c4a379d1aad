//! The options of a connection.

use std::{fmt, time::Duration};

use thegiant_resp::Protocol;
use tokio::sync::mpsc;

use crate::{CallError, Connection, driver};

/// The maximum number of requests that wait to be sent. Further calls wait until there is room.
const QUEUE_LEN: usize = 1024;

/// The options of a [`Connection`].
#[derive(Clone)]
#[must_use]
pub struct ConnectionBuilder {
    pub(crate) address: String,
    pub(crate) user: Option<String>,
    pub(crate) password: Option<String>,
    pub(crate) db: u16,
    pub(crate) name: Option<String>,
    pub(crate) protocol: Protocol,
    pub(crate) connect_timeout: Duration,
    pub(crate) reply_timeout: Option<Duration>,
    pub(crate) max_reply_len: usize,
    #[cfg(feature = "tls")]
    pub(crate) tls: Option<thegiant_tls::Connector>,
}

impl ConnectionBuilder {
    /// Returns the options with their defaults. [`Connection::builder`] has the forms of an address.
    pub(crate) fn new(address: String) -> Self {
        ConnectionBuilder {
            address,
            user: None,
            password: None,
            db: 0,
            name: None,
            protocol: Protocol::Resp3,
            connect_timeout: Duration::from_secs(5),
            reply_timeout: Some(Duration::from_secs(30)),
            max_reply_len: 512 * 1024 * 1024,
            #[cfg(feature = "tls")]
            tls: None,
        }
    }

    /// Sets the password of the server.
    pub fn password(mut self, password: impl Into<String>) -> Self {
        self.password = Some(password.into());
        self
    }

    /// Sets the user that the password belongs to. The default is `default`.
    pub fn user(mut self, user: impl Into<String>) -> Self {
        self.user = Some(user.into());
        self
    }

    /// Sets the database (`SELECT`). The default is 0.
    pub fn db(mut self, db: u16) -> Self {
        self.db = db;
        self
    }

    /// Sets the name of the connection in `CLIENT LIST`.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Sets the version of the protocol. The default is RESP3; RESP2 is for servers before Redis 6.
    pub fn protocol(mut self, protocol: Protocol) -> Self {
        self.protocol = protocol;
        self
    }

    /// Sets the maximum time for one attempt to connect, with the handshake. The default is 5 seconds.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// Sets the time after which a connection is closed on which replies are due and no byte has come.
    ///
    /// The default is 30 seconds; `None` is for ever. It must exceed the time that a
    /// [blocking](crate#blocking-commands) command takes.
    pub fn reply_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.reply_timeout = timeout.into();
        self
    }

    /// Sets the maximum size of one reply in bytes.
    ///
    /// After a larger one, the connection is closed. The default is 512 MiB.
    pub fn max_reply_len(mut self, len: usize) -> Self {
        self.max_reply_len = len;
        self
    }

    /// *Feature `tls`:* connects with TLS, and refuses a server whose certificate does not match the host of the address.
    ///
    /// ```no_run
    /// use thegiant_client::{CallError, ClientTls, Connection};
    ///
    /// # async fn run() -> Result<(), CallError> {
    /// let tls = ClientTls::new().ca("/etc/app/ca.crt");
    /// let connection = Connection::builder("jobs.internal:6380").tls(tls)?.connect().await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`CallError::NotSent`] if a file of `tls` cannot be used: the error names the file and the reason. Also if the address
    /// has no name that a certificate could contain, for example the path of a unix socket.
    #[cfg(feature = "tls")]
    pub fn tls(mut self, tls: thegiant_tls::ClientTls) -> Result<Self, CallError> {
        let connector =
            tls.connector(&self.address).map_err(|error| CallError::NotSent(error.to_string()))?;
        self.tls = Some(connector);
        Ok(self)
    }

    /// Connects, and returns when the server has accepted the connection.
    ///
    /// # Errors
    /// [`CallError::NotSent`] if the server cannot be reached or refuses the password, the database or the protocol.
    ///
    /// # Panics
    /// Panics outside of a tokio runtime with I/O and time.
    pub async fn connect(self) -> Result<Connection, CallError> {
        let connection = self.start();
        match connection.call::<()>("PING").await {
            // An application can remove `PING`, and a proxy can refuse it. The server has replied all the same.
            Ok(()) | Err(CallError::Reply(_) | CallError::WrongReply(_)) => Ok(connection),
            Err(error) => Err(error),
        }
    }

    /// Starts to connect in the background. Calls wait for the first attempt.
    ///
    /// # Panics
    /// Panics outside of a tokio runtime with I/O and time.
    #[must_use]
    pub fn start(self) -> Connection {
        let (sender, queue) = mpsc::channel(QUEUE_LEN);
        tokio::spawn(driver::run(self, queue));
        Connection::new(sender)
    }
}

/// Omits the password.
impl fmt::Debug for ConnectionBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectionBuilder")
            .field("address", &self.address)
            .field("user", &self.user)
            .field("db", &self.db)
            .field("name", &self.name)
            .field("protocol", &self.protocol)
            .finish_non_exhaustive()
    }
}
