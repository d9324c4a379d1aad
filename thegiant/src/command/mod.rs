//! Commands: their rows, parameters and replies.
//!
//! - A [`Row`] describes a command. It has a [`Spec`] (name, arity, flags, keys, arguments, documentation)
//!   and a function that reads the arguments, calls the method and writes the reply.
//! - [`Commands`] lists the rows of an actor.
//! - [`FromArg`] reads one parameter, and [`ArgSpec`] describes it.
//! - [`Answer`] is a [`Reply`], or a future of one.

pub use crate::{
    batch::ReplyBuffer,
    split::{RequestPolicy, ResponsePolicy},
};

mod answer;
pub(crate) mod args;
pub(crate) mod array_stream;
#[cfg(feature = "json")]
pub(crate) mod json;
pub(crate) mod keys;
mod prefix;
pub(crate) mod maybe_future;
pub(crate) mod parsed;
pub(crate) mod reply;
pub(crate) mod request;
mod row;
mod spec;
mod table;
pub(crate) mod units;

pub use answer::Answer;
pub(crate) use args::FromArg;
pub use args::{ArgKind, ArgSpec, Arguments, Options, Tokens};
pub use keys::{KeySpec, Keys};
pub(crate) use prefix::prefixed;
pub(crate) use reply::{Push, Reply};
pub(crate) use request::{QUOTED, Request, c_text};
pub use row::{Commands, Receiver, Row};
#[doc(hidden)]
pub use spec::check_split;
pub(crate) use spec::split_name;
pub use spec::{Flags, Spec};
pub(crate) use table::{CommandTable, Entry};
