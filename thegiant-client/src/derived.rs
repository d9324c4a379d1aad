//! Functions for the code of `#[derive(FromReply)]` and `#[derive(ToArgs)]`.

use std::fmt::Display;

use thegiant_resp::{FromReply, Parsed, RequestBuilder, ToArgs, Value, WrongReply};

/// The fields of a reply that is a map, or an array of names and values.
#[derive(Debug)]
pub struct Fields(Vec<(Value, Value)>);

impl Fields {
    /// Returns the fields of a reply.
    ///
    /// # Errors
    /// If the reply has no fields.
    pub fn of(reply: Value) -> Result<Self, WrongReply> {
        match reply {
            Value::Map(pairs) => Ok(Fields(pairs)),
            Value::Array(values) if values.len() % 2 == 0 => {
                let mut values = values.into_iter();
                Ok(Fields(std::iter::from_fn(|| Some((values.next()?, values.next()?))).collect()))
            }
            other => Err(WrongReply::new("a map", &other)),
        }
    }

    /// Converts the value of a field. A field that is missing is null.
    ///
    /// # Errors
    /// If the value has another type.
    pub fn take<T: FromReply>(&mut self, name: &str) -> Result<T, WrongReply> {
        let found = self.0.iter_mut().find(|(key, _)| key.as_bytes() == Some(name.as_bytes()));
        let value = found.map_or(Value::Null, |(_, value)| std::mem::replace(value, Value::Null));
        T::from_reply(value).map_err(|error| error.inside(name))
    }
}

/// Returns the error for a reply that is none of these words.
#[must_use]
pub fn unknown_word(words: &[&str], reply: &Value) -> WrongReply {
    let words: Vec<_> = words.iter().map(|word| format!("`{word}`")).collect();
    let expected = format!("one of {}", words.join(", "));
    match reply.as_str() {
        Some(text) => WrongReply::described(expected, WrongReply::quoted(text)),
        None => WrongReply::new(expected, reply),
    }
}

/// Writes a type with `#[arg(try_from = "…")]` in its text form.
pub fn text_to_args(value: impl Display, out: &mut RequestBuilder) {
    Parsed(value).to_args(out);
}
