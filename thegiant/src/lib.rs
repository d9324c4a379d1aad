//! The toolkit for writing servers that speak the Redis protocol.

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

    pub use crate::connection::{Drain, drain};
}
