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
//! | send or receive your own types | [`#[derive(ToArgs)]`](derive@ToArgs), [`#[derive(FromReply)]`](derive@FromReply) |
//! | encrypt the connection (feature `tls`) | `ConnectionBuilder::tls` |
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
//! | numbers, tuples, `Parsed`, `Json`, times, your own types | the same; your own types implement [`ToArgs`](trait@ToArgs) |
//! | `Vec<T>`, `Option<Vec<T>>` | `impl IntoIterator<Item = T>`; without items, an optional argument is left out |
//! | replies `()`, numbers, `bool`, `Option`, `Vec`, maps, sets, tuples, `Value`, `Parsed`, `Json`, times | the same |
//! | reply `&str`, `String`, `Simple` | `String` |
//! | reply `&[u8]`, `Bytes` | `Bytes`; `Vec<u8>` stays |
//! | `Array<impl Iterator<Item = T>>`, `[T]` | `Vec<T>` |
//! | `ArrayStream` | `Vec<Value>` |
//! | `Result<T, E>`, `Responder<T>`, `ResponseFuture<T>` … | `T`; errors are [`CallError::Reply`] |
//! | your own types | the same; they implement [`FromReply`](trait@FromReply) |
//!
//! A type of yours that the server reads with `#[derive(FromArg)]` or `#[derive(Args)]` is sent with `#[derive(ToArgs)]`, and
//! one that it writes with `#[derive(Reply)]` is received with `#[derive(FromReply)]`.
//!
//! A macro sees only names. So it takes a `type` alias for a type of your own: an alias of a `Result` is a `Result` in the client,
//! too. A command whose types the client cannot have is left out with `#[command("NAME", no_client)]`.
//!
//! # A client without the server
//!
//! The programs share a crate with the commands. Its feature `server` adds the actor: `cfg(feature = "server")` in the
//! attribute applies to the methods, and not to the client. So without the feature, the crate is the client alone and needs
//! no actix. `examples/client` in the repository is such a crate. Its types have `#[cfg_attr(feature = "server", derive(Args))]`.
//! This crate re-exports `Parsed`, `Json` and the times, so that the signatures can name them without the server.
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
//! # Features
//!
//! | feature | adds |
//! | --- | --- |
//! | `json` | `Json<T>`: arguments and replies in JSON |
//! | `tls` | TLS, with client certificates (`ConnectionBuilder::tls`) |
//!
//! # Hostile servers
//!
//! A server cannot make the client panic, nor allocate memory for a length that it declares without the bytes. A reply has at
//! most [`max_reply_len`](ConnectionBuilder::max_reply_len) bytes and 128 levels of nesting. As values, small elements take up to
//! 20 times their bytes.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod builder;
mod connection;
mod derived;
mod driver;
mod error;
mod handshake;
mod receiver;
mod session;

pub use bytes::Bytes;
/// Implements [`FromReply`](trait@FromReply) for a type with `#[derive(Reply)]`, so that a client can receive it.
///
/// It has the attribute `#[reply]` of that derive, and reads what it writes, in both versions of the protocol:
///
/// - A struct with named fields reads a map. It ignores further fields. A field that the reply does not have is null, which an
///   `Option` accepts. With `#[reply(array)]`, or with unnamed fields, it reads an array of exactly its values.
/// - A tuple struct with one field reads the reply of its value.
/// - A field with `#[reply(skip)]` gets its [`Default`].
/// - An enum reads the word of a variant without fields. Any other reply is the first variant, from the top, whose values it has.
///
/// Type parameters must implement `FromReply`, too. A reply cannot borrow: the fields are owned. The time to read an enum that
/// contains itself in two variants can double with each level of nesting.
///
/// ```
/// use thegiant_client::{FromReply, Value};
///
/// #[derive(Debug, PartialEq, FromReply)]
/// #[reply(rename_all = "kebab-case", skip_none)]
/// struct QueueInfo {
///     ready_jobs: u64,
///     state: State,
///     max_len: Option<u64>,
/// }
///
/// #[derive(Debug, PartialEq, FromReply)]
/// enum State {
///     Running,
///     Paused,
/// }
///
/// let fields = [("ready-jobs", Value::Integer(7)), ("state", "paused".into())];
/// let reply = Value::Map(fields.map(|(name, value)| (name.into(), value)).into());
/// let info = QueueInfo { ready_jobs: 7, state: State::Paused, max_len: None };
/// assert_eq!(QueueInfo::from_reply(reply), Ok(info));
///
/// let reply = Value::Map(vec![("ready-jobs".into(), 7.into()), ("state".into(), "stopped".into())]);
/// let error = QueueInfo::from_reply(reply).unwrap_err();
/// assert_eq!(error.to_string(), "expected one of `running`, `paused` in `state`, got \"stopped\"");
/// # let _ = State::Running;
/// ```
pub use thegiant_macros::FromReply;
/// Implements [`ToArgs`](trait@ToArgs) for a type with `#[derive(Args)]` or `#[derive(FromArg)]`, so that a client can send it.
///
/// It has the attribute `#[arg]` of these derives, and writes what they read:
///
/// - A struct with named fields is options, in the order of the fields.
/// - An enum is the token of its variant and the values behind it.
/// - A tuple struct with one field is the arguments of its value.
/// - A type with `#[arg(try_from = "…")]` is its text form, of [`Display`](std::fmt::Display).
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
///
/// Types of one argument:
///
/// ```
/// use std::fmt;
/// use thegiant_client::{RequestBuilder, ToArgs};
///
/// #[derive(ToArgs)]
/// struct Port(u16);
///
/// #[derive(ToArgs)]
/// #[arg(error = "the side is LEFT or RIGHT")]
/// enum Side { Left, Right }
///
/// /// A colour, written `#rrggbb`.
/// #[derive(ToArgs)]
/// #[arg(try_from = "&str")]
/// struct Colour(u32);
///
/// impl fmt::Display for Colour {
///     fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
///         write!(f, "#{:06x}", self.0)
///     }
/// }
///
/// let mut request = RequestBuilder::new("SHINE");
/// request.arg(&Port(80)).arg(&Side::Right).arg(&Colour(0xff));
/// assert_eq!(request.to_vec(), RequestBuilder::new("SHINE 80 RIGHT #0000ff").to_vec());
/// # let _ = Side::Left;
/// ```
pub use thegiant_macros::ToArgs;
/// Makes the methods in an `impl` block the commands of an actor, and generates their client.
///
/// It is the attribute of the crate `thegiant`, for crates that do not always depend on it.
pub use thegiant_macros::commands;
#[cfg(feature = "json")]
pub use thegiant_resp::Json;
pub use thegiant_resp::{
    Error, FromReply, Milliseconds, Parsed, Protocol, RequestBuilder, Seconds, ToArgs, UnixTime, UnixTimeMs,
    Value, WrongReply,
};
/// *Feature `tls`:* TLS configuration of a [`Connection`].
///
/// [`ConnectionBuilder::tls`] reads the files.
#[cfg(feature = "tls")]
#[doc(inline)]
pub use thegiant_tls::ClientTls;

pub use crate::{
    builder::ConnectionBuilder,
    connection::{Call, Connection},
    error::CallError,
};

/// Items that generated code names. They are not part of the public API.
#[doc(hidden)]
pub mod __private {
    pub use crate::derived::{Fields, text_to_args, unknown_word};
}
