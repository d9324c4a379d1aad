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
mod categories;
mod docs;
#[cfg(feature = "json")]
mod json;
mod key_flags;
mod key_uses;
pub(crate) mod keys;
pub(crate) mod maybe_future;
mod parsed;
mod prefix;
mod reads;
mod redacted;
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
pub(crate) use categories::{CONTAINER_CATEGORIES, REDIS_CATEGORIES, redis_index};
pub use docs::Docs;
#[doc(hidden)]
pub use docs::has_argument;
pub(crate) use key_flags::KeyAccess;
pub use key_flags::{KeyFlags, KeyUse};
pub(crate) use key_uses::{KeyRange, UsualKeys};
#[doc(hidden)]
pub use key_uses::{check_key_token, check_key_use, check_tenant_safe};
pub use keys::{KeySpec, Keys};
pub(crate) use prefix::prefixed;
pub(crate) use reads::is_read_of_redis;
pub use reply::IntoError;
pub(crate) use reply::{Push, Reply};
pub use reply_spec::ReplySpec;
pub(crate) use request::{QUOTED, Request, c_text};
pub use row::{Commands, Receiver, Row};
pub use spec::{Flags, Spec};
#[doc(hidden)]
pub use spec::{check_merge, check_split};
pub(crate) use spec::{full_name, split_name};
pub(crate) use table::{CommandTable, Entry};
