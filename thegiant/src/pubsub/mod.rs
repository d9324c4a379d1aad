//! Channels: who listens to them, and what is said there.

mod handle;
mod listeners;
mod subscriptions;

pub(crate) use handle::ChannelKind;
pub use handle::{PubSub, Published};
pub(crate) use subscriptions::Subscriptions;
