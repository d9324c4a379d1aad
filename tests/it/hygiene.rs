//! Compiles generated code in a scope without a prelude, with names that shadow the ones it might rely on,
//! and under the lints of a strict crate. The test is that this file compiles.

#![no_implicit_prelude]
#![forbid(unsafe_code)]
#![deny(missing_docs, unused, deprecated, clippy::all, clippy::pedantic)]
#![allow(dead_code, unused_macros, reason = "only faulty generated code would use these names")]

mod core {}
mod std {}
mod thegiant {}
mod actix {}
mod thegiant_client {}

struct Option;
struct Some;
struct None;
struct Result;
struct Ok;
struct Err;
struct Vec;
struct Box;
struct String;
struct Row;
struct Spec;
struct Flags;
struct ArgSpec;
struct ArgKind;
struct Arguments;
struct Error;
struct Once;
struct Drain;
struct Call;
struct Connection;
struct RequestBuilder;
struct WrongReply;
struct Fields;

trait Actor {}
trait Handler {}
trait Commands {}
trait FromArg {}
trait Reply {}
trait Tokens {}
trait From {}
trait Into {}
trait AsRef {}
trait ToArgs {}
trait FromReply {}
trait IntoIterator {}
trait Default {}
trait Clone {}
trait Display {}

macro_rules! assert {
    ($($trap:tt)*) => {
        compile_error!("generated code used a macro of this file");
    };
}

/// A generic actor, so that the macro must repeat its type parameters.
struct Store<T: ::core::marker::Unpin + 'static>
where
    T: ::core::clone::Clone,
{
    value: T,
}

impl<T: ::core::clone::Clone + ::core::marker::Unpin + 'static> ::actix::Actor for Store<T> {
    type Context = ::actix::Context<Self>;
}

#[::std::prelude::v1::derive(::thegiant::Args)]
enum Limit<'request> {
    Count(u64),
    #[arg("RANGE")]
    Between {
        from: i64,
        to: i64,
    },
    Like(&'request str),
    None,
}

#[::std::prelude::v1::derive(::thegiant::Args)]
struct Options<'args> {
    limit: ::core::option::Option<Limit<'args>>,
    args: bool,
    r#match: bool,
    #[arg("BY", pattern)]
    by: ::core::option::Option<&'args [u8]>,
    #[arg("ERR")]
    error: ::std::string::String,
}

/// Another struct includes these options.
#[::std::prelude::v1::derive(::thegiant::Args)]
struct Common<'args> {
    #[arg("TTL")]
    ttl: ::core::option::Option<&'args str>,
}

#[::std::prelude::v1::derive(::thegiant::Args)]
struct Including<'args> {
    #[arg(flatten)]
    common: Common<'args>,
    args: bool,
    slots: ::core::option::Option<Side>,
    #[arg(rest)]
    rest: Port,
}

#[::std::prelude::v1::derive(::thegiant::FromArg, ::thegiant_client::ToArgs)]
#[arg(range = 1..=100, error = "no port")]
struct Port(u16);

#[::std::prelude::v1::derive(::thegiant::FromArg, ::thegiant_client::ToArgs)]
#[arg(error = "no side")]
enum Side {
    Left,
    #[arg(alias = "R")]
    Right,
}

#[::std::prelude::v1::derive(::thegiant::FromArg, ::thegiant_client::ToArgs)]
#[arg(try_from = "&'args str", pattern)]
struct Name<'args>(&'args str);

impl ::core::fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
        f.write_str(self.0)
    }
}

impl<'args> ::core::convert::TryFrom<&'args str> for Name<'args> {
    type Error = ::thegiant::Error;

    fn try_from(name: &'args str) -> ::core::result::Result<Self, ::thegiant::Error> {
        ::core::result::Result::Ok(Name(name))
    }
}

#[::std::prelude::v1::derive(::thegiant::FromArg)]
#[arg(try_from = "u64")]
struct Number(u64);

impl ::core::convert::TryFrom<u64> for Number {
    type Error = &'static str;

    fn try_from(number: u64) -> ::core::result::Result<Self, &'static str> {
        ::core::result::Result::Ok(Number(number))
    }
}

/// A reply with all attributes.
#[::std::prelude::v1::derive(::thegiant::Reply, ::thegiant_client::FromReply)]
#[reply(rename_all = "kebab-case", skip_none)]
struct Report<T> {
    out: T,
    self_: ::core::option::Option<u64>,
    #[reply(skip)]
    skipped: ::core::option::Option<T>,
    #[reply(rename = "the-state")]
    state: State,
}

#[::std::prelude::v1::derive(::thegiant::Reply, ::thegiant_client::FromReply)]
enum State {
    Ready,
    One(u64),
    Two(u64, u64),
    Named { r#type: ::core::option::Option<u64> },
}

#[::thegiant::commands(include(MORE))]
impl<T: ::core::clone::Clone + ::core::marker::Unpin + 'static> Store<T> {
    /// Does something that it should no longer do.
    #[::thegiant::command("OLD", write)]
    #[deprecated]
    fn old(
        &mut self,
        key: ::thegiant::Key,
        options: Options<'_>,
    ) -> ::core::result::Result<(), ::thegiant::Error> {
        self.value = self.value.clone();
        let _ = (key, options.args, options.r#match, options.by, options.error);
        match options.limit {
            ::core::option::Option::Some(Limit::Count(_) | Limit::Like(_)) => ::core::result::Result::Ok(()),
            ::core::option::Option::Some(Limit::Between { from, to }) if from < to => {
                ::core::result::Result::Ok(())
            }
            _ => ::core::result::Result::Err(::thegiant::Error::SYNTAX),
        }
    }
}

#[::thegiant::commands(rows = MORE, group = "more")]
impl<T: ::core::clone::Clone + ::core::marker::Unpin + 'static> Store<T> {
    /// Takes derived parameters and returns a derived reply.
    #[::thegiant::command("DERIVED")]
    fn derived(&self, options: Including<'_>, names: ::std::vec::Vec<(Name<'_>, Number)>) -> Report<u64> {
        let _ = (&self.value, names, options.common.ttl, options.slots, options.args, options.rest);
        Report {
            out: 1,
            self_: ::core::option::Option::None,
            skipped: ::core::option::Option::None,
            state: State::Ready,
        }
    }

    /// Takes the parameters that are not arguments.
    #[::thegiant::command("CONTEXT")]
    fn context<'request>(
        &self,
        client: &::thegiant::Client,
        context: &mut ::actix::Context<Self>,
        request: &'request ::thegiant::Request<'request>,
        args: ::std::vec::Vec<&'request str>,
    ) -> ::std::vec::Vec<&'request str> {
        let _ = (&self.value, client, context, request);
        args
    }
}

/// An actor whose generated client meets the same names.
struct Served {
    calls: u64,
}

impl ::actix::Actor for Served {
    type Context = ::actix::Context<Self>;
}

#[::std::prelude::v1::derive(::thegiant::Args, ::thegiant_client::ToArgs)]
struct Wanted<'args> {
    out: bool,
    #[arg("VALUE")]
    value: ::core::option::Option<&'args str>,
    order: ::core::option::Option<Order>,
}

#[::std::prelude::v1::derive(::thegiant::Args, ::thegiant_client::ToArgs)]
enum Order {
    Up(i64),
    None,
}

#[::thegiant::commands(client)]
impl Served {
    /// Takes parameters with the names of generated variables.
    #[::thegiant::command("NAMES", blocking, deprecated_since = "1", replaced_by = "nothing")]
    fn names(
        &self,
        request: ::thegiant::Key,
        connection: Wanted<'_>,
        value: ::std::vec::Vec<(&[u8], &str)>,
    ) -> ::core::result::Result<::std::vec::Vec<::core::option::Option<&str>>, ::thegiant::Error> {
        let Wanted { out, value: text, order } = connection;
        let _ = (self.calls, request, out, text, value);
        match order {
            ::core::option::Option::Some(Order::Up(_) | Order::None) => {
                ::core::result::Result::Err(::thegiant::Error::SYNTAX)
            }
            ::core::option::Option::None => ::core::result::Result::Ok(::std::vec![]),
        }
    }
}

#[::std::prelude::v1::test]
fn rows_are_generated_in_a_scope_that_shadows_names() {
    let rows = <Store<()> as ::thegiant::command::Commands>::ROWS;
    ::std::assert_eq!(rows[0][0].spec.name, "OLD");
    ::std::assert_eq!(rows[1][0].spec.name, "DERIVED");
    ::std::assert_eq!(rows[1][1].spec.name, "CONTEXT");
}
