//! `#[reply(array, rename = "…", rename_all = "…", skip, skip_none)]`.

use syn::{Attribute, Ident, LitStr};

use super::case::Case;
use crate::{
    attr::{Written, set_once},
    mistakes::Mistakes,
};

/// The place of an attribute, which decides what it may contain.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Type,
    Variant,
    NamedField,
    UnnamedField,
}

/// The arguments of `#[reply]`.
#[derive(Default)]
pub(crate) struct ReplyAttr {
    /// A struct with named fields is an array.
    pub(crate) array: Option<Ident>,
    /// The name in the reply.
    pub(crate) rename: Option<LitStr>,
    /// The style of the names in the type.
    pub(crate) rename_all: Option<Case>,
    /// The field is not in the reply.
    pub(crate) skip: Option<Ident>,
    /// The field is not in the reply while it is `None`.
    pub(crate) skip_none: Option<Ident>,
}

impl Place {
    /// Returns the arguments that belong here.
    fn arguments(self) -> &'static str {
        match self {
            Place::Type => "`array`, `rename_all = \"…\"` or `skip_none`",
            Place::Variant => "`rename = \"…\"`",
            Place::NamedField => "`rename = \"…\"`, `skip` or `skip_none`",
            Place::UnnamedField => "`skip`",
        }
    }

    fn allows(self, argument: &Ident) -> bool {
        let argument = argument.to_string();
        match self {
            Place::Type => matches!(&*argument, "array" | "rename_all" | "skip_none"),
            Place::Variant => argument == "rename",
            Place::NamedField => matches!(&*argument, "rename" | "skip" | "skip_none"),
            Place::UnnamedField => argument == "skip",
        }
    }
}

impl ReplyAttr {
    /// Parses the attributes.
    pub(crate) fn read(attrs: &[Attribute], place: Place, mistakes: &mut Mistakes) -> Self {
        let mut read = ReplyAttr::default();
        for attr in attrs.iter().filter(|attr| attr.path().is_ident("reply")) {
            let Some(written) = mistakes.ok(Written::of(attr)) else { continue };
            if written.is_empty() {
                mistakes.at(attr, format_args!("`#[reply]` without arguments: write {}", place.arguments()));
            }
            read.set(written, place, mistakes);
        }
        if let (Some(_), Some(needless)) = (&read.skip, &read.skip_none) {
            mistakes.at(needless, "the field is skipped anyway: remove `skip` or `skip_none`");
        }
        read
    }

    fn set(&mut self, written: Written, place: Place, mistakes: &mut Mistakes) {
        for literal in &written.literals {
            mistakes.at(literal, format_args!("a text without a key: write {}", place.arguments()));
        }
        for word in written.distinct_words(mistakes) {
            match word.to_string().as_str() {
                "array" if place.allows(&word) => self.array = Some(word),
                "skip" if place.allows(&word) => self.skip = Some(word),
                "skip_none" if place.allows(&word) => self.skip_none = Some(word),
                _ => refuse(&word, place, mistakes),
            }
        }
        for (key, value) in written.values {
            match key.to_string().as_str() {
                "rename" if place.allows(&key) => set_once(&mut self.rename, &key, value, mistakes),
                "rename_all" if place.allows(&key) => match Case::parse(&value) {
                    Ok(case) => set_once(&mut self.rename_all, &key, case, mistakes),
                    Err(message) => mistakes.at(value, message),
                },
                _ => refuse(&key, place, mistakes),
            }
        }
    }
}

fn refuse(argument: &Ident, place: Place, mistakes: &mut Mistakes) {
    mistakes.at(argument, format_args!("`{argument}` does not belong here: use {}", place.arguments()));
}
