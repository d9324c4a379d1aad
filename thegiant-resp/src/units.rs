//! Times whose type names the unit of the argument and of the reply.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::{Error, FromReply, RequestBuilder, ToArgs, Value, WrongReply};

/// A duration: a whole number of milliseconds in arguments and replies.
///
/// As a number, it is rounded to the nearest millisecond. The largest duration that is read is `i64::MAX`
/// milliseconds, so that `Instant::now() + duration` does not panic.
///
/// ```
/// use std::time::Duration;
/// use thegiant_resp::{Error, FromReply, Milliseconds, RequestBuilder, Value};
///
/// let mut request = RequestBuilder::new("PEXPIRE key");
/// request.arg(&Milliseconds(Duration::from_secs(2)));
/// assert_eq!(request.to_vec(), RequestBuilder::new("PEXPIRE key 2000").to_vec());
/// assert_eq!(Milliseconds::from_reply(Value::Integer(1)), Ok(Milliseconds(Duration::from_millis(1))));
/// assert_eq!(Milliseconds::try_from(-1), Err(Error::NOT_POSITIVE));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Milliseconds(pub Duration);

/// A duration: a whole number of seconds in arguments and replies.
///
/// It has the largest value of [`Milliseconds`]. As a number, it is rounded to the nearest second, as the reply of `TTL` in
/// Redis.
///
/// ```
/// use std::time::Duration;
/// use thegiant_resp::Seconds;
///
/// assert_eq!(i64::from(Seconds(Duration::from_millis(1_500))), 2);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seconds(pub Duration);

/// A point in time: whole seconds since the Unix epoch in arguments and replies.
///
/// ```
/// use std::time::{Duration, UNIX_EPOCH};
/// use thegiant_resp::{UnixTime, UnixTimeMs};
///
/// let time = UNIX_EPOCH + Duration::from_millis(1_500);
/// assert_eq!((i64::from(UnixTime(time)), i64::from(UnixTimeMs(time))), (2, 1_500));
/// assert_eq!(UnixTime::try_from(-1), Ok(UnixTime(UNIX_EPOCH - Duration::from_secs(1))));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixTime(pub SystemTime);

/// A point in time: whole milliseconds since the Unix epoch in arguments and replies.
///
/// It is otherwise as [`UnixTime`].
///
/// ```
/// use std::time::UNIX_EPOCH;
/// use thegiant_resp::UnixTimeMs;
///
/// assert_eq!(i64::from(UnixTimeMs(UNIX_EPOCH)), 0);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixTimeMs(pub SystemTime);

/// Returns the duration of this many units, each of this many milliseconds.
fn duration(count: u64, unit: u32) -> Result<Duration, Error> {
    let milliseconds = count.checked_mul(unit.into()).filter(|number| i64::try_from(*number).is_ok());
    milliseconds.map(Duration::from_millis).ok_or(Error::OUT_OF_RANGE)
}

/// Returns the number of units of this many milliseconds, rounded to the nearest.
fn count(duration: Duration, unit: u32) -> i64 {
    let unit = u128::from(unit) * 1_000_000;
    i64::try_from((duration.as_nanos() + unit / 2) / unit).unwrap_or(i64::MAX)
}

macro_rules! durations {
    ($($name:ident = $unit:literal, $units:literal;)*) => {$(
        #[doc = concat!("Converts a number of ", $units, ".")]
        impl TryFrom<i64> for $name {
            type Error = Error;

            fn try_from(number: i64) -> Result<Self, Error> {
                let number = u64::try_from(number).map_err(|_| Error::NOT_POSITIVE)?;
                duration(number, $unit).map($name)
            }
        }

        #[doc = concat!("Returns the number of ", $units, ".")]
        impl From<$name> for i64 {
            fn from(time: $name) -> i64 {
                count(time.0, $unit)
            }
        }

        number!($name(Duration), $units);
    )*};
}

macro_rules! points_in_time {
    ($($name:ident = $unit:literal, $units:literal;)*) => {$(
        #[doc = concat!("Converts a number of ", $units, ". A time before the epoch has a negative one.")]
        impl TryFrom<i64> for $name {
            type Error = Error;

            fn try_from(number: i64) -> Result<Self, Error> {
                let distance = duration(number.unsigned_abs(), $unit)?;
                let time = match number < 0 {
                    true => UNIX_EPOCH.checked_sub(distance),
                    false => UNIX_EPOCH.checked_add(distance),
                };
                time.map($name).ok_or(Error::OUT_OF_RANGE)
            }
        }

        #[doc = concat!("Returns the number of ", $units, ". It is negative for a time before the epoch.")]
        impl From<$name> for i64 {
            fn from(time: $name) -> i64 {
                match time.0.duration_since(UNIX_EPOCH) {
                    Ok(since) => count(since, $unit),
                    Err(before) => -count(before.duration(), $unit),
                }
            }
        }

        number!($name(SystemTime), $units);
    )*};
}

macro_rules! number {
    ($name:ident($inner:ident), $units:literal) => {
        impl From<$name> for $inner {
            fn from(time: $name) -> $inner {
                time.0
            }
        }

        impl From<$inner> for $name {
            fn from(time: $inner) -> $name {
                $name(time)
            }
        }

        impl ToArgs for $name {
            fn to_args(&self, out: &mut RequestBuilder) {
                i64::from(*self).to_args(out);
            }
        }

        impl FromReply for $name {
            fn from_reply(reply: Value) -> Result<Self, WrongReply> {
                let number = i64::from_reply(reply)?;
                Self::try_from(number)
                    .map_err(|_| WrongReply::described(concat!("a number of ", $units), number.to_string()))
            }
        }
    };
}

durations! {
    Milliseconds = 1, "milliseconds";
    Seconds = 1000, "seconds";
}
points_in_time! {
    UnixTime = 1000, "seconds since the Unix epoch";
    UnixTimeMs = 1, "milliseconds since the Unix epoch";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_the_same_number_in_both_directions() {
        for number in [0, 1, i64::MAX / 1000] {
            assert_eq!(Milliseconds::try_from(number).map(i64::from), Ok(number));
            assert_eq!(Seconds::try_from(number).map(i64::from), Ok(number));
            for number in [number, -number] {
                assert_eq!(UnixTime::try_from(number).map(i64::from), Ok(number));
                assert_eq!(UnixTimeMs::try_from(number).map(i64::from), Ok(number));
            }
        }
    }

    #[test]
    fn a_number_out_of_range_is_an_error() {
        assert_eq!(Seconds::try_from(i64::MAX / 1000 + 1), Err(Error::OUT_OF_RANGE));
        for number in [i64::MIN, i64::MAX] {
            assert_eq!(UnixTime::try_from(number), Err(Error::OUT_OF_RANGE));
        }
        let error = Seconds::from_reply(Value::Integer(-2)).map_err(|error| error.to_string());
        assert_eq!(error, Err("expected a number of seconds, got -2".to_owned()));
    }
}
