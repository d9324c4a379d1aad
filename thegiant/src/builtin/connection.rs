//! `PING`, `ECHO`, `QUIT`, `RESET`, `SELECT`, `HELLO`, `AUTH`.

use super::{Ahead, REDIS_VERSION};
use crate::{
    Error, IntoReply, Simple,
    command::{Answer, ArgKind, ArgSpec, Arguments, Call, FromArg, ReplyBuffer, ReplyMode, c_text},
    commands,
    connection::ConnectionState,
    resp::{Encoder, Protocol},
    settings::Setting,
};

#[commands(rows = CONNECTION, group = "connection")]
impl ConnectionState {
    /// Answers PONG, or the message.
    #[command("PING", fast)]
    fn ping<'a>(&self, message: Option<&'a [u8]>) -> Pong<'a> {
        if self.is_listener_only() { Pong::Pushed(message.unwrap_or_default()) } else { Pong::Plain(message) }
    }

    /// Answers the message.
    #[command("ECHO", fast, loading, stale)]
    fn echo<'a>(&self, message: &'a [u8]) -> &'a [u8] {
        message
    }

    /// Closes the connection.
    #[command("QUIT", fast, noscript, loading, stale, no_auth, allow_busy)]
    fn quit(&mut self, _ignored: Option<Vec<&[u8]>>) {
        self.closing = true;
    }

    /// Puts the connection into the state it had at first.
    #[command("RESET", fast, noscript, loading, stale, no_auth, allow_busy)]
    fn reset(&mut self) -> Fresh<'_> {
        self.start_over();
        Fresh(self)
    }

    /// Chooses the database of the connection.
    #[command("SELECT", fast, loading, stale)]
    fn select(&mut self, index: i64) -> Result<(), Error> {
        if i32::try_from(index).is_err() {
            return Err(Error::OUT_OF_INT_RANGE);
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

    /// Agrees on a version of the protocol, and describes the server.
    #[command("HELLO", fast, noscript, loading, stale, no_auth, allow_busy)]
    fn hello(
        &mut self,
        protover: Option<Protover>,
        options: Option<HelloOptions<'_>>,
    ) -> Result<Ahead<'_, Hello>, Error> {
        // Each does what it says before the next one is looked at.
        for option in options.map_or(Vec::new(), |options| options.0) {
            match option {
                HelloOption::Auth(user, password) => self.log_in(user, password)?,
                HelloOption::SetName(name) => self.client.set_name(client_name(name)?),
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
        if let Some(Protover(protocol)) = protover {
            self.client.set_protocol(protocol);
        }
        // What has been pushed is in the protocol of before.
        Ok(self.ahead(Hello { protocol: self.client.protocol(), id: self.client.id() }))
    }

    /// Authenticates the connection.
    #[command("AUTH", fast, noscript, loading, stale, no_auth, allow_busy)]
    fn auth(&mut self, words: Vec<&[u8]>) -> Result<(), Error> {
        match words[..] {
            [_] if self.server.password.is_none() => Err(NO_PASSWORD_CONFIGURED),
            [password] => self.log_in(DEFAULT_USER, password),
            [user, password] => self.log_in(user, password),
            _ => Err(Error::SYNTAX),
        }
    }

    /// Without a password configured, the default user has any. There is no other user.
    fn log_in(&mut self, user: &[u8], password: &[u8]) -> Result<(), Error> {
        let is_right = self.server.password.as_ref().is_none_or(|right| is_same(right, password));
        if user != DEFAULT_USER || !is_right {
            return Err(WRONG_PASSWORD);
        }
        self.set_authenticated(true);
        Ok(())
    }
}

const NO_PASSWORD_CONFIGURED: Error = Error::from_static(
    "ERR AUTH <password> called without any password configured for the default user. \
     Are you sure your configuration is correct?",
);
const WRONG_PASSWORD: Error =
    Error::from_static("WRONGPASS invalid username-password pair or user is disabled.");
const BAD_CLIENT_NAME: Error =
    Error::from_static("ERR Client names cannot contain spaces, newlines or special characters.");

const HELLO_WITHOUT_AUTH: Error = Error::from_static(
    "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO AUTH <user> <pass> \
     option can be used to authenticate the client and select the RESP protocol version at the same time",
);
const DEFAULT_USER: &[u8] = b"default";

/// Compares in a time that does not tell how much of it is right.
fn is_same(right: &[u8], given: &[u8]) -> bool {
    let differences =
        right.iter().zip(given).fold(0, |differences, (right, given)| differences | (right ^ given));
    right.len() == given.len() && differences == 0
}

/// A name that can be shown in a list; the empty one is none.
pub(super) fn client_name(name: &[u8]) -> Result<Option<String>, Error> {
    let name = printable(name).ok_or(BAD_CLIENT_NAME)?;
    Ok((!name.is_empty()).then(|| name.to_owned()))
}

/// The text, if it is of visible ASCII characters only.
pub(super) fn printable(text: &[u8]) -> Option<&str> {
    let visible = text.iter().all(u8::is_ascii_graphic);
    std::str::from_utf8(text).ok().filter(|_| visible)
}

enum Pong<'a> {
    Plain(Option<&'a [u8]>),
    /// To one that knows nothing but arrays.
    Pushed(&'a [u8]),
}

impl IntoReply for Pong<'_> {
    fn into_reply(self, out: &mut Encoder) {
        match self {
            Pong::Plain(Some(message)) => out.bulk(message),
            Pong::Plain(None) => out.simple("PONG"),
            Pong::Pushed(message) => ("pong", message).into_reply(out),
        }
    }
}

/// A version of the protocol.
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

/// Read by hand, because `HELLO` has a syntax error of its own.
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

/// The reply of a connection that starts over: a simple one of RESP2, whatever was agreed on before.
struct Fresh<'a>(&'a ConnectionState);

#[diagnostic::do_not_recommend]
impl Answer<ConnectionState> for Fresh<'_> {
    fn answer(self, call: &Call<'_>, context: &mut (), out: &mut ReplyBuffer) {
        // One that is skipped stays so.
        if out.mode() == ReplyMode::Off {
            out.set_mode(ReplyMode::On);
        }
        self.0.ahead(Simple("RESET")).answer(call, context, out);
    }
}

/// What the server says of itself.
struct Hello {
    protocol: Protocol,
    id: u64,
}

impl IntoReply for Hello {
    fn into_reply(self, out: &mut Encoder) {
        // The first reply in the protocol that was agreed on is this one.
        out.set_protocol(self.protocol);
        out.map(7);
        "server".into_reply(out);
        "redis".into_reply(out);
        "version".into_reply(out);
        REDIS_VERSION.into_reply(out);
        "proto".into_reply(out);
        self.protocol.version().into_reply(out);
        "id".into_reply(out);
        self.id.into_reply(out);
        "mode".into_reply(out);
        "standalone".into_reply(out);
        "role".into_reply(out);
        "master".into_reply(out);
        "modules".into_reply(out);
        out.array(0);
    }
}
