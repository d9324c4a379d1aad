//! Arguments and replies in the text form of a type of Rust.

use std::{
    fmt::{Display, Write},
    str::FromStr,
};

use super::{ArgKind, ArgSpec, Arguments, FromArg, Reply, ReplySpec};
use crate::{Error, resp::Encoder};

/// A `T` in its text form: an address, a UUID, a date.
///
/// As a parameter, it reads one argument with [`FromStr`]. If the text is wrong, the client gets
/// `ERR invalid NAME: TEXT`, with the name of the parameter and the [`Display`] of the parse error. As a reply, it is
/// the [`Display`] of `T`, as a bulk string.
///
/// ```
/// use std::net::IpAddr;
/// use thegiant::{Parsed, prelude::*};
///
/// struct Bans(Vec<IpAddr>);
///
/// impl Actor for Bans {
///     type Context = Context<Self>;
/// }
///
/// #[commands]
/// impl Bans {
///     /// Bans an address, and returns the last one before it.
///     #[command("BAN", write)]
///     fn ban(&mut self, address: Parsed<IpAddr>) -> Option<Parsed<IpAddr>> {
///         let last = self.0.last().copied().map(Parsed);
///         self.0.push(address.0);
///         last
///     }
/// }
/// # #[cfg(feature = "test-util")]
/// # actix::System::new().block_on(async {
/// # let server = thegiant::test::TestServer::start(App::new().mount(Bans(Vec::new()).start()));
/// # let mut client = server.connect();
/// # client.send("BAN ::1\r\nBAN 0:0:0::2\r\nBAN 1.2.3\r\n").await;
/// # client.expect("$-1\r\n$3\r\n::1\r\n-ERR invalid address: invalid IP address syntax\r\n").await;
/// # });
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Parsed<T>(pub T);

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
