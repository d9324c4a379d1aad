//! `PING`, `ECHO`, `QUIT`, `RESET`, `SELECT`, `HELLO`, `AUTH`.

use super::{AfterPushes, REDIS_VERSION};
use crate::{
    Error, Reply, Simple,
    batch::{ReplyBuffer, ReplyMode},
    client::{ClientFlag, DEFAULT_USER},
    command::{Answer, ArgKind, ArgSpec, Arguments, FromArg, Request, c_text},
    commands,
    conn::ConnectionState,
    resp::{Encoder, Protocol},
    settings::Setting,
};

#[commands(rows = CONNECTION, group = "connection")]
impl ConnectionState {
    /// Returns the server's liveliness response.
    #[command("PING", fast, pubsub_mode, tenant_safe)]
    fn ping<'a>(&self, message: Option<&'a [u8]>) -> Pong<'a> {
        if self.is_pubsub_only() { Pong::Pushed(message.unwrap_or_default()) } else { Pong::Plain(message) }
    }

    /// Returns the given string.
    #[command("ECHO", fast, loading, stale, tenant_safe)]
    fn echo<'a>(&self, message: &'a [u8]) -> &'a [u8] {
        message
    }

    /// Closes the connection.
    #[command(
        "QUIT",
        fast,
        noscript,
        loading,
        stale,
        no_auth,
        allow_busy,
        pubsub_mode,
        never_queued,
        tenant_safe
    )]
    fn quit(&mut self, _ignored: Option<Vec<&[u8]>>) {
        self.closing = true;
    }

    /// Resets the connection.
    #[command(
        "RESET",
        fast,
        noscript,
        loading,
        stale,
        no_auth,
        allow_busy,
        pubsub_mode,
        never_queued,
        tenant_safe
    )]
    fn reset(&mut self) -> ResetReply<'_> {
        self.reset_state();
        ResetReply(self)
    }

    /// Changes the selected database.
    #[command("SELECT", fast, loading, stale, tenant_safe)]
    fn select(&mut self, index: i64) -> Result<(), Error> {
        if i32::try_from(index).is_err() {
            return Err(Error::OUT_OF_INT_RANGE);
        }
        if index != 0 && self.server.cluster.is_some() {
            return Err(SELECT_IN_CLUSTER);
        }
        let databases = self.server.settings.get(Setting::Databases);
        match u16::try_from(index) {
            Ok(index) if u64::from(index) < databases => {
                self.client.set_db(index);
                Ok(())
            }
            _ => Err(Error::DB_OUT_OF_RANGE),
        }
    }

    /// Handshakes with the server.
    #[command("HELLO", fast, noscript, loading, stale, no_auth, allow_busy, tenant_safe)]
    fn hello(
        &mut self,
        request: &Request<'_>,
        protover: Option<Protover>,
        options: Option<HelloOptions<'_>>,
    ) -> Result<AfterPushes<'_, Hello>, Error> {
        // The upstream would go on to send messages in the old protocol.
        let is_other = protover.as_ref().is_some_and(|version| version.0 != self.client.protocol());
        if is_other && self.client.is(ClientFlag::UpstreamSubscriber) {
            return Err(OTHER_PROTOCOL);
        }
        // As in Redis, the first faulty option determines the error, so a password is checked before the next option.
        let (mut name, mut is_first_login) = (None, true);
        for option in options.map_or(Vec::new(), |options| options.0) {
            match option {
                HelloOption::Auth(user, password) => {
                    self.log_in(user, password, request, is_first_login)?;
                    is_first_login = false;
                }
                HelloOption::SetName(given) => name = Some(client_name(given)?),
                HelloOption::Unknown(option) => {
                    let option = c_text(option, usize::MAX);
                    let line = [b"ERR Syntax error in HELLO option '", option, b"'"].concat();
                    return Err(Error::from_bytes(line));
                }
            }
        }
        if !self.is_authenticated() {
            return Err(HELLO_WITHOUT_AUTH);
        }
        if let Some(name) = name {
            self.client.set_name(name);
        }
        if let Some(Protover(protocol)) = protover {
            self.client.set_protocol(protocol);
        }
        // Pending pushes are encoded in the old protocol, so they go out before this reply.
        Ok(self.after_pushes(Hello {
            protocol: self.client.protocol(),
            id: self.client.id(),
            mode: self.server.mode(),
            role: if self.server.role.get().is_replica() { "replica" } else { "master" },
        }))
    }

    /// Authenticates the connection.
    #[command("AUTH", fast, noscript, loading, stale, no_auth, allow_busy, tenant_safe)]
    fn auth(&mut self, request: &Request<'_>, words: Vec<&[u8]>) -> Result<(), Error> {
        match words[..] {
            [_] if self.server.acl.needs_no_password() => Err(NO_PASSWORD_CONFIGURED),
            [password] => self.log_in(DEFAULT_USER, password, request, true),
            [user, password] => self.log_in(user, password, request, true),
            _ => Err(Error::SYNTAX),
        }
    }
}

const OTHER_PROTOCOL: Error = Error::from_static(
    "ERR a client with subscriptions at an upstream cannot change the protocol: send UNSUBSCRIBE, PUNSUBSCRIBE and \
     SUNSUBSCRIBE first, or RESET",
);
const NO_PASSWORD_CONFIGURED: Error = Error::from_static(
    "ERR AUTH <password> called without any password configured for the default user. \
     Are you sure your configuration is correct?",
);
const SELECT_IN_CLUSTER: Error = Error::from_static("ERR SELECT is not allowed in cluster mode");
const BAD_CLIENT_NAME: Error =
    Error::from_static("ERR Client names cannot contain spaces, newlines or special characters.");

const HELLO_WITHOUT_AUTH: Error = Error::from_static(
    "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO AUTH <user> <pass> \
     option can be used to authenticate the client and select the RESP protocol version at the same time",
);

/// Checks a client name. An empty name means no name.
pub(super) fn client_name(name: &[u8]) -> Result<Option<String>, Error> {
    let name = printable(name).ok_or(BAD_CLIENT_NAME)?;
    Ok((!name.is_empty()).then(|| name.to_owned()))
}

/// Returns the text if it consists of visible ASCII characters.
pub(super) fn printable(text: &[u8]) -> Option<&str> {
    let visible = text.iter().all(u8::is_ascii_graphic);
    std::str::from_utf8(text).ok().filter(|_| visible)
}

enum Pong<'a> {
    Plain(Option<&'a [u8]>),
    /// The array reply for a RESP2 client with subscriptions.
    Pushed(&'a [u8]),
}

impl Reply for Pong<'_> {
    fn write_to(self, out: &mut Encoder) {
        match self {
            Pong::Plain(Some(message)) => out.bulk(message),
            Pong::Plain(None) => out.simple("PONG"),
            Pong::Pushed(message) => ("pong", message).write_to(out),
        }
    }
}

/// The protocol version argument of `HELLO`.
struct Protover(Protocol);

impl<'a> FromArg<'a> for Protover {
    const ARG: ArgSpec = ArgSpec::new(ArgKind::Integer);

    fn from_arg(args: &mut Arguments<'a>) -> Result<Self, Error> {
        let version: i64 = args
            .take_integer()
            .map_err(|_| Error::err("Protocol version is not an integer or out of range"))?;
        match version {
            2 => Ok(Protover(Protocol::Resp2)),
            3 => Ok(Protover(Protocol::Resp3)),
            _ => Err(Error::new("NOPROTO", "unsupported protocol version")),
        }
    }
}

/// The options of `HELLO`, parsed by hand because `HELLO` has its own syntax error text.
struct HelloOptions<'a>(Vec<HelloOption<'a>>);

enum HelloOption<'a> {
    Auth(&'a [u8], &'a [u8]),
    SetName(&'a [u8]),
    Unknown(&'a [u8]),
}

impl<'a> FromArg<'a> for HelloOptions<'a> {
    const ARG: ArgSpec = ArgSpec::options(&[
        ArgSpec::block(&[
            ArgSpec::new(ArgKind::String).named("username"),
            ArgSpec::new(ArgKind::String).named("password"),
        ])
        .named("username-password")
        .token("AUTH")
        .optional(),
        ArgSpec::new(ArgKind::String).named("clientname").token("SETNAME").optional(),
    ]);

    fn from_arg(args: &mut Arguments<'a>) -> Result<Self, Error> {
        let mut options = Vec::new();
        while !args.is_empty() {
            options.push(if args.len() > 2 && args.accept("AUTH") {
                HelloOption::Auth(args.take()?, args.take()?)
            } else if args.len() > 1 && args.accept("SETNAME") {
                HelloOption::SetName(args.take()?)
            } else {
                HelloOption::Unknown(args.take()?)
            });
        }
        Ok(HelloOptions(options))
    }
}

/// The reply of `RESET`. It switches replies on after `CLIENT REPLY OFF`.
struct ResetReply<'a>(&'a ConnectionState);

#[diagnostic::do_not_recommend]
impl Answer<ConnectionState> for ResetReply<'_> {
    fn answer(self, request: &Request<'_>, context: &mut (), out: &mut ReplyBuffer) {
        // CLIENT REPLY SKIP stays in effect, so it also skips this reply.
        if out.mode() == ReplyMode::Off {
            out.set_mode(ReplyMode::On);
        }
        self.0.after_pushes(Simple("RESET")).answer(request, context, out);
    }
}

/// The reply of `HELLO`: describes the server.
struct Hello {
    protocol: Protocol,
    id: u64,
    mode: &'static str,
    role: &'static str,
}

impl Reply for Hello {
    fn write_to(self, out: &mut Encoder) {
        // This is the first reply in the new protocol.
        out.set_protocol(self.protocol);
        out.map(7);
        "server".write_to(out);
        "redis".write_to(out);
        "version".write_to(out);
        REDIS_VERSION.write_to(out);
        "proto".write_to(out);
        self.protocol.version().write_to(out);
        "id".write_to(out);
        self.id.write_to(out);
        "mode".write_to(out);
        self.mode.write_to(out);
        "role".write_to(out);
        self.role.write_to(out);
        "modules".write_to(out);
        out.array(0);
    }
}
