//! Requests, replies, and the commands that need special treatment.

mod commands;
mod cross_slot;
mod loss;
mod reply_reader;
mod words;

pub(crate) use commands::{COMMANDS, CommandKind, is_known, is_slow, kind_of, kind_of_words, name_of};
pub use cross_slot::cross_slot;
pub(crate) use loss::LossReason;
pub(crate) use reply_reader::{ReplyReader, WholeReply, as_resp3};
pub(crate) use words::Words;
