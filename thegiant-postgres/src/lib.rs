#![doc = include_str!("../README.md")]
//!
//! - [`Target`]: a server and a database, from a URL; `options`: further options of the URL; `address`: the sockets; `connect`:
//!   connections with TLS and without; `limited`: ends a connection whose server is silent
//! - [`BlockingClient`]: a client that blocks its thread
//! - [`is_url`]: tells the URLs of PostgreSQL from others
//! - [`described`], [`is_lost`]: what an error means

mod address;
mod blocking;
mod connect;
mod limited;
mod options;

use std::{error::Error as StdError, io, str::FromStr, time::Duration};

use thegiant_tls::ClientTls;
use tokio_postgres::{Client, Config, error::SqlState, tls::NoTlsStream};

use crate::{address::Address, limited::Limits, options::Options};
pub use crate::{blocking::BlockingClient, connect::Stream};

/// A connection. A task has to run it while its client is used.
///
/// See [`Target::connect`] for an example.
pub type Connection = tokio_postgres::Connection<Stream, NoTlsStream>;

/// The error of a database.
pub type Failure = Box<dyn StdError + Send + Sync>;

/// Time after which a server counts as lost that does not accept a connection, or does not acknowledge data.
const SILENCE: Duration = Duration::from_secs(5);

/// Time that a server has for an answer, unless the URL has another one.
///
/// A commit waits while a synchronous standby is lost. By default, PostgreSQL notices that after 60 seconds, and Patroni goes on without
/// this standby 10 seconds later. Patroni promotes a standby after 30 to 40 seconds.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(90);

/// Returns whether a URL begins as those of PostgreSQL.
///
/// ```
/// assert!(thegiant_postgres::is_url("postgres://shop@db/orders"));
/// assert!(!thegiant_postgres::is_url("sqlite:orders.db"));
/// ```
pub fn is_url(url: &str) -> bool {
    url.starts_with("postgres://") || url.starts_with("postgresql://")
}

/// A server of PostgreSQL, or several, and a database.
#[derive(Clone, Debug)]
pub struct Target {
    config: Config,
    tls: Option<ClientTls>,
    connect_timeout: Duration,
    answer_timeout: Duration,
}

impl Target {
    /// Parses a URL.
    ///
    /// The servers see the name of the app in `pg_stat_activity`, unless the URL has `application_name`. If the URL has
    /// several hosts, connections go to the one that accepts writes.
    ///
    /// With `sslmode=require` or `verify-full`, the connection is encrypted, and the certificate of the server has to be for its
    /// host. `sslrootcert` names the file of the authorities that may have signed it; without it, it is those of the operating
    /// system. `sslcert` and `sslkey` name the certificate of the client and its key.
    ///
    /// A server that is silent for 5 seconds while a connection begins, or later for 90 seconds while it owes an answer to a client that
    /// blocks (`connect_blocking`), counts as lost. `connect_timeout=SECONDS` and `answer_timeout=SECONDS` set other times.
    ///
    /// ```
    /// use thegiant_postgres::Target;
    ///
    /// assert!(Target::parse("postgres://shop@db1,db2/orders?sslmode=verify-full", "shop").is_ok());
    /// let error = Target::parse("postgres://shop@db/orders?sslmode=verify-ca", "shop").expect_err("no such mode");
    /// assert_eq!(error.to_string(), "unknown sslmode: write disable, prefer, require or verify-full");
    /// ```
    ///
    /// # Errors
    /// Returns an error if the URL is wrong, or if a file that it names is unusable. The text does not contain the URL, since
    /// it may have a password.
    pub fn parse(url: &str, app: &str) -> Result<Self, Failure> {
        let (url, options) = Options::take(url)?;
        let answer_timeout = options.answer_timeout()?.unwrap_or(ANSWER_TIMEOUT);
        let tls = options.ssl.tls()?;
        let mut config = Config::from_str(&url).map_err(|error| described(error.into()))?;
        if let Some(tls) = &tls {
            // Reads the files once, for the errors.
            tls.connector("localhost:5432")?;
        }
        Address::all(&config)?;
        if config.get_application_name().is_none() {
            config.application_name(app);
        }
        // A server that has vanished during a statement.
        config.tcp_user_timeout(SILENCE).keepalives_idle(SILENCE / 2).keepalives_interval(SILENCE / 2);
        Ok(Target { config, tls, connect_timeout: SILENCE, answer_timeout })
    }

    /// Sets the time to connect to one host (default 5 seconds), unless the URL has `connect_timeout`.
    ///
    /// ```
    /// use std::time::Duration;
    /// # use thegiant_postgres::Target;
    ///
    /// let target = Target::parse("postgres://shop@db1,db2/orders", "shop")?.connect_timeout(Duration::from_secs(1));
    /// # Ok::<(), thegiant_postgres::Failure>(())
    /// ```
    #[must_use]
    pub fn connect_timeout(mut self, time: Duration) -> Self {
        self.connect_timeout = time;
        self
    }

    /// Returns the time that the server has for an answer.
    ///
    /// ```
    /// # use thegiant_postgres::Target;
    /// let target = Target::parse("postgres://shop@db/orders?answer_timeout=60", "shop")?;
    /// assert_eq!(target.answer_timeout().as_secs(), 60);
    /// # Ok::<(), thegiant_postgres::Failure>(())
    /// ```
    pub fn answer_timeout(&self) -> Duration {
        self.answer_timeout
    }

    /// Returns the limits of a connection.
    fn limits(&self, answer: Option<Duration>) -> Limits {
        let connect = self.config.get_connect_timeout().copied().unwrap_or(self.connect_timeout);
        Limits::new(connect, answer)
    }

    /// Connects.
    ///
    /// ```no_run
    /// use thegiant_postgres::{Failure, Target};
    ///
    /// # async fn run() -> Result<(), Failure> {
    /// let (client, connection) = Target::parse("postgres://shop@db/orders", "shop")?.connect().await?;
    /// tokio::spawn(connection);
    /// let row = client.query_one("SELECT count(*) FROM orders", &[]).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Returns an error if no server can be reached, or if the server refuses the user.
    pub async fn connect(&self) -> Result<(Client, Connection), Failure> {
        let limits = self.limits(None);
        let connected = connect::connect(&self.config, self.tls.as_ref(), &limits).await?;
        limits.set_connected();
        Ok(connected)
    }

    /// Connects, and blocks the thread meanwhile.
    ///
    /// ```no_run
    /// use thegiant_postgres::{Failure, Target};
    ///
    /// # fn run() -> Result<(), Failure> {
    /// let mut client = Target::parse("postgres://shop@db/orders", "shop")?.connect_blocking()?;
    /// let row = client.run(async |client| client.query_one("SELECT count(*) FROM orders", &[]).await)?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Returns an error if no server can be reached, or if the server refuses the user.
    ///
    /// # Panics
    /// Panics in a task of tokio, which must not block its thread.
    pub fn connect_blocking(&self) -> Result<BlockingClient, Failure> {
        BlockingClient::connect(self)
    }
}

/// Adds the cause to the text of an error.
///
/// ```no_run
/// use thegiant_postgres::{Target, described};
///
/// # async fn run(target: Target) {
/// if let Err(error) = target.connect().await {
///     eprintln!("{}", described(error)); // error connecting to server: Connection refused (os error 111)
/// }
/// # }
/// ```
pub fn described(error: Failure) -> Failure {
    match error.downcast_ref::<tokio_postgres::Error>().and_then(StdError::source) {
        Some(cause) => format!("{error}: {cause}").into(),
        None => error,
    }
}

/// Returns whether a new connection may help: the server has closed this one, or does not accept one yet.
///
/// ```no_run
/// use thegiant_postgres::{Failure, Target, is_lost};
///
/// # async fn run(target: Target) {
/// if let Err(error) = target.connect().await {
///     println!("{error}, so {}", if is_lost(&error) { "try again" } else { "give up" });
/// }
/// # }
/// ```
pub fn is_lost(error: &Failure) -> bool {
    const CODES: [SqlState; 5] = [
        SqlState::ADMIN_SHUTDOWN,
        SqlState::CRASH_SHUTDOWN,
        SqlState::CANNOT_CONNECT_NOW,
        // The process was paused within a transaction.
        SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT,
        // The server is a standby now.
        SqlState::READ_ONLY_SQL_TRANSACTION,
    ];
    match error.downcast_ref::<tokio_postgres::Error>() {
        Some(error) => error.code().is_none_or(|code| CODES.contains(code)),
        // No server could be reached.
        None => error.is::<io::Error>(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_a_url_name_the_mistake() {
        let error = |url| Target::parse(url, "test").err().map(|error| error.to_string()).unwrap_or_default();
        assert_eq!(error("postgres://test@localhost/name"), "");
        let text = error("postgres://test:secret@localhost:port/name");
        assert!(text.contains("invalid") && !text.contains("secret"), "{text}");
        let text = error("postgres://localhost/name?sllmode=require");
        assert!(text.contains("sllmode"), "{text}");
    }
}
