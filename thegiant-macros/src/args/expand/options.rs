//! Generates the code of a struct: options in any order, each at most once.

use proc_macro2::TokenStream;
use quote::{format_ident, quote, quote_spanned};
use syn::{Generics, Ident, Type, ext::IdentExt, spanned::Spanned};

use super::{Code, as_from_arg, kind, value};
use crate::{
    args::model::{Form, Opt},
    types,
};

pub(super) fn code(options: &[Opt<'_>], generics: &Generics) -> Code {
    let parts = options.iter().map(|option| part(option, generics));
    let clashes = clashes(options, generics);
    Code {
        arg: quote! {
            ::thegiant::command::ArgSpec::options(&const {
                #(#clashes;)*
                [#(#parts),*]
            })
        },
        from_arg: from_arg(options, generics),
        tokens: None,
    }
}

fn part(option: &Opt<'_>, generics: &Generics) -> TokenStream {
    let (name, kind) = (option.name(), kind(&option.attr));
    match &option.form {
        Form::Flag(token) => quote! {
            ::thegiant::command::ArgSpec::new(::thegiant::command::ArgKind::PureToken)
                .token(#token).named(#name).optional()
        },
        Form::Value { token, ty, optional } => {
            let (from_arg, optional) = (as_from_arg(ty, generics), optional.then(|| quote!(.optional())));
            quote!(#from_arg::ARG #kind.token(#token).named(#name) #optional)
        }
        Form::Group { ty, optional } => {
            let (from_arg, optional) = (as_from_arg(ty, generics), optional.then(|| quote!(.optional())));
            // The tokens come first. For a type without tokens, rustc then reports the missing tokens, and
            // not that the type is no argument.
            let tokens = tokens(ty, generics);
            quote!({ let _ = #tokens; #from_arg::ARG.named(#name) #optional })
        }
    }
}

/// Generates the loop that reads options until the next argument is not a token.
fn from_arg(options: &[Opt<'_>], generics: &Generics) -> TokenStream {
    let slots: Vec<Ident> = options.iter().map(slot).collect();
    let reads = options.iter().map(|option| read(option, generics));
    let fields = options.iter().map(field);
    quote! {
        #(let mut #slots = ::thegiant::__private::Once::new();)*
        while !args.is_empty() {
            #(#reads else)* {
                break;
            }
        }
        ::core::result::Result::Ok(Self { #(#fields),* })
    }
}

fn read(option: &Opt<'_>, generics: &Generics) -> TokenStream {
    let slot = slot(option);
    let (introduced, value) = match &option.form {
        Form::Flag(token) => (quote!(args.accept(#token)), quote!(())),
        Form::Value { token, ty, .. } => (quote!(args.accept(#token)), value(ty, generics)),
        Form::Group { ty, .. } => {
            let tokens = tokens(ty, generics);
            (quote!(args.is_any_of(#tokens)), value(ty, generics))
        }
    };
    quote! {
        if #introduced {
            #slot.expect_vacant()?;
            #slot.fill(#value);
        }
    }
}

fn field(option: &Opt<'_>) -> TokenStream {
    let (ident, slot) = (option.ident, slot(option));
    match option.form {
        Form::Flag(_) => quote!(#ident: #slot.is_set()),
        Form::Value { optional: true, .. } | Form::Group { optional: true, .. } => {
            quote!(#ident: #slot.optional())
        }
        Form::Value { .. } | Form::Group { .. } => quote!(#ident: #slot.required()?),
    }
}

/// Returns the variable with the value of a field.
fn slot(option: &Opt<'_>) -> Ident {
    format_ident!("{}_once", option.ident.unraw())
}

/// Returns `<T as Tokens>::TOKENS` with the span of the user's type.
fn tokens(ty: &Type, generics: &Generics) -> TokenStream {
    let ty = types::inferred(ty, generics);
    quote!(<#ty as ::thegiant::command::Tokens<'_>>::TOKENS)
}

/// Returns the tokens of an option.
fn words(option: &Opt<'_>, generics: &Generics) -> TokenStream {
    match &option.form {
        Form::Group { ty, .. } => tokens(ty, generics),
        Form::Flag(token) | Form::Value { token, .. } => quote!(&[#token]),
    }
}

/// Generates assertions that two groups, or a group and a field, do not share a token.
///
/// `check` compares the tokens of fields, which are visible in the item.
fn clashes(options: &[Opt<'_>], generics: &Generics) -> Vec<TokenStream> {
    let mut clashes = Vec::new();
    for (index, option) in options.iter().enumerate() {
        for earlier in &options[..index] {
            let (ty, other) = match (&option.form, &earlier.form) {
                (Form::Group { ty, .. }, _) => (ty, earlier.ident),
                (_, Form::Group { ty, .. }) => (ty, option.ident),
                _ => continue,
            };
            let (words, earlier) = (words(option, generics), words(earlier, generics));
            let text = format!("duplicate token: `{other}` has a token of this type already");
            clashes.push(quote_spanned! {ty.span()=>
                ::core::assert!(::thegiant::__private::are_distinct(#words, #earlier), #text)
            });
        }
    }
    clashes
}
