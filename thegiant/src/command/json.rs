//! *Feature `json`:* arguments and replies in JSON.

use serde::{Deserialize, Serialize};

use super::{ArgKind, ArgSpec, Arguments, FromArg, Reply, ReplySpec};
use crate::{Error, resp::Encoder};

/// *Feature `json`:* a `T` as a JSON text, in arguments and replies.
///
/// As a parameter, it reads one argument, and `T` may borrow from the request. If the text is wrong, the client gets
/// `ERR invalid NAME: TEXT`, with the name of the parameter and the error of `serde_json`, which can quote the
/// argument. As a reply, it is a bulk string. If `T` cannot be written, the client gets `ERR internal error`, and the
/// log has the reason.
///
/// ```
/// use serde::{Deserialize, Serialize};
/// use thegiant::{Json, prelude::*};
///
/// #[derive(Deserialize, Serialize)]
/// struct Point { x: i64, y: i64 }
///
/// struct Mirror;
///
/// impl Actor for Mirror {
///     type Context = Context<Self>;
/// }
///
/// #[commands]
/// impl Mirror {
///     /// Swaps the coordinates of a point.
///     #[command("SWAP", fast)]
///     fn swap(&self, point: Json<Point>) -> Json<Point> {
///         Json(Point { x: point.0.y, y: point.0.x })
///     }
/// }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Json<T>(pub T);

#[diagnostic::do_not_recommend]
impl<'a, T: Deserialize<'a>> FromArg<'a> for Json<T> {
    const ARG: ArgSpec = ArgSpec::new(ArgKind::String);

    fn from_arg(args: &mut Arguments<'a>) -> Result<Self, Error> {
        serde_json::from_slice(args.take()?).map(Json).map_err(|error| args.invalid(error))
    }
}

#[diagnostic::do_not_recommend]
impl<T: Serialize> Reply for Json<T> {
    const REPLY: ReplySpec = ReplySpec::String;

    fn write_to(self, out: &mut Encoder) {
        match serde_json::to_vec(&self.0) {
            Ok(text) => out.bulk(&text),
            Err(error) => out.error(&Error::internal(error)),
        }
    }
}
