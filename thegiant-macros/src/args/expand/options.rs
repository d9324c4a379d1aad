//! Generates the code of a struct: options in any order, each at most once, then positional arguments.

use proc_macro2::TokenStream;
use quote::{format_ident, quote, quote_spanned};
use syn::{Generics, Ident, Lifetime, Type, ext::IdentExt, spanned::Spanned};

use super::{Code, as_from_arg, borrowing, kind, value};
use crate::{
    args::model::{Form, Opt},
    types,
};

pub(super) fn code(ident: &Ident, options: &[Opt<'_>], generics: &Generics) -> Code {
    // As in a request, the positional arguments come last.
    let is_rest = |option: &&Opt<'_>| matches!(option.form, Form::Rest { .. });
    let in_order = options.iter().filter(|option| !is_rest(option)).chain(options.iter().filter(is_rest));
    let parts = in_order.map(|option| part(option, generics));
    let clashes = clashes(options, generics);
    Code {
        arg: quote! {
            ::thegiant::command::ArgSpec::options(&const {
                #(#clashes;)*
                [#(#parts),*]
            })
        },
        from_arg: quote!(::thegiant::__private::read_options(args)),
        more: set(ident, options, generics),
    }
}

fn part(option: &Opt<'_>, generics: &Generics) -> TokenStream {
    let (name, kind) = (option.name(), kind(option.attr.kind.as_ref()));
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
        Form::Flatten { ty } => {
            let from_arg = as_from_arg(ty, generics);
            quote!(#from_arg::ARG)
        }
        Form::Rest { ty } => {
            let from_arg = as_from_arg(ty, generics);
            quote!(#from_arg::ARG #kind.named(#name))
        }
    }
}

/// Generates the implementation of `Options`, by which another struct can include the options.
fn set(ident: &Ident, options: &[Opt<'_>], generics: &Generics) -> TokenStream {
    let (lifetime, borrowing) = borrowing(generics);
    let (params, borrowed, bounds) = borrowing.split_for_impl();
    let (_, arguments, _) = generics.split_for_impl();
    let declared = options.iter().filter_map(|option| declaration(option, &lifetime));
    let new = options.iter().filter_map(|option| new(option, generics));
    let reads = options.iter().filter_map(|option| read(option, generics));
    let fields = options.iter().map(|option| field(option, generics));
    quote! {
        /// The options that have been read.
        #[allow(unreachable_pub)]
        pub struct __Slots #params #bounds {
            #(#declared,)*
            __request: ::core::marker::PhantomData<&#lifetime ()>,
        }

        #[automatically_derived]
        impl #params ::thegiant::command::Options<#lifetime> for #ident #arguments #bounds {
            type Slots = __Slots #borrowed;

            #[inline(always)]
            fn none() -> Self::Slots {
                __Slots { #(#new,)* __request: ::core::marker::PhantomData }
            }

            #[inline(always)]
            fn read(
                slots: &mut Self::Slots,
                args: &mut ::thegiant::command::Arguments<#lifetime>,
            ) -> ::core::result::Result<bool, ::thegiant::Error> {
                #(#reads)*
                ::core::result::Result::Ok(false)
            }

            #[inline(always)]
            fn finish(
                slots: Self::Slots,
                args: &mut ::thegiant::command::Arguments<#lifetime>,
            ) -> ::core::result::Result<Self, ::thegiant::Error> {
                ::core::result::Result::Ok(Self { #(#fields),* })
            }
        }
    }
}

/// Generates the declaration of a field's slot.
fn declaration(option: &Opt<'_>, lifetime: &Lifetime) -> Option<TokenStream> {
    let slot = slot(option);
    Some(match &option.form {
        Form::Flag(_) => quote!(#slot: ::thegiant::__private::Once<()>),
        Form::Value { ty, .. } | Form::Group { ty, .. } => quote!(#slot: ::thegiant::__private::Once<#ty>),
        Form::Flatten { ty } => {
            let slots = quote_spanned!(ty.span()=> <#ty as ::thegiant::command::Options<#lifetime>>::Slots);
            quote!(#slot: #slots)
        }
        Form::Rest { .. } => return None,
    })
}

fn new(option: &Opt<'_>, generics: &Generics) -> Option<TokenStream> {
    let slot = slot(option);
    Some(match &option.form {
        Form::Flatten { ty } => {
            let options = as_options(ty, generics);
            quote!(#slot: #options::none())
        }
        Form::Rest { .. } => return None,
        Form::Flag(_) | Form::Value { .. } | Form::Group { .. } => {
            quote!(#slot: ::thegiant::__private::Once::new())
        }
    })
}

fn read(option: &Opt<'_>, generics: &Generics) -> Option<TokenStream> {
    let slot = slot(option);
    let (introduced, value) = match &option.form {
        Form::Flag(token) => (quote!(args.accept(#token)), quote!(())),
        Form::Value { token, ty, .. } => (quote!(args.accept(#token)), value(ty, generics)),
        Form::Group { ty, .. } => {
            let tokens = tokens(ty, generics);
            (quote!(args.is_any_of(#tokens)), value(ty, generics))
        }
        Form::Flatten { ty } => {
            let options = as_options(ty, generics);
            return Some(quote! {
                if #options::read(&mut slots.#slot, args)? {
                    return ::core::result::Result::Ok(true);
                }
            });
        }
        Form::Rest { .. } => return None,
    };
    Some(quote! {
        if #introduced {
            slots.#slot.expect_vacant()?;
            slots.#slot.fill(#value);
            return ::core::result::Result::Ok(true);
        }
    })
}

fn field(option: &Opt<'_>, generics: &Generics) -> TokenStream {
    let (ident, slot) = (option.ident, slot(option));
    match &option.form {
        Form::Flag(_) => quote!(#ident: slots.#slot.is_set()),
        Form::Value { optional: true, .. } | Form::Group { optional: true, .. } => {
            quote!(#ident: slots.#slot.optional())
        }
        Form::Value { .. } | Form::Group { .. } => quote!(#ident: slots.#slot.required()?),
        Form::Flatten { ty } => {
            let options = as_options(ty, generics);
            quote!(#ident: #options::finish(slots.#slot, args)?)
        }
        Form::Rest { ty } => {
            let from_arg = as_from_arg(ty, generics);
            quote!(#ident: #from_arg::from_arg(args)?)
        }
    }
}

/// Returns the variable with the value of a field.
fn slot(option: &Opt<'_>) -> Ident {
    format_ident!("{}_once", option.ident.unraw())
}

/// Returns `<T as Options>` with the span of the user's type.
fn as_options(ty: &Type, generics: &Generics) -> TokenStream {
    let ty = types::inferred(ty, generics);
    quote_spanned!(ty.span()=> <#ty as ::thegiant::command::Options<'_>>)
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
        Form::Flatten { .. } | Form::Rest { .. } => quote!(&[]),
    }
}

/// Generates assertions that two options do not share a token, if the tokens of one are those of its type.
///
/// `check` compares the tokens of fields, which are visible in the item.
fn clashes(options: &[Opt<'_>], generics: &Generics) -> Vec<TokenStream> {
    let mut clashes = Vec::new();
    for (index, option) in options.iter().enumerate() {
        for earlier in &options[..index] {
            let (ty, other, is_distinct) = match (&option.form, &earlier.form) {
                (Form::Rest { .. }, _) | (_, Form::Rest { .. }) => continue,
                (Form::Flatten { ty }, Form::Flatten { ty: before }) => {
                    let [some, others] = [ty, before].map(|ty| as_from_arg(ty, generics));
                    let is_distinct =
                        quote!(::thegiant::__private::share_no_token(&[#some::ARG], &[#others::ARG]));
                    (ty, earlier.ident, is_distinct)
                }
                (Form::Flatten { ty }, _) => (ty, earlier.ident, has_none(ty, earlier, generics)),
                (_, Form::Flatten { ty }) => (ty, option.ident, has_none(ty, option, generics)),
                (Form::Group { ty, .. }, _) => (ty, earlier.ident, are_distinct(option, earlier, generics)),
                (_, Form::Group { ty, .. }) => (ty, option.ident, are_distinct(option, earlier, generics)),
                _ => continue,
            };
            let text = format!("duplicate token: `{other}` has a token of this type already");
            clashes.push(quote_spanned!(ty.span()=> ::core::assert!(#is_distinct, #text)));
        }
    }
    clashes
}

fn are_distinct(option: &Opt<'_>, earlier: &Opt<'_>, generics: &Generics) -> TokenStream {
    let (words, earlier) = (words(option, generics), words(earlier, generics));
    quote!(::thegiant::__private::are_distinct(#words, #earlier))
}

/// Returns an expression that is true if the options of a flattened type have no token of another option.
fn has_none(ty: &Type, other: &Opt<'_>, generics: &Generics) -> TokenStream {
    let (from_arg, words) = (as_from_arg(ty, generics), words(other, generics));
    quote!(::thegiant::__private::has_no_token(&[#from_arg::ARG], #words))
}
