//! `#[arg("TOKEN", alias = "…", name = "…", flatten, rest, pattern | unix_time)]`.

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
    /// Further tokens with the same meaning.
    pub(crate) aliases: Vec<LitStr>,
    /// The name of the value in `COMMAND DOCS`.
    pub(crate) name: Option<LitStr>,
    /// The word `flatten` or `rest`.
    pub(crate) place: Option<Ident>,
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
            self.set_word(word, mistakes);
        }
        for (key, value) in written.values {
            if key == "name" {
                set_once(&mut self.name, &key, value, mistakes);
            } else if key == "alias" {
                self.aliases.push(value);
            } else {
                mistakes.at(&key, format_args!("unknown key `{key}`: use `name = \"…\"` or `alias = \"…\"`"));
            }
        }
        let mut literals = written.literals.into_iter();
        self.token = literals.next();
        for second in literals {
            mistakes.at(second, "a second token: make the type an enum with one variant per token");
        }
    }

    fn set_word(&mut self, word: Ident, mistakes: &mut Mistakes) {
        if word == "flatten" || word == "rest" {
            set_once(&mut self.place, &word, word.clone(), mistakes);
        } else if word != "pattern" && word != "unix_time" {
            let text = format!("unknown word `{word}`: use `flatten`, `rest`, `pattern` or `unix_time`");
            mistakes.at(&word, text);
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

pub(crate) fn is_arg(attr: &Attribute) -> bool {
    attr.path().is_ident("arg")
}
