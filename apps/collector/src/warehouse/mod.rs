//! The warehouse: a database of PostgreSQL that gets the events of many collectors.
//!
//! The local disk acknowledges events. Another thread reads them from there, and ships them.
//!
//! - `options`: the command line
//! - `status`: the state that the thread and the collector share
//! - `source`: the events on the local disk; `rows`: how PostgreSQL stores them; `session`: the connection to it
//! - `shipper`: the thread

mod options;
mod rows;
mod session;
mod shipper;
mod source;
mod status;

pub(crate) use options::WarehouseOptions;
pub(crate) use status::Status;
