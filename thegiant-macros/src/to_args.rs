//! `#[derive(ToArgs)]`: writes what `#[derive(Args)]` and `#[derive(FromArg)]` read, for clients.

use proc_macro2::TokenStream;
use quote::{format_ident, quote, quote_spanned};
use syn::{Data, DeriveInput, Fields, Type, parse_quote, spanned::Spanned};

use crate::{
    args::{
        self,
        model::{Choice, Form, Input, Opt, Shape, Value},
    },
    from_arg::{self, TypeAttr},
    mistakes::Mistakes,
    types,
};

/// Implements the trait. After a mistake it generates a stub, which avoids further errors.
pub(crate) fn derive(item: TokenStream) -> TokenStream {
    let mut mistakes = Mistakes::default();
    let Some(item) = mistakes.ok(syn::parse2::<DeriveInput>(item)) else {
        return quote!(#mistakes);
    };
    let body = body(&item, &mut mistakes).filter(|_| mistakes.is_empty()).unwrap_or_default();
    let ident = &item.ident;
    let mut generics = item.generics.clone();
    for param in item.generics.type_params() {
        let param = &param.ident;
        generics.make_where_clause().predicates.push(parse_quote!(#param: ::thegiant_client::ToArgs));
    }
    let (params, arguments, bounds) = generics.split_for_impl();
    quote! {
        #mistakes

        #[automatically_derived]
        impl #params ::thegiant_client::ToArgs for #ident #arguments #bounds {
            fn to_args(&self, out: &mut ::thegiant_client::RequestBuilder) {
                #body
            }
        }
    }
}

/// Generates the statements that write the item, or adds its mistakes.
fn body(item: &DeriveInput, mistakes: &mut Mistakes) -> Option<TokenStream> {
    let mut of_type = Mistakes::default();
    let attr = TypeAttr::read(&item.attrs, &mut of_type);
    if let Some(ty) = &attr.try_from {
        mistakes.append(of_type);
        from_arg::refuse_inside(&item.data, mistakes);
        // The span makes rustc report a missing `Display` at the type in the attribute.
        return Some(quote_spanned!(ty.span()=> ::thegiant_client::__private::text_to_args(self, out);));
    }
    if let Some(ty) = from_arg::only_field(&item.data) {
        mistakes.append(of_type);
        from_arg::refuse_inside(&item.data, mistakes);
        return Some(quote_spanned!(ty.span()=> <#ty as ::thegiant_client::ToArgs>::to_args(&self.0, out);));
    }
    match &item.data {
        Data::Enum(data) if data.variants.iter().all(|variant| matches!(variant.fields, Fields::Unit)) => {
            mistakes.append(of_type);
            from_arg::words(item, data, &attr, mistakes).map(|input| input_body(&input))
        }
        _ => {
            let input = Input::read(item, UNSUPPORTED, mistakes)?;
            args::check::input(&input, mistakes);
            Some(input_body(&input))
        }
    }
}

const UNSUPPORTED: &str = "`#[derive(ToArgs)]` on an unsupported type: use a struct with named fields for options, a tuple \
                           struct with one field, or an enum";

/// Generates the statements that write options, or one of several alternatives.
fn input_body(input: &Input<'_>) -> TokenStream {
    match &input.shape {
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
