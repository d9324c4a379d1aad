//! Times whose type names the unit of the argument and of the reply.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::{ArgKind, ArgSpec, Arguments, FromArg, Reply, ReplySpec};
use crate::{Error, resp::Encoder};

/// A duration: a whole number of milliseconds in arguments and replies.
///
/// A negative number is refused with `ERR value is out of range, must be positive`. The largest duration is `i64::MAX`
/// milliseconds, so that `Instant::now() + duration` does not panic. A reply is rounded to the nearest
/// millisecond.
///
/// ```
/// use std::time::Duration;
/// use thegiant::{Milliseconds, Seconds, prelude::*};
///
/// struct Lamp { left: Duration }
///
/// impl Actor for Lamp {
///     type Context = Context<Self>;
/// }
///
/// #[commands]
/// impl Lamp {
///     /// Switches the lamp on, and returns how long it shines.
///     #[command("SHINE", write)]
///     fn shine(&mut self, time: Milliseconds) -> Seconds {
///         self.left += time.0;
///         Seconds(self.left)
///     }
/// }
/// # #[cfg(feature = "test-util")]
/// # actix::System::new().block_on(async {
/// # let server = thegiant::test::TestServer::start(App::new().mount(Lamp { left: Duration::ZERO }.start()));
/// # let mut client = server.connect();
/// # assert_eq!(client.call(["SHINE", "2500"]).await, Value::Integer(3));
/// # });
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Milliseconds(pub Duration);

/// A duration: a whole number of seconds in arguments and replies.
///
/// It has the errors and the largest value of [`Milliseconds`]. A reply is rounded to the nearest second, as that of
/// `TTL` in Redis.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seconds(pub Duration);

/// A point in time: whole seconds since the Unix epoch in arguments and replies.
///
/// `COMMAND DOCS` describes it as `unix-time`. It has the errors of [`Milliseconds`].
///
/// ```
/// use std::time::{Duration, UNIX_EPOCH};
/// use thegiant::{Reply, UnixTime, UnixTimeMs, resp::Encoder};
///
/// let time = UNIX_EPOCH + Duration::from_millis(1_500);
/// let mut out = Encoder::default();
/// UnixTime(time).write_to(&mut out);
/// UnixTimeMs(time).write_to(&mut out);
/// assert_eq!(out.to_vec(), b":2\r\n:1500\r\n");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixTime(pub SystemTime);

/// A point in time: whole milliseconds since the Unix epoch in arguments and replies.
///
/// It is otherwise as [`UnixTime`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixTimeMs(pub SystemTime);

/// Reads a number of units of this many milliseconds.
fn read(args: &mut Arguments<'_>, unit: i64) -> Result<Duration, Error> {
    let units: i64 = args.take_integer()?;
    let units = if units < 0 { return Err(Error::NOT_POSITIVE) } else { units };
    let milliseconds = units.checked_mul(unit).ok_or(Error::OUT_OF_RANGE)?;
    Ok(Duration::from_millis(milliseconds.unsigned_abs()))
}

/// Returns the number of units of this many milliseconds, rounded to the nearest.
fn count(duration: Duration, unit: i64) -> i64 {
    let unit = u128::from(unit.unsigned_abs()) * 1_000_000;
    i64::try_from((duration.as_nanos() + unit / 2) / unit).unwrap_or(i64::MAX)
}

macro_rules! durations {
    ($($name:ident = $unit:literal;)*) => {$(
        #[diagnostic::do_not_recommend]
        impl<'a> FromArg<'a> for $name {
            const ARG: ArgSpec = ArgSpec::new(ArgKind::Integer);

            fn from_arg(args: &mut Arguments<'a>) -> Result<Self, Error> {
                read(args, $unit).map($name)
            }
        }

        #[diagnostic::do_not_recommend]
        impl Reply for $name {
            const REPLY: ReplySpec = ReplySpec::Integer;

            fn write_to(self, out: &mut Encoder) {
                out.integer(count(self.0, $unit));
            }
        }

        impl From<$name> for Duration {
            fn from(time: $name) -> Duration {
                time.0
            }
        }

        impl From<Duration> for $name {
            fn from(time: Duration) -> $name {
                $name(time)
            }
        }
    )*};
}

macro_rules! points_in_time {
    ($($name:ident = $unit:literal;)*) => {$(
        #[diagnostic::do_not_recommend]
        impl<'a> FromArg<'a> for $name {
            const ARG: ArgSpec = ArgSpec::new(ArgKind::UnixTime);

            fn from_arg(args: &mut Arguments<'a>) -> Result<Self, Error> {
                let since = read(args, $unit)?;
                UNIX_EPOCH.checked_add(since).map($name).ok_or(Error::OUT_OF_RANGE)
            }
        }

        #[diagnostic::do_not_recommend]
        impl Reply for $name {
            const REPLY: ReplySpec = ReplySpec::Integer;

            fn write_to(self, out: &mut Encoder) {
                out.integer(match self.0.duration_since(UNIX_EPOCH) {
                    Ok(since) => count(since, $unit),
                    Err(before) => -count(before.duration(), $unit),
                });
            }
        }

        impl From<$name> for SystemTime {
            fn from(time: $name) -> SystemTime {
                time.0
            }
        }

        impl From<SystemTime> for $name {
            fn from(time: SystemTime) -> $name {
                $name(time)
            }
        }
    )*};
}

durations! { Milliseconds = 1; Seconds = 1000; }
points_in_time! { UnixTime = 1000; UnixTimeMs = 1; }
