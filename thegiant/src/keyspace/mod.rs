//! Tells clients which keys have changed: `WATCH`, `CLIENT TRACKING` and keyspace notifications.

mod events;
mod expire;
mod expiring_map;
mod handle;
mod tracking;
mod watch;

pub(crate) use events::Events;
pub use expire::{Expire, remove_expired};
pub use expiring_map::ExpiringMap;
pub use handle::Keyspace;
pub(crate) use handle::{Ran, RanScope};
pub(crate) use tracking::{Reads, Tracked, TrackingCounts, TrackingMode, TrackingOptions, TrackingRedirect};
pub(crate) use watch::Watch;
