use std::{sync::mpsc, time::Duration};

use actix::{Arbiter, SyncArbiter, SyncContext, System};
use thegiant::{Commit, Connected, GroupCommit, prelude::*, test::TestServer};
use tracing::Level;

use crate::support::{ANY_PORT, Log, PATIENCE, RawClient, Served, app, eventually, info, line, lines};

const ACTOR_DOWN: &str = "-ACTORDOWN the actor that answers this command has ended\r\n";
const ENDED: &str = "the actor it::supervision::Fragile has ended";

/// An actor that counts, and that ends in several ways.
#[derive(Default)]
struct Fragile {
    count: i64,
    clients: usize,
    waiting: Vec<Responder<i64>>,
    /// Sends a message when the actor has stopped.
    stopped: Option<mpsc::Sender<()>>,
}

impl Actor for Fragile {
    type Context = Context<Self>;

    fn stopped(&mut self, _: &mut Self::Context) {
        self.stopped.iter().for_each(|stopped| {
            let _ = stopped.send(());
        });
    }
}

#[commands]
impl Fragile {
    #[command("COUNT", write)]
    fn count(&mut self) -> i64 {
        self.count += 1;
        self.count
    }

    /// Returns the number of clients that have connected since the start of this actor.
    #[command("CLIENTS", readonly)]
    fn clients(&self) -> usize {
        self.clients
    }

    /// Blocks until the actor ends.
    #[command("AWAIT", readonly)]
    fn wait(&mut self, responder: Responder<i64>) {
        self.waiting.push(responder);
    }

    #[command("STOP", write)]
    fn stop(&self, context: &mut Context<Self>) {
        context.stop();
    }

    /// Panics in a timer.
    #[command("BREAK", write)]
    fn break_later(&self, context: &mut Context<Self>) {
        context.run_later(Duration::from_millis(1), |_, _| panic!("as it was told"));
    }
}

impl Handler<Connected> for Fragile {
    type Result = ();

    fn handle(&mut self, _: Connected, _: &mut Self::Context) {
        self.clients += 1;
    }
}

/// Starts a server that logs errors.
fn logged(app: impl FnOnce() -> App + Send + 'static) -> (Served, Log) {
    let log = Log::default();
    let log_of_server = log.clone();
    let served = Served::start(move || {
        log_of_server.keep(Level::WARN);
        app()
    });
    (served, log)
}

#[test]
fn an_actor_that_panics_in_a_timer_ends_the_server() {
    let (served, log) = logged(|| app().mount(Fragile::default().start()));
    let mut bystander = RawClient::connect(served.address());
    bystander.let_server_read();
    let mut client = RawClient::connect(served.address());
    assert_eq!(client.ask(line("BREAK")), "+OK\r\n");
    // No client sends a command.
    assert_eq!((client.rest(), bystander.rest()), ("".into(), "".into()));
    assert_eq!(served.ended().expect_err("an actor has ended").to_string(), ENDED);
    let expected = "ERROR an actor has ended, so the server stops actor=\"it::supervision::Fragile\"";
    assert_eq!(log.lines(), [expected]);
}

#[test]
fn an_actor_that_ends_on_another_arbiter_ends_the_server() {
    let (served, _) =
        logged(|| app().mount(Fragile::start_in_arbiter(&Arbiter::new().handle(), |_| Fragile::default())));
    let mut client = RawClient::connect(served.address());
    assert_eq!(client.ask(line("STOP")), "+OK\r\n");
    assert_eq!(client.rest(), "");
    assert_eq!(served.ended().expect_err("an actor has ended").to_string(), ENDED);
}

#[test]
fn requests_for_an_ended_actor_are_refused_and_stop_the_server_at_once() {
    let (served, log) = logged(|| app().mount(Fragile::default().start()));
    let mut client = RawClient::connect(served.address());
    // The actor runs consecutive commands in one go, so it ends before the second `COUNT`.
    client.send(lines("COUNT \n STOP \n SECOND b \n COUNT \n INFO server \n PING"));
    assert_eq!(client.replies(4), format!(":1\r\n+OK\r\n$8\r\nsecond b\r\n{ACTOR_DOWN}"));
    let shown = String::from_utf8_lossy(&client.reply()).into_owned();
    assert!(
        shown.contains("\r\nthegiant_actors:3\r\nthegiant_actors_down:1\r\nthegiant_actor_restarts:0\r\n"),
        "{shown}"
    );
    assert_eq!(client.rest(), "+PONG\r\n");
    assert_eq!(served.ended().expect_err("an actor has ended").to_string(), ENDED);
    assert_eq!(log.lines().len(), 1, "{:?}", log.lines());
}

#[test]
fn a_stop_of_the_server_logs_no_actor() {
    let (served, log) = logged(|| {
        let arbiter = Arbiter::new().handle();
        app()
            .mount(Fragile::start_in_arbiter(&arbiter, |_| Fragile::default()))
            .mount_supervised(Second::default)
    });
    let mut client = RawClient::connect(served.address());
    assert_eq!(client.ask(line("COUNT")), ":1\r\n");
    served.stop().expect("it ends in order");
    assert_eq!(log.lines(), [""; 0]);
}

/// The system ends the actors of other arbiters, but not those of the server's thread.
#[test]
fn a_stop_of_the_system_logs_no_actor() {
    let (served, log) = logged(|| {
        let arbiter = Arbiter::new().handle();
        App::new()
            .mount(Fragile::start_in_arbiter(&arbiter, |_| Fragile::default()))
            .fallback(|_: &thegiant::Request<'_>| System::current().stop())
    });
    let mut client = RawClient::connect(served.address());
    assert_eq!(client.ask(line("STOP.SYSTEM")), "+OK\r\n");
    assert_eq!(client.rest(), "");
    served.ended().expect("it ends in order");
    assert_eq!(log.lines(), [""; 0]);
}

/// A second supervised actor.
#[derive(Default)]
struct Second;

impl Actor for Second {
    type Context = Context<Self>;
}

#[commands]
impl Second {
    #[command("OTHER")]
    fn other(&self) {}
}

fn supervised() -> App {
    let app = App::new().mount_supervised(Fragile::default).mount_supervised(Second::default);
    let fragile = app.address::<Fragile>();
    app.on_connect(fragile)
}

#[test]
fn a_supervised_actor_starts_again_with_a_new_state() {
    let (served, log) = logged(supervised);
    let mut client = RawClient::connect(served.address());
    for (restarts, end) in (0..).zip(["STOP", "BREAK", "STOP"]) {
        assert_eq!(info(&mut client, "server").number("thegiant_actor_restarts"), restarts);
        client.send(lines("COUNT \n COUNT"));
        assert_eq!(client.replies(2), ":1\r\n:2\r\n");
        assert_eq!(client.ask(line(end)), "+OK\r\n");
        eventually(|| {
            (info(&mut client, "server").number("thegiant_actor_restarts") > restarts).then_some(())
        });
    }
    assert_eq!(client.ask(line("COUNT")), ":1\r\n");
    // The address that the server was given still belongs to the actor.
    let _second = RawClient::connect(served.address());
    eventually(|| (client.ask(line("CLIENTS")) == ":1\r\n").then_some(()));
    let shown = info(&mut client, "server");
    assert_eq!((shown.number("thegiant_actors"), shown.number("thegiant_actors_down")), (2, 0));
    served.stop().expect("it ends in order");
    let ends: Vec<_> =
        log.lines().iter().map(|line| line.rsplit_once(": ").expect("a reason").1.to_owned()).collect();
    let begin = "ERROR a supervised actor has ended and is started again";
    assert!(log.lines().iter().all(|line| line.starts_with(begin)), "{:?}", log.lines());
    for (end, expected) in ends.iter().zip(["it stopped", "it panicked", "it stopped"]) {
        assert!(end.starts_with(&format!("{expected} actor=\"it::supervision::Fragile\" wait_ms=")), "{end}");
    }
    assert_eq!(ends.len(), 3);
}

/// The client of the blocked command gets its error at once; the others wait for the new actor.
#[test]
fn requests_that_wait_when_a_supervised_actor_ends_fail_and_later_ones_are_answered() {
    let served = Served::start(supervised);
    let [mut blocked, mut client, mut other] = [(); 3].map(|()| RawClient::connect(served.address()));
    blocked.send(line("AWAIT"));
    eventually(|| (info(&mut other, "clients").number("blocked_clients") == 1).then_some(()));
    // The batch has requests for another actor between, so the last ones come when the actor has ended.
    client.send(lines("COUNT \n STOP"));
    assert_eq!(client.replies(2), ":1\r\n+OK\r\n");
    assert_eq!(blocked.reply(), "-ERR the command was dropped without a reply\r\n");
    client.send(lines("COUNT \n OTHER \n COUNT"));
    assert_eq!(client.replies(3), ":1\r\n+OK\r\n:2\r\n");
}

#[test]
fn a_transaction_during_which_a_supervised_actor_ends_is_aborted() {
    let served = Served::start(supervised);
    let mut client = RawClient::connect(served.address());
    // `PUBLISH` runs on the connection, so the actor ends between the two halves of the transaction.
    client.send(lines("MULTI \n COUNT \n STOP \n PUBLISH news b \n COUNT \n EXEC \n COUNT"));
    client.replies(5);
    assert_eq!(
        client.replies(2),
        "-EXECABORT Transaction discarded because of: ACTORDOWN the actor that answers this command has ended\r\n\
         :1\r\n"
    );
}

#[test]
fn a_supervised_actor_ends_with_its_server() {
    let (send_stopped, stopped) = mpsc::channel();
    let served = Served::start(move || {
        App::new()
            .mount_supervised(move || Fragile { stopped: Some(send_stopped.clone()), ..Fragile::default() })
    });
    let mut client = RawClient::connect(served.address());
    assert_eq!(client.ask(line("COUNT")), ":1\r\n");
    served.stop().expect("it ends in order");
    stopped.recv_timeout(PATIENCE).expect("the actor has stopped");
}

#[thegiant::test]
async fn a_supervised_actor_that_cannot_start_is_tried_again_less_and_less_often() {
    tokio::time::pause();
    let begin = tokio::time::Instant::now();
    let mut attempts = 0;
    let server = TestServer::start(App::new().mount_supervised(move || {
        attempts += 1;
        assert!(attempts > 10, "as it was told");
        Fragile::default()
    }));
    let mut client = server.connect();
    let mut refused = 0;
    while client.call(["COUNT"]).await != Value::Integer(1) {
        refused += 1;
    }
    // The first of the ten attempts fails before the first request.
    assert_eq!(refused, 9);
    // 100 ms, doubled up to 5 s; a random part takes up to half of each delay.
    let (shortest, longest) = (Duration::from_secs(13), Duration::from_secs(27));
    let took = begin.elapsed();
    assert!((shortest..longest).contains(&took), "{took:?}");
}

/// A store whose data is lost with the actor.
#[derive(Default)]
struct Store {
    fails: bool,
}

impl Actor for Store {
    type Context = Context<Self>;
}

#[commands(group_commit)]
impl Store {
    #[command("SET", write)]
    fn set(&mut self, fails: u16) {
        self.fails = fails == 1;
    }
}

impl GroupCommit for Store {
    fn commit(&mut self, _: &mut Context<Self>) -> Commit {
        if self.fails { Err(Error::new("MISCONF", "the disk is full")) } else { Ok(()) }.into()
    }

    fn rollback(&mut self, _: &Error, context: &mut Context<Self>) {
        context.stop();
    }
}

#[test]
fn a_supervised_actor_that_cannot_roll_back_is_started_again() {
    let served = Served::start(|| App::new().mount_supervised(Store::default));
    let mut client = RawClient::connect(served.address());
    for _ in 0..2 {
        assert_eq!(client.ask(line("SET 0")), "+OK\r\n");
        assert_eq!(client.ask(line("SET 1")), "-MISCONF the disk is full\r\n");
    }
    assert_eq!(client.ask(line("SET 0")), "+OK\r\n");
}

/// A member of a pool.
#[derive(Default)]
struct Member(i64);

impl Actor for Member {
    type Context = SyncContext<Self>;
}

#[derive(actix::Message)]
#[rtype(result = "()")]
struct Panic;

#[commands]
impl Member {
    #[command("COUNT", write)]
    fn count(&mut self) -> i64 {
        self.0 += 1;
        self.0
    }

    #[command("STOP", write)]
    fn stop(&self, context: &mut SyncContext<Self>) {
        context.stop();
    }

    /// Panics in the handler of another message.
    #[command("BREAK", write)]
    fn break_later(&self, context: &mut SyncContext<Self>) {
        context.address().do_send(Panic);
    }
}

impl Handler<Panic> for Member {
    type Result = ();

    fn handle(&mut self, _: Panic, _: &mut Self::Context) {
        panic!("as it was told");
    }
}

#[test]
fn a_pool_replaces_a_member_that_stops_and_ends_the_server_without_members() {
    let served = Served::with(
        || App::new().mount(SyncArbiter::start(1, Member::default)),
        |server| server.bind(ANY_PORT),
    );
    let mut client = RawClient::connect(served.address());
    assert_eq!(client.ask(line("COUNT")), ":1\r\n");
    assert_eq!(client.ask(line("STOP")), "+OK\r\n");
    assert_eq!(client.ask(line("COUNT")), ":1\r\n");
    assert_eq!(client.ask(line("BREAK")), "+OK\r\n");
    while let Ok(reply) = client.try_send(line("COUNT")).and_then(|()| client.try_reply()) {
        assert_eq!(reply, ACTOR_DOWN);
    }
    let error = served.ended().expect_err("the pool has ended").to_string();
    assert_eq!(error, "the actor it::supervision::Member has ended");
}
