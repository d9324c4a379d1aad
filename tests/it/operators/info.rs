use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use thegiant::{App, Counter, Gauge, Limits};

use super::{OK, PONG, open_to_operators, open_with};
use crate::support::{ANY_PORT, Fields, RawClient, Served, app, exchange, info, line, lines, report};

const ALL: [&str; 13] = [
    "Server",
    "Clients",
    "Memory",
    "Persistence",
    "Stats",
    "Replication",
    "CPU",
    "Modules",
    "Commandstats",
    "Errorstats",
    "Latencystats",
    "Cluster",
    "Keyspace",
];

/// The default sections: all but the statistics per command.
fn default_sections() -> Vec<&'static str> {
    ALL.into_iter().filter(|name| !["Commandstats", "Latencystats"].contains(name)).collect()
}

fn sections(text: &str) -> Vec<&str> {
    text.lines().filter_map(|line| line.strip_prefix("# ")).collect()
}

#[test]
fn info_shows_the_requested_sections() {
    let served = open_to_operators();
    let mut client = RawClient::connect(served.address());
    for (asked, expected) in [
        ("INFO", &default_sections()[..]),
        ("INFO default", &default_sections()),
        ("INFO all", &ALL),
        ("INFO EVERYTHING", &ALL),
        ("INFO server", &["Server"]),
        ("INFO keyspace Server SERVER", &["Server", "Keyspace"]),
        ("INFO commandstats default", &ALL[..10].iter().chain(&ALL[11..]).copied().collect::<Vec<_>>()),
        ("INFO nope", &[]),
        ("INFO nope cpu", &["CPU"]),
    ] {
        assert_eq!(sections(&report(&mut client, asked)), expected, "{asked}");
    }
    for section in ALL {
        let text = report(&mut client, &format!("INFO {section}"));
        assert!(text.starts_with(&format!("# {section}\r\n")) && text.ends_with("\r\n"), "{text:?}");
        let are_fields = text.split_terminator("\r\n").skip(1).all(|line| line.contains(':'));
        assert!(are_fields && !text.replace("\r\n", "").contains(['\r', '\n']), "{text:?}");
    }
}

#[test]
fn clients_are_counted() {
    let served = Served::with(app, |server| server.limits(Limits::new().max_clients(3)).bind(ANY_PORT));
    let mut clients = [(); 3].map(|()| RawClient::connect(served.address()));
    clients.iter_mut().for_each(RawClient::let_server_read);
    for _ in 0..2 {
        assert!(RawClient::connect(served.address()).rest().starts_with(b"-ERR max number of clients"));
    }
    let shown = info(&mut clients[0], "clients stats");
    for (name, value) in [
        ("connected_clients", 3),
        ("maxclients", 3),
        ("blocked_clients", 0),
        ("total_connections_received", 3),
        ("rejected_connections", 2),
        ("evicted_clients", 0),
    ] {
        assert_eq!(shown.number(name), value, "{name}");
    }
}

/// Returns the calls, rejected calls and failed calls of a command.
fn calls(stats: &Fields, command: &str) -> Option<[u64; 3]> {
    let fields = stats.get(&format!("cmdstat_{command}"))?;
    let number = |name: &str| {
        let field = fields.split(',').find_map(|field| field.strip_prefix(name)?.strip_prefix('='));
        field.and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("no {name} in {fields}"))
    };
    Some(["calls", "rejected_calls", "failed_calls"].map(number))
}

#[test]
fn each_command_is_counted() {
    let served = open_to_operators();
    let mut client = RawClient::connect(served.address());
    client.send(lines(
        "SET a 1 \n GET a \n GET a \n GET \n GET a b \n PING \n DEL a \n FORGET a \n CLIENT ID \n CLIENT SETNAME \n \
         SELECT 99 \n PANIC \n NOPE \n NOPE \n CLIENT NOPE \n CONFIG SET nope 1 \n client id \n First x \n SECOND y",
    ));
    client.replies(19);
    let stats = info(&mut client, "commandstats errorstats stats");
    for (command, expected) in [
        ("set", [1, 0, 0]),
        ("get", [2, 2, 0]),
        ("ping", [1, 0, 0]),
        ("del", [2, 0, 0]),
        ("client|id", [2, 0, 0]),
        ("client|setname", [0, 1, 0]),
        ("select", [1, 0, 1]),
        ("panic", [1, 0, 1]),
        ("config|set", [1, 0, 1]),
        ("first", [1, 0, 0]),
        ("second", [1, 0, 0]),
    ] {
        assert_eq!(calls(&stats, command), Some(expected), "{command}");
    }
    assert_eq!((calls(&stats, "forget"), calls(&stats, "nope"), calls(&stats, "mset")), (None, None, None));
    assert_eq!(stats.0.iter().filter(|(name, _)| name.starts_with("cmdstat_")).count(), 11);
    assert_eq!(stats.text("errorstat_ERR"), "count=9");
    assert_eq!((stats.number("total_error_replies"), stats.number("total_commands_processed")), (9, 13));
}

#[test]
fn every_command_of_a_large_pipeline_is_counted() {
    let served = open_to_operators();
    let mut client = RawClient::connect(served.address());
    let value = "x".repeat(10_000);
    assert_eq!(client.ask(line(&format!("SET k {value}"))), OK);
    // The replies exceed a megabyte, so the server sends some before it has run all commands. The commands
    // alternate between two actors.
    let pipeline = lines("GET k \n SECOND x \n PING \n GET \n NOPE").repeat(500);
    assert_eq!(exchange(served.address(), pipeline).iter().filter(|byte| **byte == b'-').count(), 1000);
    let stats = info(&mut client, "commandstats errorstats");
    assert_eq!(calls(&stats, "get"), Some([500, 500, 0]));
    assert_eq!(calls(&stats, "second"), Some([500, 0, 0]));
    assert_eq!(calls(&stats, "ping"), Some([500, 0, 0]));
    assert_eq!(stats.text("errorstat_ERR"), "count=1000");
}

/// Commands after the one that closes the connection do not run, so they are not counted.
#[test]
fn commands_that_do_not_run_are_not_counted() {
    let served = open_to_operators();
    let mut client = RawClient::connect(served.address());
    assert_eq!(exchange(served.address(), lines("PING \n QUIT \n SET a 1 \n PING")), format!("{PONG}{OK}"));
    assert_eq!(exchange(served.address(), b"PING\r\nPOST / HTTP/1.1\r\nSET a 1\r\nPING\r\n"), PONG);
    let stats = info(&mut client, "commandstats errorstats");
    assert_eq!((calls(&stats, "ping"), calls(&stats, "quit")), (Some([2, 0, 0]), Some([1, 0, 0])));
    assert_eq!(calls(&stats, "set"), None);
}

/// Commands count whether the client reads the replies or disconnects.
#[test]
fn commands_are_counted_even_if_the_reply_is_not_read() {
    let served = open_to_operators();
    let mut operator = RawClient::connect(served.address());
    let mut deaf = RawClient::connect(served.address());
    assert_eq!(operator.ask(line(&format!("SET k {}", "x".repeat(16 << 20)))), OK);
    deaf.send(lines("FIRST a \n GET k"));
    let mut bystander = RawClient::connect(served.address());
    bystander.let_server_read();
    assert_eq!(calls(&info(&mut operator, "commandstats"), "get"), Some([1, 0, 0]));
    deaf.reset();
    bystander.let_server_read();
    let stats = info(&mut operator, "commandstats");
    assert_eq!((calls(&stats, "get"), calls(&stats, "first")), (Some([1, 0, 0]), Some([1, 0, 0])));
}

#[test]
fn commands_of_unauthenticated_clients_count_as_rejected() {
    let served = Served::with(app, |server| server.password("secret").bind(ANY_PORT));
    let mut client = RawClient::connect(served.address());
    client.send(lines("GET a \n GET a \n SET a 1 \n AUTH wrong \n AUTH secret"));
    client.replies(5);
    let stats = info(&mut client, "commandstats errorstats");
    assert_eq!((calls(&stats, "get"), calls(&stats, "set")), (Some([0, 2, 0]), Some([0, 1, 0])));
    assert_eq!(calls(&stats, "auth"), Some([2, 0, 1]));
    assert_eq!((stats.text("errorstat_NOAUTH"), stats.text("errorstat_WRONGPASS")), ("count=3", "count=1"));
}

#[test]
fn errors_are_counted_by_their_first_word() {
    let served = open_to_operators();
    let mut client = RawClient::connect(served.address());
    client.send(lines("DEBUG ERROR MINE \n DEBUG ERROR MINE \n DEBUG ERROR WRONGTYPE \n HELLO 9"));
    client.replies(4);
    assert!(exchange(served.address(), b"*1\r\n!4\r\n").starts_with(b"-ERR Protocol error"));
    let stats = info(&mut client, "errorstats");
    for (code, count) in [("MINE", 2), ("WRONGTYPE", 1), ("NOPROTO", 1), ("ERR", 1)] {
        assert_eq!(stats.text(&format!("errorstat_{code}")), format!("count={count}"), "{code}");
    }
    // The number of counted codes is limited.
    let codes: Vec<String> = (0..1000).map(|number| format!("DEBUG ERROR CODE{number}")).collect();
    client.send(lines(&codes.join("\n")));
    client.replies(1000);
    assert!(info(&mut client, "errorstats").0.len() <= 128);
}

#[test]
fn bytes_are_counted_in_both_directions() {
    let served = open_to_operators();
    let mut client = RawClient::connect(served.address());
    let request = line(&format!("ECHO {}", "x".repeat(100_000)));
    let count = |client: &mut RawClient| {
        let stats = info(client, "stats");
        (stats.number("total_net_input_bytes"), stats.number("total_net_output_bytes"))
    };
    let before = count(&mut client);
    let reply = client.ask(&request);
    let after = count(&mut client);
    let asked = line("INFO stats").len() as u64;
    assert_eq!(after.0 - before.0, request.len() as u64 + asked);
    // The reply to the first INFO was sent between the two counts, too.
    assert!((1..2000).contains(&(after.1 - before.1 - reply.len() as u64)), "{before:?} {after:?}");
}

#[test]
fn config_resetstat_resets_all_counts() {
    let served = open_to_operators();
    let mut client = RawClient::connect(served.address());
    client.send(lines("PING \n NOPE \n GET"));
    client.replies(3);
    assert_eq!(client.ask(line("CONFIG RESETSTAT")), OK);
    let stats = info(&mut client, "commandstats errorstats stats");
    assert_eq!(calls(&stats, "ping"), None);
    assert_eq!(stats.0.iter().filter(|(name, _)| name.starts_with("errorstat_")).count(), 0);
    for name in
        ["total_connections_received", "total_error_replies", "rejected_connections", "evicted_clients"]
    {
        assert_eq!(stats.number(name), 0, "{name}");
    }
    // This is RESETSTAT itself.
    assert_eq!(stats.number("total_commands_processed"), 1);
    assert!(stats.number("total_net_input_bytes") < 200, "{stats:?}");
}

#[test]
fn an_application_adds_fields_and_sections() {
    let waiting = Arc::new(AtomicU64::new(3));
    let shown = Arc::clone(&waiting);
    let (lost, running) = (Counter::new(), Gauge::new());
    let (app_lost, app_running) = (lost.clone(), running.clone());
    let served = open_with(move || {
        app()
            .info("Jobs", move |info| info.field("jobs_waiting", shown.load(Relaxed)))
            .info("server", |info| info.field("application", "a\r\nforged:1"))
            .info("Other", |info| info.field("other", 1))
            .info("JOBS", |info| info.field("jobs_done", 7))
            .counter("jobs", "jobs_lost_total", &app_lost)
            .gauge("jobs", "jobs_running", &app_running)
    });
    let mut client = RawClient::connect(served.address());
    running.set(5);
    running.sub(7);
    lost.increment();
    lost.add(2);
    assert_eq!((lost.get(), running.get()), (3, -2));
    assert_eq!(
        report(&mut client, "INFO jobs"),
        "# Jobs\r\njobs_waiting:3\r\njobs_done:7\r\njobs_lost_total:3\r\njobs_running:-2\r\n"
    );
    waiting.store(4, Relaxed);
    assert_eq!(info(&mut client, "JOBS").number("jobs_waiting"), 4);
    let server = report(&mut client, "INFO server");
    assert!(server.starts_with("# Server\r\nredis_version:7.4.0\r\n"), "{server}");
    assert!(server.ends_with("\r\napplication:a  forged:1\r\n"), "{server}");
    let expected: Vec<&str> = default_sections().into_iter().chain(["Jobs", "Other"]).collect();
    assert_eq!(sections(&report(&mut client, "INFO")), expected);
}

#[test]
fn the_fallback_is_counted_by_its_name() {
    let served = open_with(|| App::new().fallback(|_: &thegiant::Request<'_>| "any"));
    let mut client = RawClient::connect(served.address());
    assert_eq!(client.ask(line("WHATEVER")), "$3\r\nany\r\n");
    assert_eq!(calls(&info(&mut client, "commandstats"), "fallback"), Some([1, 0, 0]));
}
