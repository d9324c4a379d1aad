//! The attributes and derives of `thegiant`.
//!
//! Use them through `thegiant` and `thegiant-client`, because the generated code names items of these crates.
//!
//! The attributes take four steps: `attr` parses an attribute, `model` represents the item, `check` finds
//! mistakes, and `expand` generates the code. The folder `args` has the same four steps for
//! `#[derive(Args)]`; `from_arg` uses them for enums of words, and `to_args` for all that is written.

mod args;
mod attr;
mod check;
mod docs;
mod entry;
mod expand;
mod from_arg;
mod mistakes;
mod model;
mod reply;
mod reply_error;
mod to_args;
mod types;

use proc_macro::TokenStream;

#[expect(missing_docs, reason = "documented where `thegiant` re-exports it")]
#[proc_macro_attribute]
pub fn commands(attr: TokenStream, item: TokenStream) -> TokenStream {
    expand::commands(attr.into(), item.into()).into()
}

#[expect(missing_docs, reason = "documented where `thegiant` re-exports it")]
#[proc_macro_attribute]
pub fn command(_attr: TokenStream, item: TokenStream) -> TokenStream {
    expand::stray_command(item.into()).into()
}

#[expect(missing_docs, reason = "documented where `thegiant` re-exports it")]
#[proc_macro_attribute]
pub fn main(attr: TokenStream, item: TokenStream) -> TokenStream {
    entry::main(&attr.into(), item.into()).into()
}

#[expect(missing_docs, reason = "documented where `thegiant` re-exports it")]
#[proc_macro_attribute]
pub fn test(attr: TokenStream, item: TokenStream) -> TokenStream {
    entry::test(&attr.into(), item.into()).into()
}

#[expect(missing_docs, reason = "documented where `thegiant` re-exports it")]
#[proc_macro_derive(Reply, attributes(reply))]
pub fn reply(item: TokenStream) -> TokenStream {
    reply::derive(item.into()).into()
}

#[expect(missing_docs, reason = "documented where `thegiant` re-exports it")]
#[proc_macro_derive(ReplyError, attributes(reply))]
pub fn reply_error(item: TokenStream) -> TokenStream {
    reply_error::derive(item.into()).into()
}

#[expect(missing_docs, reason = "documented where `thegiant` re-exports it")]
#[proc_macro_derive(FromArg, attributes(arg))]
pub fn from_arg(item: TokenStream) -> TokenStream {
    from_arg::derive(item.into()).into()
}

#[expect(missing_docs, reason = "documented where `thegiant` re-exports it")]
#[proc_macro_derive(Args, attributes(arg))]
pub fn args(item: TokenStream) -> TokenStream {
    args::derive(item.into()).into()
}

#[expect(missing_docs, reason = "documented where `thegiant-client` re-exports it")]
#[proc_macro_derive(FromReply, attributes(reply))]
pub fn from_reply(item: TokenStream) -> TokenStream {
    reply::derive_from_reply(item.into()).into()
}

#[expect(missing_docs, reason = "documented where `thegiant-client` re-exports it")]
#[proc_macro_derive(ToArgs, attributes(arg))]
pub fn to_args(item: TokenStream) -> TokenStream {
    to_args::derive(item.into()).into()
}
