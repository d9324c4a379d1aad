//! *Feature `json`:* reads and writes values in JSON.

use serde::{Deserialize, Serialize};

use super::{ArgKind, ArgSpec, Arguments, FromArg, Reply, ReplySpec};
use crate::{
    Error,
    resp::{Encoder, Json},
};

impl<'a, T: Deserialize<'a>> FromArg<'a> for Json<T> {
    const ARG: ArgSpec = ArgSpec::new(ArgKind::String);

    fn from_arg(args: &mut Arguments<'a>) -> Result<Self, Error> {
        serde_json::from_slice(args.take()?).map(Json).map_err(|error| args.invalid(error))
    }
}

impl<T: Serialize> Reply for Json<T> {
    const REPLY: ReplySpec = ReplySpec::String;

    fn write_to(self, out: &mut Encoder) {
        match serde_json::to_vec(&self.0) {
            Ok(text) => out.bulk(&text),
            Err(error) => out.error(&Error::internal(error)),
        }
    }
}
