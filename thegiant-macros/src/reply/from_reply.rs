//! Generates the code that reads a reply, for clients.

use proc_macro2::{Literal, TokenStream};
use quote::{quote, quote_spanned};
use syn::{DeriveInput, Ident, LitStr, parse_quote, spanned::Spanned};

use super::model::{Entry, Input, Shape};

pub(super) fn input(item: &DeriveInput, input: &Input<'_>) -> TokenStream {
    let body = match input {
        Input::Struct(shape) => reads(shape, &quote!(Self)),
        Input::Enum(variants) => one_of(variants),
    };
    implementation(item, &body)
}

/// Generates a stub for an item with a mistake.
pub(super) fn stub(item: &DeriveInput) -> TokenStream {
    implementation(
        item,
        &quote!(::core::result::Result::Err(::thegiant_client::WrongReply::new("another reply", &reply))),
    )
}

fn implementation(item: &DeriveInput, body: &TokenStream) -> TokenStream {
    let ident = &item.ident;
    let mut generics = item.generics.clone();
    for param in item.generics.type_params() {
        let param = &param.ident;
        generics.make_where_clause().predicates.push(parse_quote!(#param: ::thegiant_client::FromReply));
    }
    let (params, arguments, bounds) = generics.split_for_impl();
    quote! {
        #[automatically_derived]
        impl #params ::thegiant_client::FromReply for #ident #arguments #bounds {
            fn from_reply(
                reply: ::thegiant_client::Value,
            ) -> ::core::result::Result<Self, ::thegiant_client::WrongReply> {
                #body
            }
        }
    }
}

/// Generates the statements that convert `reply`, and the result. `path` is the struct or the variant.
fn reads(shape: &Shape<'_>, path: &TokenStream) -> TokenStream {
    match shape {
        Shape::Map(entries) => {
            let fields = entries.iter().map(|entry| {
                let member = &entry.member;
                let value = if entry.is_skipped() { default(entry) } else { field(entry) };
                quote!(#member: #value)
            });
            quote! {
                #[allow(unused_mut, unused_variables)]
                let mut fields = ::thegiant_client::__private::Fields::of(reply)?;
                ::core::result::Result::Ok(#path { #(#fields),* })
            }
        }
        Shape::Array(entries) => {
            let read: Vec<&Entry<'_>> = entries.iter().filter(|entry| !entry.is_skipped()).collect();
            let (len, variables) = (read.len(), read.iter().map(|entry| entry.variable()));
            let fields = entries.iter().map(|entry| {
                let member = &entry.member;
                let value = if entry.is_skipped() { default(entry) } else { element(entry) };
                quote!(#member: #value)
            });
            quote! {
                let [#(#variables),*] =
                    <[::thegiant_client::Value; #len] as ::thegiant_client::FromReply>::from_reply(reply)?;
                ::core::result::Result::Ok(#path { #(#fields),* })
            }
        }
        Shape::Inner(entry) => {
            let (member, ty) = (&entry.member, entry.ty);
            let value = quote_spanned! {ty.span()=>
                <#ty as ::thegiant_client::FromReply>::from_reply(reply)
            };
            quote!(#value.map(|value| #path { #member: value }))
        }
        Shape::Word(_) => quote!(::core::result::Result::Ok(#path)),
    }
}

/// Generates the value of a field of a map. The span makes rustc report a missing `FromReply` at the type.
fn field(entry: &Entry<'_>) -> TokenStream {
    let (name, ty) = (&entry.name, entry.ty);
    quote_spanned!(ty.span()=> ::thegiant_client::__private::Fields::take::<#ty>(&mut fields, #name)?)
}

fn element(entry: &Entry<'_>) -> TokenStream {
    let (variable, ty, place) = (entry.variable(), entry.ty, entry.place());
    let value = quote_spanned!(ty.span()=> <#ty as ::thegiant_client::FromReply>::from_reply(#variable));
    quote!(#value.map_err(|error| error.inside(#place))?)
}

fn default(entry: &Entry<'_>) -> TokenStream {
    let ty = entry.ty;
    quote_spanned!(ty.span()=> <#ty as ::core::default::Default>::default())
}

/// Generates the choice of a variant: by its word, or the first one whose values are in the reply.
fn one_of(variants: &[(&Ident, Shape<'_>)]) -> TokenStream {
    let words: Vec<(&Ident, &LitStr)> = variants
        .iter()
        .filter_map(|(ident, shape)| match shape {
            Shape::Word(word) => Some((*ident, word)),
            _ => None,
        })
        .collect();
    let arms = words.iter().map(|(ident, word)| {
        let word = Literal::byte_string(word.value().as_bytes());
        quote! {
            ::core::option::Option::Some(#word) => return ::core::result::Result::Ok(Self::#ident),
        }
    });
    let by_word = (!words.is_empty()).then(|| {
        quote! {
            match ::thegiant_client::Value::as_bytes(&reply) {
                #(#arms)*
                _ => {}
            }
        }
    });
    let others: Vec<_> = variants.iter().filter(|(_, shape)| !matches!(shape, Shape::Word(_))).collect();
    let rest = match others.as_slice() {
        [] => {
            let words = words.iter().map(|(_, word)| word);
            quote!(::core::result::Result::Err(::thegiant_client::__private::unknown_word(&[#(#words),*], &reply)))
        }
        // Its error says more than that no variant fits.
        [(ident, shape)] => reads(shape, &quote!(Self::#ident)),
        others => {
            let attempts = others.iter().map(|(ident, shape)| {
                let reads = reads(shape, &quote!(Self::#ident));
                quote! {
                    let read = |
                        reply: ::thegiant_client::Value,
                    | -> ::core::result::Result<Self, ::thegiant_client::WrongReply> { #reads };
                    if let ::core::result::Result::Ok(found) = read(::core::clone::Clone::clone(&reply)) {
                        return ::core::result::Result::Ok(found);
                    }
                }
            });
            let names: Vec<String> = variants.iter().map(|(ident, _)| format!("`{ident}`")).collect();
            let expected = format!("one of {}", names.join(", "));
            quote! {
                #(#attempts)*
                ::core::result::Result::Err(::thegiant_client::WrongReply::new(#expected, &reply))
            }
        }
    };
    quote! {
        #by_word
        #rest
    }
}
