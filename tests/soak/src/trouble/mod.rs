//! Misbehaving clients that the server has to tolerate while it serves other clients.

pub(crate) mod garbage;
pub(crate) mod giants;
pub(crate) mod half_requests;
pub(crate) mod killed;
pub(crate) mod pauses;
pub(crate) mod slow_readers;
pub(crate) mod storms;
