//! Connections to PostgreSQL, for apps that write to it from a thread of their own.
//!
//! - [`is_url`]: tells the URLs of PostgreSQL from others
//! - [`Target`]: a server and a database, from a URL; `ssl_options`: the options of the URL for TLS; `tls`: connections with
//!   TLS
//! - [`described`], [`is_lost`]: what an error means

mod ssl_options;
mod tls;

use std::{error::Error as StdError, str::FromStr, time::Duration};

use postgres::{
    Client, Config, NoTls,
    config::{SslMode, TargetSessionAttrs},
    error::SqlState,
};
use thegiant_tls::ClientTls;

use crate::{ssl_options::SslOptions, tls::Connect};

/// The error of a database.
pub type Failure = Box<dyn StdError + Send + Sync>;

/// Time after which a server counts as lost that does not accept a connection, or does not acknowledge data.
const SILENCE: Duration = Duration::from_secs(5);

/// Returns whether a URL begins as those of PostgreSQL.
pub fn is_url(url: &str) -> bool {
    url.starts_with("postgres://") || url.starts_with("postgresql://")
}

/// A server of PostgreSQL, or several, and a database.
#[derive(Clone, Debug)]
pub struct Target {
    config: Config,
    tls: Option<ClientTls>,
}

impl Target {
    /// Parses a URL. The servers see the name of the app in `pg_stat_activity`. If the URL has several hosts, connections go to the
    /// one that accepts writes.
    ///
    /// With `sslmode=require` or `verify-full`, the connection is encrypted, and the certificate of the server has to be for its
    /// host. `sslrootcert` names the file of the authorities that may have signed it; without it, it is those of the operating
    /// system. `sslcert` and `sslkey` name the certificate of the client and its key.
    ///
    /// # Errors
    /// Returns an error if the URL is wrong, or if a file that it names is unusable. The text does not contain the URL, since
    /// it may have a password.
    pub fn parse(url: &str, app: &str) -> Result<Self, Failure> {
        let (url, options) = SslOptions::take(url)?;
        let tls = options.tls()?;
        let mut config = Config::from_str(&url).map_err(|error| described(error.into()))?;
        if let Some(tls) = &tls {
            config.ssl_mode(SslMode::Require);
            // Reads the files once, for the errors.
            tls.connector("localhost:5432")?;
        }
        config.application_name(app).target_session_attrs(TargetSessionAttrs::ReadWrite);
        // A server that has vanished during a statement.
        config.tcp_user_timeout(SILENCE).keepalives_idle(SILENCE / 2).keepalives_interval(SILENCE / 2);
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(SILENCE);
        }
        Ok(Target { config, tls })
    }

    /// Connects.
    ///
    /// # Errors
    /// Returns an error if no server can be reached, or if the server refuses the user.
    pub fn connect(&self) -> Result<Client, postgres::Error> {
        match &self.tls {
            None => self.config.connect(NoTls),
            Some(tls) => self.config.connect(Connect::new(tls.clone())),
        }
    }
}

/// Adds the cause to the text of an error.
pub fn described(error: Failure) -> Failure {
    match error.downcast_ref::<postgres::Error>().and_then(StdError::source) {
        Some(cause) => format!("{error}: {cause}").into(),
        None => error,
    }
}

/// Returns whether a new connection may help: the server has closed this one, or does not accept one yet.
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
    let error = error.downcast_ref::<postgres::Error>();
    error.is_some_and(|error| error.code().is_none_or(|code| CODES.contains(code)))
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
