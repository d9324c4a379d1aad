//! The attributes and derives of `thegiant`. Use them through that crate: what they write names its
//! items.
//!
//! Both follow the same path: `attr` reads what stands in an attribute, `model` is what was
//! written, `check` finds what is wrong with it, `expand` writes the code. `args` has the same
//! four files for the derive.

mod args;
mod attr;
mod check;
mod expand;
mod mistakes;
mod model;
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
#[proc_macro_derive(Args, attributes(arg))]
pub fn args(item: TokenStream) -> TokenStream {
    args::derive(item.into()).into()
}
