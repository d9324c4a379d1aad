//! `#[derive(FromArg)]`: a type that is read from one argument, or a choice of words.

mod attr;
mod expand;

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Data, DataEnum, DataStruct, DeriveInput, Fields, Type};

pub(crate) use self::attr::TypeAttr;
use crate::{args, mistakes::Mistakes};

/// The value that is read, before it becomes the type.
struct Source<'a> {
    ty: &'a Type,
    /// The type is a tuple struct with this value, not a conversion of it.
    is_field: bool,
}

/// Implements the trait. After a mistake it generates a stub, which avoids further errors.
pub(crate) fn derive(item: TokenStream) -> TokenStream {
    let mut mistakes = Mistakes::default();
    let Some(item) = mistakes.ok(syn::parse2::<DeriveInput>(item)) else {
        return quote!(#mistakes);
    };
    let attr = TypeAttr::read(&item.attrs, &mut mistakes);
    args::check::generics(&item.generics, "FromArg", &mut mistakes);
    let code = match &item.data {
        Data::Enum(data) if attr.try_from.is_none() => {
            words(&item, data, &attr, &mut mistakes).map(|input| args::expand::input(&input))
        }
        _ => source(&item, &attr, &mut mistakes).map(|source| expand::value(&item, &attr, &source)),
    };
    match code.filter(|_| mistakes.is_empty()) {
        Some(code) => code,
        None => {
            let stub = args::expand::stub(&item);
            quote!(#mistakes #stub)
        }
    }
}

/// Returns the value that is read for a type that is not a choice of words.
fn source<'a>(item: &'a DeriveInput, attr: &'a TypeAttr, mistakes: &mut Mistakes) -> Option<Source<'a>> {
    refuse_inside(&item.data, mistakes);
    if let Some(ty) = &attr.try_from {
        return Some(Source { ty, is_field: false });
    }
    if let Some(ty) = only_field(&item.data) {
        return Some(Source { ty, is_field: true });
    }
    let text = "`#[derive(FromArg)]` reads one argument: use a tuple struct with one field, an enum of words, or \
                `#[arg(try_from = \"…\")]`; for options, use `#[derive(Args)]`";
    mistakes.at(&item.ident, text);
    None
}

/// Returns the type of the only field of a tuple struct.
pub(crate) fn only_field(data: &Data) -> Option<&Type> {
    let Data::Struct(DataStruct { fields: Fields::Unnamed(fields), .. }) = data else { return None };
    fields.unnamed.first().filter(|_| fields.unnamed.len() == 1).map(|field| &field.ty)
}

/// Adds a mistake for each `#[arg]` inside the type.
pub(crate) fn refuse_inside(data: &Data, mistakes: &mut Mistakes) {
    let fields: Vec<&Fields> = match data {
        Data::Struct(data) => vec![&data.fields],
        Data::Enum(data) => {
            data.variants.iter().for_each(|variant| args::attr::refuse(&variant.attrs, mistakes));
            data.variants.iter().map(|variant| &variant.fields).collect()
        }
        Data::Union(_) => Vec::new(),
    };
    for field in fields.into_iter().flatten() {
        for attr in field.attrs.iter().filter(|attr| args::is_arg(attr)) {
            mistakes.at(attr, "misplaced `#[arg]`: move it above the type");
        }
    }
}

/// Returns an enum of words. Its code is that of `#[derive(Args)]`, which reads the same words.
pub(crate) fn words<'a>(
    item: &'a DeriveInput,
    data: &'a DataEnum,
    attr: &'a TypeAttr,
    mistakes: &mut Mistakes,
) -> Option<args::Input<'a>> {
    if let Some(range) = &attr.range {
        mistakes.at(range, "an enum of words has no range: remove `range`, or add `try_from = \"…\"`");
    }
    if let Some(kind) = &attr.kind {
        mistakes.at(
            kind,
            format_args!("an enum of words is a choice: remove `{kind}`, or add `try_from = \"…\"`"),
        );
    }
    for variant in &data.variants {
        if !matches!(variant.fields, Fields::Unit) {
            let text = "a variant with values is read from several arguments: use `#[derive(Args)]`";
            mistakes.at(&variant.fields, text);
        }
    }
    let input = args::Input::words(item, data, attr.error.as_ref(), mistakes)?;
    args::check::input(&input, mistakes);
    Some(input)
}
