/// `CLIENT LIST` and `CLIENT INFO`.
mod clients;
/// `DEBUG`, `SHUTDOWN`: only where they are allowed.
mod dangerous;
/// `INFO` and its counters.
mod info;
/// `CLIENT KILL`.
mod kill;
/// `SLOWLOG` and `LATENCY`.
mod latency;
/// What is logged of clients, and at which level.
mod log;
/// The feature `metrics`, by the example that uses it.
mod metrics;
/// `MONITOR`.
mod monitor;
/// `CLIENT PAUSE`.
mod pause;
/// `CLIENT REPLY`.
mod reply;

use std::io;

use thegiant::{App, Server};

use crate::support::{ANY_PORT, Served, app};

const OK: &str = "+OK\r\n";
const PONG: &str = "+PONG\r\n";

/// The application of the tests, where operators are allowed everything.
fn open_to_operators() -> Served {
    open_with(app)
}

fn open_with(app: impl FnOnce() -> App + Send + 'static) -> Served {
    let configure = |server: Server| -> io::Result<Server> {
        server.debug_commands(true).allow_shutdown(true).bind(ANY_PORT)
    };
    Served::with(app, configure)
}
