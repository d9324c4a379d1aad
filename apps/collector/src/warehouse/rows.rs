//! The rows of the table of events.

use std::{borrow::Cow, collections::HashSet, error::Error as StdError};

use bytes::{BufMut, Bytes, BytesMut};
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};

use crate::{fields::Fields, id::Id};

/// Maximum size of the fields of an event, raw or as JSON. PostgreSQL takes JSON of up to 256 MB.
const MAX_FIELDS: usize = 64 << 20;

/// Maximum size of the name of a stream. An index of PostgreSQL takes 2,704 bytes.
const MAX_NAME: usize = 1000;

/// An event of the warehouse.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct EventRow {
    pub(super) id: Id,
    /// Names and values as JSON. Bytes that PostgreSQL does not take as text are replaced.
    pub(super) fields: String,
    /// Names and values in turn, if the JSON does not show all of them exactly.
    pub(super) raw: Option<Vec<Bytes>>,
}

impl EventRow {
    /// Returns the row of an event, or `None` if it is too large.
    pub(super) fn new(id: Id, fields: Fields) -> Option<Self> {
        if size(&fields) > MAX_FIELDS {
            return None;
        }
        let json = fields.object(|bytes| Some(text(bytes))).filter(|json| json.len() <= MAX_FIELDS)?;
        let raw = (!is_exact(&fields)).then_some(fields.0);
        Some(EventRow { id, fields: json, raw })
    }

    /// Returns the approximate size of the row.
    pub(super) fn size(&self) -> usize {
        let raw = self.raw.iter().flatten().map(Bytes::len).sum::<usize>();
        self.fields.len() + raw + size_of::<Self>()
    }
}

fn size(fields: &Fields) -> usize {
    fields.0.iter().map(Bytes::len).sum()
}

/// Returns whether `jsonb` has the same names and values.
fn is_exact(fields: &Fields) -> bool {
    let mut names = HashSet::new();
    let are_texts = fields.0.iter().all(|bytes| str::from_utf8(bytes).is_ok() && !bytes.contains(&0));
    are_texts && fields.0.chunks_exact(2).all(|pair| names.insert(&pair[0]))
}

/// Returns bytes as a text of PostgreSQL, which is UTF-8 without NUL.
fn text(bytes: &[u8]) -> Cow<'_, str> {
    let text = String::from_utf8_lossy(bytes);
    if text.contains('\0') { text.replace('\0', "\u{fffd}").into() } else { text }
}

/// Returns the name of a stream as a text of PostgreSQL.
pub(super) fn name(bytes: &[u8]) -> String {
    let mut name = text(bytes).into_owned();
    let end = (0..=MAX_NAME.min(name.len())).rev().find(|end| name.is_char_boundary(*end));
    name.truncate(end.unwrap_or_default());
    name
}

/// Milliseconds of a day.
pub(super) const DAY: i64 = 86_400_000;

/// The time of an event: milliseconds since 1970, or `i64::MAX` for infinity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Time(pub(super) i64);

impl Time {
    pub(super) const INFINITY: Time = Time(i64::MAX);

    /// Returns the time of an id. An id that is more than a day ahead is no time.
    pub(super) fn of(id: Id, now: i64) -> Self {
        if id.ms > now.saturating_add(DAY) { Time::INFINITY } else { Time(id.ms) }
    }

    /// Returns the number of days since 1970, or `None` for infinity.
    pub(super) fn day(self) -> Option<i64> {
        (self != Time::INFINITY).then_some(self.0.div_euclid(DAY))
    }
}

/// The result of a conversion to PostgreSQL's format.
type Written = Result<IsNull, Box<dyn StdError + Sync + Send>>;

impl ToSql for Time {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Written {
        // PostgreSQL counts from 2000, in microseconds.
        const YEAR_2000: i64 = 946_684_800_000;
        out.put_i64(if *self == Time::INFINITY { i64::MAX } else { (self.0 - YEAR_2000) * 1000 });
        Ok(IsNull::No)
    }

    fn accepts(wanted: &Type) -> bool {
        *wanted == Type::TIMESTAMPTZ
    }

    to_sql_checked!();
}

/// JSON for a column of type `jsonb`.
#[derive(Debug)]
pub(super) struct Jsonb<'j>(pub(super) &'j str);

impl ToSql for Jsonb<'_> {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Written {
        const VERSION: u8 = 1;
        out.put_u8(VERSION);
        out.put_slice(self.0.as_bytes());
        Ok(IsNull::No)
    }

    fn accepts(wanted: &Type) -> bool {
        *wanted == Type::JSONB
    }

    to_sql_checked!();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(fields: &[&'static [u8]]) -> (String, bool) {
        let fields = Fields(fields.iter().map(|bytes| Bytes::from_static(bytes)).collect());
        let row = EventRow::new(Id::MIN, fields.clone()).expect("it is small");
        assert!(row.raw.as_ref().is_none_or(|raw| *raw == fields.0));
        (row.fields, row.raw.is_some())
    }

    #[test]
    fn fields_that_json_cannot_show_are_raw_too() {
        assert_eq!(row(&[b"a", b"1", b"b", b""]), (r#"{"a":"1","b":""}"#.to_owned(), false));
        assert_eq!(row(&[b"a", b"\xff1"]), ("{\"a\":\"\u{fffd}1\"}".to_owned(), true));
        assert_eq!(row(&[b"a\0", b"1"]), ("{\"a\u{fffd}\":\"1\"}".to_owned(), true));
        assert_eq!(row(&[b"a", b"1", b"a", b"2"]), (r#"{"a":"1","a":"2"}"#.to_owned(), true));
    }

    #[test]
    fn fields_that_are_too_large_have_no_row() {
        let fields = |len| Fields(vec![Bytes::from_static(b"a"), vec![b'x'; len].into()]);
        assert!(EventRow::new(Id::MIN, fields(1000)).is_some());
        assert!(EventRow::new(Id::MIN, fields(MAX_FIELDS)).is_none());
        // Each of these bytes has six in JSON.
        let controls = Fields(vec![Bytes::from_static(b"a"), vec![1; MAX_FIELDS / 6].into()]);
        assert!(EventRow::new(Id::MIN, controls).is_none());
    }

    #[test]
    fn ids_of_the_future_are_no_times() {
        let of = |ms| Time::of(Id { ms, seq: 0 }, 10 * DAY);
        assert_eq!(of(11 * DAY), Time(11 * DAY));
        assert_eq!(of(11 * DAY).day(), Some(11));
        assert_eq!(of(11 * DAY + 1), Time::INFINITY);
        assert_eq!(of(i64::MAX).day(), None);
        assert_eq!(of(0).day(), Some(0));
    }

    #[test]
    fn long_names_are_cut_between_characters() {
        assert_eq!(name(b"logs"), "logs");
        let long = "\u{e9}".repeat(MAX_NAME);
        assert_eq!(name(long.as_bytes()).len(), MAX_NAME);
        assert_eq!(name(format!("a{long}").as_bytes()).len(), MAX_NAME - 1);
    }
}
