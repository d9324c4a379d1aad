//! Connections: each reads requests, runs them or sends them to their actors, and writes the replies.

mod admission;
mod close;
mod connection;
mod context;
#[cfg(feature = "tls")]
mod handshake;
mod login;
mod middleware;
mod permissions;
mod read;
mod role;
mod run;
mod slots;
mod state;
mod tenant;
mod transaction;
mod write;

pub(crate) use connection::Connection;
pub(crate) use state::ConnectionState;
