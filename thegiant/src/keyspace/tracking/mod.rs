//! `CLIENT TRACKING`: sends invalidations to clients that cache keys.

mod broadcasts;
mod forwarded;
mod options;
mod table;
mod tracker;
mod trackers;

pub(crate) use forwarded::Reads;
pub(crate) use options::{Tracked, TrackingMode, TrackingOptions, TrackingRedirect};
pub(crate) use trackers::TrackingCounts;
pub(super) use trackers::{Trackers, Write};
