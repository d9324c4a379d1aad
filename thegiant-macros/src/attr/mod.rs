//! Parses the attributes.

mod block;
mod command;
mod written;

pub(crate) use block::{BlockAttr, ClientAttr};
pub(crate) use command::{CommandAttr, SplitAttr};
pub(crate) use written::{Written, set_once};
