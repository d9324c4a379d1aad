//! Runs code of the application.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs a router or a function that it returned. Returns `None` if it panics.
pub(super) fn guarded<T>(run: impl FnOnce() -> T) -> Option<T> {
    let done = catch_unwind(AssertUnwindSafe(run));
    done.inspect_err(|_| tracing::error!("a router has panicked")).ok()
}
