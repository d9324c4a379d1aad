//! Checks of replies.

use thegiant_resp::{Encoder, Error, Value};

use super::course::{Course, Effect, Moment};
use crate::{Result, batch::excerpt};

/// Counts an error and returns its effect. Fails if it is wrong, or if no fault explains it.
pub(crate) fn explained(course: &Course, error: &Error, sent: Moment) -> Result<Effect> {
    course.count_error(error);
    let text = String::from_utf8_lossy(error.as_bytes());
    let effect = Effect::of(error).ok_or_else(|| format!("the error {text}"))?;
    if course.is_quiet_since(sent) {
        return Err(format!("without a fault, the error {text}").into());
    }
    Ok(effect)
}

/// Fails unless the reply is `OK`.
pub(crate) fn is_ok(reply: &Value) -> Result<()> {
    if reply.as_str() == Some("OK") {
        Ok(())
    } else {
        Err(format!("expected OK, got {}", show(reply)).into())
    }
}

/// Returns an integer, or an error if the reply is none.
pub(crate) fn integer(reply: &Value) -> Result<i64> {
    reply.as_int().ok_or_else(|| format!("expected an integer, got {}", show(reply)).into())
}

/// Returns the bytes of a bulk string, or `None` for null.
pub(crate) fn value_of(reply: &Value) -> Result<Option<&[u8]>> {
    match reply {
        Value::Null => Ok(None),
        Value::Bulk(bytes) => Ok(Some(bytes)),
        other => Err(format!("expected a value, got {}", show(other)).into()),
    }
}

/// Returns the text of a reply, or an error if it has none.
pub(crate) fn text_of(reply: Value) -> Result<String> {
    match reply.as_str() {
        Some(text) => Ok(text.to_owned()),
        None => Err(format!("unexpected reply {}", show(&reply)).into()),
    }
}

/// Returns the first bytes of a reply as readable text.
pub(crate) fn show(reply: &Value) -> String {
    let mut out = Encoder::default();
    reply.encode(&mut out);
    excerpt(&out.to_vec())
}

/// Returns the first bytes of each reply as readable text.
pub(crate) fn show_all(replies: &[Value]) -> String {
    replies.iter().map(show).collect::<Vec<_>>().join(", ")
}
