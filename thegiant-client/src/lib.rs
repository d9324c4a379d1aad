//! Typed clients of servers that are built with `thegiant`, over one connection that all tasks share.
//!
//! It runs on tokio and needs no actix. A client comes from the rows of the server: write `client` into `#[commands]`.
//!
//! ```no_run
//! use thegiant_client::{CallError, Connection};
//! # mod counters {
//! # use thegiant_client::{Call, Connection};
//! # pub struct CountersClient(Connection);
//! # impl From<Connection> for CountersClient { fn from(connection: Connection) -> Self { CountersClient(connection) } }
//! # impl CountersClient {
//! #     pub fn count(&self, name: impl AsRef<[u8]>, by: Option<i64>) -> Call<i64> { self.0.call(("COUNT", name.as_ref(), by)) }
//! # }
//! # }
//! use counters::CountersClient; // generated from the methods of `Counters`
//!
//! #[tokio::main]
//! async fn main() -> Result<(), CallError> {
//!     let counters = CountersClient::from(Connection::connect("127.0.0.1:6380").await?);
//!     let visits: i64 = counters.count("visits", Some(1)).await?;
//!     println!("{visits} visits");
//!     Ok(())
//! }
//! ```
//!
//! | to do this | use |
//! | --- | --- |
//! | connect, authenticate, choose a database | [`Connection::builder`] |
//! | call a command | a method of the generated client, or [`Connection::call`] |
//! | call many commands in one round trip | await several [`Call`]s together |
//! | tell errors apart | [`CallError`] |
//! | send or receive your own types | [`ToArgs`], [`FromReply`] |
//!
//! # The generated client
//!
//! `#[commands(client)]` above `impl Counters` generates the struct `CountersClient` next to it, with one method for each command. The
//! crate needs `thegiant-client` in its dependencies. `client = "Name"` gives the struct another name. A method has the
//! parameters of the server's method that are arguments, and returns a [`Call`] of its reply:
//!
//! | server | client |
//! | --- | --- |
//! | `Key`, `Key<&[u8]>`, `Bytes`, `&[u8]`, `Vec<u8>` | `impl AsRef<[u8]>` |
//! | `&str`, `String` | `impl AsRef<str>` |
//! | `Option` of these | `Option<&[u8]>`, `Option<&str>` |
//! | numbers, tuples, your own types | the same; your own types implement [`ToArgs`] |
//! | `Vec<T>`, `Option<Vec<T>>` | `impl IntoIterator<Item = T>`; without items, an optional argument is left out |
//! | replies `()`, numbers, `bool`, `Option`, `Vec`, maps, sets, tuples, `Value` | the same |
//! | reply `&str`, `String`, `Simple` | `String` |
//! | reply `&[u8]`, `Bytes` | `Bytes`; `Vec<u8>` stays |
//! | `Array<impl Iterator<Item = T>>`, `[T]` | `Vec<T>` |
//! | `ArrayStream` | `Vec<Value>` |
//! | `Result<T, E>`, `Responder<T>`, `ResponseFuture<T>` … | `T`; errors are [`CallError::Reply`] |
//! | your own types | the same; they implement [`FromReply`] |
//!
//! A macro sees only names. So it takes a `type` alias for a type of your own: an alias of a `Result` is a `Result` in the client,
//! too. A command whose types the client cannot have is left out with `#[command("NAME", no_client)]`.
//!
//! # A client without the server
//!
//! The programs share a crate with the commands. Its feature `server` adds the actor: `cfg(feature = "server")` in the
//! attribute applies to the methods, and not to the client. So without the feature, the crate is the client alone and needs
//! no actix. `examples/client` in the repository is such a crate.
//!
//! ```
//! # mod shared {
//! #[thegiant_client::commands(client, cfg(feature = "server"))]
//! impl Counters {
//!     /// Adds to a counter and returns its new value.
//!     #[command("COUNT", write)]
//!     fn count(&mut self, name: Key, by: Option<i64>) -> i64 {
//!         // …
//! #       0
//!     }
//! }
//! # }
//! # use shared::CountersClient;
//! # async fn count(counters: CountersClient) -> Result<i64, thegiant_client::CallError> { counters.count("a", Some(2)).await }
//! ```
//!
//! # Blocking commands
//!
//! While a command waits on the server, the later calls of the same connection wait behind it. Give blocking commands a
//! connection of their own, with a [reply timeout](ConnectionBuilder::reply_timeout) that is longer than they take.
//!
//! # Hostile servers
//!
//! A server cannot make the client panic, nor allocate memory for a length that it declares without the bytes. A reply has at
//! most [`max_reply_len`](ConnectionBuilder::max_reply_len) bytes and 128 levels of nesting. As values, small elements take up to
//! 20 times their bytes.

mod backoff;
mod builder;
mod connection;
mod driver;
mod error;
mod handshake;
mod receiver;
mod session;

pub use bytes::Bytes;
/// Implements [`ToArgs`](trait@ToArgs) for options with `#[derive(Args)]`, so that a client can send them.
///
/// It has the attribute `#[arg]` of that derive. Options are sent in the order of the fields.
///
/// ```
/// use thegiant_client::{RequestBuilder, ToArgs};
///
/// #[derive(Default, ToArgs)]
/// struct SetOptions<'a> {
///     get: bool,
///     #[arg("IFEQ")]
///     only_if: Option<&'a [u8]>,
///     expiry: Option<Expiry>,
/// }
///
/// #[derive(ToArgs)]
/// enum Expiry {
///     #[arg("EX")]
///     Seconds(u64),
///     KeepTtl,
/// }
///
/// let options = SetOptions { expiry: Some(Expiry::Seconds(10)), get: true, ..SetOptions::default() };
/// let mut request = RequestBuilder::new("SET key value");
/// request.arg(&options);
/// assert_eq!(request.to_vec(), RequestBuilder::new("SET key value GET EX 10").to_vec());
/// # let _ = Expiry::KeepTtl;
/// ```
pub use thegiant_macros::ToArgs;
/// Makes the methods in an `impl` block the commands of an actor, and generates their client.
///
/// It is the attribute of the crate `thegiant`, for crates that do not always depend on it.
pub use thegiant_macros::commands;
pub use thegiant_resp::{Error, FromReply, Protocol, RequestBuilder, ToArgs, Value, WrongReply};

pub use crate::{
    builder::ConnectionBuilder,
    connection::{Call, Connection},
    error::CallError,
};
