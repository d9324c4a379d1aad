//! `CLIENT`: describes and controls connections.

use std::{fmt::Write, time::Duration};

use actix_rt::time::Instant;

use super::{
    Report,
    connection::{client_name, printable},
};
use crate::{
    Address, Args, Client, Error, FromArg, IntoReply,
    batch::{ReplyBuffer, ReplyMode},
    client::{ClientFlag, CloseRequest},
    command::{Answer, ArgKind, ArgSpec, Arguments, Call},
    commands,
    conn::ConnectionState,
    dispatch::NOT_ALLOWED,
    keyspace::{Tracked, TrackingMode},
    pause::Pause,
    resp::{Encoder, parse_integer},
    server_state::ServerState,
};

#[commands(rows = CLIENT, group = "connection")]
impl ConnectionState {
    /// Returns the unique client ID of the connection.
    #[command("CLIENT ID", noscript, loading, stale)]
    fn client_id(&self) -> u64 {
        self.client.id()
    }

    /// Returns the name of the connection.
    #[command("CLIENT GETNAME", noscript, loading, stale)]
    fn client_getname(&self) -> Option<String> {
        self.client.name()
    }

    /// Sets the connection name.
    #[command("CLIENT SETNAME", noscript, loading, stale)]
    fn client_setname(&mut self, connection_name: &[u8]) -> Result<(), Error> {
        self.client.set_name(client_name(connection_name)?);
        Ok(())
    }

    /// Sets information specific to the client or connection.
    #[command("CLIENT SETINFO", noscript, loading, stale)]
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
    #[command("CLIENT INFO", noscript, loading, stale)]
    fn client_info(&self) -> Report {
        Report(client_line(&self.client, &self.server))
    }

    /// Lists open connections.
    #[command("CLIENT LIST", admin, noscript, loading, stale)]
    fn client_list(&self, filter: Option<ClientFilter>) -> Report {
        let clients = match filter {
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
        Report(clients.iter().map(|client| client_line(client, &self.server)).collect())
    }

    /// Terminates open connections.
    #[command("CLIENT KILL", admin, noscript, loading, stale)]
    fn client_kill(&mut self, target: KillTarget<'_>) -> Result<Killed, Error> {
        let filters = match target {
            KillTarget::Address(address) => {
                let filters =
                    KillFilters { address: Some(address), skips_me: false, ..KillFilters::default() };
                return if self.kill(&filters) > 0 { Ok(Killed::Ok) } else { Err(NO_SUCH_CLIENT) };
            }
            KillTarget::Filters(filters) => filters,
        };
        Ok(Killed::Count(self.kill(&filters)))
    }

    /// Instructs the server whether to reply to commands.
    #[command("CLIENT REPLY", noscript, loading, stale)]
    fn client_reply(&self, action: ReplyAction) -> Result<ReplyAction, Error> {
        // The array that EXEC replies with needs all of its elements.
        if self.transaction.is_running() { Err(NOT_ALLOWED) } else { Ok(action) }
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
    #[command("CLIENT NO-TOUCH", noscript, loading, stale)]
    fn client_no_touch(&self, enabled: Switch) {
        self.client.set(ClientFlag::NoTouch, enabled.is_on());
    }
}

impl ConnectionState {
    /// Closes the connections that pass all filters. Returns their number.
    ///
    /// Connections that already have a close request are not counted.
    fn kill(&mut self, filters: &KillFilters<'_>) -> i64 {
        let mut killed = 0;
        let now = self.server.now();
        let is_killed =
            |client: &&Client| client.close_request() != CloseRequest::Now && filters.accept(client, now);
        for client in self.server.clients.sorted_by_id().iter().filter(is_killed) {
            let is_me = client.id() == self.client.id();
            if is_me && filters.skips_me {
                continue;
            }
            if is_me {
                // The connection closes after it has sent the reply to this command.
                self.closing = true;
            } else {
                client.request_close(CloseRequest::Now);
            }
            killed += 1;
        }
        killed
    }
}

const NO_SUCH_CLIENT: Error = Error::from_static("ERR No such client");
const INVALID_ID: Error = Error::from_static("ERR Invalid client ID");
const ID_NOT_POSITIVE: Error = Error::from_static("ERR client-id should be greater than 0");
const MAX_AGE_NO_INTEGER: Error = Error::from_static("ERR maxage is not an integer or out of range");
const MAX_AGE_NOT_POSITIVE: Error = Error::from_static("ERR maxage should be greater than 0");
const TIMEOUT_NO_INTEGER: Error = Error::from_static("ERR timeout is not an integer or out of range");
const TIMEOUT_NEGATIVE: Error = Error::from_static("ERR timeout is negative");
const UNKNOWN_PAUSE_MODE: Error = Error::from_static("ERR CLIENT PAUSE mode must be WRITE or ALL");

/// Memory of an idle connection, in bytes: see DESIGN.md.
const IDLE_MEMORY: usize = 1400;

/// Returns a line of `CLIENT LIST`, with the fields of Redis 7.2.
fn client_line(client: &Client, server: &ServerState) -> String {
    let now = server.now();
    let (input, output, pushed) = (client.input(), client.output(), client.pushed_len());
    let command =
        client.last_command().map_or_else(|| "NULL".to_owned(), |id| server.routes.command(id).full_name());
    let (library, version) = client.library();
    let [channels, patterns, shards] = client.subscribed();
    let queued = client.queued();
    let tracked = server.keyspace.tracked(client);
    let mut line = format!(
        "id={} addr={} laddr={} fd={} name={} ",
        client.id(),
        client.addr().listed(),
        client.local_addr().listed(),
        client.descriptor(),
        client.name().unwrap_or_default(),
    );
    // Writing to a string never fails.
    let _ = writeln!(
        line,
        "age={} idle={} flags={} db={} sub={channels} psub={patterns} ssub={shards} multi={} watch={} qbuf={input} qbuf-free=0 argv-mem=0 multi-mem={} \
         rbs=0 rbp=0 obl={output} oll=0 omem={pushed} tot-mem={} events={} cmd={command} user={} redir={} resp={} \
         lib-name={} lib-ver={}",
        client.age(now),
        client.idle(now),
        flags(client, &tracked),
        client.db(),
        queued.map_or(-1, |(requests, _)| i64::from(requests)),
        client.watched_keys(),
        queued.map_or(0, |(_, memory)| memory),
        IDLE_MEMORY + client.memory(),
        if output > 0 { "rw" } else { "r" },
        client.user(),
        tracked.redirect.as_i64(),
        client.protocol().version(),
        library.unwrap_or_default(),
        version.unwrap_or_default(),
    );
    line
}

fn flags(client: &Client, tracked: &Tracked) -> String {
    let flags = [
        ('O', client.is(ClientFlag::Monitor)),
        ('P', client.is_subscriber()),
        ('x', client.queued().is_some()),
        ('b', client.is_blocked()),
        ('t', tracked.is_on()),
        ('R', tracked.is_broken),
        ('B', tracked.mode == TrackingMode::Broadcast),
        ('d', client.is(ClientFlag::Dirty)),
        ('A', client.close_request() == CloseRequest::Now),
        ('U', matches!(client.addr(), Address::Unix(_))),
        ('e', client.is(ClientFlag::NoEvict)),
        ('T', client.is(ClientFlag::NoTouch)),
    ];
    let set: String = flags.into_iter().filter(|(_, is_set)| *is_set).map(|(flag, _)| flag).collect();
    if set.is_empty() { "N".to_owned() } else { set }
}

/// The client types of `CLIENT LIST TYPE` and `CLIENT KILL TYPE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    Normal,
    Master,
    Replica,
    PubSub,
}

impl Class {
    fn of(client: &Client) -> Self {
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

/// The arguments of `CLIENT KILL`: one address (the old form), or filters.
enum KillTarget<'a> {
    Address(&'a [u8]),
    Filters(KillFilters<'a>),
}

/// The filters of `CLIENT KILL`. A connection has to pass all of them.
#[derive(Default)]
struct KillFilters<'a> {
    id: Option<u64>,
    address: Option<&'a [u8]>,
    local_address: Option<&'a [u8]>,
    class: Option<Class>,
    user: Option<&'a [u8]>,
    /// Minimum age in seconds.
    max_age: Option<u64>,
    skips_me: bool,
}

impl<'a> FromArg<'a> for KillTarget<'a> {
    const ARG: ArgSpec = ArgSpec::one_of(&[
        ArgSpec::new(ArgKind::String).named("ip:port"),
        ArgSpec::one_of(&[
            ArgSpec::new(ArgKind::Integer).named("client-id").token("ID"),
            Class::ARG.named("client-type").token("TYPE"),
            ArgSpec::new(ArgKind::String).named("username").token("USER"),
            ArgSpec::new(ArgKind::String).named("addr").token("ADDR"),
            ArgSpec::new(ArgKind::String).named("laddr").token("LADDR"),
            ArgSpec::new(ArgKind::String).named("skipme").token("SKIPME"),
            ArgSpec::new(ArgKind::Integer).named("maxage").token("MAXAGE"),
        ])
        .named("filter")
        .multiple(),
    ]);

    fn from_arg(args: &mut Arguments<'a>) -> Result<Self, Error> {
        if args.len() == 1 {
            return args.take().map(KillTarget::Address);
        }
        let mut filters = KillFilters { skips_me: true, ..KillFilters::default() };
        while !args.is_empty() {
            if args.len() < 2 {
                return Err(Error::SYNTAX);
            }
            filters.read(args)?;
        }
        Ok(KillTarget::Filters(filters))
    }
}

impl<'a> KillFilters<'a> {
    /// Parses one filter and its value.
    fn read(&mut self, args: &mut Arguments<'a>) -> Result<(), Error> {
        if args.accept("ID") {
            let id = parse_integer::<i64>(args.take()?).filter(|id| *id > 0).ok_or(ID_NOT_POSITIVE)?;
            self.id = Some(id.unsigned_abs());
        } else if args.accept("TYPE") {
            self.class = Some(Class::from_arg(args)?);
        } else if args.accept("ADDR") {
            self.address = Some(args.take()?);
        } else if args.accept("LADDR") {
            self.local_address = Some(args.take()?);
        } else if args.accept("USER") {
            let user = args.take()?;
            if user != b"default" {
                return Err(Error::from_bytes([b"ERR No such user '", user, b"'"].concat()));
            }
            self.user = Some(user);
        } else if args.accept("MAXAGE") {
            let age = parse_integer::<i64>(args.take()?).ok_or(MAX_AGE_NO_INTEGER)?;
            self.max_age = Some(u64::try_from(age).ok().filter(|age| *age > 0).ok_or(MAX_AGE_NOT_POSITIVE)?);
        } else if args.accept("SKIPME") {
            self.skips_me = Switch::yes_or_no(args.take()?)?;
        } else {
            return Err(Error::SYNTAX);
        }
        Ok(())
    }

    fn accept(&self, client: &Client, now: u32) -> bool {
        let is_at = |filter: Option<&[u8]>, address: &Address| {
            filter.is_none_or(|filter| address.listed().as_bytes() == filter)
        };
        self.id.is_none_or(|id| id == client.id())
            && is_at(self.address, client.addr())
            && is_at(self.local_address, client.local_addr())
            && self.class.is_none_or(|class| class == Class::of(client))
            && self.user.is_none_or(|user| user == client.user().as_bytes())
            && self.max_age.is_none_or(|age| u64::from(client.age(now)) >= age)
    }
}

/// The reply of `CLIENT KILL`: `OK` for the old form, a count for the new one.
enum Killed {
    Ok,
    Count(i64),
}

impl IntoReply for Killed {
    fn into_reply(self, out: &mut Encoder) {
        match self {
            Killed::Ok => out.simple("OK"),
            Killed::Count(count) => out.integer(count),
        }
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
    fn answer(self, _: &Call<'_>, _: &mut (), out: &mut ReplyBuffer) {
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
enum Switch {
    On,
    Off,
}

impl Switch {
    fn is_on(&self) -> bool {
        matches!(self, Switch::On)
    }

    fn yes_or_no(word: &[u8]) -> Result<bool, Error> {
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
