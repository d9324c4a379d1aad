//! Generates the code of a type that is read from one argument.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::{DeriveInput, spanned::Spanned};

use super::{Source, attr::TypeAttr};
use crate::{
    args::expand::{self, Code, as_from_arg, kind},
    types,
};

pub(super) fn value(item: &DeriveInput, attr: &TypeAttr, source: &Source<'_>) -> TokenStream {
    let from_arg = as_from_arg(source.ty, &item.generics);
    let kind = kind(attr.kind.as_ref());
    let error = attr.error.as_ref().map(expand::error);
    let read = match &error {
        Some(error) => quote!(::thegiant::__private::read_or(args, #error)?),
        None => quote!(#from_arg::from_arg(args)?),
    };
    let ty = types::inferred(source.ty, &item.generics);
    let in_range = attr.range.iter().map(|range| {
        let check = quote_spanned!(range.span()=> ::thegiant::__private::check_range(&value, &(#range)));
        match &error {
            Some(error) => quote!(#check.map_err(|_| #error)?;),
            None => quote!(#check?;),
        }
    });
    let converted = match (source.is_field, &error) {
        (true, _) => quote!(::core::result::Result::Ok(Self(value))),
        (false, error) => {
            let convert = convert(source);
            let reply = error.as_ref().map_or_else(|| reply(source), |error| quote!(|_| #error));
            quote! {
                // A type may also implement `From`.
                #[allow(clippy::unnecessary_fallible_conversions)]
                let converted = #convert;
                converted.map_err(#reply)
            }
        }
    };
    let code = Code {
        arg: quote!(#from_arg::ARG #kind),
        from_arg: quote! {
            let value: #ty = #read;
            #(#in_range)*
            #converted
        },
        more: TokenStream::new(),
    };
    expand::traits(&item.ident, &item.generics, &code)
}

/// Generates the function that makes the error of a conversion a reply. Rustc reports an error without a text at the type in
/// the attribute.
fn reply(source: &Source<'_>) -> TokenStream {
    let reply = quote_spanned!(source.ty.span()=> (&error).conversion().convert(error));
    quote! {
        |error| {
            use ::thegiant::__private::{OtherError as _, ReplyErrorOrError as _};
            #reply
        }
    }
}

/// Generates the conversion with the span of the type in the attribute, where rustc reports that it is missing.
fn convert(source: &Source<'_>) -> TokenStream {
    quote_spanned!(source.ty.span()=> <Self as ::core::convert::TryFrom<_>>::try_from(value))
}
