//! Reads and writes values in the text form of a type of Rust.

use std::{
    fmt::{Display, Write},
    str::FromStr,
};

use super::{ArgKind, ArgSpec, Arguments, FromArg, Reply, ReplySpec};
use crate::{
    Error,
    resp::{Encoder, Parsed},
};

#[diagnostic::do_not_recommend]
impl<'a, T: FromStr<Err: Display>> FromArg<'a> for Parsed<T> {
    const ARG: ArgSpec = ArgSpec::new(ArgKind::String);

    fn from_arg(args: &mut Arguments<'a>) -> Result<Self, Error> {
        args.take_str()?.parse().map(Parsed).map_err(|error| args.invalid(error))
    }
}

#[diagnostic::do_not_recommend]
impl<T: Display> Reply for Parsed<T> {
    const REPLY: ReplySpec = ReplySpec::String;

    fn write_to(self, out: &mut Encoder) {
        let mut text = String::new();
        match write!(text, "{}", self.0) {
            Ok(()) => out.bulk(text.as_bytes()),
            Err(error) => out.error(&Error::internal(error)),
        }
    }
}
