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

trait Actor {}
trait Handler {}
trait Commands {}
trait FromArg {}
trait Reply {}
trait Tokens {}
trait From {}
trait Into {}

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

#[::std::prelude::v1::test]
fn rows_are_generated_in_a_scope_that_shadows_names() {
    let rows = <Store<()> as ::thegiant::command::Commands>::ROWS;
    ::std::assert_eq!(rows[0][0].spec.name, "OLD");
    ::std::assert_eq!(rows[1][0].spec.name, "CONTEXT");
}
