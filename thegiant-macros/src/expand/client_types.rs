//! Converts the types of a server's method to those of the client's.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::{
    GenericArgument, Ident, Lifetime, PathArguments, Type, TypePath, parse_quote_spanned, spanned::Spanned,
};

use crate::types;

/// The lifetime of all arguments that borrow. `impl Trait` cannot contain an anonymous one.
const LIFETIME: &str = "'args";

/// How a client takes and sends an argument.
pub(super) enum ArgShape {
    Bytes,
    Text,
    /// A number, or a type of the application.
    Own(Box<Type>),
    Option(Box<ArgShape>),
    Many(Box<ArgShape>),
    Tuple(Vec<ArgShape>),
}

impl ArgShape {
    pub(super) fn of(ty: &Type) -> Self {
        let ty = types::ungrouped(ty);
        if let Type::Tuple(tuple) = ty {
            return ArgShape::Tuple(tuple.elems.iter().map(ArgShape::of).collect());
        }
        if is_text(ty) {
            return ArgShape::Text;
        }
        if is_bytes(ty) {
            return ArgShape::Bytes;
        }
        if types::is_named(ty, "Key") {
            return types::parameter(ty).map_or(ArgShape::Bytes, ArgShape::of);
        }
        let parameter = types::parameter(ty);
        match parameter {
            Some(inner) if types::is_named(ty, "Vec") => ArgShape::Many(ArgShape::of(inner).into()),
            Some(inner) if types::is_named(ty, "Option") => match ArgShape::of(inner) {
                // It may be empty.
                many @ ArgShape::Many(_) => many,
                one => ArgShape::Option(one.into()),
            },
            _ => ArgShape::Own(types::with_lifetime(ty, LIFETIME).into()),
        }
    }

    /// Returns the generics of a method with these parameters.
    pub(super) fn generics<'a>(shapes: impl Iterator<Item = &'a ArgShape>) -> Option<TokenStream> {
        let lifetime = Lifetime::new(LIFETIME, Span::call_site());
        shapes.into_iter().any(ArgShape::borrows).then(|| quote!(<#lifetime>))
    }

    fn borrows(&self) -> bool {
        match self {
            ArgShape::Bytes | ArgShape::Text => false,
            ArgShape::Own(ty) => types::has_lifetime(ty, LIFETIME),
            ArgShape::Option(inner) | ArgShape::Many(inner) => inner.borrows(),
            ArgShape::Tuple(elements) => elements.iter().any(ArgShape::borrows),
        }
    }

    /// Returns the type of a parameter.
    pub(super) fn param_type(&self) -> TokenStream {
        match self {
            ArgShape::Bytes => quote!(impl ::core::convert::AsRef<[u8]>),
            ArgShape::Text => quote!(impl ::core::convert::AsRef<str>),
            ArgShape::Own(ty) => ty.to_token_stream(),
            // For `None`, rustc could not infer a type behind `impl`.
            ArgShape::Option(inner) => {
                let inner = inner.borrowed_type();
                quote!(::core::option::Option<#inner>)
            }
            ArgShape::Many(inner) => {
                let inner = inner.param_type();
                quote!(impl ::core::iter::IntoIterator<Item = #inner>)
            }
            ArgShape::Tuple(elements) => {
                let elements = elements.iter().map(ArgShape::param_type);
                quote!((#(#elements,)*))
            }
        }
    }

    fn borrowed_type(&self) -> TokenStream {
        match self {
            ArgShape::Bytes => quote!(&[u8]),
            ArgShape::Text => quote!(&str),
            ArgShape::Tuple(elements) => {
                let elements = elements.iter().map(ArgShape::borrowed_type);
                quote!((#(#elements,)*))
            }
            other => other.param_type(),
        }
    }

    /// Generates the statements that append the words of `value` to `request`.
    pub(super) fn words(&self, value: &TokenStream, request: &Ident) -> TokenStream {
        let inner_value = Ident::new("value", Span::mixed_site());
        let inner = |shape: &ArgShape| shape.words(&quote!(#inner_value), request);
        match self {
            ArgShape::Bytes => quote!(#request.word(::core::convert::AsRef::<[u8]>::as_ref(&#value));),
            ArgShape::Text => {
                quote!(#request.word(::core::convert::AsRef::<str>::as_ref(&#value).as_bytes());)
            }
            // The span makes rustc report a missing `ToArgs` at the type.
            ArgShape::Own(ty) => {
                quote_spanned!(ty.span()=> <#ty as ::thegiant_client::ToArgs>::to_args(&#value, &mut #request);)
            }
            ArgShape::Option(shape) => {
                let words = inner(shape);
                quote!(if let ::core::option::Option::Some(#inner_value) = #value { #words })
            }
            ArgShape::Many(shape) => {
                let words = inner(shape);
                quote!(for #inner_value in #value { #words })
            }
            ArgShape::Tuple(elements) => {
                let names: Vec<_> = (0..elements.len())
                    .map(|index| format_ident!("value{index}", span = Span::mixed_site()))
                    .collect();
                let words =
                    elements.iter().zip(&names).map(|(shape, name)| shape.words(&quote!(#name), request));
                quote!({ let (#(#names,)*) = #value; #(#words)* })
            }
        }
    }
}

/// Returns whether the type is `&[u8]`, `Vec<u8>`, `Bytes` or `KeyPattern`.
fn is_bytes(ty: &Type) -> bool {
    let is_u8 = |ty: &Type| types::is_named(ty, "u8");
    match types::ungrouped(ty) {
        Type::Reference(reference) => {
            matches!(types::ungrouped(&reference.elem), Type::Slice(slice) if is_u8(&slice.elem))
        }
        ty if types::is_named(ty, "Vec") => types::parameter(ty).is_some_and(is_u8),
        ty => types::is_named(ty, "Bytes") || types::is_named(ty, "KeyPattern"),
    }
}

/// Returns whether the type is `&str` or `String`.
fn is_text(ty: &Type) -> bool {
    match types::ungrouped(ty) {
        Type::Reference(reference) => types::is_named(&reference.elem, "str"),
        ty => types::is_named(ty, "String"),
    }
}

/// Returns the owned type of the reply that a client gets for a reply of this type.
pub(super) fn reply_type(ty: &Type) -> Type {
    let span = ty.span();
    match types::ungrouped(ty) {
        Type::Reference(reference) => match types::ungrouped(&reference.elem) {
            elem if types::is_named(elem, "str") => parse_quote_spanned!(span=> ::std::string::String),
            Type::Slice(slice) if types::is_named(&slice.elem, "u8") => {
                parse_quote_spanned!(span=> ::thegiant_client::Bytes)
            }
            Type::Slice(slice) => vec_of(&slice.elem),
            elem => reply_type(elem),
        },
        Type::Tuple(tuple) => {
            let mut tuple = tuple.clone();
            tuple.elems.iter_mut().for_each(|elem| *elem = reply_type(elem));
            Type::Tuple(tuple)
        }
        Type::Array(array) => {
            let mut array = array.clone();
            *array.elem = reply_type(&array.elem);
            Type::Array(array)
        }
        Type::ImplTrait(_) => parse_quote_spanned!(span=> ::thegiant_client::Value),
        Type::Path(path) => reply_of_path(path),
        other => other.clone(),
    }
}

fn reply_of_path(path: &TypePath) -> Type {
    let span = path.span();
    let ty = Type::Path(path.clone());
    let type_arguments = type_arguments(path);
    match (&*types::name(&ty), type_arguments.as_slice()) {
        ("Result" | "ResponseFuture" | "Responder" | "Box", [inner, ..]) => reply_type(inner),
        ("ResponseActFuture", [_, inner]) => reply_type(inner),
        ("Array", [Type::ImplTrait(iterator)]) if types::item_of(iterator).is_some() => {
            types::item_of(iterator).map_or(ty, vec_of)
        }
        ("Cow", [inner]) => reply_type(&parse_quote_spanned!(span=> &#inner)),
        ("Key", []) => parse_quote_spanned!(span=> ::thegiant_client::Bytes),
        ("Key", [inner]) => reply_type(inner),
        ("Simple", _) => parse_quote_spanned!(span=> ::std::string::String),
        ("Raw", []) => parse_quote_spanned!(span=> ::thegiant_client::Value),
        ("ArrayStream", []) => parse_quote_spanned!(span=> ::std::vec::Vec<::thegiant_client::Value>),
        _ => with_replies_inside(path.clone()),
    }
}

fn vec_of(elem: &Type) -> Type {
    let elem = reply_type(elem);
    parse_quote_spanned!(elem.span()=> ::std::vec::Vec<#elem>)
}

fn type_arguments(path: &TypePath) -> Vec<&Type> {
    let arguments = path.path.segments.last().map(|segment| &segment.arguments);
    let Some(PathArguments::AngleBracketed(arguments)) = arguments else { return Vec::new() };
    let types = arguments.args.iter().filter_map(|argument| match argument {
        GenericArgument::Type(ty) => Some(ty),
        _ => None,
    });
    types.collect()
}

/// Converts the parameters of a type, such as the element of a `Vec`. A reply cannot borrow.
fn with_replies_inside(mut path: TypePath) -> Type {
    if let Some(segment) = path.path.segments.last_mut()
        && let PathArguments::AngleBracketed(arguments) = &mut segment.arguments
    {
        for argument in &mut arguments.args {
            match argument {
                GenericArgument::Type(ty) => *ty = reply_type(ty),
                GenericArgument::Lifetime(lifetime) => *lifetime = Lifetime::new("'static", lifetime.span()),
                _ => {}
            }
        }
    }
    Type::Path(path)
}
