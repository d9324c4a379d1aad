//! Identities that an actor of the application knows.

use std::fmt;

use actix::{Message, Recipient};
use bytes::Bytes;

use crate::{Client, Error};

/// A client wants to log in, and the users of the server do not know it.
///
/// [`App::authenticate`](crate::App::authenticate) names the actor that gets this message, and has an example.
#[derive(Debug)]
#[non_exhaustive]
pub struct Authenticate {
    /// The name of the user; `default` if the client has sent a password alone.
    pub user: String,
    /// The password, or a token in its place.
    pub password: Password,
    /// The client. Its [`user`](Client::user) is still the one from before. With the feature `tls`, it has the
    /// certificate that it has sent: `Client::certificate`.
    pub client: Client,
}

/// The answer is the identity, or the error for the client: [`Error::WRONG_PASSWORD`] for most refusals.
///
/// An [internal](Error::internal) error does not count as a failed login.
impl Message for Authenticate {
    type Result = Result<Identity, Error>;
}

/// The password or token of a client. Its `Debug` output does not show it.
pub struct Password(Box<[u8]>);

/// The user that a client becomes.
///
/// ```
/// use thegiant::Identity;
///
/// let worker = Identity::user("worker"); // a user of the server, with its rules
/// let alice = Identity::with_rules("alice", "~alice:* +@read"); // a user of this connection only
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub(crate) name: String,
    /// The rules, if the user is not one of the server.
    pub(crate) rules: Option<String>,
    /// The key prefix, if the identity decides about it.
    pub(crate) key_prefix: Option<Bytes>,
}

/// The actor of the application that knows further identities.
pub(crate) type Authenticator = Recipient<Authenticate>;

impl Authenticate {
    pub(crate) fn new(user: String, password: &[u8], client: Client) -> Self {
        Authenticate { user, password: Password(password.into()), client }
    }
}

impl Password {
    /// Returns the bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Returns the text; `None` if it is not UTF-8.
    pub fn as_str(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

impl Identity {
    /// Returns the identity of a user of the server, who has been added by [`Server::user`](crate::Server::user), by the
    /// aclfile or by `ACL SETUSER`.
    ///
    /// The user needs no password. If there is no such user, the client gets an internal error, which is logged. A user that
    /// is `off` is refused.
    pub fn user(name: impl Into<String>) -> Self {
        Identity { name: name.into(), rules: None, key_prefix: None }
    }

    /// Returns the identity of a user of this connection only, with rules as in `ACL SETUSER`.
    ///
    /// The user begins without any permission. It is not in `ACL LIST`, and no change of a user of the server affects it.
    /// If a rule has a mistake, the client gets an internal error, which is logged.
    pub fn with_rules(name: impl Into<String>, rules: impl Into<String>) -> Self {
        Identity { name: name.into(), rules: Some(rules.into()), key_prefix: None }
    }

    /// Puts a prefix before all keys and channels of the client, in place of that of [`Server::key_prefix`].
    ///
    /// ```
    /// use thegiant::Identity;
    ///
    /// let token = Identity::with_rules("app", "allkeys allchannels +@all").key_prefix("customer-17:");
    /// ```
    ///
    /// An empty prefix is none.
    ///
    /// [`Server::key_prefix`]: crate::Server::key_prefix
    #[must_use]
    pub fn key_prefix(self, prefix: impl Into<Bytes>) -> Self {
        Identity { key_prefix: Some(prefix.into()), ..self }
    }

    /// Returns the name of the user.
    pub fn name(&self) -> &str {
        &self.name
    }
}
