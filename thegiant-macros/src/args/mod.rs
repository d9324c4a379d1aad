//! `#[derive(Args)]`: a struct of options, or an enum of alternatives.

pub(crate) mod attr;
pub(crate) mod check;
pub(crate) mod expand;
pub(crate) mod model;

use proc_macro2::TokenStream;
use quote::quote;
use syn::DeriveInput;

pub(crate) use self::{attr::is_arg, model::Input};
use crate::mistakes::Mistakes;

/// Implements the traits that read the item. After a mistake it generates stubs, which avoid further errors.
pub(crate) fn derive(item: TokenStream) -> TokenStream {
    let mut mistakes = Mistakes::default();
    let Some(item) = mistakes.ok(syn::parse2::<DeriveInput>(item)) else {
        return quote!(#mistakes);
    };
    check::generics(&item.generics, "Args", &mut mistakes);
    let input = Input::read(&item, UNSUPPORTED, &mut mistakes);
    if let Some(input) = &input {
        check::input(input, &mut mistakes);
    }
    match input.filter(|_| mistakes.is_empty()) {
        Some(input) => expand::input(&input),
        None => {
            let stub = expand::stub(&item);
            quote!(#mistakes #stub)
        }
    }
}

const UNSUPPORTED: &str =
    "`#[derive(Args)]` on an unsupported type: use a struct with named fields, or an enum";
