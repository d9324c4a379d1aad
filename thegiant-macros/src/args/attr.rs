//! `#[arg("TOKEN", name = "…", pattern | unix_time)]`.

use syn::{Attribute, Ident, LitStr};

use crate::{
    attr::{Written, set_once},
    mistakes::Mistakes,
};

/// The arguments of `#[arg]` on a field or a variant.
#[derive(Default)]
pub(crate) struct ArgAttr {
    /// The token.
    pub(crate) token: Option<LitStr>,
    /// The name of the value in `COMMAND DOCS`.
    pub(crate) name: Option<LitStr>,
    /// The type of the value in `COMMAND DOCS`: `pattern` or `unix_time`.
    pub(crate) kind: Option<Ident>,
}

impl ArgAttr {
    /// Parses the attribute, if present.
    pub(crate) fn read(attrs: &[Attribute], mistakes: &mut Mistakes) -> Self {
        let mut read = ArgAttr::default();
        for (index, attr) in attrs.iter().filter(|attr| is_arg(attr)).enumerate() {
            if index > 0 {
                mistakes.at(attr, "a second `#[arg(…)]`: merge it into the first one, separated with commas");
            } else if let Some(written) = mistakes.ok(Written::of(attr)) {
                read.set(attr, written, mistakes);
            }
        }
        read
    }

    fn set(&mut self, attr: &Attribute, written: Written, mistakes: &mut Mistakes) {
        if written.is_empty() {
            mistakes.at(attr, "`#[arg]` without arguments: write the token, `#[arg(\"TOKEN\")]`");
        }
        for word in written.distinct_words(mistakes) {
            self.set_kind(word, mistakes);
        }
        for (key, value) in written.values {
            if key == "name" {
                set_once(&mut self.name, &key, value, mistakes);
            } else {
                mistakes.at(&key, format_args!("unknown key `{key}`: use `name = \"…\"`"));
            }
        }
        let mut literals = written.literals.into_iter();
        self.token = literals.next();
        for second in literals {
            mistakes.at(second, "a second token: make the type an enum with one variant per token");
        }
    }

    fn set_kind(&mut self, word: Ident, mistakes: &mut Mistakes) {
        if word != "pattern" && word != "unix_time" {
            mistakes.at(&word, format_args!("unknown word `{word}`: use `pattern` or `unix_time`"));
        } else if self.kind.is_some() {
            mistakes.at(word, "a value cannot be both `pattern` and `unix_time`: remove one");
        } else {
            self.kind = Some(word);
        }
    }
}

/// Adds a mistake for each `#[arg]` in a place where it has no meaning.
pub(crate) fn refuse(attrs: &[Attribute], mistakes: &mut Mistakes) {
    for attr in attrs.iter().filter(|attr| is_arg(attr)) {
        mistakes.at(attr, "misplaced `#[arg]`: move it to a field of a struct or a variant of an enum");
    }
}

fn is_arg(attr: &Attribute) -> bool {
    attr.path().is_ident("arg")
}
