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
mod docs;
#[cfg(feature = "json")]
mod json;
pub(crate) mod keys;
pub(crate) mod maybe_future;
mod parsed;
mod prefix;
pub(crate) mod reply;
mod reply_spec;
pub(crate) mod request;
mod row;
mod spec;
mod table;
mod units;

pub use answer::Answer;
pub(crate) use args::FromArg;
pub use args::{ArgKind, ArgSpec, Arguments, Options, Tokens};
pub use docs::Docs;
#[doc(hidden)]
pub use docs::has_argument;
pub use keys::{KeySpec, Keys};
pub(crate) use prefix::prefixed;
pub use reply::IntoError;
pub(crate) use reply::{Push, Reply};
pub use reply_spec::ReplySpec;
pub(crate) use request::{QUOTED, Request, c_text};
pub use row::{Commands, Receiver, Row};
#[doc(hidden)]
pub use spec::check_split;
pub(crate) use spec::split_name;
pub use spec::{Flags, Spec};
pub(crate) use table::{CommandTable, Entry};
