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
    match &input.shape {
        Shape::Options(options) => {
            options.iter().for_each(|option| self::option(option, mistakes));
            let rest = options.iter().filter_map(|option| match option.form {
                Form::Rest { ty } => Some(ty),
                _ => None,
            });
            check::order(rest, mistakes);
            tokens(options.iter().filter_map(|option| Some((option.ident, option.token()?))), mistakes);
        }
        Shape::OneOf(choices) => {
            choices.iter().for_each(|choice| self::choice(choice, mistakes));
            let all = choices.iter().flat_map(|choice| choice.tokens().map(|token| (choice.ident, token)));
            tokens(all, mistakes);
        }
    }
}

/// Adds a mistake for each parameter that a type which is read cannot have.
pub(crate) fn generics(generics: &Generics, derive: &str, mistakes: &mut Mistakes) {
    for param in &generics.params {
        if !matches!(param, GenericParam::Lifetime(_)) {
            let text =
                format!("`#[derive({derive})]` does not support type parameters: write the concrete type");
            mistakes.at(param, text);
        }
    }
    if let Some(second) = generics.lifetimes().nth(1) {
        let text = format!("`#[derive({derive})]` supports only one lifetime: use it for all references");
        mistakes.at(second, text);
    }
}

fn option(option: &Opt<'_>, mistakes: &mut Mistakes) {
    for alias in &option.attr.aliases {
        mistakes
            .at(alias, "a field has one token: make its type an enum, whose variants can have an `alias`");
    }
    if let (Form::Rest { .. } | Form::Flatten { .. }, Some(token)) = (&option.form, &option.attr.token) {
        mistakes.at(token, "a token introduces an option: remove it, or `flatten` or `rest`");
    }
    if let Form::Flatten { ty } = option.form
        && types::is_named(ty, "Option")
    {
        let text = "the options of this struct are part of the other one: remove the `Option`, and make the fields \
                    optional";
        mistakes.at(ty, text);
    }
    if !matches!(option.form, Form::Value { .. } | Form::Rest { .. }) {
        no_kind(&option.attr, mistakes);
    }
}

fn choice(choice: &Choice<'_>, mistakes: &mut Mistakes) {
    if let Some(place) = &choice.attr.place {
        mistakes.at(place, format_args!("`{place}` belongs to a field of a struct: remove it"));
    }
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
