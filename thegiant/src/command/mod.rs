//! Commands: their rows, parameters and replies.
//!
//! - A [`Row`] describes a command. It has a [`Spec`] (name, arity, flags, keys, arguments, documentation)
//!   and a function that reads the arguments, calls the method and writes the reply.
//! - [`Commands`] lists the rows of an actor.
//! - [`FromArg`] reads one parameter. [`IntoReply`] writes a return value as a reply.
//! - [`Answer`] is a reply, or a future of one. [`Elements`] streams an array.
//! - [`Call`] is one request as the client sent it.

pub use crate::{
    batch::ReplyBuffer,
    split::{RequestPolicy, ResponsePolicy},
};

mod answer;
pub(crate) mod args;
mod call;
mod elements;
pub(crate) mod keys;
mod reply;
mod row;
mod spec;
mod table;

pub use answer::Answer;
pub use args::{ArgKind, ArgSpec, Arguments, FromArg, Key, Tokens};
pub use call::Call;
pub(crate) use call::{QUOTED, c_text};
pub use elements::Elements;
pub use keys::{KeySpec, Keys};
pub use reply::{Array, IntoPush, IntoReply, Raw, Simple};
pub use row::{Commands, Receiver, Row};
#[doc(hidden)]
pub use spec::check_split;
pub(crate) use spec::split_name;
pub use spec::{Flags, Spec};
pub(crate) use table::{CommandTable, Entry};
