//! The toolkit for writing servers that speak the Redis protocol.
//!
//! ```no_run
//! use thegiant::prelude::*;
//!
//! struct Greeter;
//!
//! impl Actor for Greeter {
//!     type Context = Context<Self>;
//! }
//!
//! #[commands]
//! impl Greeter {
//!     /// Greets someone.
//!     #[command("GREET", fast)]
//!     fn greet(&self, name: &str) -> String {
//!         format!("hello, {name}")
//!     }
//! }
//!
//! #[actix::main]
//! async fn main() -> std::io::Result<()> {
//!     let app = App::new().mount(Greeter.start());
//!     Server::new(app).bind("127.0.0.1:6380")?.run().await
//! }
//! ```
//!
//! Every Redis client in every language is a client of that server: `redis-cli -p 6380 GREET you`.
//!
//! # A map of the types
//!
//! - [`Server`] listens, limits and stops; a [`ServerHandle`] stops it from elsewhere.
//! - [`App`] composes it: actors, a function, the commands that the toolkit answers itself.
//! - [`commands`](macro@commands) makes an actor of methods: a parameter is a [`FromArg`], such as
//!   [`Key`], [`Bytes`] or a type with [`#[derive(Args)]`](derive@Args); what is returned is an
//!   [`IntoReply`], such as [`Simple`], [`Array`], [`Value`] or an [`Error`], or [`Elements`] that are written as the
//!   client takes them.
//! - A [`Responder`] answers later; so does a method that returns a future, an [`Answer`](command::Answer).
//! - [`Client`] is who asks, and can be sent something at any time; [`Call`] is what was asked, as it came.
//! - An actor that implements [`GroupCommit`] has its replies wait until what they say is on disk, for many at once.
//! - [`Upstream`] is another server, to which [`App::proxy`] sends what is not answered here, and which handlers can ask;
//!   [`upstream`] says how there can be several.
//! - With the feature `tls`, a `ServerTls` says what clients are shown, and a `ClientTls` whom an upstream has to be.
//! - [`SingleFlight`] computes once what many ask for at the same time.
//! - [`PubSub`] has the channels that clients subscribe to: any actor publishes there, or is told by [`Published`].
//! - [`Keyspace`] is told of keys that an actor changes by itself: clients watch keys and keep what they have read.
//! - [`command`](mod@command) describes commands, [`resp`] encodes and decodes RESP, [`resp::glob`] matches patterns.
//!
//! # What is promised
//!
//! - Replies leave in the order of the requests, and a client's commands run in that order. A
//!   client that does not read its replies is not read from.
//! - A transaction (`MULTI`, `EXEC`) is run by its actor without another client's command in between, but for what
//!   comes while a command of it is waited for. It is for one actor, and the built-in commands; of a pool of
//!   actors, others go on meanwhile.
//! - Nobody has a reply of an actor that commits before it holds what the actor has done up to then ([`GroupCommit`]).
//! - Requests do not go through the actor's mailbox one by one: a request may be run before a message
//!   that was sent to its actor earlier. Where that matters, have the actor itself answer.
//! - A handler that panics is answered with `-ERR internal error`; its client stays connected, and
//!   everything else goes on. (With `panic = "abort"` in the profile, that cannot be.)
//! - What a client sends can neither end the process nor make it reserve memory for a length that
//!   was merely declared.
//! - Errors, limits and handshakes are those of Redis 7.0. Clients are told that it is 7.4: some keep nothing that an
//!   older server says (`CLIENT TRACKING`).
//!
//! # What a large value costs
//!
//! An argument of less than 16 KiB is copied, once, out of the buffer that all reads share. A larger one has a buffer of
//! its own, into which it is read; that buffer grows as the bytes come, whatever length was declared.
//!
//! | path | memory for a value of `n` bytes |
//! | --- | --- |
//! | an argument, as [`Bytes`] or [`Key`] | `n`: the buffer that was read becomes the value |
//! | an argument, as `&[u8]` or `&str` | `n`, until the command has run |
//! | an argument, as `String` or `Vec<u8>` | `2 n`, until the command has run: it is copied |
//! | a reply, as [`Bytes`] or [`Raw`] | nothing: it is sent from where it is, to however many clients |
//! | a reply of another type | `n` per client, until it has been taken |
//! | what is [pushed](Client::push) or [published](PubSub::publish) | `n` for each protocol that is spoken |
//! | a queued command of a transaction | nothing more than the argument |
//! | [`Elements`] | some 64 KiB, however many elements there are |
//!
//! On top of it comes at most 64 KiB that are read ahead per connection while it waits, and a megabyte of replies that
//! are not taken.
//!
//! # What the operator sees
//!
//! The crate logs by way of [`tracing`](https://docs.rs/tracing); a program that wants to see it installs
//! a subscriber, such as `tracing_subscriber::fmt::init()`. What is about a client has its `id` and its
//! address (`client`).
//!
//! | level | what |
//! | --- | --- |
//! | error | handlers that panic, with the command |
//! | warn | clients closed for their memory; what an operator should look at |
//! | info | protocol errors, TLS handshakes that fail, clients closed for being slow or idle, the stop |
//! | debug | connections opened, and closed with the reason; the span `batch` around what handlers log |
//!
//! The span says whose request it was that a handler logs about. It is made for each batch of requests,
//! if somebody listens to debug at its target, `thegiant::batch`: with `tracing_subscriber`'s `EnvFilter`,
//! `info,thegiant::batch=debug` adds the client to a log that is otherwise at info. While nobody does, it
//! costs a look at the level per batch; for the log of `tracing_subscriber`, half a microsecond.
//!
//! Clients see the same server by `INFO`, `SLOWLOG`, `LATENCY`, `CLIENT LIST` and `MONITOR`, under the
//! names that Redis gives to everything: `prometheus-redis-exporter` and other tools for Redis understand
//! it.
//!
//! # Features
//!
//! | feature | what it adds |
//! | --- | --- |
//! | `metrics` | the server tells its metrics to the recorder of the crate [`metrics`](https://docs.rs/metrics) |
//! | `test-util` | the module `test`: a kit for testing applications |
//! | `tls` | TLS, with clients (`Server::bind_tls`) and with other servers (`Upstream::tls`) |
//!
//! None is on by default. With `metrics`, the program installs a recorder, such as that of
//! `metrics-exporter-prometheus`, before it runs the server; the metrics are registered with it once, when
//! the server starts. `examples/prometheus` in the repository is such a program.
//!
//! | metric | kind | what |
//! | --- | --- | --- |
//! | `thegiant_commands_total{command}` | counter | commands that were run |
//! | `thegiant_command_duration_seconds{command}` | histogram | how long a command took, while commands are timed |
//! | `thegiant_errors_total{code}` | counter | errors that were answered, by their first word |
//! | `thegiant_batches_total` | counter | reads that brought commands |
//! | `thegiant_batch_commands` | histogram | commands that one read brought |
//! | `thegiant_connections` | gauge | connections at the moment |
//! | `thegiant_connections_accepted_total` | counter | connections that were served |
//! | `thegiant_connections_rejected_total` | counter | connections that were turned away |
//! | `thegiant_received_bytes_total` | counter | bytes that clients sent |
//! | `thegiant_sent_bytes_total` | counter | bytes that were sent to clients |
//!
//! `command` is the name in lower case, with `|` before that of a subcommand, as in `INFO`. Commands are
//! timed while [`Server::latency_tracking`] or the slow log is on, by the program or by `CONFIG SET`, and
//! not otherwise: that is the only one of the metrics that costs something per command. Codes of errors
//! are told apart up to 128 of them. `CONFIG RESETSTAT` leaves metrics alone.
//!
//! What it costs, as a ratio to a server without the feature (GET, by the processor time of the server;
//! the recorder is that of `metrics-exporter-prometheus`):
//!
//! | requests in a pipeline | 1 | 16 | 512 |
//! | --- | ---: | ---: | ---: |
//! | the feature without a recorder | 1.00 | 1.01 | 1.00 |
//! | with a recorder | 1.01 | 1.02 | 1.01 |
//! | and commands timed | 1.04 | 1.14 | 2.2 |
//!
//! # Testing an application
//!
//! With the feature `test-util` (in `[dev-dependencies]`) the module `test` serves an application without a
//! socket, has clients for it that know bytes and values, and lets hours pass in a moment:
//!
//! ```
//! # #[cfg(feature = "test-util")]
//! # actix::System::new().block_on(async {
//! use thegiant::{prelude::*, test::TestServer};
//!
//! // In an `async fn` with `#[actix::test]`:
//! let server = TestServer::start(App::new().fallback(|call: &Call| call.len()));
//! let mut client = server.connect();
//! assert_eq!(client.call(["COUNT", "these"]).await, Value::Integer(2));
//! # });
//! ```
//!
//! A test with real sockets takes a free port: on port 0 a server says which; its handle ends it.
//!
//! ```
//! use std::io::{Read, Write};
//! use thegiant::prelude::*;
//!
//! #[actix::main]
//! async fn main() -> std::io::Result<()> {
//!     let app = App::new().fallback(|call: &Call| Simple(format!("{} words", call.len())));
//!     let server = Server::new(app).bind("127.0.0.1:0")?.disable_signals();
//!     let (address, handle) = (server.addresses()[0].to_string(), server.handle());
//!     let client = std::thread::spawn(move || {
//!         let mut socket = std::net::TcpStream::connect(address).unwrap();
//!         socket.write_all(b"COUNT these\r\nQUIT\r\n").unwrap();
//!         let mut replies = String::new();
//!         socket.read_to_string(&mut replies).unwrap();
//!         handle.stop();
//!         replies
//!     });
//!     server.run().await?;
//!     assert_eq!(client.join().unwrap(), "+2 words\r\n+OK\r\n");
//!     Ok(())
//! }
//! ```
//!
//! # Layout
//!
//! `resp/` is the wire, without I/O; `command/` what a command is; `connection/` the actor per
//! client; `upstream/` the connections to other servers; `builtin/` the commands that a connection
//! answers itself; `app.rs` and `server.rs` put them together. What was decided, and why, is in the
//! repository's `DESIGN.md`.

// The attributes write `::thegiant::…`, which has to mean this crate in here too.
extern crate self as thegiant;

mod app;
mod builtin;
pub mod command;
mod connection;
mod info;
mod keyspace;
mod listener;
mod observe;
mod pubsub;
mod server;
mod settings;
mod single_flight;
#[cfg(feature = "test-util")]
pub mod test;
#[cfg(feature = "tls")]
mod tls;
pub mod upstream;

pub use bytes::Bytes;
/// Makes a parameter of options: `[NX | XX] [GET] [EX seconds | PX milliseconds | KEEPTTL]`.
///
/// A struct is options in any order, each at most once. An enum is one of several, known by its first word. Words are
/// found in any case. What is wrong is a syntax error.
///
/// ```
/// use thegiant::{Commands, prelude::*};
///
/// #[derive(Args)]
/// struct SetOptions<'a> {
///     condition: Option<Condition>,
///     get: bool,
///     expiry: Option<Expiry>,
///     #[arg("IFEQ", name = "comparison-value")]
///     only_if: Option<&'a [u8]>,
/// }
///
/// #[derive(Args)]
/// enum Condition {
///     Nx,
///     Xx,
/// }
///
/// #[derive(Args)]
/// enum Expiry {
///     #[arg("EX", name = "seconds")]
///     Seconds(u64),
///     #[arg("PX", name = "milliseconds")]
///     Milliseconds(u64),
///     #[arg("EXAT", unix_time)]
///     At(u64),
///     KeepTtl,
/// }
/// # struct Store;
/// # impl Actor for Store { type Context = Context<Self>; }
///
/// #[commands]
/// impl Store {
///     #[command("SET", write)]
///     fn set(&mut self, _key: Key, _value: Bytes, options: SetOptions<'_>) -> bool {
///         match options.condition {
///             Some(Condition::Nx) => !options.get,
///             Some(Condition::Xx) => options.only_if.is_some(),
///             None => matches!(options.expiry, Some(Expiry::Seconds(1..) | Expiry::KeepTtl)),
///         }
///     }
/// }
/// # assert_eq!(Store::ROWS[0][0].spec.arity(), -3);
/// ```
///
/// What a field reads:
///
/// | field | reads |
/// | --- | --- |
/// | `get: bool` | the word `GET`, if it is there |
/// | `#[arg("COUNT")] count: Option<u64>` | `COUNT` and a number, if it is there |
/// | `#[arg("TO")] to: i64` | `TO` and a number; it has to be there |
/// | `#[arg("FROM")] from: Vec<&'a [u8]>` | `FROM` and all that comes behind it |
/// | `expiry: Option<Expiry>` | an `Expiry`, if one of its words is there |
/// | `direction: Direction` | a `Direction`; it has to be there |
///
/// Reading ends at the first word that no field wants: that is for the next parameter.
///
/// A variant is a word and its values: `Nx`, `Ex(u64)`, `Limit(i64, i64)` or `Limit { offset: i64, count: i64 }`.
///
/// `#[arg(…)]` on a field or a variant says, in this order or another:
///
/// - `"TOKEN"`: the word, in capitals. Without it, that of a `bool` or a variant is its name in capitals: `KeepTtl` is
///   `KEEPTTL`, `with_scores` is `WITH_SCORES`.
/// - `name = "seconds"`: the name in the documentation. Without it, that is the field's name, or the variant's word in
///   lower case.
/// - `pattern` or `unix_time`: what the value is, for the documentation.
///
/// A type may have one lifetime, that of the request. A word can introduce one thing only; that is checked when the
/// options are compiled.
pub use thegiant_macros::Args;
/// Makes a command of a method, in an `impl` block with [`#[commands]`](macro@commands).
///
/// The first paragraph of the method's doc comment is the command's summary.
///
/// ```
/// # use thegiant::{Commands, command::Flags, prelude::*};
/// # struct Store;
/// # impl Actor for Store { type Context = Context<Self>; }
/// #[commands]
/// impl Store {
///     /// Deletes keys.
///     #[command("DEL", write, alias = "UNLINK", since = "1.2.0", group = "generic")]
///     fn del(&mut self, keys: Vec<Key>) -> usize {
///         keys.len()
///     }
///
///     /// Reads the configuration.
///     #[command("CONFIG GET", admin, loading, stale)]
///     fn config_get(&self, parameters: Vec<&str>) -> Vec<String> {
///         parameters.into_iter().map(str::to_owned).collect()
///     }
/// }
/// # let del = &Store::ROWS[0][0].spec;
/// # assert_eq!((del.aliases, del.since, del.group), (&["UNLINK"][..], Some("1.2.0"), "generic"));
/// # assert_eq!(del.flags, Flags::WRITE);
/// # assert_eq!(Store::ROWS[0][1].spec.words(), 2);
/// ```
///
/// First the name, in capitals. Two words are a subcommand. Behind it, in any order:
///
/// - flags of Redis: `write`, `readonly`, `denyoom`, `admin`, `pubsub`, `noscript`, `blocking`, `loading`, `stale`,
///   `skip_monitor`, `skip_slowlog`, `asking`, `fast`, `no_auth`, `may_replicate`, `no_mandatory_keys`,
///   `no_async_loading`, `no_multi`, `allow_busy`. [`Flags`](command::Flags) says what each means.
/// - `alias = "UNLINK"`: another name, of as many words; it can be repeated.
/// - `since = "1.2.0"`: the version of the application that brought it.
/// - `group = "generic"`: the group in `COMMAND DOCS`.
/// - `event = "incrby"`: what a command that writes is said to do to its keys, if that is not its name; see
///   [`Server::notify_keyspace_events`]. With several words, each is of one key.
/// - `timeout = "500ms"`: how long the reply may take that comes later, in `ms`, `s` or `m`; see [`Responder`].
///
/// A `#[cfg]` on the method holds for the command as well.
pub use thegiant_macros::command;
/// Makes commands of the methods of an actor: those with [`#[command]`](macro@command) in this `impl` block.
///
/// The signature says the rest. Each parameter that implements [`FromArg`] is read from the arguments of the request, in
/// order; what the method returns, an [`IntoReply`], is the reply. Arity, key positions and `COMMAND DOCS` follow from the
/// same types. The name of a parameter is the name in the documentation: `max_len` is `max-len`, and a
/// `Vec` called `keys` is `key [key ...]`.
///
/// Some parameters are no arguments:
///
/// | type | what it is given |
/// | --- | --- |
/// | `&Client` | who sent the request: a [`Client`] |
/// | `Client` | the same, to be kept |
/// | `&Call<'_>` | the request as it was sent: a [`Call`] |
/// | `Responder<T>` | the reply, to be given later: a [`Responder`] |
/// | `&mut Context<Self>` | the actor's context |
///
/// ```
/// use std::collections::HashMap;
/// use thegiant::{Commands, prelude::*};
///
/// #[derive(Default)]
/// struct Store {
///     values: HashMap<Bytes, Bytes>,
/// }
///
/// impl Actor for Store {
///     type Context = Context<Self>;
/// }
///
/// #[commands]
/// impl Store {
///     /// Sets the value of a key.
///     #[command("SET", write)]
///     fn set(&mut self, key: Key, value: Bytes) {
///         self.values.insert(key.into(), value);
///     }
///
///     /// Returns the value of a key.
///     #[command("GET", readonly, fast)]
///     fn get(&self, key: Key<&[u8]>) -> Option<&Bytes> {
///         self.values.get(*key)
///     }
/// }
///
/// let set = &Store::ROWS[0][0].spec;
/// assert_eq!(set.name, "SET");
/// assert_eq!(set.summary, "Sets the value of a key");
/// assert_eq!(set.arity(), 3);
/// assert!(set.keys.is_some());
/// ```
///
/// A method takes `&self` or `&mut self`. It may have lifetimes and no other generics. `Option` parameters come last, and a
/// `Vec` takes the rest.
///
/// An `async fn` takes neither, and nothing that it would have to borrow from the request: it runs on when others have
/// the actor. What needs the actor behind an `await` is a `fn` that returns a [`ResponseActFuture`](actix::ResponseActFuture);
/// see [`Answer`](command::Answer).
///
/// # Several blocks
/// A type has one block with `#[commands]` alone, which implements [`Commands`] for it. Others put their rows into a
/// constant of the type, for that block to include, so that the commands of an actor can be spread over files:
///
/// ```
/// use thegiant::{Commands, prelude::*};
///
/// struct Store;
///
/// impl Actor for Store {
///     type Context = Context<Self>;
/// }
///
/// #[commands(include(STRINGS, KEYS))]
/// impl Store {
///     #[command("FLUSHALL", write)]
///     fn flush(&mut self) {}
/// }
///
/// #[commands(rows = STRINGS, group = "string")]
/// impl Store {
///     #[command("STRLEN", readonly)]
///     fn strlen(&self, _key: Key) -> usize {
///         0
///     }
/// }
///
/// #[commands(rows = KEYS)]
/// impl Store {
///     #[command("EXISTS", readonly)]
///     fn exists(&self, _keys: Vec<Key>) -> usize {
///         0
///     }
/// }
///
/// let groups: Vec<_> = Store::ROWS.iter().map(|rows| rows[0].spec.group).collect();
/// assert_eq!(groups, ["store", "string", "store"]);
/// ```
///
/// - `group = "string"` is the group of its commands in `COMMAND DOCS`; without it, that is the type's name in lower case.
/// - `rows = STRINGS` makes the constant.
/// - `include(STRINGS, KEYS)` adds the rows of other blocks behind its own.
/// - `group_commit` has all replies of the actor wait until it has committed, as [`GroupCommit`] says. It stands at the block without `rows`.
pub use thegiant_macros::commands;

#[cfg(feature = "tls")]
pub use crate::tls::{ClientTls, ServerTls};
/// RESP2 and RESP3 as bytes: the crate `thegiant-resp`.
pub use thegiant_resp as resp;

pub use crate::{
    app::App,
    command::{Array, Call, Commands, Elements, FromArg, IntoPush, IntoReply, Key, Raw, Simple},
    connection::{Address, Client, Commit, Connected, Consumers, Disconnected, GroupCommit, Responder},
    info::InfoFields,
    keyspace::{EventClass, Keyspace},
    pubsub::{PubSub, Published},
    resp::{Error, Value},
    server::{ClientClass, OutputLimit, Server, ServerHandle, SlowConsumers},
    single_flight::{Flight, SingleFlight},
    upstream::{Upstream, UpstreamHandle},
};

/// What an application needs, in one `use`.
pub mod prelude {
    pub use actix::{
        Actor, ActorContext, Addr, AsyncContext, Context, Handler, Message, SyncArbiter, SyncContext,
    };

    pub use crate::{
        App, Args, Array, Bytes, Call, Client, Error, IntoReply, Key, Responder, Server, Simple, Value,
        command, commands,
    };
}

/// What the attributes write. It is no part of the interface.
#[doc(hidden)]
pub mod __private {
    pub use actix::{Actor, Context, Handler, ResponseFuture};

    pub use crate::{
        command::{
            args::{Once, are_distinct, expect_value},
            keys::check_keys,
        },
        connection::{RunBatches, responder, run_batches, run_batches_in_groups},
    };
}

/// The examples of the README are compiled like all others.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
