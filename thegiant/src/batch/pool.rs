//! A pool of empty batches, so that the steady state allocates none.

use std::cell::RefCell;

use super::Batch;

/// Maximum size in bytes of each buffer that a pooled batch keeps.
pub(super) const MAX_KEPT_BYTES: usize = 64 * 1024;

/// Limits of the pool of one thread: enough batches for many busy connections, with bounded memory.
const MAX_BATCHES: usize = 256;
const MAX_BYTES: usize = 8 * 1024 * 1024;

struct Pool {
    #[expect(clippy::vec_box, reason = "a batch is moved as a box, and the pool keeps the box")]
    batches: Vec<Box<Batch>>,
    bytes: usize,
}

thread_local! {
    static POOL: RefCell<Pool> = const { RefCell::new(Pool { batches: Vec::new(), bytes: 0 }) };
}

/// Returns an empty batch.
pub(super) fn take() -> Box<Batch> {
    POOL.with_borrow_mut(|pool| {
        let batch = pool.batches.pop().unwrap_or_default();
        pool.bytes = pool.bytes.saturating_sub(batch.capacity());
        batch
    })
}

/// Returns an empty batch to the pool, or drops it if the pool is full.
pub(super) fn put(batch: Box<Batch>) {
    POOL.with_borrow_mut(|pool| {
        let bytes = pool.bytes + batch.capacity();
        if pool.batches.len() < MAX_BATCHES && bytes <= MAX_BYTES {
            pool.bytes = bytes;
            pool.batches.push(batch);
        }
    });
}
