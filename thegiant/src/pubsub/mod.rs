//! Publish/subscribe: channels, their subscribers and the delivery of messages.

mod handle;
mod listeners;
mod subscriptions;

pub(crate) use handle::{ChannelKind, KeyReaders};
pub use handle::{PubSub, Published};
pub(crate) use subscriptions::Subscriptions;
