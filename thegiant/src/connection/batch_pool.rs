//! Batches that wait to be used again, so that in the steady state none is allocated.

use std::cell::RefCell;

use super::Batch;

/// A batch keeps at most this much of each of its buffers.
pub(super) const MAX_KEPT_BYTES: usize = 64 * 1024;

/// As many as can be under way at once when connections are many; the bytes bound the memory.
const MAX_BATCHES: usize = 256;
const MAX_BYTES: usize = 8 * 1024 * 1024;

struct Pool {
    #[expect(clippy::vec_box, reason = "a batch travels as a box and keeps it")]
    batches: Vec<Box<Batch>>,
    bytes: usize,
}

thread_local! {
    static POOL: RefCell<Pool> = const { RefCell::new(Pool { batches: Vec::new(), bytes: 0 }) };
}

/// An empty batch.
pub(super) fn take() -> Box<Batch> {
    POOL.with_borrow_mut(|pool| {
        let batch = pool.batches.pop().unwrap_or_default();
        pool.bytes = pool.bytes.saturating_sub(batch.capacity());
        batch
    })
}

/// Takes back an empty batch, or drops it if there are enough.
pub(super) fn put(batch: Box<Batch>) {
    POOL.with_borrow_mut(|pool| {
        let bytes = pool.bytes + batch.capacity();
        if pool.batches.len() < MAX_BATCHES && bytes <= MAX_BYTES {
            pool.bytes = bytes;
            pool.batches.push(batch);
        }
    });
}
