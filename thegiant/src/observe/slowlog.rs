//! `SLOWLOG`: a list of slow commands, newest first.

use std::{
    collections::VecDeque,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use super::unix_time;
use crate::command::Request;

/// Maximum number of words of a logged request, as in Redis.
const MAX_WORDS: usize = 32;
/// Maximum length of a logged word in bytes, as in Redis.
const MAX_WORD_LEN: usize = 128;

/// The slow log.
#[derive(Debug, Default)]
pub(crate) struct Slowlog {
    entries: Mutex<VecDeque<Slow>>,
    next_id: AtomicU64,
}

/// An entry of the slow log.
#[derive(Clone, Debug)]
pub(crate) struct Slow {
    pub(crate) id: u64,
    /// Time of the entry, in seconds since 1970.
    pub(crate) at: u64,
    pub(crate) took: Duration,
    pub(crate) words: Vec<Vec<u8>>,
    pub(crate) client: String,
    pub(crate) client_name: String,
}

impl Slowlog {
    /// Adds a command, and removes the oldest entries so that `max_len` are left.
    pub(crate) fn add(&self, request: &Request<'_>, took: Duration, max_len: usize) {
        let client = request.client();
        let entry = Slow {
            id: self.next_id.fetch_add(1, Relaxed),
            at: unix_time().as_secs(),
            took,
            words: truncated(request),
            client: client.addr().listed(),
            client_name: client.name().unwrap_or_default(),
        };
        let mut entries = self.lock();
        entries.push_front(entry);
        entries.truncate(max_len);
    }

    /// Returns the newest entries, at most `count`.
    pub(crate) fn last(&self, count: usize) -> Vec<Slow> {
        self.lock().iter().take(count).cloned().collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.lock().len()
    }

    pub(crate) fn clear(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Slow>> {
        // A poisoned lock holds valid data, because no code panics while it holds the lock.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the words of a request, truncated to the limits.
fn truncated(request: &Request<'_>) -> Vec<Vec<u8>> {
    let max_words = if request.len() > MAX_WORDS { MAX_WORDS - 1 } else { MAX_WORDS };
    let mut words: Vec<Vec<u8>> = request.redacted().take(max_words).map(truncated_word).collect();
    if request.len() > max_words {
        words.push(format!("... ({} more arguments)", request.len() - max_words).into_bytes());
    }
    words
}

fn truncated_word(word: &[u8]) -> Vec<u8> {
    match word.split_at_checked(MAX_WORD_LEN) {
        Some((start, rest)) if !rest.is_empty() => {
            [start, format!("... ({} more bytes)", rest.len()).as_bytes()].concat()
        }
        _ => word.to_vec(),
    }
}
