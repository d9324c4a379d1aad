//! Finds the mistakes in a struct or an enum that are visible in its syntax.

use std::collections::HashMap;

use quote::ToTokens;

use super::model::{Entry, Input, Shape};
use crate::{mistakes::Mistakes, types};

/// Adds all mistakes in the item.
pub(crate) fn input(input: &Input<'_>, mistakes: &mut Mistakes) {
    for shape in input.shapes() {
        match shape {
            Shape::Map(entries) => map(entries, mistakes),
            Shape::Inner(entry) => {
                if let Some(skip) = &entry.attr.skip {
                    mistakes.at(skip, "this value is the whole reply: remove `skip`");
                }
            }
            Shape::Array(entries) => {
                for entry in entries {
                    let name = entry.attr.rename.iter().map(ToTokens::to_token_stream);
                    for needless in name.chain(entry.attr.skip_none.iter().map(ToTokens::to_token_stream)) {
                        mistakes.at(needless, "an array has no names and no gaps: remove this, or `array`");
                    }
                }
            }
            Shape::Word(_) => {}
        }
    }
}

/// Adds all mistakes in an item that is read from a reply.
pub(crate) fn owned_input(input: &Input<'_>, mistakes: &mut Mistakes) {
    self::input(input, mistakes);
    for shape in input.shapes() {
        for entry in shape.entries().iter().filter(|entry| !entry.is_skipped()) {
            if let Some(reference) = types::reference_in(entry.ty) {
                let text = "a value that is read from a reply cannot borrow: write an owned type, such as `String` or `Vec`";
                mistakes.at(reference, text);
            }
        }
    }
}

fn map(entries: &[Entry<'_>], mistakes: &mut Mistakes) {
    let mut seen: HashMap<String, &Entry<'_>> = HashMap::new();
    for entry in entries.iter().filter(|entry| !entry.is_skipped()) {
        if let Some(word) = &entry.attr.skip_none
            && !types::is_named(entry.ty, "Option")
        {
            mistakes.at(word, "only an `Option` can be `None`: remove `skip_none`");
        }
        if seen.insert(entry.name.value(), entry).is_some() {
            let text = format!("duplicate name `{}` in the reply: rename one field", entry.name.value());
            mistakes.at(&entry.name, text);
        }
    }
}
