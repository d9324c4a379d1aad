//! `#[derive(Args)]`: a struct of options, or an enum of alternatives.

pub(crate) mod attr;
pub(crate) mod check;
pub(crate) mod expand;
mod model;
mod to_args;

use proc_macro2::TokenStream;
use quote::quote;
use syn::DeriveInput;

pub(crate) use self::{attr::is_arg, model::Input};
use crate::mistakes::Mistakes;

/// Implements the traits that read the item. After a mistake it generates stubs, which avoid further errors.
pub(crate) fn derive(item: TokenStream) -> TokenStream {
    derive_with(item, expand::input, expand::stub)
}

/// Implements the trait that writes the item.
pub(crate) fn derive_to_args(item: TokenStream) -> TokenStream {
    derive_with(item, to_args::input, to_args::stub)
}

fn derive_with(
    item: TokenStream,
    expand: fn(&Input<'_>) -> TokenStream,
    stub: fn(&DeriveInput) -> TokenStream,
) -> TokenStream {
    let mut mistakes = Mistakes::default();
    let Some(item) = mistakes.ok(syn::parse2::<DeriveInput>(item)) else {
        return quote!(#mistakes);
    };
    let input = Input::read(&item, &mut mistakes);
    if let Some(input) = &input {
        check::input(input, &mut mistakes);
    }
    match input.filter(|_| mistakes.is_empty()) {
        Some(input) => expand(&input),
        None => {
            let stub = stub(&item);
            quote!(#mistakes #stub)
        }
    }
}
