//! The syntax of a struct or an enum with `#[derive(Reply)]` or `#[derive(FromReply)]`.

use proc_macro2::Span;
use quote::format_ident;
use syn::{Data, DeriveInput, Field, Fields, Ident, LitStr, Member, Type, ext::IdentExt};

use super::{
    attr::{Place, ReplyAttr},
    case::Case,
};
use crate::{mistakes::Mistakes, types};

/// A struct or an enum with one of the derives.
pub(crate) enum Input<'a> {
    Struct(Shape<'a>),
    Enum(Vec<(&'a Ident, Shape<'a>)>),
}

/// The reply of a struct or of a variant.
pub(crate) enum Shape<'a> {
    /// Named fields: a map.
    Map(Vec<Entry<'a>>),
    /// Unnamed fields, or `#[reply(array)]`: an array.
    Array(Vec<Entry<'a>>),
    /// One unnamed field: the reply of its value.
    Inner(Entry<'a>),
    /// A variant without fields: a word.
    Word(LitStr),
}

/// A field.
pub(crate) struct Entry<'a> {
    pub(crate) member: Member,
    /// The number of the field in its struct or variant.
    index: usize,
    /// The name in the reply.
    pub(crate) name: LitStr,
    pub(crate) ty: &'a Type,
    pub(crate) attr: ReplyAttr,
    /// Leaves the field out while it is `None`.
    pub(crate) skips_none: bool,
}

impl<'a> Input<'a> {
    /// Reads the item. Returns `None` if its shape is not supported.
    pub(crate) fn read(item: &'a DeriveInput, derive: &str, mistakes: &mut Mistakes) -> Option<Self> {
        let attr = ReplyAttr::read(&item.attrs, Place::Type, mistakes);
        match &item.data {
            Data::Struct(data) => match &data.fields {
                Fields::Unit => {
                    let text =
                        "a struct without fields has no reply: return `()`, which is `+OK`, or use an enum";
                    mistakes.at(&item.ident, text);
                    None
                }
                fields => Some(Input::Struct(Shape::fields(fields, &attr, mistakes))),
            },
            Data::Enum(data) => {
                if let Some(array) = &attr.array {
                    mistakes.at(array, "`array` belongs to a struct with named fields: remove it");
                }
                let variants = data.variants.iter().map(|variant| {
                    let of_variant = ReplyAttr::read(&variant.attrs, Place::Variant, mistakes);
                    let shape = match &variant.fields {
                        Fields::Unit => Shape::Word(word(&variant.ident, of_variant, attr.rename_all)),
                        fields => {
                            if let Some(rename) = &of_variant.rename {
                                mistakes
                                    .at(rename, "the reply of this variant is its values: remove `rename`");
                            }
                            let of_fields =
                                ReplyAttr { skip_none: attr.skip_none.clone(), ..ReplyAttr::default() };
                            Shape::fields(fields, &of_fields, mistakes)
                        }
                    };
                    (&variant.ident, shape)
                });
                Some(Input::Enum(variants.collect()))
            }
            Data::Union(data) => {
                mistakes
                    .at(data.union_token, format_args!("`#[derive({derive})]` supports structs and enums"));
                None
            }
        }
    }

    /// Returns the shapes.
    pub(crate) fn shapes(&self) -> Vec<&Shape<'a>> {
        match self {
            Input::Struct(shape) => vec![shape],
            Input::Enum(variants) => variants.iter().map(|(_, shape)| shape).collect(),
        }
    }
}

/// Returns the word of a variant: by default its name in lower case.
fn word(ident: &Ident, attr: ReplyAttr, case: Option<Case>) -> LitStr {
    attr.rename.unwrap_or_else(|| {
        LitStr::new(&case.unwrap_or(Case::Lower).apply(&ident.unraw().to_string()), ident.span())
    })
}

impl<'a> Shape<'a> {
    fn fields(fields: &'a Fields, of_type: &ReplyAttr, mistakes: &mut Mistakes) -> Self {
        let place = if matches!(fields, Fields::Named(_)) { Place::NamedField } else { Place::UnnamedField };
        let entries = fields.members().zip(fields);
        let mut entries: Vec<Entry<'_>> = entries
            .enumerate()
            .map(|(index, (member, field))| {
                let attr = ReplyAttr::read(&field.attrs, place, mistakes);
                Entry::new(index, member, field, attr, of_type)
            })
            .collect();
        match (place, entries.len()) {
            (Place::NamedField, _) if of_type.array.is_some() => Shape::Array(entries),
            (Place::NamedField, _) => Shape::Map(entries),
            (_, 1) => Shape::Inner(entries.remove(0)),
            _ => Shape::Array(entries),
        }
    }

    pub(crate) fn entries(&self) -> &[Entry<'a>] {
        match self {
            Shape::Map(entries) | Shape::Array(entries) => entries,
            Shape::Inner(entry) => std::slice::from_ref(entry),
            Shape::Word(_) => &[],
        }
    }
}

impl<'a> Entry<'a> {
    fn new(index: usize, member: Member, field: &'a Field, attr: ReplyAttr, of_type: &ReplyAttr) -> Self {
        let name = attr.rename.clone().unwrap_or_else(|| match &member {
            Member::Named(ident) => {
                let name = ident.unraw().to_string();
                let name = of_type.rename_all.map_or_else(|| name.clone(), |case| case.apply(&name));
                LitStr::new(&name, ident.span())
            }
            Member::Unnamed(_) => LitStr::new("", Span::call_site()),
        });
        let is_optional = types::is_named(&field.ty, "Option");
        let skips_none = attr.skip_none.is_some() || (is_optional && of_type.skip_none.is_some());
        Entry { member, index, name, ty: &field.ty, attr, skips_none }
    }

    pub(crate) fn is_skipped(&self) -> bool {
        self.attr.skip.is_some()
    }

    /// Returns the name in the errors of clients: that of the field, or its number.
    pub(crate) fn place(&self) -> String {
        match &self.member {
            Member::Named(_) => self.name.value(),
            Member::Unnamed(index) => index.index.to_string(),
        }
    }

    /// Returns the variable with the value.
    pub(crate) fn variable(&self) -> Ident {
        format_ident!("value{}", self.index)
    }
}
