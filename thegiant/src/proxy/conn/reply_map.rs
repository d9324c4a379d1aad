//! Functions that map replies.

use crate::{
    Error, Value,
    proxy::guarded::guarded,
    resp::{Encoder, Protocol},
};

/// The function that maps the reply to a rewritten request.
pub(crate) type ReplyMap = Box<dyn FnOnce(Value) -> Value>;

/// Maps a reply that is no error.
pub(crate) fn mapped(map: Option<ReplyMap>, reply: Value) -> Value {
    match (map, reply) {
        (None, reply) | (_, reply @ Value::Error(_)) => reply,
        (Some(map), reply) => guarded(|| map(reply)).unwrap_or(Value::Error(Error::INTERNAL)),
    }
}

/// Maps an encoded reply that is no error.
pub(super) fn mapped_bytes(map: ReplyMap, reply: Vec<u8>, protocol: Protocol) -> Vec<u8> {
    let Ok(Some((value, _))) = Value::parse(&reply) else { return reply };
    encoded(&mapped(Some(map), value), protocol)
}

/// Maps the elements of the reply to `EXEC`.
pub(super) fn mapped_elements(maps: Vec<Option<ReplyMap>>, reply: Vec<u8>, protocol: Protocol) -> Vec<u8> {
    let Ok(Some((Value::Array(elements), _))) = Value::parse(&reply) else { return reply };
    let mut maps = maps.into_iter();
    let elements = elements.into_iter().map(|element| mapped(maps.next().flatten(), element));
    encoded(&Value::Array(elements.collect()), protocol)
}

fn encoded(value: &Value, protocol: Protocol) -> Vec<u8> {
    let mut out = Encoder::new(protocol);
    value.encode(&mut out);
    out.into_vec()
}
