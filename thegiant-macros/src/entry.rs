//! `#[main]` and `#[test]`: run an `async fn` on the event loop that actors need.

use proc_macro2::{Span, TokenStream};
use quote::quote;
use syn::{Error, ItemFn, spanned::Spanned};

use crate::mistakes::Mistakes;

/// Expands `#[thegiant::main]`.
pub(crate) fn main(attr: &TokenStream, item: TokenStream) -> TokenStream {
    expand("main", attr, item, &TokenStream::new())
}

/// Expands `#[thegiant::test]`.
pub(crate) fn test(attr: &TokenStream, item: TokenStream) -> TokenStream {
    expand("test", attr, item, &quote!(#[::core::prelude::v1::test]))
}

fn expand(name: &str, attr: &TokenStream, item: TokenStream, test: &TokenStream) -> TokenStream {
    let Ok(function) = syn::parse2::<ItemFn>(item.clone()) else {
        let text = format!("`#[thegiant::{name}]` needs an `async fn`");
        let error = Error::new(Span::call_site(), text).to_compile_error();
        return quote!(#error #item);
    };
    let mut mistakes = Mistakes::default();
    if !attr.is_empty() {
        mistakes.at(
            attr,
            format_args!(
                "`#[thegiant::{name}]` takes no arguments: `Server::workers` sets the number of threads"
            ),
        );
    }
    let ItemFn { attrs, vis, sig, block, .. } = function;
    if sig.asyncness.is_none() {
        mistakes
            .at(sig.fn_token, format_args!("this has to be an `async fn`: write `async fn {}`", sig.ident));
    }
    if !sig.inputs.is_empty() {
        mistakes.at(&sig.inputs, format_args!("`{}` takes no parameters: remove them", sig.ident));
    }
    if !sig.generics.params.is_empty() {
        mistakes.at(&sig.generics, format_args!("`{}` cannot be generic", sig.ident));
    }
    let (ident, output) = (&sig.ident, &sig.output);
    let body = quote::quote_spanned!(block.span()=> async move #block);
    quote! {
        #mistakes
        #test
        #(#attrs)*
        #vis fn #ident() #output {
            ::thegiant::__private::System::new().block_on(#body)
        }
    }
}
