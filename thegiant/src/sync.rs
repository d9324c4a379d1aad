//! The locks and atomics that the threads of a server share on the way of a batch.
//!
//! Programs use the types of std. With `--cfg thegiant_loom`, the unit tests use the types of loom, which runs a test
//! in every order of its threads.

#[cfg(not(all(test, thegiant_loom)))]
pub(crate) use std::sync::{Mutex, MutexGuard, atomic};

#[cfg(all(test, thegiant_loom))]
pub(crate) use loom::sync::{Mutex, MutexGuard, atomic};
