//! What is wrong with a struct or an enum of options, as far as it shows before types are known.

use std::collections::HashMap;

use syn::{GenericParam, Generics, Ident, LitStr};

use super::{
    attr::ArgAttr,
    model::{Choice, Form, Input, Opt, Shape},
};
use crate::{check, mistakes::Mistakes, types};

/// Notes every mistake in the item.
pub(crate) fn input(input: &Input<'_>, mistakes: &mut Mistakes) {
    generics(input.generics, mistakes);
    match &input.shape {
        Shape::Options(options) => {
            options.iter().for_each(|option| self::option(option, mistakes));
            tokens(options.iter().filter_map(|option| Some((option.ident, option.token()?))), mistakes);
        }
        Shape::OneOf(choices) => {
            choices.iter().for_each(|choice| self::choice(choice, mistakes));
            tokens(choices.iter().map(|choice| (choice.ident, &choice.token)), mistakes);
        }
    }
}

fn generics(generics: &Generics, mistakes: &mut Mistakes) {
    for param in &generics.params {
        if !matches!(param, GenericParam::Lifetime(_)) {
            mistakes.at(param, "arguments have one type: `#[derive(Args)]` takes no type parameters");
        }
    }
    if let Some(second) = generics.lifetimes().nth(1) {
        mistakes.at(second, "all that is borrowed is borrowed from the request: one lifetime is enough");
    }
}

fn option(option: &Opt<'_>, mistakes: &mut Mistakes) {
    if !matches!(option.form, Form::Value { .. }) {
        no_kind(&option.attr, mistakes);
    }
}

fn choice(choice: &Choice<'_>, mistakes: &mut Mistakes) {
    if choice.values.len() != 1 {
        no_kind(&choice.attr, mistakes);
    }
    match choice.values.iter().find(|value| types::is_named(value.ty, "Option")) {
        Some(value) => {
            mistakes.at(value.ty, "the values behind a token are required: leave the `Option` out")
        }
        None => check::order(choice.values.iter().map(|value| value.ty), mistakes),
    }
}

fn no_kind(attr: &ArgAttr, mistakes: &mut Mistakes) {
    if let Some(kind) = &attr.kind {
        mistakes
            .at(kind, format_args!("`{kind}` describes one value behind a token, and there is none here"));
    }
}

/// Whether each token is one word in capitals, and stands for one thing.
fn tokens<'a>(tokens: impl Iterator<Item = (&'a Ident, &'a LitStr)>, mistakes: &mut Mistakes) {
    let mut seen: HashMap<String, &Ident> = HashMap::new();
    for (ident, token) in tokens {
        let text = token.value();
        if text.is_empty() {
            mistakes.at(token, "a token is a word in capitals, such as `\"NX\"`");
        } else if let Err(message) = check::word(&text, "tokens") {
            mistakes.at(token, message);
        } else if let Some(first) = seen.insert(text.clone(), ident) {
            mistakes.at(token, format_args!("`{text}` is taken already: it introduces `{first}`"));
        }
    }
}
