//! Generates the code that writes options, for clients.

use proc_macro2::TokenStream;
use quote::{format_ident, quote, quote_spanned};
use syn::{DeriveInput, Generics, Ident, Type, spanned::Spanned};

use super::model::{Choice, Form, Input, Opt, Shape, Value};
use crate::types;

pub(super) fn input(input: &Input<'_>) -> TokenStream {
    let body = match &input.shape {
        Shape::Options(options) => {
            // Positional arguments, and an option that reads all remaining arguments, come last.
            let (rest, others): (Vec<_>, Vec<_>) = options.iter().partition(|option| is_rest(option));
            let words = others.into_iter().chain(rest).map(option);
            quote!(#(#words)*)
        }
        Shape::OneOf(choices) => {
            let arms = choices.iter().map(choice);
            quote!(match self { #(#arms)* })
        }
    };
    implementation(input.ident, input.generics, &body)
}

/// Generates a stub of the trait for an item with a mistake.
pub(super) fn stub(item: &DeriveInput) -> TokenStream {
    implementation(&item.ident, &item.generics, &TokenStream::new())
}

fn implementation(ident: &Ident, generics: &Generics, body: &TokenStream) -> TokenStream {
    let (params, arguments, bounds) = generics.split_for_impl();
    quote! {
        #[automatically_derived]
        impl #params ::thegiant_client::ToArgs for #ident #arguments #bounds {
            fn to_args(&self, out: &mut ::thegiant_client::RequestBuilder) {
                #body
            }
        }
    }
}

fn is_rest(option: &Opt<'_>) -> bool {
    match &option.form {
        Form::Rest { .. } => true,
        Form::Value { ty, .. } => types::is_rest(ty),
        _ => false,
    }
}

fn option(option: &Opt<'_>) -> TokenStream {
    let ident = option.ident;
    match &option.form {
        Form::Flag(token) => quote!(if self.#ident { ::thegiant_client::ToArgs::to_args(#token, out); }),
        Form::Value { token, ty, optional } => {
            let value = words(ty, &quote!(value));
            let words = quote!(::thegiant_client::ToArgs::to_args(#token, out); #value);
            if *optional {
                quote!(if let ::core::option::Option::Some(value) = &self.#ident { #words })
            } else {
                quote!({ let value = &self.#ident; #words })
            }
        }
        Form::Group { ty, .. } | Form::Flatten { ty } | Form::Rest { ty } => words(ty, &quote!(&self.#ident)),
    }
}

fn choice(choice: &Choice<'_>) -> TokenStream {
    let (ident, token) = (choice.ident, &choice.token);
    let names: Vec<_> = (0..choice.values.len()).map(|index| format_ident!("value{index}")).collect();
    let patterns =
        choice.values.iter().zip(&names).map(|(Value { member, .. }, name)| quote!(#member: #name));
    let words = choice.values.iter().zip(&names).map(|(value, name)| words(value.ty, &quote!(#name)));
    quote! {
        Self::#ident { #(#patterns),* } => {
            ::thegiant_client::ToArgs::to_args(#token, out);
            #(#words)*
        }
    }
}

/// Generates the statement that writes a value. The span makes rustc report a missing `ToArgs` at the type.
fn words(ty: &Type, value: &TokenStream) -> TokenStream {
    quote_spanned!(ty.span()=> ::thegiant_client::ToArgs::to_args(#value, out);)
}
