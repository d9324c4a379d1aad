//! Generates the code of an enum: one of several variants, each with a token.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Generics, Ident, LitStr};

use super::{Code, as_from_arg, borrowing, error as error_with, kind, value};
use crate::args::model::{Choice, Value};

pub(super) fn code(
    ident: &Ident,
    choices: &[Choice<'_>],
    error: Option<&LitStr>,
    generics: &Generics,
) -> Code {
    let error = error.map_or_else(|| quote!(::thegiant::Error::SYNTAX), error_with);
    let parts =
        choices.iter().flat_map(|choice| choice.tokens().map(move |token| part(choice, token, generics)));
    let reads = choices.iter().map(|choice| read(choice, generics));
    let tokens = choices.iter().flat_map(Choice::tokens);
    Code {
        arg: quote!(::thegiant::command::ArgSpec::one_of(&const { [#(#parts),*] })),
        from_arg: quote! {
            #(#reads)*
            ::core::result::Result::Err(#error)
        },
        more: self::tokens(ident, &tokens.collect::<Vec<_>>(), generics),
    }
}

/// Generates the implementation of `Tokens`.
pub(super) fn tokens(ident: &Ident, tokens: &[&LitStr], generics: &Generics) -> TokenStream {
    let (lifetime, borrowing) = borrowing(generics);
    let (params, _, bounds) = borrowing.split_for_impl();
    let (_, arguments, _) = generics.split_for_impl();
    quote! {
        #[automatically_derived]
        impl #params ::thegiant::command::Tokens<#lifetime> for #ident #arguments #bounds {
            const TOKENS: &'static [&'static str] = &[#(#tokens),*];
        }
    }
}

fn part(choice: &Choice<'_>, token: &LitStr, generics: &Generics) -> TokenStream {
    let (name, kind) = (choice.name(token), kind(choice.attr.kind.as_ref()));
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
    let (ident, tokens) = (choice.ident, choice.tokens());
    let values = choice.values.iter().map(|Value { member, ty }| {
        let value = value(ty, generics);
        quote!(#member: #value)
    });
    quote! {
        if #(args.accept(#tokens))||* {
            return ::core::result::Result::Ok(Self::#ident { #(#values),* });
        }
    }
}
