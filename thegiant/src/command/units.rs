//! Reads and writes times whose type names their unit.

use super::{ArgKind, ArgSpec, Arguments, FromArg, Reply, ReplySpec};
use crate::{
    Error,
    resp::{Encoder, Milliseconds, Seconds, UnixTime, UnixTimeMs},
};

macro_rules! times {
    ($($name:ident: $kind:ident;)*) => {$(
        #[diagnostic::do_not_recommend]
        impl<'a> FromArg<'a> for $name {
            const ARG: ArgSpec = ArgSpec::new(ArgKind::$kind);

            fn from_arg(args: &mut Arguments<'a>) -> Result<Self, Error> {
                let number: i64 = args.take_integer()?;
                if number < 0 { Err(Error::NOT_POSITIVE) } else { number.try_into() }
            }
        }

        #[diagnostic::do_not_recommend]
        impl Reply for $name {
            const REPLY: ReplySpec = ReplySpec::Integer;

            fn write_to(self, out: &mut Encoder) {
                out.integer(self.into());
            }
        }
    )*};
}

times! {
    Milliseconds: Integer;
    Seconds: Integer;
    UnixTime: UnixTime;
    UnixTimeMs: UnixTime;
}
