//! `#[arg("TOKEN", name = "…", pattern | unix_time)]`.

use syn::{Attribute, Ident, LitStr};

use crate::{
    attr::{Written, set_once},
    mistakes::Mistakes,
};

/// What is said of a field or a variant.
#[derive(Default)]
pub(crate) struct ArgAttr {
    /// The word that introduces it.
    pub(crate) token: Option<LitStr>,
    /// The name of its value in the documentation.
    pub(crate) name: Option<LitStr>,
    /// What its value is, more precisely than its type says.
    pub(crate) kind: Option<Ident>,
}

impl ArgAttr {
    /// Reads the attribute, if there is one.
    pub(crate) fn read(attrs: &[Attribute], mistakes: &mut Mistakes) -> Self {
        let mut read = ArgAttr::default();
        for (index, attr) in attrs.iter().filter(|attr| is_arg(attr)).enumerate() {
            if index > 0 {
                mistakes.at(attr, "one `#[arg(…)]` says it all: separate what it says with commas");
            } else if let Some(written) = mistakes.ok(Written::of(attr)) {
                read.set(attr, written, mistakes);
            }
        }
        read
    }

    fn set(&mut self, attr: &Attribute, written: Written, mistakes: &mut Mistakes) {
        if written.is_empty() {
            mistakes.at(attr, "`#[arg]` says something: which word introduces this? `#[arg(\"TOKEN\")]`");
        }
        for word in written.distinct_words(mistakes) {
            self.set_kind(word, mistakes);
        }
        for (key, value) in written.values {
            if key == "name" {
                set_once(&mut self.name, &key, value, mistakes);
            } else {
                mistakes.at(&key, format_args!("unknown key `{key}`: there is `name = \"…\"`"));
            }
        }
        let mut literals = written.literals.into_iter();
        self.token = literals.next();
        for second in literals {
            mistakes
                .at(second, "one word introduces this: for several, make an enum with a variant for each");
        }
    }

    fn set_kind(&mut self, word: Ident, mistakes: &mut Mistakes) {
        if word != "pattern" && word != "unix_time" {
            mistakes
                .at(&word, format_args!("unknown word `{word}`: a value is a `pattern` or a `unix_time`"));
        } else if self.kind.is_some() {
            mistakes.at(word, "a value is a `pattern` or a `unix_time`, not both");
        } else {
            self.kind = Some(word);
        }
    }
}

/// Notes each `#[arg]` where it means nothing.
pub(crate) fn refuse(attrs: &[Attribute], mistakes: &mut Mistakes) {
    for attr in attrs.iter().filter(|attr| is_arg(attr)) {
        mistakes.at(attr, "`#[arg]` belongs on a field of a struct or a variant of an enum");
    }
}

fn is_arg(attr: &Attribute) -> bool {
    attr.path().is_ident("arg")
}
