//! The syntax of a struct or an enum with `#[derive(Args)]`.

use syn::{
    Data, DataEnum, DataStruct, DeriveInput, Field, Fields, Generics, Ident, LitStr, Member, Type, Variant,
    ext::IdentExt,
};

use super::attr::{self, ArgAttr};
use crate::{mistakes::Mistakes, types};

/// A struct or an enum with `#[derive(Args)]`.
pub(crate) struct Input<'a> {
    pub(crate) ident: &'a Ident,
    pub(crate) generics: &'a Generics,
    /// The text of the error for a word that is not in an enum.
    pub(crate) error: Option<&'a LitStr>,
    pub(crate) shape: Shape<'a>,
}

pub(crate) enum Shape<'a> {
    /// A struct: options in any order.
    Options(Vec<Opt<'a>>),
    /// An enum: one of several variants.
    OneOf(Vec<Choice<'a>>),
}

/// A field of a struct.
pub(crate) struct Opt<'a> {
    pub(crate) ident: &'a Ident,
    pub(crate) attr: ArgAttr,
    pub(crate) form: Form<'a>,
}

/// The syntax of an option.
pub(crate) enum Form<'a> {
    /// A token without a value: a field of type `bool`.
    Flag(LitStr),
    /// A token and a value.
    Value { token: LitStr, ty: &'a Type, optional: bool },
    /// A value whose type defines its own tokens, such as an enum.
    Group { ty: &'a Type, optional: bool },
    /// The options of another struct.
    Flatten { ty: &'a Type },
    /// A positional argument after the options.
    Rest { ty: &'a Type },
}

/// A variant of an enum: a token and its values.
pub(crate) struct Choice<'a> {
    pub(crate) ident: &'a Ident,
    pub(crate) attr: ArgAttr,
    pub(crate) token: LitStr,
    pub(crate) values: Vec<Value<'a>>,
}

/// A field of a variant.
pub(crate) struct Value<'a> {
    pub(crate) member: Member,
    pub(crate) ty: &'a Type,
}

impl<'a> Input<'a> {
    /// Reads the item. Returns `None` if its shape is not supported, which is a mistake with this text.
    pub(crate) fn read(item: &'a DeriveInput, unsupported: &str, mistakes: &mut Mistakes) -> Option<Self> {
        attr::refuse(&item.attrs, mistakes);
        let shape = match &item.data {
            Data::Struct(DataStruct { fields: Fields::Named(fields), .. }) if !fields.named.is_empty() => {
                Shape::Options(fields.named.iter().filter_map(|field| Opt::read(field, mistakes)).collect())
            }
            Data::Enum(data) => Shape::choices(item, data, mistakes)?,
            Data::Struct(_) | Data::Union(_) => {
                mistakes.at(&item.ident, unsupported);
                return None;
            }
        };
        Some(Input { ident: &item.ident, generics: &item.generics, error: None, shape })
    }

    /// Reads an enum with `#[derive(FromArg)]`.
    pub(crate) fn words(
        item: &'a DeriveInput,
        data: &'a DataEnum,
        error: Option<&'a LitStr>,
        mistakes: &mut Mistakes,
    ) -> Option<Self> {
        let shape = Shape::choices(item, data, mistakes)?;
        Some(Input { ident: &item.ident, generics: &item.generics, error, shape })
    }
}

impl<'a> Shape<'a> {
    fn choices(item: &DeriveInput, data: &'a DataEnum, mistakes: &mut Mistakes) -> Option<Self> {
        if data.variants.is_empty() {
            mistakes.at(&item.ident, "an enum without variants: add one variant per token");
            return None;
        }
        Some(Shape::OneOf(data.variants.iter().map(|variant| Choice::read(variant, mistakes)).collect()))
    }
}

impl<'a> Opt<'a> {
    fn read(field: &'a Field, mistakes: &mut Mistakes) -> Option<Self> {
        let ident = field.ident.as_ref()?;
        let attr = ArgAttr::read(&field.attrs, mistakes);
        let form = Form::of(ident, &field.ty, &attr);
        Some(Opt { ident, attr, form })
    }

    /// Returns the token; `None` if the type has its own tokens.
    pub(crate) fn token(&self) -> Option<&LitStr> {
        match &self.form {
            Form::Flag(token) | Form::Value { token, .. } => Some(token),
            Form::Group { .. } | Form::Flatten { .. } | Form::Rest { .. } => None,
        }
    }

    /// Returns the name in `COMMAND DOCS`.
    pub(crate) fn name(&self) -> String {
        let name = || match &self.form {
            Form::Rest { ty } if types::is_rest(ty) => types::singular(types::documented(self.ident)),
            _ => types::documented(self.ident),
        };
        self.attr.name.as_ref().map_or_else(name, LitStr::value)
    }
}

impl<'a> Form<'a> {
    fn of(ident: &Ident, ty: &'a Type, attr: &ArgAttr) -> Self {
        if let Some(place) = &attr.place {
            return if place == "rest" { Form::Rest { ty } } else { Form::Flatten { ty } };
        }
        let inside = types::inside_option(ty);
        let (ty, optional) = (inside.unwrap_or(ty), inside.is_some());
        match attr.token.clone() {
            token if !optional && types::is_named(ty, "bool") => {
                Form::Flag(token.unwrap_or_else(|| capitals(ident)))
            }
            Some(token) => Form::Value { token, ty, optional },
            None => Form::Group { ty, optional },
        }
    }
}

impl<'a> Choice<'a> {
    fn read(variant: &'a Variant, mistakes: &mut Mistakes) -> Self {
        let attr = ArgAttr::read(&variant.attrs, mistakes);
        let token = attr.token.clone().unwrap_or_else(|| capitals(&variant.ident));
        let values = variant.fields.members().zip(&variant.fields).map(|(member, field)| {
            attr::refuse(&field.attrs, mistakes);
            Value { member, ty: &field.ty }
        });
        Choice { ident: &variant.ident, values: values.collect(), attr, token }
    }

    /// Returns the token and its aliases.
    pub(crate) fn tokens(&self) -> impl Iterator<Item = &LitStr> {
        [&self.token].into_iter().chain(&self.attr.aliases)
    }

    /// Returns the name of this token in `COMMAND DOCS`.
    pub(crate) fn name(&self, token: &LitStr) -> String {
        self.attr.name.as_ref().map_or_else(|| token.value().to_ascii_lowercase(), LitStr::value)
    }
}

impl Value<'_> {
    /// Returns the name in `COMMAND DOCS`, for a variant with several values.
    pub(crate) fn name(&self) -> String {
        match &self.member {
            Member::Named(ident) => types::documented(ident),
            Member::Unnamed(index) => ORDINALS.get(index.index as usize).unwrap_or(&"next").to_string(),
        }
    }
}

/// The names of unnamed values in `COMMAND DOCS`. From the fifth on, the name is `next`.
const ORDINALS: [&str; 4] = ["first", "second", "third", "fourth"];

/// Returns the default token: the name in capitals.
fn capitals(ident: &Ident) -> LitStr {
    LitStr::new(&ident.unraw().to_string().to_uppercase(), ident.span())
}
