//! The form of changes in an entry of the log of PostgreSQL.
//!
//! The version of the tables is also that of this form.

use bytes::Bytes;

use super::{
    Result,
    rows::{Changes, JobChange, JobRow, QueueRow, ResultRow, ScheduleRow},
};

/// Appends changes to an entry of the log.
pub(super) fn encode(changes: &Changes, entry: &mut Vec<u8>) {
    changes.put(entry);
}

/// Reads the changes of an entry, in their order.
///
/// # Errors
/// Returns an error if the entry is damaged.
pub(super) fn decode(mut entry: &[u8]) -> Result<Vec<Changes>> {
    let mut all = Vec::new();
    while !entry.is_empty() {
        all.push(Changes::take(&mut entry).ok_or("the log is damaged")?);
    }
    Ok(all)
}

/// A value in an entry.
trait Encoded: Sized {
    fn put(&self, entry: &mut Vec<u8>);

    /// Takes a value from the front of an entry. Returns `None` if there is none.
    fn take(entry: &mut &[u8]) -> Option<Self>;
}

/// Implements [`Encoded`] for structs: their fields, one after the other.
macro_rules! encoded {
    ($($name:ident { $($field:ident),* $(,)? })*) => {$(
        impl Encoded for $name {
            fn put(&self, entry: &mut Vec<u8>) {
                $(self.$field.put(entry);)*
            }

            fn take(entry: &mut &[u8]) -> Option<Self> {
                Some($name { $($field: Encoded::take(entry)?),* })
            }
        }
    )*};
}

encoded! {
    Changes {
        added_jobs, changed_jobs, removed_jobs, results, removed_results, queues, removed_queues, schedules,
        removed_schedules,
    }
    JobRow { run, body, priority, max_tries, retry, keep, added, state }
    JobChange { number, queue, name, origin, tries, earlier_tries, ready, expires, is_out }
    ResultRow { number, run, queue, name, until, result, failure }
    QueueRow { name, paused, added, done, failed, requeued, dead, expired }
    ScheduleRow {
        name, cron, zone, queue, body, retry, ttl, max_len, max_tries, keep, priority, next, last_run, last_number,
        added, skipped,
    }
}

/// Small numbers of either sign have one byte.
///
/// Each byte has seven bits, from the lowest ones on, and says whether another one follows.
impl Encoded for i64 {
    fn put(&self, entry: &mut Vec<u8>) {
        let mut left = ((self << 1) ^ (self >> 63)) as u64;
        while left >= 0x80 {
            entry.push(left as u8 | 0x80);
            left >>= 7;
        }
        entry.push(left as u8);
    }

    fn take(entry: &mut &[u8]) -> Option<Self> {
        let mut number = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = *entry.split_off_first()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some((number >> 1) as i64 ^ -((number & 1) as i64));
            }
        }
        None
    }
}

impl Encoded for Bytes {
    fn put(&self, entry: &mut Vec<u8>) {
        (self.len() as i64).put(entry);
        entry.extend_from_slice(self);
    }

    fn take(entry: &mut &[u8]) -> Option<Self> {
        let len = usize::try_from(i64::take(entry)?).ok()?;
        entry.split_off(..len).map(Bytes::copy_from_slice)
    }
}

impl Encoded for String {
    fn put(&self, entry: &mut Vec<u8>) {
        (self.len() as i64).put(entry);
        entry.extend_from_slice(self.as_bytes());
    }

    fn take(entry: &mut &[u8]) -> Option<Self> {
        String::from_utf8(Bytes::take(entry)?.into()).ok()
    }
}

impl<T: Encoded> Encoded for Option<T> {
    fn put(&self, entry: &mut Vec<u8>) {
        entry.push(self.is_some().into());
        if let Some(value) = self {
            value.put(entry);
        }
    }

    fn take(entry: &mut &[u8]) -> Option<Self> {
        match entry.split_off_first()? {
            0 => Some(None),
            _ => T::take(entry).map(Some),
        }
    }
}

impl<T: Encoded> Encoded for Vec<T> {
    fn put(&self, entry: &mut Vec<u8>) {
        (self.len() as i64).put(entry);
        self.iter().for_each(|value| value.put(entry));
    }

    fn take(entry: &mut &[u8]) -> Option<Self> {
        (0..i64::take(entry)?).map(|_| T::take(entry)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some(text: &'static str) -> Option<Bytes> {
        Some(Bytes::from_static(text.as_bytes()))
    }

    fn job(number: i64) -> JobRow {
        let state = JobChange {
            number,
            queue: "q".into(),
            name: some("name"),
            origin: None,
            tries: 1,
            earlier_tries: 0,
            ready: 1_764_000_000_000,
            expires: Some(i64::MAX),
            is_out: 1,
        };
        let body = vec![0xff; 300].into();
        JobRow { run: 7, body, priority: 9, max_tries: Some(3), retry: None, keep: Some(0), added: -1, state }
    }

    fn changes() -> Changes {
        let result = some("");
        let result =
            ResultRow { number: 5, run: 7, queue: some("q"), name: None, until: 9, result, failure: None };
        let queue = QueueRow {
            name: "q".into(),
            paused: 1,
            added: 2,
            done: 3,
            failed: 4,
            requeued: 5,
            dead: 6,
            expired: 7,
        };
        let schedule = ScheduleRow {
            name: "s".into(),
            cron: "@daily".into(),
            zone: Some("Europe/Berlin".into()),
            queue: "q".into(),
            body: "".into(),
            retry: Some(1),
            ttl: Some(2),
            max_len: Some(3),
            max_tries: Some(4),
            keep: Some(5),
            priority: 6,
            next: 7,
            last_run: Some(8),
            last_number: Some(9),
            added: 10,
            skipped: 11,
        };
        Changes {
            added_jobs: vec![job(1), job(i64::MIN)],
            changed_jobs: vec![job(3).state],
            removed_jobs: vec![4, -4, 64, -65, i64::MAX],
            results: vec![result],
            removed_results: vec![6],
            queues: vec![queue],
            removed_queues: vec!["r".into()],
            schedules: vec![schedule],
            removed_schedules: vec!["t".into()],
        }
    }

    #[test]
    fn an_entry_has_all_changes_in_their_order() {
        let all = [changes(), Changes::default(), Changes { removed_jobs: vec![1], ..Changes::default() }];
        let mut entry = Vec::new();
        all.iter().for_each(|changes| encode(changes, &mut entry));
        assert_eq!(decode(&entry).expect("changes"), all);
    }

    #[test]
    fn a_damaged_entry_is_an_error() {
        let mut entry = Vec::new();
        encode(&changes(), &mut entry);
        for len in 1..entry.len() {
            assert!(decode(&entry[..len]).is_err(), "{len}");
        }
        for entry in [[0xff; 12].as_slice(), &[0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]] {
            assert_eq!(
                decode(entry).err().map(|error| error.to_string()).as_deref(),
                Some("the log is damaged")
            );
        }
    }
}
