//! The commands for expiry times, and the parser of these times.

use thegiant::{
    EventClass, FromArg, KeyEvents,
    command::{ArgKind, ArgSpec, Arguments},
    now,
    prelude::*,
    resp::parse_integer,
};

use crate::{
    databases::{Databases, Result, Time},
    store::Store,
};

#[commands(rows = EXPIRY, group = "generic")]
impl<D: Databases> Store<D> {
    /// Sets the time to live of a key, in seconds.
    #[command("EXPIRE", write, fast)]
    fn expire(
        &mut self,
        client: &Client,
        #[key(RW, update)] key: Key<&[u8]>,
        seconds: Number<'_>,
        condition: Conditions,
        events: &mut KeyEvents,
    ) -> Result<i64> {
        let deadline = time("expire", &seconds, SECOND, now())?;
        self.set_deadline(client, *key, deadline, &condition, events)
    }

    /// Sets the time to live of a key, in milliseconds.
    #[command("PEXPIRE", write, fast)]
    fn pexpire(
        &mut self,
        client: &Client,
        #[key(RW, update)] key: Key<&[u8]>,
        milliseconds: Number<'_>,
        condition: Conditions,
        events: &mut KeyEvents,
    ) -> Result<i64> {
        let deadline = time("pexpire", &milliseconds, MILLISECOND, now())?;
        self.set_deadline(client, *key, deadline, &condition, events)
    }

    /// Sets when a key expires, in seconds since 1970.
    #[command("EXPIREAT", write, fast)]
    fn expireat(
        &mut self,
        client: &Client,
        #[key(RW, update)] key: Key<&[u8]>,
        unix_time_seconds: Number<'_>,
        condition: Conditions,
        events: &mut KeyEvents,
    ) -> Result<i64> {
        let deadline = time("expireat", &unix_time_seconds, SECOND, 0)?;
        self.set_deadline(client, *key, deadline, &condition, events)
    }

    /// Sets when a key expires, in milliseconds since 1970.
    #[command("PEXPIREAT", write, fast)]
    fn pexpireat(
        &mut self,
        client: &Client,
        #[key(RW, update)] key: Key<&[u8]>,
        unix_time_milliseconds: Number<'_>,
        condition: Conditions,
        events: &mut KeyEvents,
    ) -> Result<i64> {
        let deadline = time("pexpireat", &unix_time_milliseconds, MILLISECOND, 0)?;
        self.set_deadline(client, *key, deadline, &condition, events)
    }

    /// Returns when a key expires, in seconds since 1970.
    #[command("EXPIRETIME", readonly, fast)]
    fn expiretime(&self, client: &Client, key: Key<&[u8]>) -> Result<i64> {
        self.expiry(client, *key, rounded_to_seconds)
    }

    /// Returns when a key expires, in milliseconds since 1970.
    #[command("PEXPIRETIME", readonly, fast)]
    fn pexpiretime(&self, client: &Client, key: Key<&[u8]>) -> Result<i64> {
        self.expiry(client, *key, |deadline| deadline)
    }

    /// Returns the time to live of a key, in seconds.
    #[command("TTL", readonly, fast)]
    fn ttl(&self, client: &Client, key: Key<&[u8]>) -> Result<i64> {
        self.expiry(client, *key, |deadline| rounded_to_seconds(from_now(deadline)))
    }

    /// Returns the time to live of a key, in milliseconds.
    #[command("PTTL", readonly, fast)]
    fn pttl(&self, client: &Client, key: Key<&[u8]>) -> Result<i64> {
        self.expiry(client, *key, from_now)
    }

    /// Removes the deadline of a key.
    #[command("PERSIST", write, fast)]
    pub(crate) fn persist(
        &mut self,
        client: &Client,
        #[key(RW, update)] key: Key<&[u8]>,
        events: &mut KeyEvents,
    ) -> Result<i64> {
        let expires = self.data.entry(client.db(), *key)?.is_some_and(|entry| entry.deadline.is_some());
        if expires {
            self.data.set_deadline(client.db(), *key, None)?;
            events.add(EventClass::Generic, "persist", client.db(), *key);
        }
        Ok(i64::from(expires))
    }
}

impl<D: Databases> Store<D> {
    /// Sets the deadline of a key. Returns 1, or 0 if a condition forbids it or the key does not exist.
    fn set_deadline(
        &mut self,
        client: &Client,
        key: &[u8],
        deadline: Time,
        conditions: &Conditions,
        events: &mut KeyEvents,
    ) -> Result<i64> {
        let entry = self.data.entry(client.db(), key)?;
        let allowed = entry.is_some_and(|entry| conditions.allow(entry.deadline, deadline));
        if allowed {
            self.change_deadline(client, key, deadline, events)?;
        }
        Ok(i64::from(allowed))
    }

    /// Sets the deadline of an existing key, or removes the key if it is in the past.
    pub(crate) fn change_deadline(
        &mut self,
        client: &Client,
        key: &[u8],
        deadline: Time,
        events: &mut KeyEvents,
    ) -> Result<()> {
        self.data.set_deadline(client.db(), key, Some(deadline))?;
        let event = if deadline <= now() { "del" } else { "expire" };
        events.add(EventClass::Generic, event, client.db(), key);
        Ok(())
    }

    /// Returns the deadline of a key, converted by `convert`; -1 without a deadline, -2 without a key.
    fn expiry(&self, client: &Client, key: &[u8], convert: fn(Time) -> i64) -> Result<i64> {
        let entry = self.data.entry(client.db(), key)?;
        Ok(entry.map_or(-2, |entry| entry.deadline.map_or(-1, convert)))
    }
}

fn from_now(deadline: Time) -> i64 {
    (deadline - now()).max(0)
}

fn rounded_to_seconds(milliseconds: i64) -> i64 {
    milliseconds.saturating_add(SECOND / 2) / SECOND
}

/// A condition under which a deadline may be set: no old deadline, some, an earlier one, a later one.
#[derive(Args, PartialEq)]
enum Condition {
    Nx,
    Xx,
    Gt,
    Lt,
}

/// Conditions that must all hold.
///
/// The type implements [`FromArg`] by hand, because Redis has special error texts for conflicting conditions.
struct Conditions(Vec<Condition>);

impl<'a> FromArg<'a> for Conditions {
    const ARG: ArgSpec = Condition::ARG.optional();

    fn from_arg(args: &mut Arguments<'a>) -> Result<Self> {
        let mut conditions = Vec::new();
        while let Some(word) = args.peek() {
            conditions.push(Condition::from_arg(args).map_err(|_| unsupported(word))?);
        }
        let has = |condition| conditions.contains(&condition);
        match (has(Condition::Nx), has(Condition::Gt), has(Condition::Lt)) {
            (true, ..) if conditions.iter().any(|other| *other != Condition::Nx) => Err(NX_AND_OTHERS),
            (_, true, true) => Err(GT_AND_LT),
            _ => Ok(Conditions(conditions)),
        }
    }
}

fn unsupported(option: &[u8]) -> Error {
    Error::from_bytes([b"ERR Unsupported option ", option].concat())
}

impl Conditions {
    /// Returns whether the new deadline may replace the old one. No deadline counts as infinitely late.
    fn allow(&self, before: Option<Time>, after: Time) -> bool {
        self.0.iter().all(|condition| match condition {
            Condition::Nx => before.is_none(),
            Condition::Xx => before.is_some(),
            Condition::Gt => before.is_some_and(|before| after > before),
            Condition::Lt => before.is_none_or(|before| after < before),
        })
    }
}

/// Milliseconds per second.
pub(crate) const SECOND: i64 = 1000;
pub(crate) const MILLISECOND: i64 = 1;

/// Returns the time that lies `amount` units after `start`. The error text names `command`.
fn time(command: &str, amount: &Number<'_>, unit: i64, start: Time) -> Result<Time> {
    let time = amount.get()?.checked_mul(unit).and_then(|amount| amount.checked_add(start));
    time.ok_or_else(|| invalid_expire_time(command))
}

/// Like [`time`], but rejects amounts below 1: `SET` must not create an expired key.
pub(crate) fn lifetime(command: &str, amount: &Number<'_>, unit: i64, start: Time) -> Result<Time> {
    if amount.get()? > 0 { time(command, amount, unit, start) } else { Err(invalid_expire_time(command)) }
}

fn invalid_expire_time(command: &str) -> Error {
    Error::err(format_args!("invalid expire time in '{command}' command"))
}

/// The expiry options of `SET` and `GETEX`.
#[derive(Args)]
pub(crate) enum Expiration<'a> {
    #[arg(name = "seconds")]
    Ex(Number<'a>),
    #[arg(name = "milliseconds")]
    Px(Number<'a>),
    #[arg(name = "unix-time-seconds", unix_time)]
    ExAt(Number<'a>),
    #[arg(name = "unix-time-milliseconds", unix_time)]
    PxAt(Number<'a>),
}

impl Expiration<'_> {
    pub(crate) fn time(&self, command: &str) -> Result<Time> {
        let (amount, unit, start) = match self {
            Expiration::Ex(amount) => (amount, SECOND, now()),
            Expiration::Px(amount) => (amount, MILLISECOND, now()),
            Expiration::ExAt(amount) => (amount, SECOND, 0),
            Expiration::PxAt(amount) => (amount, MILLISECOND, 0),
        };
        lifetime(command, amount, unit, start)
    }
}

/// An integer that is parsed when it is used, because Redis reports other errors first.
pub(crate) struct Number<'a>(&'a [u8]);

impl Number<'_> {
    fn get(&self) -> Result<i64> {
        parse_integer(self.0).ok_or(Error::NOT_AN_INTEGER)
    }
}

impl<'a> FromArg<'a> for Number<'a> {
    const ARG: ArgSpec = ArgSpec::new(ArgKind::Integer);

    fn from_arg(args: &mut Arguments<'a>) -> Result<Self> {
        args.take().map(Number)
    }
}

const NX_AND_OTHERS: Error =
    Error::from_static("ERR NX and XX, GT or LT options at the same time are not compatible");
const GT_AND_LT: Error = Error::from_static("ERR GT and LT options at the same time are not compatible");
