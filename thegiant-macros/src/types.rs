//! Recognizes types by their tokens, and converts names for `COMMAND DOCS`.

use syn::{
    AssocType, GenericArgument, Generics, Ident, Lifetime, PathArguments, PathSegment, Type, TypeImplTrait,
    TypeParamBound, TypeReference,
    ext::IdentExt,
    parse_quote_spanned,
    visit_mut::{self, VisitMut},
};

/// Returns whether the last segment of the type's path is `name`.
///
/// A macro cannot resolve names, so it does not recognize a `type` alias or a `use … as`.
pub(crate) fn is_named(ty: &Type, name: &str) -> bool {
    last_segment(ty).is_some_and(|segment| segment.ident == name)
}

/// Returns the last segment of the type's path, or an empty string for a type without a path.
pub(crate) fn name(ty: &Type) -> String {
    last_segment(ty).map(|segment| segment.ident.unraw().to_string()).unwrap_or_default()
}

/// Converts a name to the style of `COMMAND DOCS`: `_max_len` becomes `max-len`.
pub(crate) fn documented(ident: &Ident) -> String {
    ident.unraw().to_string().trim_start_matches('_').replace('_', "-")
}

/// Returns the `T` of an `Option<T>`.
pub(crate) fn inside_option(ty: &Type) -> Option<&Type> {
    inside(ty, "Option")
}

fn inside<'t>(ty: &'t Type, name: &str) -> Option<&'t Type> {
    parameter(ty).filter(|_| is_named(ty, name))
}

/// Returns the first type parameter of a type: the `T` of a `Responder<T>`.
pub(crate) fn parameter(ty: &Type) -> Option<&Type> {
    let segment = last_segment(ty)?;
    let PathArguments::AngleBracketed(arguments) = &segment.arguments else { return None };
    match arguments.args.first()? {
        GenericArgument::Type(inner) => Some(inner),
        _ => None,
    }
}

/// Returns whether the type reads all remaining arguments: a `Vec`, except `Vec<u8>`, which is a string.
pub(crate) fn is_rest(ty: &Type) -> bool {
    let ty = inside_option(ty).unwrap_or(ty);
    inside(ty, "Vec").is_some_and(|element| !is_named(element, "u8"))
}

/// Removes the plural `s` from the name of a repeated argument: `keys` becomes `key`.
pub(crate) fn singular(name: String) -> String {
    match name.strip_suffix('s') {
        Some(one) if !one.is_empty() && !one.ends_with('s') => one.to_owned(),
        _ => name,
    }
}

/// Removes parentheses and the group that `macro_rules!` puts around a `$t:ty`.
pub(crate) fn ungrouped(ty: &Type) -> &Type {
    match ty {
        Type::Group(group) => ungrouped(&group.elem),
        Type::Paren(paren) => ungrouped(&paren.elem),
        ty => ty,
    }
}

fn last_segment(ty: &Type) -> Option<&PathSegment> {
    match ungrouped(ty) {
        Type::Path(path) => path.path.segments.last(),
        _ => None,
    }
}

/// Returns the first reference in the type.
pub(crate) fn reference_in(ty: &Type) -> Option<TypeReference> {
    let mut references = References(None);
    references.visit_type_mut(&mut ty.clone());
    references.0
}

struct References(Option<TypeReference>);

impl VisitMut for References {
    fn visit_type_reference_mut(&mut self, reference: &mut TypeReference) {
        self.0.get_or_insert_with(|| reference.clone());
    }
}

/// Returns the first `impl Trait` in the type.
pub(crate) fn impl_trait_in(ty: &Type) -> Option<TypeImplTrait> {
    let mut found = ImplTraits(None);
    found.visit_type_mut(&mut ty.clone());
    found.0
}

/// Replaces each `impl Iterator<Item = T>` in a type with an iterator that a constant can name. Its items have the
/// same type. Returns `None` if another `impl Trait` is left.
pub(crate) fn without_impl_iterator(ty: &Type) -> Option<Type> {
    let mut ty = ty.clone();
    NameIterators.visit_type_mut(&mut ty);
    impl_trait_in(&ty).is_none().then_some(ty)
}

struct NameIterators;

impl VisitMut for NameIterators {
    fn visit_type_mut(&mut self, ty: &mut Type) {
        if let Type::ImplTrait(impl_trait) = ty
            && let Some(item) = item_of(impl_trait)
        {
            *ty = parse_quote_spanned!(impl_trait.impl_token.span=> ::std::iter::Empty<#item>);
        }
        visit_mut::visit_type_mut(self, ty);
    }
}

/// Returns the `T` of an `impl Iterator<Item = T>`.
pub(crate) fn item_of(ty: &TypeImplTrait) -> Option<&Type> {
    ty.bounds.iter().find_map(|bound| {
        let TypeParamBound::Trait(bound) = bound else { return None };
        let PathArguments::AngleBracketed(arguments) = &bound.path.segments.last()?.arguments else {
            return None;
        };
        arguments.args.iter().find_map(|argument| match argument {
            GenericArgument::AssocType(AssocType { ident, ty, .. }) if ident == "Item" => Some(ty),
            _ => None,
        })
    })
}

/// Returns whether this trait is among the bounds.
pub(crate) fn has_bound(ty: &TypeImplTrait, name: &str) -> bool {
    ty.bounds.iter().any(|bound| match bound {
        TypeParamBound::Trait(bound) => bound.path.segments.last().is_some_and(|last| last.ident == name),
        _ => false,
    })
}

struct ImplTraits(Option<TypeImplTrait>);

impl VisitMut for ImplTraits {
    fn visit_type_impl_trait_mut(&mut self, ty: &mut TypeImplTrait) {
        self.0.get_or_insert_with(|| ty.clone());
    }
}

/// Converts a type from a signature or a field for use in generated code.
///
/// Generated code cannot name the lifetimes of the generics, nor the type behind an `impl Trait`. So these
/// become `'_` and `_`.
pub(crate) fn inferred(ty: &Type, generics: &Generics) -> Type {
    let mut ty = ty.clone();
    Inferred(generics).visit_type_mut(&mut ty);
    ty
}

struct Inferred<'a>(&'a Generics);

impl VisitMut for Inferred<'_> {
    fn visit_lifetime_mut(&mut self, lifetime: &mut Lifetime) {
        if self.0.lifetimes().any(|declared| declared.lifetime == *lifetime) {
            *lifetime = Lifetime::new("'_", lifetime.span());
        }
    }

    fn visit_type_mut(&mut self, ty: &mut Type) {
        if let Type::ImplTrait(impl_trait) = ty {
            *ty = parse_quote_spanned!(impl_trait.impl_token.span=> _);
        }
        visit_mut::visit_type_mut(self, ty);
    }
}

/// Replaces the anonymous lifetimes of a type.
pub(crate) fn with_lifetime(ty: &Type, name: &str) -> Type {
    let mut ty = ty.clone();
    EachLifetime(|lifetime: &mut Lifetime| {
        if lifetime.ident == "_" {
            *lifetime = Lifetime::new(name, lifetime.span());
        }
    })
    .visit_type_mut(&mut ty);
    ty
}

/// Returns whether a type contains this lifetime.
pub(crate) fn has_lifetime(ty: &Type, name: &str) -> bool {
    let mut has = false;
    EachLifetime(|lifetime: &mut Lifetime| has |= lifetime.to_string() == name)
        .visit_type_mut(&mut ty.clone());
    has
}

struct EachLifetime<F>(F);

impl<F: FnMut(&mut Lifetime)> VisitMut for EachLifetime<F> {
    fn visit_lifetime_mut(&mut self, lifetime: &mut Lifetime) {
        self.0(lifetime);
    }
}
