//! The code that the derive writes.

mod choices;
mod options;

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::{Data, DeriveInput, GenericParam, Generics, Ident, Lifetime, LifetimeParam, Type, parse_quote};

use super::{
    attr::ArgAttr,
    model::{Input, Shape},
};
use crate::types;

/// The two items of an `impl FromArg`.
struct Items {
    /// The expression that describes it.
    arg: TokenStream,
    /// The statements that read it from `args`.
    from_arg: TokenStream,
}

pub(crate) fn input(input: &Input<'_>) -> TokenStream {
    let ident = input.ident;
    let (items, tokens) = match &input.shape {
        Shape::Options(options) => (options::items(options, input.generics), None),
        Shape::OneOf(choices) => (choices::items(choices, input.generics), Some(choices::tokens(choices))),
    };
    let from_arg = implementation(ident, input.generics, &items);
    let tokens = tokens.map(|tokens| tokens_implementation(ident, input.generics, &tokens));
    let (_, arguments, _) = input.generics.split_for_impl();
    let described = as_from_arg(&parse_quote!(#ident #arguments), input.generics);
    quote! {
        const _: () = {
            #from_arg
            #tokens
            // Has it evaluated even where no command takes it: a clash of tokens is found in a `const`.
            const _: ::thegiant::command::ArgSpec = #described::ARG;
        };
    }
}

/// What stands in for the traits of an item with a mistake.
pub(crate) fn stub(item: &DeriveInput) -> TokenStream {
    let arg = quote!(::thegiant::command::ArgSpec::options(&[]));
    let from_arg = quote!(::core::result::Result::Err(::thegiant::Error::SYNTAX));
    let from_arg = implementation(&item.ident, &item.generics, &Items { arg, from_arg });
    let tokens = matches!(item.data, Data::Enum(_))
        .then(|| tokens_implementation(&item.ident, &item.generics, &quote!()));
    quote! {
        const _: () = {
            #from_arg
            #tokens
        };
    }
}

fn implementation(ident: &Ident, generics: &Generics, items: &Items) -> TokenStream {
    let (lifetime, borrowing) = borrowing(generics);
    let (params, _, bounds) = borrowing.split_for_impl();
    let (_, arguments, _) = generics.split_for_impl();
    let Items { arg, from_arg } = items;
    quote! {
        #[automatically_derived]
        impl #params ::thegiant::command::FromArg<#lifetime> for #ident #arguments #bounds {
            const ARG: ::thegiant::command::ArgSpec = #arg;

            fn from_arg(
                args: &mut ::thegiant::command::Arguments<#lifetime>,
            ) -> ::core::result::Result<Self, ::thegiant::Error> {
                #from_arg
            }
        }
    }
}

fn tokens_implementation(ident: &Ident, generics: &Generics, tokens: &TokenStream) -> TokenStream {
    let (lifetime, borrowing) = borrowing(generics);
    let (params, _, bounds) = borrowing.split_for_impl();
    let (_, arguments, _) = generics.split_for_impl();
    quote! {
        #[automatically_derived]
        impl #params ::thegiant::command::Tokens<#lifetime> for #ident #arguments #bounds {
            const TOKENS: &'static [&'static str] = &[#tokens];
        }
    }
}

/// The lifetime of the request: the item's own, or one that is added to its generics.
fn borrowing(generics: &Generics) -> (Lifetime, Generics) {
    let mut generics = generics.clone();
    if let Some(own) = generics.lifetimes().next() {
        return (own.lifetime.clone(), generics);
    }
    let lifetime: Lifetime = parse_quote!('a);
    generics.params.insert(0, GenericParam::Lifetime(LifetimeParam::new(lifetime.clone())));
    (lifetime, generics)
}

/// `<T as FromArg>`, with the tokens of the user's type: what is wrong with it is said there, and
/// once, because rustc does not repeat an error word for word.
fn as_from_arg(ty: &Type, generics: &Generics) -> TokenStream {
    let ty = types::inferred(ty, generics);
    quote!(<#ty as ::thegiant::command::FromArg<'_>>)
}

/// What `pattern` and `unix_time` add to the description of a value.
fn kind(attr: &ArgAttr) -> Option<TokenStream> {
    let kind = attr.kind.as_ref()?;
    let variant = if kind == "pattern" { quote!(Pattern) } else { quote!(UnixTime) };
    Some(quote_spanned!(kind.span()=> .kind(::thegiant::command::ArgKind::#variant)))
}
