//! The toolkit for writing servers that speak the Redis protocol.
//!
//! ```no_run
//! use thegiant::prelude::*;
//!
//! struct Greeter;
//!
//! impl Actor for Greeter {
//!     type Context = Context<Self>;
//! }
//!
//! #[commands]
//! impl Greeter {
//!     /// Greets someone.
//!     #[command("GREET", fast)]
//!     fn greet(&self, name: &str) -> String {
//!         format!("hello, {name}")
//!     }
//! }
//!
//! #[actix::main]
//! async fn main() -> std::io::Result<()> {
//!     let app = App::new().mount(Greeter.start());
//!     Server::new(app).bind("127.0.0.1:6380")?.run().await
//! }
//! ```
//!
//! Every Redis client in every language is a client of that server: `redis-cli -p 6380 GREET you`.
//!
//! # A map of the types
//!
//! - [`Server`] listens, limits and stops; a [`ServerHandle`] stops it from elsewhere.
//! - [`App`] composes it: actors, a function, the commands that the toolkit answers itself.
//! - [`commands`](macro@commands) makes an actor of methods: a parameter is a [`FromArg`], such as
//!   [`Key`], [`Bytes`] or a type with [`#[derive(Args)]`](derive@Args); what is returned is an
//!   [`IntoReply`], such as [`Simple`], [`Array`], [`Value`] or an [`Error`].
//! - [`Client`] is who asks, [`Call`] what was asked, as it came.
//! - [`command`](mod@command) describes commands, [`resp`] is the wire, [`glob`] matches patterns.
//!
//! # What is promised
//!
//! - Replies leave in the order of the requests, and a client's commands run in that order. A
//!   client that does not read its replies is not read from.
//! - A handler that panics is answered with `-ERR internal error`; its client stays connected, and
//!   everything else goes on. (With `panic = "abort"` in the profile, that cannot be.)
//! - What a client sends can neither end the process nor make it reserve memory for a length that
//!   was merely declared.
//! - Errors, limits and handshakes are those of Redis 7.0.
//!
//! # Layout
//!
//! `resp/` is the wire, without I/O; `command/` what a command is; `connection/` the actor per
//! client; `builtin/` the commands that it answers itself; `app.rs` and `server.rs` put them
//! together. What was decided, and why, is in the repository's `DESIGN.md`.

// The attributes write `::thegiant::…`, which has to mean this crate in here too.
extern crate self as thegiant;

mod app;
mod builtin;
pub mod command;
mod connection;
pub mod glob;
mod listener;
mod options;
pub mod resp;
mod server;

pub use bytes::Bytes;
pub use thegiant_macros::{Args, command, commands};

pub use crate::{
    app::App,
    command::{Array, Call, Commands, FromArg, IntoReply, Key, Raw, Simple},
    connection::{Address, Client},
    resp::{Error, Value},
    server::{Server, ServerHandle},
};

/// What an application needs, in one `use`.
pub mod prelude {
    pub use actix::{Actor, Addr, AsyncContext, Context, Handler};

    pub use crate::{
        App, Args, Array, Bytes, Call, Client, Error, IntoReply, Key, Server, Simple, Value, command,
        commands,
    };
}

/// What the attributes write. It is no part of the interface.
#[doc(hidden)]
pub mod __private {
    pub use actix::{Actor, Handler};

    pub use crate::{
        command::{
            args::{Once, are_distinct, expect_value},
            keys::check_keys,
        },
        connection::{Drain, drain},
    };
}

/// The examples of the README are compiled like all others.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
