//! *Feature `json`:* arguments and replies in JSON.

use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};

use crate::{FromReply, RequestBuilder, ToArgs, Value, WrongReply};

/// *Feature `json`:* a `T` as a JSON text, in arguments and replies.
///
/// The traits of `serde` write and read it. A request with a `T` that cannot be written is [not
/// sent](RequestBuilder::fail).
///
/// ```
/// use thegiant_resp::{FromReply, Json, RequestBuilder, Value};
///
/// let mut request = RequestBuilder::new("SWAP");
/// request.arg(&Json((1, 2)));
/// assert_eq!(request.to_vec(), RequestBuilder::new("SWAP [1,2]").to_vec());
/// assert_eq!(Json::from_reply("[2, 1]".into()), Ok(Json((2, 1))));
/// assert!(Json::<(i64, i64)>::from_reply("[2".into()).is_err());
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Json<T>(pub T);

impl<T: Serialize> ToArgs for Json<T> {
    fn to_args(&self, out: &mut RequestBuilder) {
        match serde_json::to_vec(&self.0) {
            Ok(text) => out.word(&text),
            Err(error) => out.fail(error),
        };
    }
}

impl<T: DeserializeOwned> FromReply for Json<T> {
    fn from_reply(reply: Value) -> Result<Self, WrongReply> {
        let text = Bytes::from_reply(reply)?;
        let wrong =
            |error| WrongReply::described("JSON of the right type", format_args!("another text: {error}"));
        serde_json::from_slice(&text).map(Json).map_err(wrong)
    }
}
