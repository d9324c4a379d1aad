//! `#[derive(Reply)]`: a struct as a map or an array, an enum as one of its variants.

mod attr;
mod case;
mod check;
mod expand;
mod model;

use proc_macro2::TokenStream;
use quote::quote;
use syn::DeriveInput;

use self::model::Input;
use crate::mistakes::Mistakes;

/// Implements the trait. After a mistake it generates a stub, which avoids further errors.
pub(crate) fn derive(item: TokenStream) -> TokenStream {
    let mut mistakes = Mistakes::default();
    let Some(item) = mistakes.ok(syn::parse2::<DeriveInput>(item)) else {
        return quote!(#mistakes);
    };
    let input = Input::read(&item, &mut mistakes);
    if let Some(input) = &input {
        check::input(input, &mut mistakes);
    }
    match input.filter(|_| mistakes.is_empty()) {
        Some(input) => expand::input(&item, &input),
        None => {
            let stub = expand::stub(&item);
            quote!(#mistakes #stub)
        }
    }
}
