//! `ACL LOG`: the requests that were refused.

use std::collections::VecDeque;

/// Requests that were refused, the last one first.
#[derive(Debug, Default)]
pub(crate) struct AclLog {
    entries: VecDeque<LogEntry>,
    next_id: u64,
}

/// A refused request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) reason: LogReason,
    pub(crate) context: LogContext,
    /// The command, the key or the channel. The log keeps its first kilobyte.
    pub(crate) object: Vec<u8>,
    /// The user, or the name with which a client could not authenticate.
    pub(crate) username: Vec<u8>,
}

/// Refused requests of one kind.
#[derive(Clone, Debug)]
pub(crate) struct LogEntry {
    pub(crate) id: u64,
    /// The number of requests.
    pub(crate) count: u64,
    pub(crate) refusal: Refusal,
    /// The client of the last request, as `CLIENT INFO` shows it.
    pub(crate) client_info: String,
    /// The time of the first request, in milliseconds since 1970.
    pub(crate) created: u64,
    /// The time of the last request, in milliseconds since 1970.
    pub(crate) updated: u64,
}

/// The reason for a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogReason {
    Command,
    Key,
    Channel,
    Auth,
    /// The certificate of a client names no user that is on.
    #[cfg(feature = "tls")]
    TlsCertificate,
}

/// The place of a refused request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogContext {
    TopLevel,
    Multi,
}

/// The number of entries in which an equal one is looked for.
const SEARCHED: usize = 10;
/// Equal requests within this many milliseconds are counted in one entry.
const GROUPING_TIME: u64 = 60_000;
/// The number of bytes of a name that an entry keeps, so that clients cannot fill the memory.
const MAX_NAME: usize = 1024;

impl AclLog {
    /// Adds a refused request, and drops the oldest entries beyond `max_len` (`acllog-max-len`).
    ///
    /// `now` is in milliseconds since 1970.
    pub(crate) fn add(&mut self, mut refusal: Refusal, client_info: String, now: u64, max_len: usize) {
        refusal.object.truncate(MAX_NAME);
        refusal.username.truncate(MAX_NAME);
        let is_same =
            |entry: &LogEntry| entry.refusal == refusal && entry.updated.abs_diff(now) <= GROUPING_TIME;
        let entry = match self.entries.iter().take(SEARCHED).position(is_same) {
            Some(index) => self.entries.remove(index).map(|entry| LogEntry {
                count: entry.count + 1,
                client_info: client_info.clone(),
                updated: now,
                ..entry
            }),
            None => None,
        };
        let entry = entry.unwrap_or_else(|| {
            let id = self.next_id;
            self.next_id += 1;
            LogEntry { id, count: 1, refusal, client_info, created: now, updated: now }
        });
        self.entries.push_front(entry);
        self.entries.truncate(max_len);
    }

    /// Returns the entries, the last one first.
    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = &LogEntry> {
        self.entries.iter()
    }

    /// Removes all entries.
    pub(crate) fn reset(&mut self) {
        self.entries = VecDeque::new();
    }
}

impl LogReason {
    /// Returns the word in `ACL LOG`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            LogReason::Command => "command",
            LogReason::Key => "key",
            LogReason::Channel => "channel",
            LogReason::Auth => "auth",
            #[cfg(feature = "tls")]
            LogReason::TlsCertificate => "tls-cert",
        }
    }
}

impl LogContext {
    /// Returns the word in `ACL LOG`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            LogContext::TopLevel => "toplevel",
            LogContext::Multi => "multi",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(object: &str) -> Refusal {
        Refusal {
            reason: LogReason::Key,
            context: LogContext::TopLevel,
            object: object.into(),
            username: b"alice".to_vec(),
        }
    }

    #[test]
    fn equal_refusals_of_a_minute_are_one_entry() {
        let mut log = AclLog::default();
        for (object, now) in [("a", 0), ("b", 10), ("a", 60_000), ("a", 120_001)] {
            log.add(refusal(object), format!("at {now}"), now, 128);
        }
        let entries: Vec<_> =
            log.iter().map(|entry| (entry.id, entry.count, entry.created, entry.updated)).collect();
        assert_eq!(entries, [(2, 1, 120_001, 120_001), (0, 2, 0, 60_000), (1, 1, 10, 10)]);
        assert_eq!(log.iter().nth(1).map(|entry| entry.client_info.as_str()), Some("at 60000"));
        log.reset();
        assert_eq!(log.iter().len(), 0);
    }

    #[test]
    fn the_log_is_bounded() {
        let mut log = AclLog::default();
        for number in 0..20 {
            log.add(refusal(&number.to_string().repeat(5000)), String::new(), 0, 3);
        }
        assert_eq!(log.iter().len(), 3);
        assert!(log.iter().all(|entry| entry.refusal.object.len() == MAX_NAME));
        log.add(refusal("a"), String::new(), 0, 0);
        assert_eq!(log.iter().len(), 0);
    }
}
