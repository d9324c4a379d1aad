//! Arguments and replies in the text form of a type of Rust.

use std::{
    fmt::{Display, Write},
    str::FromStr,
};

use crate::{FromReply, RequestBuilder, ToArgs, Value, WrongReply};

/// A `T` in its text form: an address, a UUID, a date.
///
/// [`Display`] writes the text, and [`FromStr`] reads it.
///
/// ```
/// use std::net::IpAddr;
/// use thegiant_resp::{FromReply, Parsed, RequestBuilder, Value};
///
/// let address: IpAddr = [127, 0, 0, 1].into();
/// let mut request = RequestBuilder::new("BAN");
/// request.arg(&Parsed(address));
/// assert_eq!(request.to_vec(), RequestBuilder::new("BAN 127.0.0.1").to_vec());
/// assert_eq!(Parsed::from_reply("127.0.0.1".into()), Ok(Parsed(address)));
/// let wrong = Parsed::<IpAddr>::from_reply("127.0.0".into()).unwrap_err();
/// assert_eq!(wrong.to_string(), "expected a valid text, got \"127.0.0\" (invalid IP address syntax)");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Parsed<T>(pub T);

impl<T: Display> ToArgs for Parsed<T> {
    fn to_args(&self, out: &mut RequestBuilder) {
        let mut text = String::new();
        match write!(text, "{}", self.0) {
            Ok(()) => out.word(text.as_bytes()),
            Err(error) => out.fail(error),
        };
    }
}

impl<T: FromStr<Err: Display>> FromReply for Parsed<T> {
    fn from_reply(reply: Value) -> Result<Self, WrongReply> {
        let text = String::from_reply(reply)?;
        text.parse().map(Parsed).map_err(|error| {
            WrongReply::described("a valid text", format_args!("{} ({error})", WrongReply::quoted(&text)))
        })
    }
}
