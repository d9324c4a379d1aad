//! `SLOWLOG`: reads and clears the slow log.

use crate::{
    Error, FromArg, Reply,
    command::{ArgKind, ArgSpec, Arguments},
    commands,
    conn::ConnectionState,
    observe::Slow,
    resp::{Encoder, parse_integer},
};

#[commands(rows = SLOWLOG, group = "server")]
impl ConnectionState {
    /// Returns the slow log's entries, newest first: ten, or the given number, or all with -1.
    #[command("SLOWLOG GET", admin, loading, stale)]
    fn slowlog_get(&self, count: Option<Count>) -> Vec<Slow> {
        self.server.slowlog.last(count.map_or(10, |count| count.0))
    }

    /// Returns the number of entries in the slow log.
    #[command("SLOWLOG LEN", admin, loading, stale)]
    fn slowlog_len(&self) -> usize {
        self.server.slowlog.len()
    }

    /// Clears all entries from the slow log.
    #[command("SLOWLOG RESET", admin, loading, stale)]
    fn slowlog_reset(&self) {
        self.server.slowlog.clear();
    }
}

const BAD_COUNT: Error = Error::from_static("ERR count should be greater than or equal to -1");

/// The maximum number of entries to return.
struct Count(usize);

impl<'a> FromArg<'a> for Count {
    const ARG: ArgSpec = ArgSpec::new(ArgKind::Integer).named("count");

    fn from_arg(args: &mut Arguments<'a>) -> Result<Self, Error> {
        match parse_integer::<i64>(args.take()?) {
            Some(-1) => Ok(Count(usize::MAX)),
            count => count.and_then(|count| usize::try_from(count).ok()).map(Count).ok_or(BAD_COUNT),
        }
    }
}

impl Reply for Slow {
    fn write_to(self, out: &mut Encoder) {
        out.array(6);
        self.id.write_to(out);
        self.at.write_to(out);
        out.integer(i64::try_from(self.took.as_micros()).unwrap_or(i64::MAX));
        out.array(self.words.len());
        self.words.iter().for_each(|word| out.bulk(word));
        self.client.write_to(out);
        self.client_name.write_to(out);
    }
}
