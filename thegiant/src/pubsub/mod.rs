//! Publish/subscribe: channels, their subscribers and the delivery of messages.

mod handle;
mod subscribers;
mod subscriptions;

pub(crate) use handle::{ChannelKind, KeyReaders, with_prefix, without_prefix};
pub use handle::{PubSub, Published};
pub(crate) use subscriptions::Subscriptions;
