//! The ids of events: a time in milliseconds and a sequence number, by the rules of Redis.

use std::{
    fmt,
    time::{SystemTime, UNIX_EPOCH},
};

use thegiant::{Error, FromArg, prelude::*, resp::Encoder};

/// An id. Each part has 63 bits, because SQLite integers are signed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Id {
    pub(crate) ms: i64,
    pub(crate) seq: i64,
}

pub(crate) const INVALID: Error =
    Error::from_static("ERR Invalid stream ID specified as stream command argument");

impl Id {
    pub(crate) const MIN: Id = Id { ms: 0, seq: 0 };
    pub(crate) const MAX: Id = Id { ms: i64::MAX, seq: i64::MAX };

    /// Parses `1526985054069-0`. If the text has no second part, that part is `seq`.
    pub(crate) fn parse(text: &[u8], seq: i64) -> Result<Id, Error> {
        let mut parts = text.splitn(2, |byte| *byte == b'-');
        let ms = clamped(part(parts.next().unwrap_or_default())?);
        Ok(Id { ms, seq: parts.next().map_or(Ok(seq), |seq| part(seq).map(clamped))? })
    }

    /// Returns the next greater id.
    pub(crate) fn next(self) -> Option<Id> {
        match self.seq.checked_add(1) {
            Some(seq) => Some(Id { seq, ..self }),
            None => Some(Id { ms: self.ms.checked_add(1)?, seq: 0 }),
        }
    }

    /// Returns the next smaller id.
    pub(crate) fn previous(self) -> Option<Id> {
        match self.seq {
            0 => Some(Id { ms: self.ms.checked_sub(1).filter(|ms| *ms >= 0)?, seq: i64::MAX }),
            seq => Some(Id { seq: seq - 1, ..self }),
        }
    }
}

/// Parses a number by the rules of Redis.
fn part(digits: &[u8]) -> Result<u64, Error> {
    // As C's `strtoull` does, this accepts a plus sign and leading zeros.
    str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok()).ok_or(INVALID)
}

/// Limits a part to 63 bits, so that a larger id comes after every stored event.
fn clamped(part: u64) -> i64 {
    i64::try_from(part).unwrap_or(i64::MAX)
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.ms, self.seq)
    }
}

impl Reply for Id {
    fn write_to(self, out: &mut Encoder) {
        self.to_string().write_to(out);
    }
}

fn is_too_great(part: u64) -> bool {
    i64::try_from(part).is_err()
}

const TOO_GREAT: Error =
    Error::from_static("ERR The ID has more than 63 bits in a part, which cannot be stored");

/// Returns the time of day, in milliseconds since 1970.
pub(crate) fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// The id that a new event should get.
#[derive(Clone, Copy)]
pub(crate) enum NewId {
    /// `*`: the present time.
    Auto,
    /// `1526985054069-*`: the next sequence number of that millisecond.
    Next(i64),
    This(Id),
}

impl NewId {
    pub(crate) fn parse(text: &[u8]) -> Result<Self, Error> {
        match text.strip_suffix(b"-*") {
            _ if text == b"*" => Ok(NewId::Auto),
            Some(ms) => Ok(NewId::Next(i64::try_from(part(ms)?).map_err(|_| TOO_GREAT)?)),
            None if text.split(|byte| *byte == b'-').any(|digits| part(digits).is_ok_and(is_too_great)) => {
                Err(TOO_GREAT)
            }
            None => Id::parse(text, 0).map(NewId::This),
        }
    }

    /// Returns the id of an event that follows `last`.
    pub(crate) fn after(self, last: Id) -> Result<Id, Error> {
        const EXHAUSTED: Error =
            Error::from_static("ERR The stream has exhausted the last possible ID, unable to add more items");
        const ZERO: Error = Error::from_static("ERR The ID specified in XADD must be greater than 0-0");
        const TOO_SMALL: Error = Error::from_static(
            "ERR The ID specified in XADD is equal or smaller than the target stream top item",
        );
        if last == Id::MAX {
            return Err(EXHAUSTED);
        }
        let id = match self {
            NewId::Auto => {
                let now = Id { ms: now(), seq: 0 };
                return if now > last { Ok(now) } else { last.next().ok_or(EXHAUSTED) };
            }
            NewId::Next(ms) if ms == last.ms => Id { ms, seq: last.seq.checked_add(1).ok_or(TOO_SMALL)? },
            NewId::Next(ms) => Id { ms, seq: i64::from(ms == 0) },
            NewId::This(Id::MIN) => return Err(ZERO),
            NewId::This(id) => id,
        };
        if id > last { Ok(id) } else { Err(TOO_SMALL) }
    }
}

/// One end of a range: `-`, `+`, an id, or `(` and an id that is excluded.
#[derive(FromArg)]
#[arg(try_from = "&[u8]")]
pub(crate) struct Bound {
    pub(crate) first: Result<Id, Error>,
    pub(crate) last: Result<Id, Error>,
}

impl TryFrom<&[u8]> for Bound {
    type Error = Error;

    fn try_from(text: &[u8]) -> Result<Self, Error> {
        const START: Error = Error::from_static("ERR invalid start ID for the interval");
        const END: Error = Error::from_static("ERR invalid end ID for the interval");
        match text {
            b"-" => return Ok(Bound { first: Ok(Id::MIN), last: Ok(Id::MIN) }),
            b"+" => return Ok(Bound { first: Ok(Id::MAX), last: Ok(Id::MAX) }),
            _ => {}
        }
        let (text, is_exclusive) = match text.strip_prefix(b"(") {
            Some(text) => (text, true),
            None => (text, false),
        };
        let [first, last] = [Id::parse(text, 0)?, Id::parse(text, i64::MAX)?];
        Ok(match is_exclusive {
            false => Bound { first: Ok(first), last: Ok(last) },
            true => Bound { first: first.next().ok_or(START), last: last.previous().ok_or(END) },
        })
    }
}
