//! Tests that loom runs in every order in which their threads can take a lock. `tests/loom` runs them.
//!
//! The queues, the batches, the client slots and the mailboxes are those of a server. Only the threads are loom's.

mod app;
mod parts;
mod queue;
mod waits;
