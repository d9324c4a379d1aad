/// `CLIENT LIST` and `CLIENT INFO`.
mod clients;
/// `DEBUG` and `SHUTDOWN`, which a server allows only on request.
mod dangerous;
/// `INFO` and its counters.
mod info;
/// `CLIENT KILL`.
mod kill;
/// `SLOWLOG` and `LATENCY`.
mod latency;
/// Log lines about clients, and their levels.
mod log;
/// The feature `metrics`, with its example.
mod metrics;
/// `MONITOR`.
mod monitor;
/// `CLIENT PAUSE`.
mod pause;
/// `CLIENT REPLY`.
mod reply;

use std::io;

use thegiant::{App, DebugAccess, Server};

use crate::support::{ANY_PORT, Served, app};

const OK: &str = "+OK\r\n";
const PONG: &str = "+PONG\r\n";

/// Starts the application of the tests, with 16 databases, and with `DEBUG` and `SHUTDOWN` allowed.
fn open_to_operators() -> Served {
    open_with(|| app().databases(16))
}

fn open_with(app: impl FnOnce() -> App + Send + 'static) -> Served {
    let configure = |server: Server| -> io::Result<Server> {
        server.debug_commands(DebugAccess::Yes).allow_shutdown(true).bind(ANY_PORT)
    };
    Served::with(app, configure)
}
