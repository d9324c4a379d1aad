//! `SLOWLOG`: the commands that took long, last first.

use std::{
    collections::VecDeque,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use super::{quote::shown, unix_time};
use crate::command::Call;

/// As in Redis: of a long request, so many words are kept, and of a long word so many bytes.
const MAX_WORDS: usize = 32;
const MAX_WORD: usize = 128;

/// The commands that took long.
#[derive(Debug, Default)]
pub(crate) struct Slowlog {
    entries: Mutex<VecDeque<Slow>>,
    next_id: AtomicU64,
}

/// A command that took long.
#[derive(Clone, Debug)]
pub(crate) struct Slow {
    pub(crate) id: u64,
    /// Seconds since 1970.
    pub(crate) at: u64,
    pub(crate) took: Duration,
    pub(crate) words: Vec<Vec<u8>>,
    pub(crate) client: String,
    pub(crate) client_name: String,
}

impl Slowlog {
    /// Adds a command, and forgets the oldest beyond `most`.
    pub(crate) fn add(&self, call: &Call<'_>, took: Duration, most: usize) {
        let client = call.client();
        let entry = Slow {
            id: self.next_id.fetch_add(1, Relaxed),
            at: unix_time().as_secs(),
            took,
            words: kept(call),
            client: client.addr().listed(),
            client_name: client.name().unwrap_or_default(),
        };
        let mut entries = self.lock();
        entries.push_front(entry);
        entries.truncate(most);
    }

    /// The last entries, at most so many.
    pub(crate) fn last(&self, most: usize) -> Vec<Slow> {
        self.lock().iter().take(most).cloned().collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.lock().len()
    }

    pub(crate) fn clear(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Slow>> {
        // Nothing panics while it is held.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is kept of a request.
fn kept(call: &Call<'_>) -> Vec<Vec<u8>> {
    let most = if call.len() > MAX_WORDS { MAX_WORDS - 1 } else { MAX_WORDS };
    let mut words: Vec<Vec<u8>> = shown(call).take(most).map(shortened).collect();
    if call.len() > most {
        words.push(format!("... ({} more arguments)", call.len() - most).into_bytes());
    }
    words
}

fn shortened(word: &[u8]) -> Vec<u8> {
    match word.split_at_checked(MAX_WORD) {
        Some((start, rest)) if !rest.is_empty() => {
            [start, format!("... ({} more bytes)", rest.len()).as_bytes()].concat()
        }
        _ => word.to_vec(),
    }
}
