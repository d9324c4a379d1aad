//! A toolkit for writing servers that speak the Redis protocol, on top of actix actors.
//!
//! ```no_run
//! use thegiant::prelude::*;
//!
//! struct Greeter;
//! impl Actor for Greeter { type Context = Context<Self>; }
//!
//! #[commands]
//! impl Greeter {
//!     #[command("GREET", fast)]
//!     fn greet(&self, name: &str) -> String { format!("hello, {name}") }
//! }
//!
//! #[thegiant::main]
//! async fn main() -> std::io::Result<()> {
//!     Server::new(App::new().mount(Greeter.start())).bind("127.0.0.1:6380")?.run().await
//! }
//! ```
//!
//! Any Redis client can talk to this server: `redis-cli -p 6380 GREET you` prints `hello, you`.
//!
//! # Map of the types
//!
//! | to do this | use |
//! | --- | --- |
//! | listen, set limits and timeouts, stop | [`Server`], [`ServerHandle`] |
//! | compose actors, a fallback function, a proxy and the built-in commands | [`App`] |
//! | turn the methods of an actor into commands | [`#[commands]`](macro@commands), [`#[command]`](macro@command) |
//! | run code around every command; limits, logs and traces | [`App::middleware`], [`middleware`] |
//! | read arguments | [`FromArg`](trait@FromArg): [`Key`], [`Bytes`], `&str`, numbers, [`#[derive(FromArg)]`](derive@FromArg), [`#[derive(Args)]`](derive@Args), [`Parsed`], [`Milliseconds`] |
//! | return a reply | [`Reply`](trait@Reply): strings, numbers, collections, [`#[derive(Reply)]`](derive@Reply), [`Simple`], [`Array`], [`Value`], [`Error`] |
//! | stream a long array to the client | [`ArrayStream`] |
//! | reply later | [`Responder`], or a method that returns a future ([`Answer`](command::Answer)) or a [`MaybeFuture`]; one that needs its actor: `ResponseActFuture`, [`MaybeActFuture`] |
//! | see the request as the client sent it | [`Request`] |
//! | identify a client, push messages to it, close it | [`Client`] |
//! | reply only after the data is on disk | [`GroupCommit`] |
//! | let keys expire | [`Expire`], [`ExpiringMap`] |
//! | look up random keys of a large map faster | [`Prefetch`] |
//! | publish to channels, subscribe an actor to them | [`PubSub`], [`Published`] |
//! | change keys outside of a command (`WATCH`, client-side caching, keyspace events) | [`Keyspace`] |
//! | forward commands to other servers, or call those servers from a handler | [`App::proxy`], [`proxy`] |
//! | run one computation for many concurrent callers | [`SingleFlight`](single_flight::SingleFlight) |
//! | say who may do what | [`Server::user`], [`Server::acl_file`], [`Server::password`] |
//! | run several instances as a Redis Cluster | [`Server::cluster`], [`cluster`] |
//! | let an actor say who a client is | [`App::authenticate`], [`Authenticate`], [`Identity`] |
//! | encrypt connections (feature `tls`) | `ServerTls`, `ClientTls` |
//!
//! The module [`command`](mod@command) describes commands, [`resp`] encodes and decodes the protocol, and
//! [`resp::glob`] matches patterns.
//!
//! # Guarantees
//!
//! - **Order.** A client's commands run in the order in which the client sent them. The replies have the same
//!   order.
//! - **Backpressure.** While a client does not read its replies, the server runs none of its further
//!   requests.
//! - **Transactions.** An actor runs the commands between `MULTI` and `EXEC` without another client's command
//!   in between. There are two exceptions: the actor serves other clients while a command of the transaction
//!   waits for its later reply, and the other actors of an actor pool keep running. A transaction may use one actor
//!   and the built-in commands.
//! - **Durability.** If an actor uses [`GroupCommit`], no client sees a reply before the actor has committed
//!   all the data that the reply depends on.
//! - **Panics.** If a handler panics, its client gets `-ERR internal error` and stays connected. The server
//!   keeps running. (With `panic = "abort"` in the profile, a panic ends the process.)
//! - **Hostile input.** A client can neither crash the server, nor make it allocate memory for a length that
//!   the client declared without sending the bytes.
//! - **Compatibility.** Errors, limits and handshakes are those of Redis 7.0. The server reports version 7.4,
//!   because some client libraries refuse client-side caching (`CLIENT TRACKING`) on older versions.
//!
//! Requests bypass the actor's mailbox. A request can therefore run before a message that was sent to the
//! same actor earlier. Where that order matters, let the actor itself send the reply.
//!
//! # Memory per value
//!
//! All connections of a thread read into one shared buffer. The server copies an argument below 16 KiB out of
//! that buffer once. It reads a larger argument into a separate buffer, which grows as the bytes arrive.
//!
//! | value of `n` bytes | memory |
//! | --- | --- |
//! | argument as [`Bytes`] or [`Key`] | `n`: the receive buffer becomes the value |
//! | argument as `&[u8]` or `&str` | `n` until the command has run |
//! | argument as `String` or `Vec<u8>` | `2 n` until the command has run, because the argument is copied |
//! | reply as [`Bytes`] or [`Raw`] | none: all clients share the buffer |
//! | reply of another type | `n` per client until the client has read it |
//! | [push](Client::push) or [published message](PubSub::publish) | `n` per protocol version in use |
//! | queued command of a transaction | the arguments only |
//! | [`ArrayStream`] | about 64 KiB, for any number of elements |
//!
//! In addition, each connection buffers up to 1 MiB of unread replies, and the requests that a client sends
//! while its command is blocked or while it does not read
//! ([`Limits::query_buffer`]).
//!
//! # Logs
//!
//! The crate logs through [`tracing`](https://docs.rs/tracing). To see the log, the program installs a
//! subscriber, for example `tracing_subscriber::fmt::init()`. Events about a client have the fields `id` and
//! `client` (its address).
//!
//! | level | events |
//! | --- | --- |
//! | error | panics of handlers, with the command |
//! | warn | clients closed for exceeding a memory limit; failed logins, once a minute; conditions that need an operator |
//! | info | the addresses that the server listens on; protocol errors, failed TLS handshakes, clients closed for being slow or idle, the shutdown |
//! | debug | connections opened, connections closed and the reason; the span `batch` around the logs of handlers |
//!
//! The span `batch` names the client whose request a handler works on. The server creates the span once per
//! batch, and only if debug is enabled for the target `thegiant::batch`. With the `EnvFilter` of
//! `tracing_subscriber`, the directive `info,thegiant::batch=debug` adds the client to a log at level info. A
//! disabled span costs one level check per batch. An enabled span costs about 0.5 µs with the formatter of
//! `tracing_subscriber`.
//!
//! The addresses have the target `thegiant::listening`, so that a program that prints [`Server::addrs`] itself can leave
//! them out of its log.
//!
//! `INFO`, `SLOWLOG`, `LATENCY`, `CLIENT LIST` and `MONITOR` show the same server to its clients. They use
//! the field names of Redis, so `prometheus-redis-exporter` and other Redis tools work unchanged.
//!
//! # Features
//!
//! | feature | adds |
//! | --- | --- |
//! | `json` | `Json<T>`: arguments and replies in JSON |
//! | `metrics` | metrics for the recorder of the crate [`metrics`](https://docs.rs/metrics) |
//! | `test-util` | the module `test`: a test kit for applications |
//! | `tls` | TLS for clients (`Server::bind_tls`) and for upstreams (`Upstream::tls`) |
//!
//! All features are off by default. With `metrics`, the program installs a recorder before it runs the
//! server, for example `metrics-exporter-prometheus`. The server registers its metrics once, when it starts.
//! See `examples/prometheus` in the repository.
//!
//! | metric | kind | meaning |
//! | --- | --- | --- |
//! | `thegiant_commands_total{command}` | counter | commands that the server ran |
//! | `thegiant_command_duration_seconds{command}` | histogram | duration of commands, while the server times them |
//! | `thegiant_errors_total{code}` | counter | error replies, by their first word |
//! | `thegiant_batches_total` | counter | reads that contained commands |
//! | `thegiant_batch_commands` | histogram | commands per batch |
//! | `thegiant_connections` | gauge | open connections |
//! | `thegiant_connections_accepted_total` | counter | accepted connections |
//! | `thegiant_connections_rejected_total` | counter | rejected connections |
//! | `thegiant_received_bytes_total` | counter | bytes received from clients |
//! | `thegiant_sent_bytes_total` | counter | bytes sent to clients |
//! | `thegiant_tls_certificate_expiry_seconds{address}` | gauge | end of the certificate of a TLS listener, in seconds since 1970 |
//!
//! The label `command` is the name in lower case; a subcommand follows after `|`, as in `INFO`. The label
//! `code` has at most 128 different values. `CONFIG RESETSTAT` does not reset metrics.
//!
//! The server times commands only while [`Server::latency_tracking`] or the slow log is on. The program or
//! `CONFIG SET` switches them on. Timing is the only part of the metrics that costs something per command.
//!
//! The table shows the processor time of the server relative to a server without the feature. (The command is
//! `GET`, and the recorder comes from `metrics-exporter-prometheus`.)
//!
//! | requests in a pipeline | 1 | 16 | 512 |
//! | --- | ---: | ---: | ---: |
//! | feature without a recorder | 1.00 | 1.01 | 1.00 |
//! | with a recorder | 1.01 | 1.02 | 1.01 |
//! | with a recorder and timed commands | 1.04 | 1.14 | 2.2 |
//!
//! # Testing an application
//!
//! The feature `test-util` (for `[dev-dependencies]`) adds the module `test`. It serves an application in
//! memory, has clients that send and receive bytes or values, and works with tokio's paused clock:
//!
//! ```
//! # #[cfg(feature = "test-util")]
//! # actix::System::new().block_on(async {
//! use thegiant::{prelude::*, test::TestServer};
//!
//! // In an `async fn` with `#[thegiant::test]`:
//! let server = TestServer::start(App::new().fallback(|request: &Request| request.len()));
//! let mut client = server.connect();
//! assert_eq!(client.call(["COUNT", "these"]).await, Value::Integer(2));
//! # });
//! ```
//!
//! A test with real sockets binds port 0, reads the port from [`Server::addrs`], and stops the server
//! with its [`ServerHandle`]:
//!
//! ```
//! use std::io::{Read, Write};
//! use thegiant::prelude::*;
//!
//! #[thegiant::main]
//! async fn main() -> std::io::Result<()> {
//!     let app = App::new().fallback(|request: &Request| Simple(format!("{} words", request.len())));
//!     let server = Server::new(app).bind("127.0.0.1:0")?.disable_signals();
//!     let (address, handle) = (server.addrs()[0].to_string(), server.handle());
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
//! | module | contents |
//! | --- | --- |
//! | `app` | [`App`]: which actor or function runs which command |
//! | `server`, `listener`, `settings` | [`Server`]: sockets, accepting connections, configuration |
//! | `command` | rows, parameters, replies, and the table that finds a command by its name |
//! | `conn`, `batch`, `client`, `dispatch` | one actor per client connection: reading, batches, dispatch, transactions, group commit, writing |
//! | [`docs`] | command pages, and clients for other languages |
//! | `builtin` | the built-in commands, one file per family |
//! | `proxy` | connections to upstreams, the proxy and its routers |
//! | `keyspace`, `pubsub` | watched keys, client-side caching, keyspace events; channels |
//! | `observe`, `info` | statistics, slow log, `MONITOR`, metrics; sections of `INFO` |
//! | `resp` | the crate `thegiant-resp`: the protocol, without I/O; glob patterns |
//! | `single_flight`, `tls`, `test` | [`SingleFlight`](single_flight::SingleFlight); TLS; the test kit |
//!
//! `DESIGN.md` in the repository explains the design decisions.

#![cfg_attr(docsrs, feature(doc_cfg))]

// The code that the attributes generate names `::thegiant::…`, also when they are used inside this crate.
extern crate self as thegiant;

mod acl;
mod app;
mod batch;
mod builtin;
mod client;
mod client_line;
mod clients_cron;
mod clock;
pub mod cluster;
pub mod command;
mod conn;
mod dispatch;
pub mod docs;
mod identity;
mod info;
mod keyspace;
mod listener;
pub mod middleware;
mod observe;
mod pause;
mod prefixes;
pub mod proxy;
mod pubsub;
mod role;
pub mod sentinel;
mod server;
mod server_state;
mod settings;
mod shrink;
pub mod single_flight;
mod split;
mod stream;
mod sync;
mod tenants;
#[cfg(feature = "test-util")]
pub mod test;
#[cfg(feature = "tls")]
mod tls;
#[cfg(feature = "tls")]
mod tls_listeners;
mod workers;

/// The crate actix, in the version whose actors the toolkit runs.
///
/// So a program needs no dependency on it for its clock, its [`Arbiter`](actix::Arbiter) or its streams. Only the derive
/// macro `#[derive(Message)]` names the crate `actix`; without it, write `impl Message`.
///
/// ```
/// use thegiant::{actix::clock::sleep, prelude::*};
///
/// /// A message to an actor, and the type of its answer.
/// struct Count;
///
/// impl Message for Count {
///     type Result = usize;
/// }
///
/// async fn pause() {
///     sleep(std::time::Duration::from_millis(1)).await;
/// }
/// ```
pub use actix;
pub use bytes::Bytes;
/// Makes a struct or an enum a command parameter that reads options.
///
/// The example reads `[NX | XX] [GET] [EX seconds | PX milliseconds | KEEPTTL]`. A struct reads its fields in
/// any order, each at most once. An enum reads one of its variants and recognizes it by its token, the first
/// word. Tokens match in upper and lower case. If the arguments do not match, the reply is a syntax error.
///
/// ```
/// use thegiant::{command::Commands, prelude::*};
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
/// The fields of a struct:
///
/// | field | reads | required |
/// | --- | --- | --- |
/// | `get: bool` | the token `GET` | no |
/// | `#[arg("COUNT")] count: Option<u64>` | `COUNT` and a number | no |
/// | `#[arg("TO")] to: i64` | `TO` and a number | yes |
/// | `#[arg("FROM")] from: Vec<&'a [u8]>` | `FROM` and all arguments after it | yes |
/// | `expiry: Option<Expiry>` | an `Expiry`, if one of its tokens is next | no |
/// | `direction: Direction` | a `Direction` | yes |
///
/// A struct stops reading at the first argument that is not one of its tokens. The next parameter reads that
/// argument.
///
/// A variant of an enum is a token and its values: `Nx`, `Ex(u64)`, `Limit(i64, i64)` or
/// `Limit { offset: i64, count: i64 }`.
///
/// `#[arg(…)]` on a field or a variant takes, in any order:
///
/// - `"TOKEN"`: the token, in capitals. By default, the token of a `bool` field or a variant is its name in
///   capitals: `KeepTtl` becomes `KEEPTTL`, `with_scores` becomes `WITH_SCORES`.
/// - `name = "seconds"`: the name in `COMMAND DOCS`. By default, it is the field's name, or the variant's
///   token in lower case.
/// - `pattern` or `unix_time`: the type of the value in `COMMAND DOCS`.
/// - `alias = "RIGHT"`, on a variant: another token with the same meaning. It can be repeated.
/// - `flatten`, on a field: the type is another struct with `#[derive(Args)]`, whose options are options of this one.
/// - `rest`, on a field: not an option, but a positional argument. Such fields are read after the options, in order.
///
/// ```
/// use thegiant::{command::Commands, prelude::*};
///
/// /// `[DELAY ms] [TTL ms]`
/// #[derive(Args)]
/// struct Times {
///     #[arg("DELAY", name = "ms")]
///     delay: Option<u64>,
///     #[arg("TTL", name = "ms")]
///     ttl: Option<u64>,
/// }
///
/// /// `[DELAY ms] [TTL ms] [MAXLEN n] body [body …]`
/// #[derive(Args)]
/// struct Jobs {
///     #[arg(flatten)]
///     times: Times,
///     #[arg("MAXLEN", name = "n")]
///     max_len: Option<u64>,
///     #[arg(rest)]
///     bodies: Vec<Bytes>,
/// }
/// # struct Queues;
/// # impl Actor for Queues { type Context = Context<Self>; }
/// # #[commands]
/// # impl Queues {
/// #     #[command("ADDJOBS", write)]
/// #     fn add(&self, _queue: Key, jobs: Jobs) -> usize {
/// #         let _ = (jobs.times.delay, jobs.times.ttl, jobs.max_len);
/// #         jobs.bodies.len()
/// #     }
/// # }
/// # assert_eq!(Queues::ROWS[0][0].spec.arity(), -3);
/// ```
///
/// The type may have one lifetime, which borrows from the request. Two options with the same token are a
/// compile error. A Rust client sends the type with `#[derive(ToArgs)]` of the crate `thegiant-client`.
pub use thegiant_macros::Args;
/// Implements [`FromArg`](trait@FromArg), so that a type of yours is a parameter that is read from one argument.
///
/// - A tuple struct with one field reads that field.
/// - With `#[arg(try_from = "u64")]`, any type reads a `u64` and converts it by [`TryFrom`]. An error that is an [`Error`]
///   or a [`ReplyError`](trait@ReplyError) is the reply. For any other error, its `Display` is the text behind `ERR`, so write
///   it for clients: it must tell no more than the argument.
/// - An enum of variants without values reads one of its words, in upper and lower case. It is the same as
///   [`#[derive(Args)]`](derive@Args), and its variants have the same attributes: `#[arg("WORD", alias = "W")]`. Another word
///   is a syntax error, as in Redis, or the text of `#[arg(error = "…")]`.
///
/// ```
/// use thegiant::prelude::*;
///
/// /// The number of a port.
/// #[derive(FromArg)]
/// #[arg(range = 1..=65535)]
/// struct Port(u16);
///
/// /// A colour, written `#rrggbb`.
/// #[derive(FromArg)]
/// #[arg(try_from = "&str")]
/// struct Colour(u32);
///
/// impl TryFrom<&str> for Colour {
///     type Error = &'static str;
///
///     fn try_from(text: &str) -> Result<Self, Self::Error> {
///         let digits = text.strip_prefix('#').filter(|digits| digits.len() == 6);
///         let number = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok());
///         number.map(Colour).ok_or("a colour is #rrggbb")
///     }
/// }
///
/// #[derive(FromArg)]
/// #[arg(error = "the side is LEFT or RIGHT")]
/// enum Side { Left, Right }
///
/// struct Lamps;
///
/// impl Actor for Lamps {
///     type Context = Context<Self>;
/// }
///
/// #[commands]
/// impl Lamps {
///     /// Switches a lamp on, and returns its number.
///     #[command("SHINE")]
///     fn shine(&self, port: Port, side: Side, colour: Option<Colour>) -> u32 {
///         let colour = colour.map_or(0xff_ffff, |Colour(number)| number);
///         u32::from(port.0) + colour + if matches!(side, Side::Left) { 0 } else { 1 }
///     }
/// }
/// # #[cfg(feature = "test-util")]
/// # actix::System::new().block_on(async {
/// # let server = thegiant::test::TestServer::start(App::new().mount(Lamps.start()));
/// # let mut client = server.connect();
/// # client.send("SHINE 1 right #000010\r\nSHINE 0 left\r\nSHINE 1 up\r\nSHINE 1 left 5\r\n").await;
/// # client.expect(":18\r\n-ERR value is out of range, value must between 1 and 65535\r\n").await;
/// # client.expect("-ERR the side is LEFT or RIGHT\r\n-ERR a colour is #rrggbb\r\n").await;
/// # });
/// ```
///
/// The attribute of the type, `#[arg(…)]`, contains, in any order:
///
/// - `try_from = "u64"`: the type that is read and converted. It may borrow: `"&str"`, or `"&'a str"` for a type with the
///   lifetime `'a`.
/// - `range = 1..=100`, `1..`, …: the values that are not refused, before the conversion. The errors are those of Redis:
///   `ERR value is out of range, value must between 1 and 100`, or `ERR value is out of range` for a range with one end.
/// - `error = "the share is below 1"`: the text of the error for a malformed, refused or unknown value, behind `ERR`.
/// - `pattern` or `unix_time`: the type in `COMMAND DOCS`. By default, it is that of the value that is read.
///
/// The type may have one lifetime, which borrows from the request. For a type with [`FromStr`](std::str::FromStr), take a
/// [`Parsed<T>`]. A Rust client sends the type with `#[derive(ToArgs)]` of the crate `thegiant-client`.
pub use thegiant_macros::FromArg;
/// Implements [`Reply`](trait@Reply), so that a method can return a type of yours.
///
/// | type | RESP3 | RESP2, if different |
/// | --- | --- | --- |
/// | struct with named fields | map of names and values | array of names and values |
/// | tuple struct; `#[reply(array)]` on a struct | array; one unnamed field: its value | |
/// | enum: variant without values | bulk string: the variant's name in lower case | |
/// | enum: variant with values | as a struct with these fields | |
///
/// ```
/// use thegiant::prelude::*;
///
/// #[derive(Reply)]
/// #[reply(rename_all = "kebab-case")]
/// struct QueueInfo {
///     ready_jobs: u64,
///     state: State,
///     /// Missing in the reply, unless the queue has a limit.
///     #[reply(skip_none)]
///     max_len: Option<u64>,
/// }
///
/// #[derive(Reply)]
/// enum State { Running, Paused }
///
/// struct Queues;
///
/// impl Actor for Queues {
///     type Context = Context<Self>;
/// }
///
/// #[commands]
/// impl Queues {
///     /// Describes a queue.
///     #[command("QINFO", readonly)]
///     fn info(&self, _queue: Key) -> QueueInfo {
///         QueueInfo { ready_jobs: 7, state: State::Paused, max_len: None }
///     }
/// }
/// # #[cfg(feature = "test-util")]
/// # actix::System::new().block_on(async {
/// # let server = thegiant::test::TestServer::start(App::new().mount(Queues.start()));
/// # let mut client = server.connect();
/// # client.send("QINFO q\r\n").await;
/// # client.expect("*4\r\n$10\r\nready-jobs\r\n:7\r\n$5\r\nstate\r\n$6\r\npaused\r\n").await;
/// # });
/// ```
///
/// The attribute `#[reply(…)]` contains:
///
/// - on a field or on a variant without values, `rename = "ready-jobs"`: its name in the reply.
/// - on the type, `rename_all = "kebab-case"`: the style of the names of fields, or of the words of variants: `lowercase`,
///   `UPPERCASE`, `snake_case`, `kebab-case` or `camelCase`.
/// - on a struct with named fields, `array`: the reply is an array of the values.
/// - on a field, `skip`: it is not in the reply.
/// - on an `Option` field, or on the type for all of them, `skip_none`: the field is not in the reply while it is `None`.
///   Otherwise, its value is null.
///
/// Type parameters must be replies, too. A Rust client receives the type with `#[derive(FromReply)]` of the crate
/// `thegiant-client`, which has the same attributes.
pub use thegiant_macros::Reply;
/// Implements [`ReplyError`](trait@ReplyError), so that `?` makes an error of the application a reply.
///
/// `#[reply(code = "NOSTOCK")]` on the type or on a variant sets the code, which is `ERR` otherwise. `#[reply(internal)]`
/// keeps a text from clients: they get `ERR internal error`, and the server logs the error with its sources, the command
/// and the client. A variant's attribute comes before that of its type.
///
/// A variant that wraps another error, with `#[from]` or `#[error(transparent)]` of `thiserror`, needs one of both: the text of a
/// wrapped error may not be meant for clients.
///
/// The type also implements [`std::error::Error`], for example by the crate `thiserror`.
///
/// ```
/// use std::fmt;
/// use thegiant::{ReplyError, prelude::*};
///
/// #[derive(Debug, ReplyError)]
/// #[reply(code = "SHOP")]
/// enum ShopError {
///     Closed,
///     #[reply(code = "NOSTOCK")]
///     OutOfStock { product: String },
///     #[reply(internal)]
///     Database(std::io::Error),
/// }
///
/// impl fmt::Display for ShopError {
///     fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
///         match self {
///             ShopError::Closed => f.write_str("the shop is closed"),
///             ShopError::OutOfStock { product } => write!(f, "there are no {product} left"),
///             ShopError::Database(error) => write!(f, "the database failed: {error}"),
///         }
///     }
/// }
///
/// impl std::error::Error for ShopError {}
///
/// let replies = [
///     ShopError::Closed,
///     ShopError::OutOfStock { product: "pears".to_owned() },
///     ShopError::Database(std::io::Error::other("/var/lib/shop.db: no such file")),
/// ];
/// assert_eq!(
///     replies.map(|error| Error::from(error).to_string()),
///     ["SHOP the shop is closed", "NOSTOCK there are no pears left", "ERR internal error"],
/// );
/// ```
pub use thegiant_macros::ReplyError;
/// Makes a method a command, inside an `impl` block with [`#[commands]`](macro@commands).
///
/// The first paragraph of the method's doc comment is the command's summary.
///
/// ```
/// # use thegiant::{command::{Commands, Flags}, prelude::*};
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
/// The first argument is the name, in capitals. A name of two words is a subcommand. After the name, in any
/// order:
///
/// - flags of Redis: `write`, `readonly`, `denyoom`, `admin`, `pubsub`, `noscript`, `blocking`, `loading`,
///   `stale`, `skip_monitor`, `skip_slowlog`, `asking`, `fast`, `no_auth`, `may_replicate`,
///   `no_mandatory_keys`, `no_async_loading`, `no_multi`, `allow_busy`; and `pubsub_mode`, `channels`, `patterns`,
///   `tenant_safe`. [`Flags`](command::Flags) documents each.
/// - `alias = "UNLINK"`: another name with the same number of words. It can be repeated.
/// - `since = "1.2.0"`: the version of the application that introduced the command.
/// - `group = "generic"`: the group in `COMMAND DOCS`, which is a category of ACL, too.
/// - `categories("dangerous", "billing")`: further categories of ACL, Redis' or of your own. The flags add `read`, `write`,
///   `admin` with `dangerous`, `pubsub`, `blocking`, and `fast` or `slow`.
/// - `event = "incrby"`: the keyspace event of a command that writes. By default, it is the command's name in
///   lower case. See [`Server::notify_keyspace_events`]. A command whose keys have different events takes
///   [`&mut KeyEvents`](KeyEvents).
/// - `split`, `split = "agg_sum"`, …: each [shard](App::mount_shards) runs the command with its own keys, and the replies
///   become one. `all`, `all = "agg_sum"`, …: every shard runs it. [`App::mount_shards`] has the values.
/// - `timeout = "500ms"`: the maximum time until a later reply, in `ms`, `s` or `m`. See [`Responder`].
/// - `no_client`: the [client](macro@commands#several-blocks) of the actor has no method for it.
/// - `complexity = "O(N)"`: how the duration depends on the data.
/// - `deprecated_since = "1.4.0"` and `replaced_by = "`GET`"`: other commands should be used since this version.
///
/// # Keys
/// `#[key(…)]` on a parameter says how the command uses its keys, with the words of Redis' key specifications. ACL rules
/// such as `%R~cache:*` depend on it. Without it, a `readonly` command reads its keys (`RO, access`), and any other command
/// reads and changes them (`RW, access, update`).
///
/// | word | meaning |
/// | --- | --- |
/// | `RO`, `RW`, `OW` or `RM` | the key is only read, read and changed, overwritten whatever it was, or removed |
/// | `access` | data of the key is returned, copied or compared |
/// | `update`, `insert`, `delete` | data is written over other data, added, or deleted |
/// | `not_key` | alone: the word is no key, and only belongs to the slot of one |
/// | `with = "TOKEN"` | the other words apply to requests with this option |
///
/// ```
/// # use thegiant::{command::Commands, prelude::*};
/// # struct Store;
/// # impl Actor for Store { type Context = Context<Self>; }
/// #[derive(Args)]
/// struct PutOptions {
///     /// Returns the old value.
///     get: bool,
/// }
///
/// #[commands]
/// impl Store {
///     /// Copies a value.
///     #[command("COPY", write)]
///     fn copy(&mut self, #[key(RO, access)] source: Key, #[key(OW, update)] destination: Key) {}
///
///     /// Sets a value.
///     #[command("PUT", write)]
///     fn put(
///         &mut self,
///         #[key(OW, update)]
///         #[key(RW, access, update, with = "GET")]
///         key: Key,
///         value: Bytes,
///         options: PutOptions,
///     ) -> Option<Bytes> {
///         options.get.then(|| value)
///     }
/// }
/// # let uses: Vec<_> = Store::specs().map(|spec| spec.args[0].key_use.flags.names().collect::<Vec<_>>()).collect();
/// # assert_eq!(uses, [["RO", "access"], ["OW", "update"]]);
/// # assert_eq!(Store::ROWS[0][1].spec.args[0].key_use.token, Some("GET"));
/// ```
///
/// # Documentation
/// The doc comment of the method documents the command, for `COMMAND DOCS` and [command pages](docs). After the summary, it
/// can have paragraphs, a list of arguments and a section on errors. The list names parameters, and the options of a type
/// with `#[derive(Args)]` by their names or tokens. A line for an argument that does not exist is a compile error.
///
/// ```
/// # use thegiant::{command::Commands, prelude::*};
/// # struct Shop;
/// # impl Actor for Shop { type Context = Context<Self>; }
/// #[commands]
/// impl Shop {
///     /// Buys a product and returns its price.
///     ///
///     /// The price can change until then.
///     ///
///     /// # Arguments
///     /// - `product` its name
///     /// - `max_price` the most to pay; without it, any price is paid
///     ///
///     /// # Errors
///     /// - `NOSTOCK`: there is no such product
///     #[command("BUY", write, complexity = "O(1)")]
///     fn buy(&mut self, _product: Key, max_price: Option<f64>) -> Result<f64, Error> {
///         Ok(max_price.unwrap_or(9.99))
///     }
/// }
/// # let buy = &Shop::ROWS[0][0].spec;
/// assert_eq!(buy.summary, "Buys a product and returns its price");
/// assert_eq!(buy.docs().description, "The price can change until then.");
/// assert_eq!(buy.docs().argument(&buy.args[1]), Some("the most to pay; without it, any price is paid"));
/// assert_eq!(buy.docs().errors, "- `NOSTOCK`: there is no such product");
/// assert_eq!(buy.reply.to_string(), "double");
/// ```
///
/// A `#[cfg]` on the method applies to the command, too.
pub use thegiant_macros::command;
/// Makes the methods with [`#[command]`](macro@command) in an `impl` block the commands of an actor.
///
/// The signature of a method describes its command. The server reads each parameter from the arguments of the
/// request, in order ([`FromArg`](trait@FromArg)). The return value is the reply ([`Reply`](trait@Reply)). The attribute computes
/// arity, key positions and `COMMAND DOCS` from the same types. The name of a parameter is its name in
/// `COMMAND DOCS`: `max_len` becomes `max-len`, and a `Vec` called `keys` becomes `key [key ...]`.
///
/// Parameters of these types are not arguments:
///
/// | type | value |
/// | --- | --- |
/// | `&Client` | the [`Client`] that sent the request |
/// | `Client` | the same, owned |
/// | `&Request<'_>` | the request as the client sent it: a [`Request`] |
/// | `Responder<T>` | sends the reply later: a [`Responder`] |
/// | `&mut Context<Self>` | the actor's context |
///
/// ```
/// use std::collections::HashMap;
/// use thegiant::{command::Commands, prelude::*};
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
/// A method takes `&self` or `&mut self`. Its only generics may be lifetimes. `Option` parameters come last.
/// A `Vec` reads all remaining arguments.
///
/// An `async fn` has no `self` and borrows nothing from the request, because the actor runs other commands
/// while the future waits. To use the actor after an `await`, write a `fn` that returns a
/// [`ResponseActFuture`](actix::ResponseActFuture). See [`Answer`](command::Answer).
///
/// # Several blocks
/// Several blocks can spread the commands of an actor over several files. One block, without `rows`,
/// implements [`Commands`](command::Commands) for the type. Each other block puts its rows into a constant of the type, and the
/// first block includes the constants:
///
/// ```
/// use thegiant::{command::Commands, prelude::*};
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
/// - `group = "string"` sets the group of the block's commands in `COMMAND DOCS`. By default, it is the
///   type's name in lower case.
/// - `rows = STRINGS` names the constant for the rows of this block.
/// - `include(STRINGS, KEYS)` adds the rows of other blocks.
/// - `group_commit` holds the replies of the actor back until it has committed; see [`GroupCommit`].
/// - `expire(values)` removes the keys of a field whose time is over, and `expire` those of an actor that implements [`Expire`]. It
///   names several fields as `expire(values, tokens)`.
/// - `prefetch` looks up the keys of several requests before they run; see [`Prefetch`].
/// - `client` generates a typed client, `StoreClient` for `Store`, and `client = "Name"` one of another name. The crate
///   `thegiant-client` has its connection, and documents its types. In a block with `rows`, the word adds the methods of that
///   block to the same client, whose name must be in scope.
/// - `cfg(feature = "server")` applies to the methods and their rows, but not to the client.
///
/// `group_commit`, `expire` and `prefetch` belong on the block without `rows`.
pub use thegiant_macros::commands;

/// Runs an `async fn main` on the event loop that servers and actors need, that of actix.
///
/// ```no_run
/// use thegiant::prelude::*;
///
/// #[thegiant::main]
/// async fn main() -> std::io::Result<()> {
///     let app = || App::new().fallback(|_: &Request| Simple("hello"));
///     Server::new(app).bind("127.0.0.1:6380")?.run().await
/// }
/// ```
///
/// The function runs on this thread. [`Server::workers`] adds threads.
pub use thegiant_macros::main;
/// Runs an `async fn` as a test, on the event loop that servers and actors need.
///
/// ```no_run
/// use thegiant::{prelude::*, test::TestServer};
///
/// #[thegiant::test]
/// async fn it_says_hello() {
///     let server = TestServer::start(App::new().fallback(|_: &Request| Simple("hello")));
///     assert_eq!(server.connect().call(["ANY"]).await, Value::Simple("hello".to_owned()));
/// }
/// ```
#[cfg(feature = "test-util")]
pub use thegiant_macros::test;

/// RESP2 and RESP3 as bytes: the crate `thegiant-resp`.
pub use thegiant_resp as resp;
/// *Feature `json`:* a parameter or a reply of a command, in JSON.
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
#[cfg(feature = "json")]
#[doc(inline)]
pub use thegiant_resp::Json;
/// A parameter or a reply of a command: a duration in milliseconds.
///
/// As a parameter, it reads one argument. A negative number is refused with `ERR value is out of range, must be positive`.
/// As a reply, it is an integer.
///
/// ```
/// use std::time::Duration;
/// use thegiant::{Milliseconds, Seconds, prelude::*};
///
/// struct Lamp { left: Duration }
///
/// impl Actor for Lamp {
///     type Context = Context<Self>;
/// }
///
/// #[commands]
/// impl Lamp {
///     /// Switches the lamp on, and returns how long it shines.
///     #[command("SHINE", write)]
///     fn shine(&mut self, time: Milliseconds) -> Seconds {
///         self.left += time.0;
///         Seconds(self.left)
///     }
/// }
/// # #[cfg(feature = "test-util")]
/// # actix::System::new().block_on(async {
/// # let server = thegiant::test::TestServer::start(App::new().mount(Lamp { left: Duration::ZERO }.start()));
/// # let mut client = server.connect();
/// # assert_eq!(client.call(["SHINE", "2500"]).await, Value::Integer(3));
/// # });
/// ```
#[doc(inline)]
pub use thegiant_resp::Milliseconds;
/// A parameter or a reply of a command, in its text form.
///
/// As a parameter, it reads one argument. If the text is wrong, the client gets `ERR invalid NAME: TEXT`, with the name of the
/// parameter and the `Display` of the parse error. As a reply, it is a bulk string.
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
#[doc(inline)]
pub use thegiant_resp::Parsed;
/// A parameter or a reply of a command: a duration in seconds.
///
/// It has the errors of [`Milliseconds`].
#[doc(inline)]
pub use thegiant_resp::Seconds;
/// A parameter or a reply of a command: a point in time.
///
/// `COMMAND DOCS` describes it as `unix-time`. It has the errors of [`Milliseconds`].
#[doc(inline)]
pub use thegiant_resp::{UnixTime, UnixTimeMs};
/// *Feature `tls`:* whether clients need a certificate, for [`ServerTls::auth_clients`].
#[cfg(feature = "tls")]
#[doc(inline)]
pub use thegiant_tls::AuthClients;
/// *Feature `tls`:* the field of a client certificate that names the user of the client.
///
/// ```no_run
/// use thegiant::{CertificateUser, ServerTls, prelude::*};
///
/// #[thegiant::main]
/// async fn main() -> std::io::Result<()> {
///     let app = App::new().fallback(|_: &Request| Simple("hello"));
///     let tls = ServerTls::new("server.crt", "server.key")
///         .client_ca("clients.crt")
///         .user_from(CertificateUser::CommonName);
///     Server::new(app).bind_tls("0.0.0.0:6381", tls)?.user("worker", "on ~jobs:* +@all").user("default", "off").run().await
/// }
/// ```
#[cfg(feature = "tls")]
#[doc(inline)]
pub use thegiant_tls::CertificateUser;
/// *Feature `tls`:* the certificate of a client, from [`Client::certificate`].
#[cfg(feature = "tls")]
#[doc(inline)]
pub use thegiant_tls::ClientCertificate;
/// *Feature `tls`:* TLS configuration of connections to upstreams.
///
/// [`Upstream::tls`](proxy::Upstream::tls) reads the files.
///
/// ```no_run
/// use thegiant::{ClientTls, prelude::*, proxy::Upstream};
///
/// #[thegiant::main]
/// async fn main() -> std::io::Result<()> {
///     let tls = ClientTls::new().ca("/etc/app/ca.crt").certificate("/etc/app/client.crt", "/etc/app/client.key");
///     let redis = Upstream::new("redis.internal:6379").tls(tls)?.start();
///     Server::new(App::new().proxy(redis)).bind("127.0.0.1:6380")?.run().await
/// }
/// ```
#[cfg(feature = "tls")]
#[doc(inline)]
pub use thegiant_tls::ClientTls;
/// *Feature `tls`:* TLS configuration of a listener.
///
/// [`Server::bind_tls`] reads the files.
///
/// ```no_run
/// use thegiant::{ServerTls, prelude::*};
///
/// #[thegiant::main]
/// async fn main() -> std::io::Result<()> {
///     let tls = ServerTls::new("/etc/app/server.crt", "/etc/app/server.key").client_ca("/etc/app/clients.crt");
///     let app = App::new().fallback(|_: &Request| Simple("hello"));
///     Server::new(app).bind_tls("127.0.0.1:6380", tls)?.run().await
/// }
/// ```
#[cfg(feature = "tls")]
#[doc(inline)]
pub use thegiant_tls::ServerTls;
/// *Feature `tls`:* a version of TLS, for [`ServerTls::protocols`].
#[cfg(feature = "tls")]
#[doc(inline)]
pub use thegiant_tls::TlsProtocol;

pub use crate::{
    app::{App, IntoApp, ShardAddrs},
    batch::{EventClass, KeyEvents},
    client::{Address, Client, Connected, Disconnected, PushId},
    clock::now,
    command::{
        args::{FromArg, Key, KeyPattern},
        array_stream::ArrayStream,
        maybe_future::{MaybeActFuture, MaybeFuture},
        reply::{Array, Push, Raw, Reply, Simple},
        request::Request,
    },
    dispatch::{Commit, GroupCommit, Mountable, MountableAddr, Prefetch, Responder},
    identity::{Authenticate, Identity, Password},
    info::InfoFields,
    keyspace::{Expire, ExpiringMap, Keyspace},
    observe::{Counter, Gauge},
    pubsub::{PubSub, Published},
    resp::{Error, ReplyError, Value},
    role::Role,
    server::{ClientClass, Limits, Server, ServerHandle, SlowConsumers, Timeouts},
    settings::{DebugAccess, OutputLimit},
    split::{SLOTS, hash_tag, shard, slot},
};

/// The items that most applications need, for one `use`.
pub mod prelude {
    pub use actix::{
        Actor, ActorContext, ActorFutureExt, Addr, AsyncContext, Context, Handler, Message,
        ResponseActFuture, ResponseFuture, SyncArbiter, SyncContext, WrapFuture,
    };

    pub use crate::{
        App, Args, Array, ArrayStream, Bytes, Client, Error, FromArg, Key, Keyspace, PubSub, Reply,
        ReplyError, Request, Responder, Server, Simple, Value, command, commands,
    };
}

/// Functions for the fuzz targets of the repository.
#[cfg(fuzzing)]
pub mod fuzzing {
    pub use crate::acl::fuzzing::rules as acl_rules;
}

/// Items that generated code names. They are not part of the public API.
#[doc(hidden)]
pub mod __private {
    pub use actix::{Actor, Context, Handler, ResponseFuture};
    pub use actix_rt::System;

    pub use crate::{
        command::{
            args::{
                Once, are_distinct,
                derived::{OtherError, ReplyErrorOrError, check_range, read_or},
                expect_value, has_no_token, read_options, share_no_token,
            },
            check_key_token, check_key_use, check_merge, check_split, check_tenant_safe, has_argument,
            keys::check_keys,
            reply::IsError,
        },
        dispatch::{
            Implements, ImplementsNot, NoMessage, RunBatches, prefetch, responder, run_batches,
            run_batches_in_groups,
        },
        keyspace::remove_expired,
    };
}

/// Compiles the examples of the README as doctests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
