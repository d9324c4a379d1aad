//! What a command is: a row that everything else reads.
//!
//! - [`Row`]: a [`Spec`] (name, arity, flags, keys, arguments, documentation) and the function that
//!   reads the arguments, calls the method and writes the reply. [`Commands`] is an actor's slice of rows.
//! - [`FromArg`] reads one parameter, [`IntoReply`] writes what a method returns.
//! - [`Answer`] is a reply or a future of one; [`Elements`] is one that is written as its client takes it.
//! - [`Call`] is one request as it was sent.

mod answer;
pub(crate) mod args;
mod call;
mod elements;
pub(crate) mod keys;
mod reply;
mod reply_buffer;
mod row;
mod spec;
mod streaming;
mod table;

pub use answer::Answer;
pub use args::{ArgKind, ArgSpec, Arguments, FromArg, Key, Tokens};
pub use call::Call;
pub(crate) use call::c_text;
pub use elements::Elements;
pub use keys::{KeySpec, Keys};
pub use reply::{Array, IntoPush, IntoReply, Raw, Simple};
pub use reply_buffer::ReplyBuffer;
pub(crate) use reply_buffer::ReplyMode;
pub(crate) use row::RowId;
pub use row::{Commands, Receiver, Row};
pub(crate) use spec::split_name;
pub use spec::{Flags, Spec};
pub(crate) use streaming::{Streamed, StreamingReply};
pub(crate) use table::{CommandTable, Entry, Resolved};
