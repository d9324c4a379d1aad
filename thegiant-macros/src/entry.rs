//! `#[main]` and `#[test]`: run an `async fn` on the event loop that actors need.

use proc_macro2::{Span, TokenStream};
use quote::quote;
use syn::{Error, ItemFn};

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
    let ItemFn { attrs, vis, mut sig, block, .. } = function;
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
    // After a mistake, rustc should not report another one.
    sig.asyncness.get_or_insert_default();
    (sig.inputs, sig.generics) = Default::default();
    let (ident, output) = (&sig.ident, &sig.output);
    // The function in the function has the return type of the user. So rustc knows it in the body, and says where an `.await` is
    // missing; of a block, it would report that the `?` in it cannot be used.
    quote! {
        #mistakes
        #test
        #(#attrs)*
        #vis fn #ident() #output {
            #sig #block
            ::thegiant::__private::System::new().block_on(#ident())
        }
    }
}
