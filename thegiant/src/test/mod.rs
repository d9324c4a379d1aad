//! A kit for testing applications. *Feature `test-util`.*
//!
//! A [`TestServer`] serves an application without a socket, and [`TestClient`]s are its clients: everything runs on
//! the test's own thread, and nothing needs a free port.
//!
//! ```
//! use thegiant::{prelude::*, test::TestServer};
//!
//! # struct Greeter;
//! # impl Actor for Greeter { type Context = Context<Self>; }
//! #[commands]
//! impl Greeter {
//!     /// Greets someone.
//!     #[command("GREET", fast)]
//!     fn greet(&self, name: &str) -> String {
//!         format!("hello, {name}")
//!     }
//! }
//!
//! # async fn greets_by_name() {
//! // In a test this is the body of an `async fn` with `#[actix::test]`.
//! let server = TestServer::start(App::new().mount(Greeter.start()));
//! let mut client = server.connect();
//! assert_eq!(client.call(["GREET", "you"]).await, Value::bulk("hello, you"));
//! client.send("GREET\r\n").await;
//! client.expect("-ERR wrong number of arguments for 'greet' command\r\n").await;
//! # }
//! # actix::System::new().block_on(greets_by_name());
//! ```
//!
//! # Time
//! With tokio's paused clock (`tokio::time::pause()`, of its feature `test-util`) a test of a timeout takes no
//! time: whenever everybody waits, the clock jumps to the next timer. It governs actix' timers (`run_later`,
//! `run_interval`), `sleep`, and all timeouts of the server and of its commands. What reads [`std::time::Instant`]
//! by itself is not governed: how long commands took in `SLOWLOG` and `LATENCY`, and an application that does so.
//!
//! ```
//! use std::time::Duration;
//! use thegiant::{prelude::*, test::TestServer};
//!
//! # struct Slow;
//! # impl Actor for Slow { type Context = Context<Self>; }
//! #[commands]
//! impl Slow {
//!     /// Answers tomorrow.
//!     #[command("TOMORROW", blocking)]
//!     async fn tomorrow() -> Simple {
//!         actix_rt::time::sleep(Duration::from_secs(24 * 60 * 60)).await;
//!         Simple("here")
//!     }
//! }
//!
//! # async fn takes_no_time() {
//! tokio::time::pause();
//! let server = TestServer::start(App::new().mount(Slow.start()));
//! // A client has a patience of its own, a minute unless it is told otherwise.
//! let mut client = server.connect().patience(Duration::from_secs(48 * 60 * 60));
//! assert_eq!(client.call(["TOMORROW"]).await, Value::Simple("here".into()));
//! # }
//! # actix::System::new().block_on(takes_no_time());
//! ```
//!
//! # Bytes in pieces
//! [`assert_replies`] sends the same bytes whole, one by one, and cut in two at each place, and looks whether the
//! replies are the same: for commands with a parser of their own, or a protocol on top of this one.

mod client;
mod pieces;
mod server;

pub use client::TestClient;
pub use pieces::assert_replies;
pub use server::TestServer;
