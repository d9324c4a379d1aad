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

/// What the traits of an item are made of.
struct Code {
    /// The expression that describes it.
    arg: TokenStream,
    /// The statements that read it from `args`.
    from_arg: TokenStream,
    /// The words it can begin with, if it is known by those.
    tokens: Option<TokenStream>,
}

pub(crate) fn input(input: &Input<'_>) -> TokenStream {
    let generics = input.generics;
    let code = match &input.shape {
        Shape::Options(options) => options::code(options, generics),
        Shape::OneOf(choices) => choices::code(choices, generics),
    };
    traits(input.ident, generics, &code)
}

/// What stands in for the traits of an item with a mistake.
pub(crate) fn stub(item: &DeriveInput) -> TokenStream {
    let code = Code {
        arg: quote!(::thegiant::command::ArgSpec::options(&[])),
        from_arg: quote!(::core::result::Result::Err(::thegiant::Error::SYNTAX)),
        tokens: matches!(item.data, Data::Enum(_)).then(TokenStream::new),
    };
    traits(&item.ident, &item.generics, &code)
}

fn traits(ident: &Ident, generics: &Generics, code: &Code) -> TokenStream {
    let (lifetime, borrowing) = borrowing(generics);
    let (params, _, bounds) = borrowing.split_for_impl();
    let (_, arguments, _) = generics.split_for_impl();
    let Code { arg, from_arg, tokens } = code;
    let tokens = tokens.iter();
    quote! {
        const _: () = {
            #[automatically_derived]
            impl #params ::thegiant::command::FromArg<#lifetime> for #ident #arguments #bounds {
                const ARG: ::thegiant::command::ArgSpec = #arg;

                fn from_arg(
                    args: &mut ::thegiant::command::Arguments<#lifetime>,
                ) -> ::core::result::Result<Self, ::thegiant::Error> {
                    #from_arg
                }
            }

            #(
                #[automatically_derived]
                impl #params ::thegiant::command::Tokens<#lifetime> for #ident #arguments #bounds {
                    const TOKENS: &'static [&'static str] = &[#tokens];
                }
            )*
        };
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

/// The expression that reads what stands behind a token.
fn value(ty: &Type, generics: &Generics) -> TokenStream {
    let from_arg = as_from_arg(ty, generics);
    quote!({
        ::thegiant::__private::expect_value(args, &#from_arg::ARG)?;
        #from_arg::from_arg(args)?
    })
}

/// What `pattern` and `unix_time` add to the description of a value.
fn kind(attr: &ArgAttr) -> Option<TokenStream> {
    let kind = attr.kind.as_ref()?;
    let variant = if kind == "pattern" { quote!(Pattern) } else { quote!(UnixTime) };
    Some(quote_spanned!(kind.span()=> .kind(::thegiant::command::ArgKind::#variant)))
}
