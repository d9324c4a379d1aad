//! Bursts that wait to be used again, so that in the steady state none is allocated.

use std::cell::RefCell;

use super::Burst;

/// A burst keeps at most this much of each of its buffers.
pub(super) const KEPT_BYTES: usize = 64 * 1024;

/// As many as can be under way at once when connections are many; the bytes bound the memory.
const MAX_BURSTS: usize = 256;
const MAX_BYTES: usize = 8 * 1024 * 1024;

struct Pool {
    #[expect(clippy::vec_box, reason = "a burst travels as a box and keeps it")]
    bursts: Vec<Box<Burst>>,
    bytes: usize,
}

thread_local! {
    static POOL: RefCell<Pool> = const { RefCell::new(Pool { bursts: Vec::new(), bytes: 0 }) };
}

/// An empty burst.
pub(super) fn take() -> Box<Burst> {
    POOL.with_borrow_mut(|pool| {
        let burst = pool.bursts.pop().unwrap_or_default();
        pool.bytes = pool.bytes.saturating_sub(burst.capacity());
        burst
    })
}

/// Takes back an empty burst, or drops it if there are enough.
pub(super) fn put(burst: Box<Burst>) {
    POOL.with_borrow_mut(|pool| {
        let bytes = pool.bytes + burst.capacity();
        if pool.bursts.len() < MAX_BURSTS && bytes <= MAX_BYTES {
            pool.bytes = bytes;
            pool.bursts.push(burst);
        }
    });
}
