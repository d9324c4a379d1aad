//! Connections to PostgreSQL, for apps that write to it from a thread of their own.
//!
//! - [`is_url`]: tells the URLs of PostgreSQL from others
//! - [`Target`]: a server and a database, from a URL
//! - [`described`], [`is_lost`]: what an error means

use std::{error::Error as StdError, str::FromStr, time::Duration};

use postgres::{Client, Config, NoTls, error::SqlState};

/// The error of a database.
pub type Failure = Box<dyn StdError + Send + Sync>;

/// The time after which a connection is lost whose server acknowledges no data.
pub const VANISHED_AFTER: Duration = Duration::from_secs(30);

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Returns whether a URL begins as those of PostgreSQL.
pub fn is_url(url: &str) -> bool {
    url.starts_with("postgres://") || url.starts_with("postgresql://")
}

/// A server of PostgreSQL, or several, and a database.
#[derive(Clone, Debug)]
pub struct Target(Config);

impl Target {
    /// Parses a URL. The servers see the name of the app in `pg_stat_activity`.
    ///
    /// # Errors
    /// Returns an error if the URL is wrong. The text does not contain it, since it may have a password.
    pub fn parse(url: &str, app: &str) -> Result<Self, Failure> {
        let mut config = Config::from_str(url).map_err(|error| described(error.into()))?;
        config.application_name(app).tcp_user_timeout(VANISHED_AFTER);
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT_TIMEOUT);
        }
        Ok(Target(config))
    }

    /// Connects.
    ///
    /// # Errors
    /// Returns an error if no server can be reached, or if the server refuses the user.
    pub fn connect(&self) -> Result<Client, postgres::Error> {
        self.0.connect(NoTls)
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
    const CODES: [SqlState; 3] =
        [SqlState::ADMIN_SHUTDOWN, SqlState::CRASH_SHUTDOWN, SqlState::CANNOT_CONNECT_NOW];
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
