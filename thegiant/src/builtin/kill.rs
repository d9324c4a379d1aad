//! `CLIENT KILL`: closes connections.

use super::client::{Class, Switch};
use crate::{
    Address, Client, Error, FromArg, Reply,
    client::CloseRequest,
    command::{ArgKind, ArgSpec, Arguments},
    commands,
    conn::ConnectionState,
    resp::{Encoder, parse_integer},
};

#[commands(rows = KILL, group = "connection")]
impl ConnectionState {
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
        if let Some(user) = filters.user
            && self.server.acl.user(user).is_none()
        {
            return Err(Error::from_bytes([b"ERR No such user '", user, b"'"].concat()));
        }
        Ok(Killed::Count(self.kill(&filters)))
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
const ID_NOT_POSITIVE: Error = Error::from_static("ERR client-id should be greater than 0");
const MAX_AGE_NO_INTEGER: Error = Error::from_static("ERR maxage is not an integer or out of range");
const MAX_AGE_NOT_POSITIVE: Error = Error::from_static("ERR maxage should be greater than 0");

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
            self.user = Some(args.take()?);
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
            && self.user.is_none_or(|user| user == &*client.user_name())
            && self.max_age.is_none_or(|age| u64::from(client.age(now)) >= age)
    }
}

/// The reply of `CLIENT KILL`: `OK` for the old form, a count for the new one.
enum Killed {
    Ok,
    Count(i64),
}

impl Reply for Killed {
    fn write_to(self, out: &mut Encoder) {
        match self {
            Killed::Ok => out.simple("OK"),
            Killed::Count(count) => out.integer(count),
        }
    }
}
