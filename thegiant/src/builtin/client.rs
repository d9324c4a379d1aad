//! `CLIENT`: describes and controls connections.

use std::time::Duration;

use actix_rt::time::Instant;

use super::{
    Report,
    connection::{client_name, printable},
};
use crate::{
    Args, Client, Error, FromArg,
    batch::{ReplyBuffer, ReplyMode},
    client::ClientFlag,
    client_line::client_line,
    command::{Answer, ArgKind, ArgSpec, Arguments, Request},
    commands,
    conn::ConnectionState,
    dispatch::NOT_ALLOWED,
    pause::Pause,
    resp::parse_integer,
};

#[commands(rows = CLIENT, group = "connection")]
impl ConnectionState {
    /// Returns the unique client ID of the connection.
    #[command("CLIENT ID", noscript, loading, stale, tenant_safe)]
    fn client_id(&self) -> u64 {
        self.client.id()
    }

    /// Returns the name of the connection.
    #[command("CLIENT GETNAME", noscript, loading, stale, tenant_safe)]
    fn client_getname(&self) -> Option<String> {
        self.client.name()
    }

    /// Sets the connection name.
    #[command("CLIENT SETNAME", noscript, loading, stale, tenant_safe)]
    fn client_setname(&mut self, connection_name: &[u8]) -> Result<(), Error> {
        self.client.set_name(client_name(connection_name)?);
        Ok(())
    }

    /// Sets information specific to the client or connection.
    #[command("CLIENT SETINFO", noscript, loading, stale, tenant_safe)]
    fn client_setinfo(&mut self, attribute: LibraryAttribute<'_>) -> Result<(), Error> {
        match attribute {
            LibraryAttribute::Name(name) => self.client.set_library(attribute_text("lib-name", name)?),
            LibraryAttribute::Version(version) => {
                self.client.set_library_version(attribute_text("lib-ver", version)?);
            }
        }
        Ok(())
    }

    /// Returns information about the connection.
    #[command("CLIENT INFO", noscript, loading, stale, tenant_safe)]
    fn client_info(&self) -> Report {
        Report(client_line(&self.client, &self.server))
    }

    /// Lists open connections.
    #[command("CLIENT LIST", admin, noscript, loading, stale, tenant_safe)]
    fn client_list(&self, filter: Option<ClientFilter>) -> Report {
        let mut clients = match filter {
            None => self.server.clients.sorted_by_id(),
            Some(ClientFilter::Class(class)) => {
                let is_in_class = |client: &Client| class == Class::of(client);
                self.server.clients.sorted_by_id().into_iter().filter(is_in_class).collect()
            }
            Some(ClientFilter::Ids(ids)) => {
                let find = |id: &i64| self.server.clients.get(u64::try_from(*id).ok()?);
                ids.iter().filter_map(find).collect()
            }
        };
        if !self.key_prefix.is_empty() {
            clients.retain(|client| client.key_prefix() == self.key_prefix);
        }
        Report(clients.iter().map(|client| client_line(client, &self.server)).collect())
    }

    /// Instructs the server whether to reply to commands.
    #[command("CLIENT REPLY", noscript, loading, stale, tenant_safe)]
    fn client_reply(&self, action: ReplyAction) -> Result<ReplyAction, Error> {
        // The array that EXEC replies with needs all of its elements, and has none that the client does not get.
        let changes_nothing = matches!(action, ReplyAction::On) && self.replies == ReplyMode::On;
        if self.transaction.is_running() && !changes_nothing { Err(NOT_ALLOWED) } else { Ok(action) }
    }

    /// Suspends commands processing.
    #[command("CLIENT PAUSE", admin, noscript, loading, stale)]
    fn client_pause(&self, timeout: PauseTimeout, mode: Option<PauseMode>) {
        let writes_only = matches!(mode, Some(PauseMode(true)));
        self.server.pause(Pause { until: Instant::now() + timeout.0, writes_only });
    }

    /// Resumes processing commands from paused clients.
    #[command("CLIENT UNPAUSE", admin, noscript, loading, stale)]
    fn client_unpause(&self) {
        self.server.unpause();
    }

    /// Sets the client eviction mode of the connection.
    #[command("CLIENT NO-EVICT", admin, noscript, loading, stale)]
    fn client_no_evict(&self, enabled: Switch) {
        self.server.clients.set_no_evict(&self.client, enabled.is_on());
    }

    /// Controls whether commands sent by the client affect the LRU/LFU of accessed keys.
    #[command("CLIENT NO-TOUCH", noscript, loading, stale, tenant_safe)]
    fn client_no_touch(&self, enabled: Switch) {
        self.client.set(ClientFlag::NoTouch, enabled.is_on());
    }
}

const INVALID_ID: Error = Error::from_static("ERR Invalid client ID");
const TIMEOUT_NO_INTEGER: Error = Error::from_static("ERR timeout is not an integer or out of range");
const TIMEOUT_NEGATIVE: Error = Error::from_static("ERR timeout is negative");
const UNKNOWN_PAUSE_MODE: Error = Error::from_static("ERR CLIENT PAUSE mode must be WRITE or ALL");

/// The client types of `CLIENT LIST TYPE` and `CLIENT KILL TYPE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    Normal,
    Master,
    Replica,
    PubSub,
}

impl Class {
    pub(super) fn of(client: &Client) -> Self {
        // As in Redis, a MONITOR client counts as normal.
        if client.is_subscriber() { Class::PubSub } else { Class::Normal }
    }
}

impl<'a> FromArg<'a> for Class {
    const ARG: ArgSpec = ArgSpec::one_of(&[
        ArgSpec::new(ArgKind::PureToken).named("normal").token("NORMAL"),
        ArgSpec::new(ArgKind::PureToken).named("master").token("MASTER"),
        ArgSpec::new(ArgKind::PureToken).named("replica").token("REPLICA"),
        ArgSpec::new(ArgKind::PureToken).named("pubsub").token("PUBSUB"),
    ]);

    fn from_arg(args: &mut Arguments<'a>) -> Result<Self, Error> {
        let word = args.take()?;
        match word.to_ascii_lowercase().as_slice() {
            b"normal" => Ok(Class::Normal),
            b"master" => Ok(Class::Master),
            b"replica" | b"slave" => Ok(Class::Replica),
            b"pubsub" => Ok(Class::PubSub),
            _ => Err(Error::from_bytes([b"ERR Unknown client type '", word, b"'"].concat())),
        }
    }
}

/// The filter of `CLIENT LIST`: `TYPE type` or `ID id …`.
enum ClientFilter {
    Class(Class),
    Ids(Vec<i64>),
}

impl<'a> FromArg<'a> for ClientFilter {
    const ARG: ArgSpec = ArgSpec::options(&[
        Class::ARG.named("client-type").token("TYPE").optional(),
        ArgSpec::new(ArgKind::Integer).named("client-id").token("ID").optional().multiple(),
    ]);

    fn from_arg(args: &mut Arguments<'a>) -> Result<Self, Error> {
        if args.len() == 2 && args.accept("TYPE") {
            return Class::from_arg(args).map(ClientFilter::Class);
        }
        if args.len() > 1 && args.accept("ID") {
            let ids = args.map(|id| parse_integer(id).ok_or(INVALID_ID));
            return ids.collect::<Result<_, _>>().map(ClientFilter::Ids);
        }
        Err(Error::SYNTAX)
    }
}

#[derive(Args)]
enum ReplyAction {
    On,
    Off,
    Skip,
}

#[diagnostic::do_not_recommend]
impl Answer<ConnectionState> for Result<ReplyAction, Error> {
    fn answer(self, _: &Request<'_>, _: &mut (), out: &mut ReplyBuffer) {
        match self {
            Ok(ReplyAction::On) => {
                out.set_mode(ReplyMode::On);
                out.encoder_mut().simple("OK");
            }
            Ok(ReplyAction::Off) => out.set_mode(ReplyMode::Off),
            Ok(ReplyAction::Skip) if out.mode() == ReplyMode::Off => {}
            Ok(ReplyAction::Skip) => out.set_mode(ReplyMode::SkipNext),
            Err(error) => out.error(&error),
        }
    }
}

#[derive(Args)]
pub(super) enum Switch {
    On,
    Off,
}

impl Switch {
    fn is_on(&self) -> bool {
        matches!(self, Switch::On)
    }

    pub(super) fn yes_or_no(word: &[u8]) -> Result<bool, Error> {
        match word.to_ascii_lowercase().as_slice() {
            b"yes" => Ok(true),
            b"no" => Ok(false),
            _ => Err(Error::SYNTAX),
        }
    }
}

struct PauseTimeout(Duration);

impl<'a> FromArg<'a> for PauseTimeout {
    const ARG: ArgSpec = ArgSpec::new(ArgKind::Integer).named("timeout");

    fn from_arg(args: &mut Arguments<'a>) -> Result<Self, Error> {
        let timeout = args.take()?;
        // As in Redis, an error in the mode takes precedence over an error in the timeout.
        args.peek().map_or(Ok(PauseMode(false)), PauseMode::of)?;
        let timeout: i64 = parse_integer(timeout).ok_or(TIMEOUT_NO_INTEGER)?;
        let timeout = u64::try_from(timeout).map_err(|_| TIMEOUT_NEGATIVE)?;
        // The limit keeps the addition to the current time from overflowing.
        Ok(PauseTimeout(Duration::from_millis(timeout).min(CENTURY)))
    }
}

const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// The mode of `CLIENT PAUSE`: `true` pauses only commands that write.
struct PauseMode(bool);

impl PauseMode {
    fn of(word: &[u8]) -> Result<Self, Error> {
        match word.to_ascii_lowercase().as_slice() {
            b"write" => Ok(PauseMode(true)),
            b"all" => Ok(PauseMode(false)),
            _ => Err(UNKNOWN_PAUSE_MODE),
        }
    }
}

impl<'a> FromArg<'a> for PauseMode {
    const ARG: ArgSpec = ArgSpec::one_of(&[
        ArgSpec::new(ArgKind::PureToken).named("write").token("WRITE"),
        ArgSpec::new(ArgKind::PureToken).named("all").token("ALL"),
    ]);

    fn from_arg(args: &mut Arguments<'a>) -> Result<Self, Error> {
        PauseMode::of(args.take()?)
    }
}

/// The arguments of `CLIENT SETINFO`: the name of an attribute, and its value.
enum LibraryAttribute<'a> {
    Name(&'a [u8]),
    Version(&'a [u8]),
}

impl<'a> FromArg<'a> for LibraryAttribute<'a> {
    const ARG: ArgSpec = ArgSpec::one_of(&[
        ArgSpec::new(ArgKind::String).named("libname").token("LIB-NAME"),
        ArgSpec::new(ArgKind::String).named("libver").token("LIB-VER"),
    ]);

    fn from_arg(args: &mut Arguments<'a>) -> Result<Self, Error> {
        if args.accept("LIB-NAME") {
            args.take().map(LibraryAttribute::Name)
        } else if args.accept("LIB-VER") {
            args.take().map(LibraryAttribute::Version)
        } else {
            Err(Error::from_bytes([b"ERR Unrecognized option '", args.take()?, b"'"].concat()))
        }
    }
}

fn attribute_text<'a>(attribute: &str, text: &'a [u8]) -> Result<&'a str, Error> {
    printable(text).ok_or_else(|| {
        Error::err(format_args!("{attribute} cannot contain spaces, newlines or special characters."))
    })
}
