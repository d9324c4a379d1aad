use thegiant::{DebugAccess, Server};

use super::{OK, PONG, open_to_operators, open_with};
use crate::support::{ANY_PORT, Process, RawClient, Served, app, exchange, gated, line, lines};

const NO_DEBUG: &str = "-ERR DEBUG command not allowed. If the enable-debug-command option is set to \"local\", you can \
                        run it from a local connection, otherwise you need to set this option in the configuration \
                        file, and then restart the server.\r\n";
const NO_SHUTDOWN: &str =
    "-ERR SHUTDOWN is not allowed. The operator can allow it, or stop the server with a signal.\r\n";

#[test]
fn debug_and_shutdown_are_refused_unless_allowed() {
    let served = Served::start(app);
    let mut client = RawClient::connect(served.address());
    for debug in ["PROTOCOL string", "SLEEP 100", "SET-ACTIVE-EXPIRE 0", "ERROR x", "LOG x"] {
        assert_eq!(client.ask(line(&format!("DEBUG {debug}"))), NO_DEBUG, "{debug}");
    }
    for shutdown in ["SHUTDOWN", "SHUTDOWN NOSAVE", "SHUTDOWN NOW FORCE"] {
        assert_eq!(client.ask(line(shutdown)), NO_SHUTDOWN, "{shutdown}");
    }
    // A client cannot enable them itself.
    assert!(client.ask(line("CONFIG SET enable-debug-command yes")).starts_with(b"-ERR CONFIG SET failed"));
    assert_eq!(client.ask(line("DEBUG SLEEP 100")), NO_DEBUG);
    assert_eq!(client.ask(line("PING")), PONG);
}

#[test]
fn debug_replies_as_in_redis() {
    let served = open_to_operators();
    let redis = Process::redis(&["--enable-debug-command", "yes"]);
    let types = "string integer double null array set map attrib push verbatim true false bignum nope STRING";
    let of_types = types.split(' ').map(|name| format!("DEBUG PROTOCOL {name}"));
    let others = [
        "DEBUG SLEEP 0",
        "DEBUG SLEEP 0.01",
        "DEBUG ERROR CODE",
        "DEBUG SET-ACTIVE-EXPIRE 0",
        "DEBUG SET-ACTIVE-EXPIRE 1",
        "DEBUG",
    ]
    .map(str::to_owned);
    let requests: Vec<u8> = of_types.chain(others).flat_map(|request| line(&request)).collect();
    for protocol in ["HELLO 2", "HELLO 3"] {
        let [giant, redis] = [served.address(), redis.address()].map(|address| {
            let mut client = RawClient::connect(address);
            client.ask(line(protocol));
            client.send(&requests);
            client.half_close();
            client.rest()
        });
        assert_eq!(giant, redis, "{protocol}");
    }
}

#[test]
fn debug_logs_sleeps_and_fails() {
    let served = open_to_operators();
    let mut client = RawClient::connect(served.address());
    assert_eq!(client.ask(line("DEBUG ERROR MINE")), "-MINE\r\n");
    assert_eq!(client.ask(line("DEBUG LOG hello")), OK);
    for seconds in ["0", "0.001", "-5"] {
        assert_eq!(client.ask(line(&format!("DEBUG SLEEP {seconds}"))), OK);
    }
    assert_eq!(client.ask(line("DEBUG SLEEP soon")), "-ERR value is not a valid float\r\n");
}

/// `local` allows clients of this machine.
#[test]
fn debug_can_be_allowed_to_local_clients() {
    let configure = |server: Server| server.debug_commands(DebugAccess::Local).bind(ANY_PORT);
    let served = Served::with(app, configure);
    let mut client = RawClient::connect(served.address());
    assert_eq!(client.ask(line("DEBUG SLEEP 0")), OK);
    let shown = client.ask(line("CONFIG GET enable-debug-command"));
    assert_eq!(shown, "*2\r\n$20\r\nenable-debug-command\r\n$5\r\nlocal\r\n");
}

/// The server replies to all requests that it has read, then stops.
#[test]
fn shutdown_stops_the_server() {
    let (app, gatekeeper) = gated();
    let served = open_with(app);
    let mut idle = RawClient::connect(served.address());
    idle.let_server_read();
    let mut waiting = RawClient::connect(served.address());
    waiting.send(lines("GATE \n PING"));
    gatekeeper.wait();
    assert_eq!(exchange(served.address(), line("SHUTDOWN ABORT")), "-ERR No shutdown in progress.\r\n");
    assert_eq!(exchange(served.address(), line("SHUTDOWN NOPE")), "-ERR syntax error\r\n");
    assert_eq!(
        exchange(served.address(), lines("FIRST a \n SHUTDOWN NOSAVE \n FIRST b")),
        "$7\r\nfirst a\r\n"
    );
    assert_eq!(idle.rest(), "");
    gatekeeper.open();
    assert_eq!(waiting.rest(), "+through\r\n+PONG\r\n");
    served.ended().expect("it ends in order");
}
