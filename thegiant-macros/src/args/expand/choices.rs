//! Generates the code of an enum: one of several variants, each with a token.

use proc_macro2::TokenStream;
use quote::quote;
use syn::Generics;

use super::{Code, as_from_arg, kind, value};
use crate::args::model::{Choice, Value};

pub(super) fn code(choices: &[Choice<'_>], generics: &Generics) -> Code {
    let parts = choices.iter().map(|choice| part(choice, generics));
    let reads = choices.iter().map(|choice| read(choice, generics));
    let tokens = choices.iter().map(|choice| &choice.token);
    Code {
        arg: quote!(::thegiant::command::ArgSpec::one_of(&const { [#(#parts),*] })),
        from_arg: quote! {
            #(#reads)*
            ::core::result::Result::Err(::thegiant::Error::SYNTAX)
        },
        tokens: Some(quote!(#(#tokens),*)),
    }
}

fn part(choice: &Choice<'_>, generics: &Generics) -> TokenStream {
    let (token, name, kind) = (&choice.token, choice.name(), kind(&choice.attr));
    let value = match choice.values.as_slice() {
        [] => quote!(::thegiant::command::ArgSpec::new(::thegiant::command::ArgKind::PureToken)),
        [value] => {
            let value = as_from_arg(value.ty, generics);
            quote!(#value::ARG)
        }
        values => block(values, generics),
    };
    quote!(#value #kind.token(#token).named(#name))
}

fn block(values: &[Value<'_>], generics: &Generics) -> TokenStream {
    let parts = values.iter().map(|value| {
        let (from_arg, name) = (as_from_arg(value.ty, generics), value.name());
        quote!(#from_arg::ARG.named(#name))
    });
    quote!(::thegiant::command::ArgSpec::block(&const { [#(#parts),*] }))
}

fn read(choice: &Choice<'_>, generics: &Generics) -> TokenStream {
    let (ident, token) = (choice.ident, &choice.token);
    let values = choice.values.iter().map(|Value { member, ty }| {
        let value = value(ty, generics);
        quote!(#member: #value)
    });
    quote! {
        if args.accept(#token) {
            return ::core::result::Result::Ok(Self::#ident { #(#values),* });
        }
    }
}
