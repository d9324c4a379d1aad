use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use thegiant::{prelude::*, test::TestServer};

use super::{Recorder, timer, with};
use crate::support::{RawClient, Served, app, line, lines};

#[test]
fn a_middleware_sees_each_request_of_a_pipeline_once_and_its_outcome() {
    let recorder = Recorder::default();
    let served = Served::start(with(recorder.clone()));
    let mut client = RawClient::connect(served.address());
    client
        .send(lines("SET a 1 \n GET a \n SECOND x \n PING \n PANIC \n GET \n NOSUCH y \n FAIL \n RELEASE x"));
    let replies = client.replies(9);
    assert!(replies.starts_with(b"+OK\r\n$1\r\n1\r\n$8\r\nsecond x\r\n+PONG\r\n-ERR internal error\r\n"));
    let events = recorder.take();
    let mut sorted = events.clone();
    sorted.sort();
    assert_eq!(
        sorted,
        [
            "< FAIL LATE",
            "< GET ERR refused",
            "< GET a ok",
            "< NOSUCH y ERR refused",
            "< PANIC ERR",
            "< PING ok",
            "< RELEASE x ERR",
            "< SECOND x ok",
            "< SET a 1 ok",
            "> FAIL",
            "> GET",
            "> GET a",
            "> NOSUCH y",
            "> PANIC",
            "> PING",
            "> RELEASE x",
            "> SECOND x",
            "> SET a 1",
        ]
    );
    // Two commands for one actor pass together.
    assert_eq!(events[..4], ["> SET a 1", "> GET a", "< SET a 1 ok", "< GET a ok"]);
}

#[test]
fn the_first_middleware_is_the_outermost() {
    let events = Arc::new(Mutex::new(Vec::new()));
    let (outer, inner) = (Recorder::named("outer", &events), Recorder::named("inner", &events));
    let recorder = outer.clone();
    let served = Served::start(move || app().middleware(outer).middleware(inner));
    let mut client = RawClient::connect(served.address());
    client.ask(line("PING"));
    let expected = ["outer > PING", "inner > PING", "inner < PING ok", "outer < PING ok"];
    assert_eq!(recorder.take(), expected);
}

#[test]
fn the_outcome_of_a_blocked_command_comes_with_its_reply() {
    let (timer, took) = timer();
    let served = Served::start(with(timer));
    let (mut client, mut other) =
        (RawClient::connect(served.address()), RawClient::connect(served.address()));
    client.send(lines("FIRST x \n HOLD \n FIRST y"));
    assert_eq!(client.reply(), "$7\r\nfirst x\r\n");
    assert_eq!(took.recv().expect("an outcome").0, "FIRST x");
    std::thread::sleep(Duration::from_millis(20));
    assert!(took.try_recv().is_err(), "HOLD has no reply yet");
    crate::support::eventually(|| (other.ask(line("RELEASE 7")) == ":1\r\n").then_some(()));
    assert_eq!(client.replies(2), ":7\r\n$7\r\nfirst y\r\n");
    let (_, waited) =
        took.iter().find(|(words, _)| words == "HOLD").expect("the outcome of the blocked command");
    assert!(waited >= Duration::from_millis(20), "{waited:?}");
}

#[test]
fn queued_commands_pass_when_they_are_queued_and_have_outcomes_when_they_run() {
    let recorder = Recorder::default();
    let served = Served::start(with(recorder.clone()));
    let mut client = RawClient::connect(served.address());
    client.send(lines("MULTI \n SET a 1 \n PANIC \n EXEC"));
    client.replies(4);
    assert_eq!(
        recorder.take(),
        [
            "> MULTI",
            "< MULTI ok",
            "> SET a 1",
            "> PANIC",
            "> EXEC",
            "< SET a 1 ok",
            "< PANIC ERR",
            "< EXEC ok"
        ]
    );
    client.send(lines("MULTI \n SET a 1 \n DISCARD"));
    client.replies(3);
    assert_eq!(recorder.take(), ["> MULTI", "< MULTI ok", "> SET a 1", "> DISCARD", "< DISCARD ok"]);
}

#[test]
fn a_subscriber_passes_with_its_pushes_in_place() {
    let recorder = Recorder::default();
    let served = Served::start(with(recorder.clone()));
    let mut client = RawClient::connect(served.address());
    client.send(lines("HELLO 3 \n SUBSCRIBE news \n PUBLISH news x \n FIRST y"));
    client.replies(2);
    assert_eq!(client.replies(2), ":1\r\n>3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$1\r\nx\r\n");
    assert_eq!(client.reply(), "$7\r\nfirst y\r\n");
    assert_eq!(recorder.take().iter().filter(|event| event.ends_with(" ok")).count(), 4);
}

#[test]
fn commands_of_shards_and_of_a_fallback_pass() {
    let recorder = Recorder::default();
    let middleware = recorder.clone();
    let served = Served::with(
        move || {
            App::new()
                .mount_shards(4, |_| crate::middleware::Later::default())
                .middleware(middleware)
                .fallback(|request: &Request| format!("{} words", request.len()))
        },
        |server| server.workers(2).bind(crate::support::ANY_PORT),
    );
    let mut client = RawClient::connect(served.address());
    client.send(lines("RELEASE 1 \n ANY THING \n PING"));
    assert_eq!(client.replies(3), ":0\r\n$7\r\n2 words\r\n+PONG\r\n");
    let events = recorder.take();
    assert_eq!(events.iter().filter(|event| event.starts_with('>')).count(), 3, "{events:?}");
    assert_eq!(events.iter().filter(|event| event.ends_with("ok")).count(), 3, "{events:?}");
}

#[thegiant::test]
async fn a_middleware_knows_the_row_the_keys_and_the_client() {
    let (seen, sees) = std::sync::mpsc::channel();
    let seen = Mutex::new(seen);
    let app = app().middleware(move |request: &Request| {
        let keys: Vec<_> = request.keys().map(|key| String::from_utf8_lossy(key).into_owned()).collect();
        let row = request.spec().map(|spec| (spec.name, spec.group));
        let names: Vec<_> = request.flags().names().collect();
        let _ = seen.lock().expect("no panic").send((row, keys, names, request.client().db()));
        thegiant::middleware::Decision::Run
    });
    let server = TestServer::start(app);
    let mut client = server.connect();
    client.call(["MSET", "a", "1", "b", "2"]).await;
    let keys = ["a", "b"].map(str::to_owned).to_vec();
    assert_eq!(sees.recv(), Ok((Some(("MSET", "first")), keys, vec!["write"], 0)));
    client.call(["NOSUCH", "x"]).await;
    assert_eq!(sees.recv(), Ok((None, Vec::new(), Vec::new(), 0)));
}
