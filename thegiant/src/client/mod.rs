//! Clients: the handle to a connected client, and what its connection shares with the rest of the program.

mod address;
mod blocked;
mod clients;
mod connection_events;
mod flags;
mod handle;
mod info;
mod memory;
mod pushes;
mod slot;
mod times;
mod upstream_keys;
mod upstream_names;
mod waits;

pub use address::Address;
pub(crate) use address::Endpoints;
pub(crate) use blocked::{PartOwner, ReplyHolder, TIMED_OUT};
pub(crate) use clients::Clients;
pub(crate) use connection_events::ConnectionEvents;
pub use connection_events::{Connected, Disconnected};
pub(crate) use flags::{ClientFlag, CloseRequest};
pub use handle::Client;
pub(crate) use handle::{ClientHost, DEFAULT_USER};
pub use slot::PushId;
pub(crate) use upstream_keys::UpstreamKeys;
pub(crate) use upstream_names::UpstreamNames;
pub(crate) use waits::{Collected, SHUTTING_DOWN};
