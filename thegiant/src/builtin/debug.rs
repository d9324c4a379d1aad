//! `DEBUG`: commands for testing clients, if the setting `enable-debug-command` allows them.

use std::{thread, time::Duration};

use crate::{
    Error, Reply, commands,
    conn::ConnectionState,
    resp::{Encoder, Protocol},
    settings::DebugAccess,
};

#[commands(rows = DEBUG, group = "server")]
impl ConnectionState {
    /// Replies with a test value of the specified type.
    #[command("DEBUG PROTOCOL", admin, noscript, loading, stale)]
    fn debug_protocol(&self, r#type: &[u8]) -> Result<Sample, Error> {
        self.may_debug()?;
        match Sample::named(r#type).ok_or(UNKNOWN_TYPE)? {
            Sample::Push if self.client.protocol() == Protocol::Resp2 => Err(NO_RESP2),
            sample => Ok(sample),
        }
    }

    /// Stops the server for the given number of seconds.
    #[command("DEBUG SLEEP", admin, noscript, loading, stale)]
    fn debug_sleep(&self, seconds: f64) -> Result<(), Error> {
        self.may_debug()?;
        thread::sleep(Duration::try_from_secs_f64(seconds).unwrap_or_default());
        Ok(())
    }

    /// Sets whether the server removes keys whose time is over: 1, or 0 for tests of keys that are still stored.
    #[command("DEBUG SET-ACTIVE-EXPIRE", admin, noscript, loading, stale)]
    fn debug_set_active_expire(&self, active: i64) -> Result<(), Error> {
        self.may_debug()?;
        self.server.keyspace.set_active_expire(active != 0);
        Ok(())
    }

    /// Replies with the message as an error.
    #[command("DEBUG ERROR", admin, noscript, loading, stale)]
    fn debug_error(&self, message: &[u8]) -> Result<(), Error> {
        self.may_debug()?;
        Err(Error::from_bytes(message.to_vec()))
    }

    /// Writes a message to the log.
    #[command("DEBUG LOG", admin, noscript, loading, stale)]
    fn debug_log(&self, message: &[u8]) -> Result<(), Error> {
        self.may_debug()?;
        let client = &self.client;
        tracing::warn!(id = client.id(), client = %client.addr(), "DEBUG LOG: {}", message.escape_ascii());
        Ok(())
    }
}

impl ConnectionState {
    fn may_debug(&self) -> Result<(), Error> {
        let allowed = match self.server.settings.debug_access() {
            DebugAccess::No => false,
            DebugAccess::Local => self.client.addr().is_local(),
            DebugAccess::Yes => true,
        };
        if allowed { Ok(()) } else { Err(NOT_ALLOWED) }
    }
}

const NOT_ALLOWED: Error = Error::from_static(
    "ERR DEBUG command not allowed. If the enable-debug-command option is set to \"local\", you can run it from a \
     local connection, otherwise you need to set this option in the configuration file, and then restart the server.",
);
const NO_RESP2: Error = Error::from_static("ERR RESP2 is not supported by this command");
const UNKNOWN_TYPE: Error = Error::from_static(
    "ERR Wrong protocol type name. Please use one of the following: string|integer|double|bignum|null|array|set|map|\
     attrib|push|verbatim|true|false",
);

/// The test values of Redis, one of each protocol type.
#[derive(Clone, Copy)]
enum Sample {
    String,
    Integer,
    Double,
    Null,
    Array,
    Set,
    Map,
    Attribute,
    Push,
    Verbatim,
    True,
    False,
    BigNumber,
}

const SAMPLES: [(&str, Sample); 13] = [
    ("string", Sample::String),
    ("integer", Sample::Integer),
    ("double", Sample::Double),
    ("null", Sample::Null),
    ("array", Sample::Array),
    ("set", Sample::Set),
    ("map", Sample::Map),
    ("attrib", Sample::Attribute),
    ("push", Sample::Push),
    ("verbatim", Sample::Verbatim),
    ("true", Sample::True),
    ("false", Sample::False),
    ("bignum", Sample::BigNumber),
];

impl Sample {
    fn named(name: &[u8]) -> Option<Self> {
        let is_named = |known: &str| known.as_bytes().eq_ignore_ascii_case(name);
        SAMPLES.iter().find(|(known, _)| is_named(known)).map(|(_, sample)| *sample)
    }
}

impl Reply for Sample {
    fn write_to(self, out: &mut Encoder) {
        match self {
            Sample::String => out.bulk(b"Hello World"),
            Sample::Integer => out.integer(12345),
            #[expect(clippy::approx_constant, reason = "Redis does not mean pi")]
            Sample::Double => out.double(3.141),
            Sample::Null => out.null(),
            Sample::Array => {
                out.array(3);
                (0..3).for_each(|number| out.integer(number));
            }
            Sample::Set => {
                out.set(3);
                (0..3).for_each(|number| out.integer(number));
            }
            Sample::Map => {
                out.map(3);
                for number in 0..3 {
                    out.integer(number);
                    out.boolean(number == 1);
                }
            }
            Sample::Attribute => {
                // RESP2 has no attributes.
                if out.protocol() == Protocol::Resp3 {
                    out.raw(b"|1\r\n");
                    out.bulk(b"key-popularity");
                    out.array(2);
                    out.bulk(b"key:123");
                    out.integer(90);
                }
                out.bulk(b"Some real reply following the attribute");
            }
            Sample::Push => {
                out.push(2);
                out.bulk(b"server-cpu-usage");
                out.integer(42);
                // A push is not a reply, and the client waits for one.
                out.bulk(b"Some real reply following the push reply");
            }
            Sample::Verbatim => out.verbatim(*b"txt", "This is a verbatim\nstring"),
            Sample::True => out.boolean(true),
            Sample::False => out.boolean(false),
            Sample::BigNumber => out.big_number("1234567999999999999999999999999999999"),
        }
    }
}
