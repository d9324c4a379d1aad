//! Test kit for applications. *Feature `test-util`.*
//!
//! A [`TestServer`] serves an application in memory, and [`TestClient`]s connect to it. Everything runs on
//! the thread of the test. No test needs a free port.
//!
//! ```
//! use thegiant::{prelude::*, test::TestServer};
//!
//! # struct Greeter;
//! # impl Actor for Greeter { type Context = Context<Self>; }
//! #[commands]
//! impl Greeter {
//!     /// Greets a person by name.
//!     #[command("GREET", fast)]
//!     fn greet(&self, name: &str) -> String {
//!         format!("hello, {name}")
//!     }
//! }
//!
//! # async fn greets_by_name() {
//! // In a test, this is the body of an `async fn` with `#[thegiant::test]`.
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
//! With tokio's paused clock (`tokio::time::pause()`, feature `test-util` of tokio), a test of a timeout
//! takes no time. Whenever all tasks wait, the clock jumps to the next timer. The paused clock controls
//! actix' timers (`run_later`, `run_interval`), `sleep`, and all timeouts of the server and its commands. It
//! does not control [`std::time::Instant`], which measures the durations in `SLOWLOG` and `LATENCY`, nor the
//! [patience](TestClient::patience) of clients.
//!
//! ```
//! use std::time::Duration;
//! use thegiant::{prelude::*, test::TestServer};
//!
//! # struct Slow;
//! # impl Actor for Slow { type Context = Context<Self>; }
//! #[commands]
//! impl Slow {
//!     /// Replies tomorrow.
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
//! let mut client = server.connect();
//! assert_eq!(client.call(["TOMORROW"]).await, Value::Simple("here".into()));
//! # }
//! # actix::System::new().block_on(takes_no_time());
//! ```
//!
//! # Split input
//! [`assert_replies`] sends the same bytes in one piece, byte by byte, and split in two at each position. It
//! checks that the replies are the same. Use it for commands that have their own parser.

mod client;
mod patience;
mod pieces;
mod server;
mod step;

pub use client::TestClient;
pub use pieces::assert_replies;
pub use server::TestServer;
