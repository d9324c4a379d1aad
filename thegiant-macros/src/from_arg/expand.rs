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
        (false, Some(error)) => {
            let convert = convert(source);
            quote!(#convert.map_err(|_| #error))
        }
        (false, None) => {
            let convert = convert(source);
            let reply = quote_spanned!(source.ty.span()=> (&error).conversion().convert(error));
            quote! {
                #convert.map_err(|error| {
                    use ::thegiant::__private::{OtherError as _, ReplyErrorOrError as _};
                    #reply
                })
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

/// Generates the conversion with the span of the type in the attribute, where rustc reports that it is missing.
fn convert(source: &Source<'_>) -> TokenStream {
    quote_spanned!(source.ty.span()=> <Self as ::core::convert::TryFrom<_>>::try_from(value))
}
