use std::{sync::mpsc, time::Duration};

use thegiant::{
    command::Flags,
    middleware::{AuditLog, RateLimit, ReadOnly, Trace},
    prelude::*,
    proxy::Upstream,
    test::TestServer,
};
use tracing::Level;
use tracing_subscriber::fmt::format::FmtSpan;

use super::with;
use crate::support::{Log, RawClient, Served, app, line, lines};

const READ_ONLY: &str = "-READONLY You can't write against a read only replica.\r\n";

#[test]
fn read_only_refuses_writes_while_it_is_on() {
    let read_only = ReadOnly::on();
    let served = Served::start(with(read_only.clone()));
    let mut client = RawClient::connect(served.address());
    client.send(lines("SET a 1 \n GET a \n PING \n MSET a 1 \n NOSUCH"));
    let replies = client.replies(5);
    assert!(replies.starts_with(format!("{READ_ONLY}$-1\r\n+PONG\r\n{READ_ONLY}-ERR unknown").as_bytes()));
    read_only.set(false);
    assert_eq!(client.ask(line("SET a 1")), "+OK\r\n");
}

#[test]
fn read_only_refuses_an_exec_of_writes_that_were_queued_before() {
    let read_only = ReadOnly::off();
    let served = Served::start(with(read_only.clone()));
    let (mut writer, mut reader) =
        (RawClient::connect(served.address()), RawClient::connect(served.address()));
    writer.send(lines("MULTI \n GET a \n SET a 1"));
    reader.send(lines("MULTI \n GET a"));
    writer.replies(3);
    reader.replies(2);
    read_only.set(true);
    assert_eq!(
        writer.ask(line("EXEC")),
        "-EXECABORT Transaction discarded because of: READONLY You can't write against a read only replica.\r\n"
    );
    assert_eq!(reader.ask(line("EXEC")), "*1\r\n$-1\r\n");
}

#[test]
fn read_only_knows_the_commands_of_redis_behind_a_proxy() {
    let upstream = Served::start(app);
    let address = upstream.address().to_owned();
    let served = Served::start(move || {
        App::new().middleware(ReadOnly::on().allow("FIRST")).proxy(Upstream::new(address).start())
    });
    let mut client = RawClient::connect(served.address());
    client.send(lines("SET a 1 \n GET a \n FIRST x \n SECOND x \n EVAL x 0 \n DBSIZE"));
    let replies = client.replies(6);
    let expected = format!("{READ_ONLY}$-1\r\n$7\r\nfirst x\r\n{READ_ONLY}{READ_ONLY}-ERR unknown");
    assert!(replies.starts_with(expected.as_bytes()), "{replies:?}");
}

#[thegiant::test]
async fn a_rate_limit_refuses_by_client_or_by_a_group() {
    tokio::time::pause();
    let limits = || {
        app()
            .middleware(RateLimit::per_client(2).error(Error::new("SLOW", "down")))
            .middleware(RateLimit::by(1, |request: &Request| request.is("SET").then_some("writes")))
    };
    let server = TestServer::start(limits());
    let (mut client, mut other) = (server.connect(), server.connect());
    assert_eq!(client.call(["SET", "a", "1"]).await, Value::Simple("OK".into()));
    let too_many = Value::Error(Error::new("RATELIMIT", "too many commands"));
    assert_eq!(other.call(["SET", "a", "1"]).await, too_many);
    assert_eq!(client.call(["PING"]).await, Value::Simple("PONG".into()));
    assert_eq!(client.call(["RESET"]).await, Value::Error(Error::new("SLOW", "down")));
    tokio::time::advance(Duration::from_millis(501)).await;
    assert_eq!(client.call(["PING"]).await, Value::Simple("PONG".into()));
    tokio::time::advance(Duration::from_millis(500)).await;
    assert_eq!(other.call(["SET", "a", "1"]).await, Value::Simple("OK".into()));
}

#[test]
fn clients_of_one_address_share_a_rate_limit() {
    let served = Served::start(|| app().middleware(RateLimit::per_address(2).per(Duration::from_secs(600))));
    let [mut one, mut two, mut three] = [(); 3].map(|()| RawClient::connect(served.address()));
    assert_eq!(one.ask(line("PING")), "+PONG\r\n");
    assert_eq!(two.ask(line("PING")), "+PONG\r\n");
    assert_eq!(three.ask(line("PING")), "-RATELIMIT too many commands\r\n");
}

#[test]
fn the_span_of_a_failed_command_ends_with_its_error() {
    let log = Log::default();
    let written = log.clone();
    let served = Served::start(move || {
        // It adds a second subscriber, without which `tracing` caches the interest of the first thread.
        Log::default().keep(Level::ERROR);
        let format = tracing_subscriber::fmt().with_ansi(false).with_span_events(FmtSpan::CLOSE);
        let subscriber = format.with_writer(move || log.clone()).finish();
        std::mem::forget(tracing::subscriber::set_default(subscriber));
        App::new().middleware(Trace::new()).mount(Inner.start())
    });
    let mut client = RawClient::connect(served.address());
    client.send(lines("NOTE bad \n NOTE good \n GET"));
    client.replies(3);
    let ends: Vec<_> = written.lines().into_iter().filter(|line| line.contains(" close ")).collect();
    assert_eq!(ends.len(), 3, "{ends:?}");
    let bad = r#"db.operation.name="note" db.namespace=0"#;
    let error = r#"otel.status_code="ERROR" error.type="BAD""#;
    assert!(ends[0].contains(bad) && ends[0].contains(error), "{ends:?}");
    assert!(!ends[1].contains("otel.status_code"), "{ends:?}");
    assert!(ends[2].contains(r#"error.type="ERR""#), "{ends:?}");
}

/// Serves an application whose thread logs at this level. Returns the log.
fn logged(level: Level, app: impl FnOnce() -> App + Send + 'static) -> (Served, Log) {
    let (sender, receiver) = mpsc::channel();
    let served = Served::start(move || {
        let log = Log::default();
        log.keep(level);
        let _ = sender.send(log);
        app()
    });
    (served, receiver.recv().expect("the application starts"))
}

#[test]
fn the_audit_log_has_a_line_for_each_command_without_secrets() {
    let audit = AuditLog::new().only(|request: &Request| !request.is("PING")).arguments();
    let only_writes = AuditLog::new().only(|request: &Request| request.flags().contains(Flags::WRITE));
    let (served, log) = logged(Level::INFO, || app().middleware(audit).middleware(only_writes));
    let mut client = RawClient::connect(served.address());
    client.send(lines("MSET a 1 b 2 \n PING \n AUTH user hunter2 \n CLIENT SETNAME me \n NOSUCH \"x\\\"y\""));
    client.replies(5);
    let address = client.local_address();
    let written: Vec<_> = log.lines().into_iter().filter(|line| line.contains("command=")).collect();
    let without_time = |line: &String| line.split(" took_us=").next().unwrap_or_default().to_owned();
    let start = |command: &str| {
        format!("INFO command id=1 client={address} user=\"default\" db=0 command=\"{command}\"")
    };
    let mut expected = vec![
        format!(r#"{} keys="\"a\" \"b\"" outcome="ok""#, start("mset")),
        format!(r#"{} args="\"a\" \"1\" \"b\" \"2\"" outcome="ok""#, start("mset")),
        format!(r#"{} args="\"(redacted)\" \"(redacted)\"" outcome="WRONGPASS""#, start("auth")),
        format!(r#"{} args="\"SETNAME\" \"me\"" outcome="ok""#, start("client|setname")),
    ];
    let id = client_id(&written[0]);
    expected.iter_mut().for_each(|line| *line = line.replace("id=1 ", &format!("id={id} ")));
    let lines: Vec<_> = written.iter().map(without_time).collect();
    assert_eq!(lines[..expected.len()], expected);
    assert!(lines.last().is_some_and(|line| line.contains("command=\"nosuch\"")), "{lines:?}");
    assert!(!log.lines().iter().any(|line| line.contains("hunter2")));
}

fn client_id(line: &str) -> &str {
    line.split(" id=").nth(1).and_then(|rest| rest.split(' ').next()).unwrap_or_default()
}

/// Logs from inside of a command.
struct Inner;

impl Actor for Inner {
    type Context = Context<Self>;
}

#[commands]
impl Inner {
    /// Logs a line.
    #[command("NOTE")]
    fn note(&self, text: &str) -> Result<(), Error> {
        tracing::info!("note {text}");
        if text == "bad" { Err(Error::new("BAD", "note")) } else { Ok(()) }
    }
}

#[test]
fn a_trace_has_a_span_for_each_command_around_its_handler() {
    let (served, log) = logged(Level::INFO, || App::new().middleware(Trace::new()).mount(Inner.start()));
    let mut client = RawClient::connect(served.address());
    client.send(lines("NOTE a \n NOTE bad \n MULTI \n NOTE c \n EXEC"));
    assert_eq!(client.replies(5), "+OK\r\n-BAD note\r\n+OK\r\n+QUEUED\r\n*1\r\n+OK\r\n");
    let notes: Vec<_> = log.lines().into_iter().filter(|line| line.contains(": note ")).collect();
    assert_eq!(notes.len(), 3, "{:?}", log.lines());
    for (line, text) in notes.iter().zip(["a", "bad", "c"]) {
        assert!(line.starts_with("INFO command{otel.name=\"note\" otel.kind=\"server\""), "{line}");
        assert!(line.ends_with(&format!("note {text}")), "{line}");
    }
}
