//! Generates the code of the derive.

mod choices;
mod options;

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::{
    Data, DeriveInput, GenericParam, Generics, Ident, Lifetime, LifetimeParam, LitStr, Type, parse_quote,
};

use super::model::{Input, Shape};
use crate::types;

/// The parts of the trait implementations.
pub(crate) struct Code {
    /// The expression of the description.
    pub(crate) arg: TokenStream,
    /// The statements that read the value from `args`.
    pub(crate) from_arg: TokenStream,
    /// Implementations of further traits.
    pub(crate) more: TokenStream,
}

pub(crate) fn input(input: &Input<'_>) -> TokenStream {
    let generics = input.generics;
    let code = match &input.shape {
        Shape::Options(options) => options::code(input.ident, options, generics),
        Shape::OneOf(choices) => choices::code(input.ident, choices, input.error, generics),
    };
    traits(input.ident, generics, &code)
}

/// Generates stubs of the traits for an item with a mistake.
pub(crate) fn stub(item: &DeriveInput) -> TokenStream {
    let stub = |arg, more| Code {
        arg,
        from_arg: quote!(::core::result::Result::Err(::thegiant::Error::SYNTAX)),
        more,
    };
    let code = match &item.data {
        Data::Enum(_) => stub(
            quote!(::thegiant::command::ArgSpec::one_of(&[])),
            choices::tokens(&item.ident, &[], &item.generics),
        ),
        _ => stub(quote!(::thegiant::command::ArgSpec::options(&[])), TokenStream::new()),
    };
    traits(&item.ident, &item.generics, &code)
}

pub(crate) fn traits(ident: &Ident, generics: &Generics, code: &Code) -> TokenStream {
    let (lifetime, borrowing) = borrowing(generics);
    let (params, _, bounds) = borrowing.split_for_impl();
    let (_, arguments, _) = generics.split_for_impl();
    let Code { arg, from_arg, more } = code;
    quote! {
        const _: () = {
            #[automatically_derived]
            impl #params ::thegiant::FromArg<#lifetime> for #ident #arguments #bounds {
                const ARG: ::thegiant::command::ArgSpec = #arg;

                #[inline]
                fn from_arg(
                    args: &mut ::thegiant::command::Arguments<#lifetime>,
                ) -> ::core::result::Result<Self, ::thegiant::Error> {
                    #from_arg
                }
            }

            #more
        };
    }
}

/// Returns the lifetime of the request: the lifetime of the item, or a new one in its generics.
fn borrowing(generics: &Generics) -> (Lifetime, Generics) {
    let mut generics = generics.clone();
    if let Some(own) = generics.lifetimes().next() {
        return (own.lifetime.clone(), generics);
    }
    let lifetime: Lifetime = parse_quote!('a);
    generics.params.insert(0, GenericParam::Lifetime(LifetimeParam::new(lifetime.clone())));
    (lifetime, generics)
}

/// Returns `<T as FromArg>` with the span of the user's type.
///
/// Rustc reports errors there, and only once, because it does not repeat equal errors.
pub(crate) fn as_from_arg(ty: &Type, generics: &Generics) -> TokenStream {
    let ty = types::inferred(ty, generics);
    quote!(<#ty as ::thegiant::FromArg<'_>>)
}

/// Returns the expression that reads the value after a token.
fn value(ty: &Type, generics: &Generics) -> TokenStream {
    let from_arg = as_from_arg(ty, generics);
    quote!({
        ::thegiant::__private::expect_value(args, &#from_arg::ARG)?;
        #from_arg::from_arg(args)?
    })
}

/// Returns the addition of `pattern` or `unix_time` to the description of a value.
pub(crate) fn kind(kind: Option<&Ident>) -> Option<TokenStream> {
    let kind = kind?;
    let variant = if kind == "pattern" { quote!(Pattern) } else { quote!(UnixTime) };
    Some(quote_spanned!(kind.span()=> .kind(::thegiant::command::ArgKind::#variant)))
}

/// Generates the error reply with this text.
pub(crate) fn error(text: &LitStr) -> TokenStream {
    let line = LitStr::new(&format!("ERR {}", text.value()), text.span());
    quote!(::thegiant::Error::from_static(#line))
}
