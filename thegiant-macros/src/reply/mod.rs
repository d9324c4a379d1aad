//! `#[derive(Reply)]` and `#[derive(FromReply)]`: a struct as a map or an array, an enum as one of its variants.

mod attr;
mod case;
mod check;
mod expand;
mod from_reply;
mod model;

use proc_macro2::TokenStream;
use quote::quote;
use syn::DeriveInput;

use self::model::Input;
use crate::mistakes::Mistakes;

/// Implements the trait that writes the item.
pub(crate) fn derive(item: TokenStream) -> TokenStream {
    derive_with(item, "Reply", check::input, expand::input, expand::stub)
}

/// Implements the trait that reads the item, for clients.
pub(crate) fn derive_from_reply(item: TokenStream) -> TokenStream {
    derive_with(item, "FromReply", check::owned_input, from_reply::input, from_reply::stub)
}

/// After a mistake it generates a stub, which avoids further errors.
fn derive_with(
    item: TokenStream,
    derive: &str,
    check: fn(&Input<'_>, &mut Mistakes),
    expand: fn(&DeriveInput, &Input<'_>) -> TokenStream,
    stub: fn(&DeriveInput) -> TokenStream,
) -> TokenStream {
    let mut mistakes = Mistakes::default();
    let Some(item) = mistakes.ok(syn::parse2::<DeriveInput>(item)) else {
        return quote!(#mistakes);
    };
    let input = Input::read(&item, derive, &mut mistakes);
    if let Some(input) = &input {
        check(input, &mut mistakes);
    }
    match input.filter(|_| mistakes.is_empty()) {
        Some(input) => expand(&item, &input),
        None => {
            let stub = stub(&item);
            quote!(#mistakes #stub)
        }
    }
}
