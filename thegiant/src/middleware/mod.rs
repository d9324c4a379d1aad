//! Middleware: code that runs around every command of an application.
//!
//! [`App::middleware`](crate::App::middleware) installs a [`Middleware`]. It can refuse a command, delay it, and see its
//! outcome: the error code, and the time until the reply. Ready-made:
//!
//! | middleware | what it does |
//! | --- | --- |
//! | [`RateLimit`] | refuses or delays commands beyond a rate, for each client, each address or any other group |
//! | [`ReadOnly`] | refuses commands that write, while it is switched on |
//! | [`AuditLog`] | logs one line for each command |
//! | [`Trace`] | opens a `tracing` span for each command, for OpenTelemetry and others |
//!
//! # Your own
//! A function that decides about each command is a middleware:
//!
//! ```
//! use thegiant::{middleware::Decision, prelude::*};
//!
//! let app = || {
//!     App::new().middleware(|request: &Request| match request.client().name() {
//!         Some(_) => Decision::Run,
//!         None if request.is("CLIENT") || request.is("HELLO") => Decision::Run,
//!         None => Decision::refuse(Error::new("NONAME", "set a name with CLIENT SETNAME first")),
//!     })
//! };
//! ```
//!
//! A type that implements [`Middleware`] also sees the outcome:
//!
//! ```
//! use std::sync::{Arc, atomic::{AtomicU64, Ordering::Relaxed}};
//! use thegiant::{middleware::{Middleware, Outcome}, prelude::*};
//!
//! /// Counts the commands that fail.
//! #[derive(Clone, Default)]
//! struct Failures(Arc<AtomicU64>);
//!
//! impl Middleware for Failures {
//!     fn after(&self, _request: &Request, outcome: &Outcome) {
//!         if !outcome.is_ok() {
//!             self.0.fetch_add(1, Relaxed);
//!         }
//!     }
//! }
//!
//! let failures = Failures::default();
//! let app = App::new().middleware(failures.clone());
//! ```
//!
//! # What passes through
//! Every request passes through all middleware before its actor gets it, on the thread of its connection: commands of
//! actors, pools and shards, built-in commands, those of a fallback and of a proxy, and requests that the server rejects,
//! such as unknown commands. The exceptions are requests of clients that have not authenticated, unless the command is allowed
//! then (`AUTH`, `HELLO`), and requests that a RESP2 client with subscriptions must not send.
//!
//! **Order.** The first installed middleware is the outermost: its [`before`](Middleware::before) comes first, and its
//! [`after`](Middleware::after) last. If a middleware refuses a command, the inner ones do not see it, and the outer ones see an
//! error. Commands of one pipeline may pass several at a time: the first middleware sees all of them before the second one
//! does.
//!
//! **Transactions.** A command after `MULTI` passes when it is queued. If it is refused, `EXEC` replies `EXECABORT`. `EXEC` passes,
//! too, and its [flags](crate::Request::flags) include those of the queued commands, as Redis checks them again; if `EXEC` is
//! refused, the transaction is discarded. The outcome of a queued command comes when `EXEC` has run it. A queued command
//! that does not run has no outcome.
//!
//! **Later replies.** The outcome comes with the reply: after the wait of a blocked command, or when a future has ended. A
//! command whose client has disconnected has none.
//!
//! **Cost.** Without middleware, none. A middleware runs on the thread of the connection, so it must not wait:
//! [`Decision::Delay`] does that. If it panics, the command is refused with an internal error.
//!
//! To change the words of requests is not the task of a middleware. A prefix for the keys of a tenant also has to leave the replies: see
//! [`Server::key_prefix`](crate::Server::key_prefix). The middleware sees keys with the prefix. Only a proxy adds it later.

mod audit_log;
mod decision;
mod installed;
mod outcome;
mod rate_limit;
mod read_only;
mod trace;

pub use audit_log::AuditLog;
pub use decision::Decision;
pub(crate) use installed::{Completed, Held, Installed, Position, Run};
pub use outcome::Outcome;
pub use rate_limit::RateLimit;
pub use read_only::ReadOnly;
pub use trace::Trace;

use crate::Request;

/// Code that runs around the commands of an application; see [the module](self).
///
/// All connections share it, so its state is behind atomics or a mutex. [`Client::attach`](crate::Client::attach) keeps state for
/// each client. A function `Fn(&Request) -> Decision` is a middleware, too.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a middleware",
    label = "not a middleware",
    note = "implement `thegiant::middleware::Middleware` for it",
    note = "or pass a function with a parameter of the type `&Request` that returns a `Decision`, such as \
            `|request: &Request| Decision::Run`; it must be `Send` and `Sync`"
)]
pub trait Middleware: Send + Sync + 'static {
    /// Decides about a request before it runs. By default, it runs.
    fn before(&self, request: &Request<'_>) -> Decision {
        let _ = request;
        Decision::Run
    }

    /// Sees the outcome of a request that [`before`](Self::before) did not refuse. By default, it does nothing.
    fn after(&self, request: &Request<'_>, outcome: &Outcome<'_>) {
        let _ = (request, outcome);
    }
}

#[diagnostic::do_not_recommend]
impl<F: Fn(&Request<'_>) -> Decision + Send + Sync + 'static> Middleware for F {
    fn before(&self, request: &Request<'_>) -> Decision {
        self(request)
    }
}
