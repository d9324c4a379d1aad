//! What a server should bear while it serves the others.

pub(crate) mod garbage;
pub(crate) mod giants;
pub(crate) mod half_requests;
pub(crate) mod killed;
pub(crate) mod slow_readers;
pub(crate) mod storms;
