//! Finds the mistakes in a struct or an enum that are visible in its syntax.

use std::collections::HashMap;

use syn::{GenericParam, Generics, Ident, LitStr};

use super::{
    attr::ArgAttr,
    model::{Choice, Form, Input, Opt, Shape},
};
use crate::{check, mistakes::Mistakes, types};

/// Adds all mistakes in the item.
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
            mistakes.at(param, "`#[derive(Args)]` does not support type parameters: write the concrete type");
        }
    }
    if let Some(second) = generics.lifetimes().nth(1) {
        mistakes.at(second, "`#[derive(Args)]` supports only one lifetime: use it for all references");
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
            mistakes.at(value.ty, "the values after a token cannot be optional: remove the `Option`")
        }
        None => check::order(choice.values.iter().map(|value| value.ty), mistakes),
    }
}

fn no_kind(attr: &ArgAttr, mistakes: &mut Mistakes) {
    if let Some(kind) = &attr.kind {
        mistakes.at(kind, format_args!("`{kind}` needs exactly one value after the token: remove `{kind}`"));
    }
}

/// Checks that each token is one word in capitals and unique.
fn tokens<'a>(tokens: impl Iterator<Item = (&'a Ident, &'a LitStr)>, mistakes: &mut Mistakes) {
    let mut seen: HashMap<String, &Ident> = HashMap::new();
    for (ident, token) in tokens {
        let text = token.value();
        if text.is_empty() {
            mistakes.at(token, "the token is empty: write a word in capitals, such as `\"NX\"`");
        } else if let Err(message) = check::word(&text, "token") {
            mistakes.at(token, message);
        } else if let Some(first) = seen.insert(text.clone(), ident) {
            mistakes.at(token, format_args!("duplicate token `{text}`: `{first}` has it already"));
        }
    }
}
