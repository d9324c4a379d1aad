//! The common syntax of `#[command(…)]` and `#[arg(…)]`.

use syn::{
    Attribute, Error, Ident, Lit, LitStr, Meta, Result, Token,
    ext::IdentExt,
    parse::{Parse, ParseStream},
    token::Paren,
};

use crate::mistakes::Mistakes;

/// The arguments of an attribute: `"LITERAL", word, key = "value", key("value", …)`, in any order.
#[derive(Default)]
pub(crate) struct Written {
    pub(crate) literals: Vec<LitStr>,
    pub(crate) words: Vec<Ident>,
    pub(crate) values: Vec<(Ident, LitStr)>,
}

impl Written {
    /// Parses the parentheses of an attribute. An attribute without parentheses has no arguments.
    pub(crate) fn of(attr: &Attribute) -> Result<Self> {
        match &attr.meta {
            Meta::Path(_) => Ok(Written::default()),
            Meta::List(list) => list.parse_args(),
            Meta::NameValue(_) => {
                Err(Error::new_spanned(attr, "the arguments belong in parentheses: write `(\"…\")`"))
            }
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.literals.is_empty() && self.words.is_empty() && self.values.is_empty()
    }

    /// Returns the words, and adds a mistake for each repetition.
    pub(crate) fn distinct_words(&self, mistakes: &mut Mistakes) -> Vec<Ident> {
        let mut distinct: Vec<Ident> = Vec::new();
        for word in &self.words {
            if distinct.contains(word) {
                mistakes.at(word, format_args!("duplicate `{word}`: remove one"));
            } else {
                distinct.push(word.clone());
            }
        }
        distinct
    }

    fn push(&mut self, input: ParseStream<'_>) -> Result<()> {
        if input.peek(LitStr) {
            self.literals.push(input.parse()?);
            return Ok(());
        }
        let word = input.call(Ident::parse_any)?;
        if input.parse::<Option<Token![=]>>()?.is_some() {
            let value = string(&word, input)?;
            self.values.push((word, value));
        } else if input.peek(Paren) {
            self.push_list(&word, input)?;
        } else {
            self.words.push(word);
        }
        Ok(())
    }

    /// Adds a key with several values.
    fn push_list(&mut self, key: &Ident, input: ParseStream<'_>) -> Result<()> {
        let list;
        syn::parenthesized!(list in input);
        if list.is_empty() {
            return Err(Error::new_spanned(key, format_args!("`{key}` has no values: write `{key}(\"…\")`")));
        }
        loop {
            self.values.push((key.clone(), string(key, &list)?));
            if list.parse::<Option<Token![,]>>()?.is_none() || list.is_empty() {
                break;
            }
        }
        if list.is_empty() { Ok(()) } else { Err(list.error("expected `,`")) }
    }
}

impl Parse for Written {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let mut written = Written::default();
        while !input.is_empty() {
            written.push(input)?;
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
        }
        Ok(written)
    }
}

/// Parses a value. A number gets an error that shows it as a string.
fn string(key: &Ident, input: ParseStream<'_>) -> Result<LitStr> {
    let number = match input.fork().parse() {
        Ok(Lit::Int(number)) => number.to_string(),
        Ok(Lit::Float(number)) => number.to_string(),
        _ => return input.parse(),
    };
    // A time without a unit: most are in seconds.
    let unit = if key == "timeout" && number.ends_with(|c: char| c.is_ascii_digit()) { "s" } else { "" };
    Err(input.error(format_args!("the value is a string: write `{key} = \"{number}{unit}\"`")))
}

/// Stores a value that an attribute may contain once.
pub(crate) fn set_once<T>(slot: &mut Option<T>, key: &Ident, value: T, mistakes: &mut Mistakes) {
    if slot.is_some() {
        mistakes.at(key, format_args!("duplicate `{key}`: remove one"));
    }
    *slot = Some(value);
}
