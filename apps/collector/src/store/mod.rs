//! The streams on disk: all access to SQLite.

mod database;
mod events;
mod groups;
mod strings;

pub(crate) use database::{
    BUSY_TIMEOUT, Consumer, Event, Group, Limit, Of, Pending, Range, ReadError, Result, Shipped, Store,
    Stream,
};
pub(crate) use strings::StoredString;
