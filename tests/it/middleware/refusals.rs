use std::sync::{Arc, Mutex};

use thegiant::{middleware::Decision, prelude::*, proxy::Upstream};

use super::{Recorder, with};
use crate::support::{RawClient, Served, app, line, lines, report};

#[test]
fn a_refused_command_does_not_run_and_the_others_do() {
    let recorder = Recorder::refusing("x");
    let served = Served::start(with(recorder.clone()));
    let mut client = RawClient::connect(served.address());
    client.send(lines("SET x 1 \n SET a x \n SET a 1 \n PING x \n GET x \n GET a"));
    let refused = "-NOPE not this one\r\n";
    assert_eq!(client.replies(6), format!("{refused}{refused}+OK\r\n{refused}{refused}$1\r\n1\r\n"));
    // The middleware itself does not see the outcome of what it has refused.
    let outcomes: Vec<_> = recorder.take().into_iter().filter(|event| event.starts_with('<')).collect();
    assert_eq!(outcomes, ["< SET a 1 ok", "< GET a ok"]);
    let stats = report(&mut client, "INFO commandstats");
    let set = stats.lines().find(|line| line.starts_with("cmdstat_set:"));
    assert!(set.is_some_and(|set| set.contains("calls=1,") && set.contains("rejected_calls=2,")), "{set:?}");
}

#[test]
fn an_outer_middleware_sees_a_refusal_and_an_inner_one_does_not_see_the_command() {
    let events = Arc::new(Mutex::new(Vec::new()));
    let outer = Recorder::named("outer", &events);
    let middle = Recorder { refuses: "x", ..Recorder::named("middle", &events) };
    let inner = Recorder::named("inner", &events);
    let recorder = outer.clone();
    let served = Served::start(move || app().middleware(outer).middleware(middle).middleware(inner));
    let mut client = RawClient::connect(served.address());
    client.send(lines("FIRST a \n FIRST x \n FIRST b"));
    client.replies(3);
    let mut seen = recorder.take();
    seen.sort();
    assert_eq!(
        seen,
        [
            "inner < FIRST a ok",
            "inner < FIRST b ok",
            "inner > FIRST a",
            "inner > FIRST b",
            "middle < FIRST a ok",
            "middle < FIRST b ok",
            "middle > FIRST a",
            "middle > FIRST b",
            "middle > FIRST x",
            "outer < FIRST a ok",
            "outer < FIRST b ok",
            "outer < FIRST x NOPE refused",
            "outer > FIRST a",
            "outer > FIRST b",
            "outer > FIRST x",
        ]
    );
}

#[test]
fn a_refusal_after_multi_aborts_the_transaction() {
    let served = Served::start(with(Recorder::refusing("x")));
    let mut client = RawClient::connect(served.address());
    client.send(lines("MULTI \n SET a 1 \n SET x 1 \n EXEC \n GET a"));
    let abort = "-EXECABORT Transaction discarded because of previous errors.\r\n";
    assert_eq!(client.replies(5), format!("+OK\r\n+QUEUED\r\n-NOPE not this one\r\n{abort}$-1\r\n"));
}

#[test]
fn a_refused_exec_discards_the_transaction() {
    let served = Served::start(|| {
        app().middleware(|request: &Request| match request.is("EXEC") {
            true => Decision::refuse(Error::err("later")),
            false => Decision::Run,
        })
    });
    let mut client = RawClient::connect(served.address());
    client.send(lines("MULTI \n SET a 1 \n EXEC \n EXEC \n GET a"));
    let abort = "-EXECABORT Transaction discarded because of: later\r\n";
    // Without a transaction, the error is the one of the middleware.
    assert_eq!(client.replies(5), format!("+OK\r\n+QUEUED\r\n{abort}-ERR later\r\n$-1\r\n"));
}

#[test]
fn a_panic_in_a_middleware_refuses_one_command() {
    let served = Served::start(|| {
        app().middleware(|request: &Request| {
            assert!(request.get(1) != Some(b"x"), "on purpose");
            Decision::Run
        })
    });
    let mut client = RawClient::connect(served.address());
    client.send(lines("FIRST a \n FIRST x \n FIRST b"));
    assert_eq!(client.replies(3), "$7\r\nfirst a\r\n-ERR internal error\r\n$7\r\nfirst b\r\n");
}

#[test]
fn commands_before_authentication_pass_only_if_they_are_allowed() {
    let recorder = Recorder::default();
    let middleware = recorder.clone();
    let served = Served::with(
        move || app().middleware(middleware),
        |server| server.password("secret").bind(crate::support::ANY_PORT),
    );
    let mut client = RawClient::connect(served.address());
    client.send(lines("GET a \n NOSUCH \n AUTH wrong \n AUTH secret \n GET a"));
    client.replies(5);
    let events = recorder.take();
    assert_eq!(
        events,
        [
            "> AUTH wrong",
            "< AUTH wrong WRONGPASS",
            "> AUTH secret",
            "< AUTH secret ok",
            "> GET a",
            "< GET a ok"
        ]
    );
}

#[test]
fn requests_for_an_upstream_pass_and_a_refusal_aborts_its_transaction() {
    let upstream = Served::start(app);
    let address = upstream.address().to_owned();
    let recorder = Recorder::refusing("x");
    let middleware = recorder.clone();
    let served =
        Served::start(move || App::new().middleware(middleware).proxy(Upstream::new(address).start()));
    let mut client = RawClient::connect(served.address());
    client.send(lines("SET a 1 \n SET x 1 \n GET a \n GET"));
    let replies = client.replies(4);
    assert!(replies.starts_with(b"+OK\r\n-NOPE not this one\r\n$1\r\n1\r\n-ERR wrong number"), "{replies:?}");
    let events = recorder.take();
    assert!(events.contains(&"< GET ERR".to_owned()), "{events:?}");
    for text in ["MULTI", "SET a 2"] {
        client.ask(line(text));
    }
    assert_eq!(client.ask(line("SET x 2")), "-NOPE not this one\r\n");
    assert!(client.ask(line("EXEC")).starts_with(b"-EXECABORT"));
    assert_eq!(client.ask(line("GET a")), "$1\r\n1\r\n");
    // A refused `EXEC` ends the transaction of the upstream, too.
    client.ask(line("MULTI"));
    client.ask(line("SET a 3"));
    assert!(client.ask(line("EXEC x")).starts_with(b"-EXECABORT"));
    assert_eq!(client.ask(line("GET a")), "$1\r\n1\r\n");
}
