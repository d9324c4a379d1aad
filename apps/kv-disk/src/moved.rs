//! Removes the keys that other instances of a cluster own.

use bytes::Bytes;
use kv::{CowBytes, DATABASES, Databases, Result};

use crate::{disk::Disk, engine::Engine};

/// Number of keys that are looked at before a commit.
const PAGE: usize = 1000;

impl<E: Engine> Disk<E> {
    /// Removes the keys that were moved, and returns their number.
    pub(crate) fn remove_keys(&mut self, is_moved: impl Fn(&[u8]) -> bool) -> Result<usize> {
        let mut removed = 0;
        for db in 0..DATABASES as u16 {
            let mut cursor = 0;
            loop {
                let (next, page) = self.scan(db, cursor, PAGE)?;
                let moved = page.into_iter().map(CowBytes::into_bytes).filter(|key| is_moved(key));
                for key in moved.collect::<Vec<Bytes>>() {
                    removed += usize::from(self.remove(db, &key)?);
                }
                self.commit_all()?;
                cursor = next;
                if cursor == 0 {
                    break;
                }
            }
        }
        Ok(removed)
    }
}
