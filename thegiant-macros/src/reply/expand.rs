//! Generates the code of the derive.

use proc_macro2::{Literal, TokenStream};
use quote::{quote, quote_spanned};
use syn::{DeriveInput, LitStr, parse_quote, spanned::Spanned};

use super::model::{Entry, Input, Shape};

pub(crate) fn input(item: &DeriveInput, input: &Input<'_>) -> TokenStream {
    let reply = match input {
        Input::Struct(shape) => description(shape),
        Input::Enum(variants) if variants.iter().all(|(_, shape)| matches!(shape, Shape::Word(_))) => {
            quote!(::thegiant::command::ReplySpec::String)
        }
        Input::Enum(_) => quote!(::thegiant::command::ReplySpec::Any),
    };
    let body = match input {
        Input::Struct(shape) => {
            let (pattern, writes) = (pattern(shape), writes(shape));
            quote! {
                let Self #pattern = self;
                #writes
            }
        }
        Input::Enum(variants) => {
            let arms = variants.iter().map(|(ident, shape)| {
                let (pattern, writes) = (pattern(shape), writes(shape));
                quote!(Self::#ident #pattern => { #writes })
            });
            quote!(match self { #(#arms)* })
        }
    };
    implementation(item, &reply, &body)
}

/// Generates a stub for an item with a mistake.
pub(crate) fn stub(item: &DeriveInput) -> TokenStream {
    implementation(item, &quote!(::thegiant::command::ReplySpec::Any), &quote!(let _ = out;))
}

fn implementation(item: &DeriveInput, reply: &TokenStream, body: &TokenStream) -> TokenStream {
    let ident = &item.ident;
    let mut generics = item.generics.clone();
    for param in item.generics.type_params() {
        let param = &param.ident;
        generics.make_where_clause().predicates.push(parse_quote!(#param: ::thegiant::Reply));
    }
    let (params, arguments, bounds) = generics.split_for_impl();
    quote! {
        #[automatically_derived]
        impl #params ::thegiant::Reply for #ident #arguments #bounds {
            const REPLY: ::thegiant::command::ReplySpec = #reply;

            #[inline]
            fn write_to(self, out: &mut ::thegiant::resp::Encoder) {
                #body
            }
        }
    }
}

/// Generates the description of the reply of a struct.
fn description(shape: &Shape<'_>) -> TokenStream {
    let written = shape.entries().iter().filter(|entry| !entry.is_skipped());
    match shape {
        Shape::Map(entries) if entries.iter().any(|entry| entry.skips_none) => quote! {
            ::thegiant::command::ReplySpec::Map(
                &::thegiant::command::ReplySpec::String,
                &::thegiant::command::ReplySpec::Any,
            )
        },
        Shape::Map(_) => {
            let fields = written.map(|entry| {
                let (name, reply) = (&entry.name, reply_of(entry));
                quote!((#name, #reply))
            });
            quote!(::thegiant::command::ReplySpec::Record(&const { [#(#fields),*] }))
        }
        Shape::Array(_) => {
            let elements = written.map(reply_of);
            quote!(::thegiant::command::ReplySpec::Tuple(&const { [#(#elements),*] }))
        }
        Shape::Inner(entry) => reply_of(entry),
        Shape::Word(_) => quote!(::thegiant::command::ReplySpec::String),
    }
}

fn reply_of(entry: &Entry<'_>) -> TokenStream {
    let ty = entry.ty;
    quote_spanned!(ty.span()=> <#ty as ::thegiant::Reply>::REPLY)
}

/// Generates the pattern that moves the values out of the fields.
fn pattern(shape: &Shape<'_>) -> TokenStream {
    let fields = shape.entries().iter().map(|entry| {
        let (member, variable) = (&entry.member, entry.variable());
        if entry.is_skipped() { quote!(#member: _) } else { quote!(#member: #variable) }
    });
    quote!({ #(#fields),* })
}

fn writes(shape: &Shape<'_>) -> TokenStream {
    let written: Vec<&Entry<'_>> = shape.entries().iter().filter(|entry| !entry.is_skipped()).collect();
    match shape {
        Shape::Map(_) => {
            // The header counts the same list of entries that follows it.
            let lens = written.iter().map(|entry| len(entry));
            let pairs = written.iter().map(|entry| pair(entry));
            quote! {
                out.map(0 #(+ #lens)*);
                #(#pairs)*
            }
        }
        Shape::Array(_) => {
            let (len, values) = (written.len(), written.iter().map(|entry| value(entry)));
            quote! {
                out.array(#len);
                #(#values)*
            }
        }
        Shape::Inner(entry) => value(entry),
        Shape::Word(word) => text(word),
    }
}

/// Generates the number of pairs of an entry.
fn len(entry: &Entry<'_>) -> TokenStream {
    let variable = entry.variable();
    match entry.skips_none {
        true => quote! {
            <::core::primitive::usize as ::core::convert::From<_>>::from(
                ::core::option::Option::is_some(&#variable)
            )
        },
        false => quote!(1),
    }
}

fn pair(entry: &Entry<'_>) -> TokenStream {
    let (variable, name, value) = (entry.variable(), text(&entry.name), value(entry));
    match entry.skips_none {
        true => quote! {
            if ::core::option::Option::is_some(&#variable) {
                #name
                #value
            }
        },
        false => quote!(#name #value),
    }
}

/// Writes the value, with the span of its type, where rustc reports that it is no reply.
fn value(entry: &Entry<'_>) -> TokenStream {
    let (variable, ty) = (entry.variable(), entry.ty);
    quote_spanned!(ty.span()=> <#ty as ::thegiant::Reply>::write_to(#variable, out);)
}

fn text(text: &LitStr) -> TokenStream {
    let mut bytes = Literal::byte_string(text.value().as_bytes());
    bytes.set_span(text.span());
    quote!(out.bulk(#bytes);)
}
