//! Parses the attributes.

mod block;
mod command;
mod key;
mod written;

pub(crate) use block::{BlockAttr, ClientAttr, ExpireAttr};
pub(crate) use command::{CommandAttr, SplitAttr, check_category};
pub(crate) use key::{KeyAttr, KeyWords, is_key, is_write};
pub(crate) use written::{Written, set_once};
