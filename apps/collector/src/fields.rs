//! The fields of an event, stored as JSON so that SQL can query them.

use std::{borrow::Cow, fmt};

use bytes::Bytes;
use rusqlite::types::{Value, ValueRef};
use serde::{
    Deserialize, Deserializer, Serializer,
    de::{MapAccess, Visitor},
    ser::SerializeMap,
};
use thegiant::{Reply, resp::Encoder};

/// Names and values in their order. A name may occur more than once.
///
/// The stored form is an object of strings, `{"host":"a","line":"…"}`. If the fields are not UTF-8, the
/// stored form is a blob: for each name and value, its length in four bytes and then its bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fields(pub(crate) Vec<Bytes>);

impl Fields {
    /// Encodes the fields as a value for the database.
    pub(crate) fn stored(&self) -> Value {
        match self.json() {
            Some(json) => Value::Text(json),
            None => Value::Blob(self.blob()),
        }
    }

    /// Decodes fields from the database. Returns `None` if they are damaged.
    pub(crate) fn read(value: ValueRef<'_>) -> Option<Self> {
        let read = match value {
            ValueRef::Text(json) => serde_json::from_slice::<Object>(json).ok().map(|object| object.0),
            ValueRef::Blob(blob) => from_blob(blob),
            _ => None,
        };
        read.map(Fields)
    }

    fn json(&self) -> Option<String> {
        self.object(|bytes| str::from_utf8(bytes).ok().map(Cow::Borrowed))
    }

    /// Encodes names and values as an object of strings.
    pub(crate) fn object<'f>(&'f self, text: impl Fn(&'f [u8]) -> Option<Cow<'f, str>>) -> Option<String> {
        let mut json = Vec::new();
        let mut serializer = serde_json::Serializer::new(&mut json);
        let mut map = serializer.serialize_map(Some(self.0.len() / 2)).ok()?;
        for pair in self.0.chunks_exact(2) {
            map.serialize_entry(&*text(&pair[0])?, &*text(&pair[1])?).ok()?;
        }
        SerializeMap::end(map).ok()?;
        String::from_utf8(json).ok()
    }

    fn blob(&self) -> Vec<u8> {
        let mut blob = Vec::new();
        for bytes in &self.0 {
            // An argument is always smaller than 4 GiB.
            blob.extend_from_slice(&(bytes.len() as u32).to_be_bytes());
            blob.extend_from_slice(bytes);
        }
        blob
    }
}

fn from_blob(mut blob: &[u8]) -> Option<Vec<Bytes>> {
    let mut fields = Vec::new();
    while let Some((len, rest)) = blob.split_first_chunk() {
        let (bytes, rest) = rest.split_at_checked(u32::from_be_bytes(*len) as usize)?;
        fields.push(Bytes::copy_from_slice(bytes));
        blob = rest;
    }
    Some(fields)
}

/// A JSON object in which a name may occur more than once.
struct Object(Vec<Bytes>);

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Object(Vec::new()))
    }
}

impl<'de> Visitor<'de> for Object {
    type Value = Object;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of strings")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<Object, A::Error> {
        while let Some((name, value)) = map.next_entry::<String, String>()? {
            self.0.extend([name.into(), value.into()]);
        }
        Ok(self)
    }
}

impl Reply for Fields {
    fn write_to(self, out: &mut Encoder) {
        self.0.write_to(out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip(fields: &[&'static [u8]]) -> Value {
        let fields = Fields(fields.iter().map(|bytes| Bytes::from_static(bytes)).collect());
        let stored = fields.stored();
        assert_eq!(Fields::read(ValueRef::from(&stored)), Some(fields));
        stored
    }

    #[test]
    fn stored_fields_are_decoded() {
        assert_eq!(round_trip(&[b"a", b"1", b"b", b"2"]), Value::Text(r#"{"a":"1","b":"2"}"#.to_owned()));
        round_trip(&[b"a", b"1", b"a", b"2"]);
        round_trip(&["\u{e9}\"\\\n\0".as_bytes(), b""]);
        assert!(matches!(round_trip(&[b"\xff", b"1"]), Value::Blob(_)));
        assert!(matches!(round_trip(&[b"a", b"\x80\0"]), Value::Blob(_)));
    }

    #[test]
    fn damaged_data_is_recognized() {
        for damaged in
            [ValueRef::Text(b"{"), ValueRef::Text(b"[1]"), ValueRef::Blob(b"\0\0\0\x09a"), ValueRef::Null]
        {
            assert_eq!(Fields::read(damaged), None);
        }
    }
}
