//! Identities that an actor of the application knows.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use actix::clock::sleep;
use thegiant::{Authenticate, Identity, Timeouts, prelude::*, test::TestServer};
use tracing::Level;

use crate::support::{ANY_PORT, Log, RawClient, Served, app, client_list, line, lines};

const WRONG: &str = "-WRONGPASS invalid username-password pair or user is disabled.\r\n";
const INTERNAL: &str = "-ERR internal error\r\n";
const NO_AUTH: &str = "-NOAUTH Authentication required.\r\n";
const OK: &str = "+OK\r\n";

/// Answers by the token, and counts the questions.
struct Tokens(Arc<AtomicUsize>);

impl Actor for Tokens {
    type Context = Context<Self>;
}

impl Handler<Authenticate> for Tokens {
    type Result = ResponseFuture<Result<Identity, Error>>;

    fn handle(&mut self, login: Authenticate, context: &mut Context<Self>) -> Self::Result {
        assert!(format!("{login:?}").contains("Password(…)"), "{login:?}");
        self.0.fetch_add(1, Relaxed);
        let token = login.password.as_str().unwrap_or_default().to_owned();
        match &*token {
            "panic" => panic!("a bad token"),
            "stop" => context.stop(),
            _ => {}
        }
        Box::pin(async move {
            match &*token {
                "own" => Ok(Identity::with_rules(login.user, "~own:* &own +@all -get")),
                "worker" => Ok(Identity::user("worker")),
                "disabled" => Ok(Identity::user("disabled")),
                "ghost" => Ok(Identity::user("ghost")),
                "mistake" => Ok(Identity::with_rules("mistaken", "nosuch")),
                "space" => Ok(Identity::with_rules("a b", "+@all")),
                "slow" => {
                    sleep(Duration::from_secs(30)).await;
                    Ok(Identity::with_rules("slow", "allkeys +@all"))
                }
                "expired" => Err(Error::new("WRONGPASS", "the token has expired")),
                "down" => Err(Error::internal("the token server is down")),
                _ => Err(Error::WRONG_PASSWORD),
            }
        })
    }
}

fn configured(server: Server) -> Server {
    server
        .user("worker", "on ~jobs:* +@all")
        .user("disabled", "off ~* +@all")
        .user("local", "on >secret ~* &* +@all")
        .timeouts(Timeouts::new().auth_delay(None))
}

/// A server in memory, and the number of questions to the actor.
fn test_server() -> (TestServer, Arc<AtomicUsize>) {
    tokio::time::pause();
    let asked = Arc::new(AtomicUsize::new(0));
    let tokens = Tokens(Arc::clone(&asked));
    let app = || App::new().fallback(|_: &Request| Simple("hello")).authenticate(tokens.start());
    (TestServer::with(configured(Server::new(app))), asked)
}

fn served() -> Served {
    Served::with(
        || app().authenticate(Tokens(Arc::default()).start()),
        |server| configured(server).bind(ANY_PORT),
    )
}

#[thegiant::test]
async fn an_identity_tracks_the_prefixes_that_its_rules_allow() {
    let (server, _) = test_server();
    let mut client = server.connect();
    client.send("AUTH alice own\r\nCLIENT TRACKING ON BCAST PREFIX own:1\r\n").await;
    client.expect("+OK\r\n+OK\r\n").await;
    client.send("CLIENT TRACKING ON BCAST PREFIX other:\r\n").await;
    client
        .expect("-NOPERM this user has no permissions to access one of the keys used as arguments\r\n")
        .await;
}

#[thegiant::test]
async fn the_actor_is_asked_about_users_that_the_server_does_not_know() {
    let (server, asked) = test_server();
    let mut client = server.connect();
    client.send("HI\r\nHELLO 3\r\n").await;
    client
        .expect([NO_AUTH, "-NOAUTH HELLO must be called with the client already authenticated"].concat())
        .await;
    for (request, reply, is_asked) in [
        ("AUTH alice own", OK, true),
        ("AUTH own", OK, true),
        ("AUTH default own", OK, true),
        ("AUTH alice worker", OK, true),
        ("AUTH worker worker", OK, true),
        ("AUTH worker nope", WRONG, true),
        ("AUTH alice nope", WRONG, true),
        ("AUTH alice expired", "-WRONGPASS the token has expired\r\n", true),
        ("AUTH alice disabled", WRONG, true),
        ("AUTH alice ghost", INTERNAL, true),
        ("AUTH alice mistake", INTERNAL, true),
        ("AUTH alice space", INTERNAL, true),
        ("AUTH alice down", INTERNAL, true),
        ("AUTH local secret", OK, false),
        ("AUTH local own", WRONG, false),
        ("AUTH disabled own", WRONG, false),
        ("AUTH \"\\xff\" own", WRONG, false),
        ("HELLO 2 AUTH alice nope", WRONG, true),
        ("HELLO 2 SETNAME \"a b\" AUTH alice own", "-ERR Client names cannot contain", false),
        ("HELLO 2 AUTH alice own NOPE", "-ERR Syntax error in HELLO option 'NOPE'\r\n", true),
        ("HELLO 2 AUTH alice own AUTH bob own", "-ERR this login has to wait", true),
        ("HELLO 2 AUTH alice own AUTH local nope", WRONG, true),
        ("HELLO 2 AUTH alice own AUTH local secret", "*14\r\n", true),
        ("HELLO 2 AUTH alice own SETNAME me", "*14\r\n", true),
    ] {
        let before = asked.load(Relaxed);
        let mut client = server.connect();
        client.send(format!("{request}\r\nQUIT\r\n")).await;
        let replies = client.rest().await;
        assert!(replies.starts_with(reply.as_bytes()), "{request}: {replies:?}");
        assert_eq!(asked.load(Relaxed) - before, usize::from(is_asked), "{request}");
    }
}

#[test]
fn an_identity_has_its_own_rules_or_those_of_a_user() {
    let served = served();
    let mut admin = RawClient::connect(served.address());
    assert_eq!(admin.ask(line("AUTH local secret")), OK);
    let mut client = RawClient::connect(served.address());
    let no_key = "-NOPERM this user has no permissions to access one of the keys used as arguments\r\n";
    let no_get = "-NOPERM this user has no permissions to run the 'get' command\r\n";
    client.send(lines(
        "HELLO 2 AUTH alice own SETNAME me \n SET own:a 1 \n SET other 1 \n GET own:a \n ACL WHOAMI",
    ));
    client.reply();
    assert_eq!(client.replies(4), format!("{OK}{no_key}{no_get}$5\r\nalice\r\n"));
    let shown = client_list(&mut admin, "");
    assert!(
        shown.iter().any(|client| client.text("user") == "alice" && client.text("name") == "me"),
        "{shown:?}"
    );
    assert_eq!(admin.ask(line("ACL GETUSER alice")), "$-1\r\n");
    // A user of the same name, and its end, are another one.
    for change in ["ACL SETUSER alice on >x +@all allkeys", "ACL SETUSER alice off", "ACL DELUSER alice"] {
        admin.ask(line(change));
        assert_eq!(client.ask(line("GET own:a")), no_get, "{change}");
        assert_eq!(client.ask(line("DEL own:a")).len(), 4, "{change}");
    }
    // Its next login ends the first one.
    client.send(lines("AUTH alice worker \n ACL WHOAMI \n SET own:a 1 \n SET jobs:a 1 \n GET jobs:a"));
    assert_eq!(client.replies(5), format!("{OK}$6\r\nworker\r\n{no_key}{OK}$1\r\n1\r\n"));
    admin.ask(line("ACL SETUSER worker -get"));
    assert_eq!(client.ask(line("GET jobs:a")), no_get);
    client.send(lines(
        "AUTH alice own \n SET own:a 1 \n RESET \n SET own:a 1 \n AUTH local secret \n GET own:a",
    ));
    assert_eq!(client.replies(6), format!("{OK}{OK}+RESET\r\n{NO_AUTH}{OK}$1\r\n1\r\n"));
    // A refused login changes nothing.
    client.send(lines("AUTH alice own \n AUTH alice nope \n ACL WHOAMI \n GET own:a \n DEL own:a"));
    assert_eq!(client.replies(5), format!("{OK}{WRONG}$5\r\nalice\r\n{no_get}:1\r\n"));
}

/// Messages and invalidations, too.
#[test]
fn an_identity_listens_to_its_own_channels_only() {
    let served = served();
    let mut client = RawClient::connect(served.address());
    client.send(lines("AUTH alice own \n SUBSCRIBE other \n SUBSCRIBE own"));
    client.reply();
    assert!(client.reply().starts_with(b"-NOPERM"));
    assert!(client.reply().starts_with(b"*3\r\n$9\r\nsubscribe"));
    let mut admin = RawClient::connect(served.address());
    admin.send(lines("AUTH local secret \n ACL SETUSER alice on \n ACL DELUSER alice \n PUBLISH own 1"));
    assert_eq!(admin.replies(4), format!("{OK}{OK}:1\r\n:1\r\n"));
    assert_eq!(client.reply(), "*3\r\n$7\r\nmessage\r\n$3\r\nown\r\n$1\r\n1\r\n");
}

#[thegiant::test]
async fn a_slow_answer_holds_up_its_client_only() {
    let (server, asked) = test_server();
    let (mut slow, mut other) = (server.connect(), server.connect());
    slow.send("HI\r\nAUTH x slow\r\nHI\r\nHELLO 3 AUTH x slow\r\nHI\r\n").await;
    slow.expect(NO_AUTH).await;
    let start = tokio::time::Instant::now();
    other.send("AUTH local secret\r\nHI\r\nCLIENT LIST\r\n").await;
    other.expect("+OK\r\n+hello\r\n").await;
    let list = format!("{:?}", other.reply().await);
    assert!(list.contains("flags=b") && list.contains("cmd=auth"), "{list}");
    assert!(start.elapsed() < Duration::from_secs(1));
    slow.expect("+OK\r\n+hello\r\n").await;
    assert!(matches!(slow.reply().await, Value::Map(_)));
    slow.expect("+hello\r\n").await;
    assert_eq!((start.elapsed().as_secs(), asked.load(Relaxed)), (60, 2));
}

#[thegiant::test]
async fn a_wait_ends_with_a_timeout_the_client_or_the_server() {
    let (server, asked) = test_server();
    let mut client = server.connect();
    client.send("AUTH local secret\r\nCONFIG SET reply-timeout 5\r\nAUTH x slow\r\nHI\r\n").await;
    client.expect("+OK\r\n+OK\r\n-TIMEOUT the command was not answered in time\r\n+hello\r\n").await;
    client.send("CONFIG SET reply-timeout 0\r\nCONFIG SET auth-timeout 10\r\n").await;
    client.expect("+OK\r\n+OK\r\n").await;
    let mut unauthenticated = server.connect();
    unauthenticated.send("AUTH x slow\r\n").await;
    assert!(unauthenticated.rest().await.is_empty(), "it has no time left");
    client.send("AUTH x slow\r\n").await;
    sleep(Duration::from_secs(1)).await;
    let mut other = server.connect();
    drop(client);
    sleep(Duration::from_millis(10)).await;
    other.send("AUTH local secret\r\nINFO clients\r\n").await;
    other.expect(OK).await;
    assert!(format!("{:?}", other.reply().await).contains("connected_clients:1\\r"));
    assert_eq!(asked.load(Relaxed), 3);
    other.send("AUTH x slow\r\nHI\r\n").await;
    sleep(Duration::from_secs(1)).await;
    server.stop().await.expect("it stops");
    other.expect("-UNBLOCKED the server is shutting down\r\n").await;
}

#[test]
fn an_actor_that_fails_is_logged() {
    for token in ["panic", "stop"] {
        let (sender, receiver) = std::sync::mpsc::channel();
        let served = Served::with(
            move || {
                let log = Log::default();
                log.keep(Level::ERROR);
                let _ = sender.send(log);
                app().authenticate(Tokens(Arc::default()).start())
            },
            |server| configured(server).bind(ANY_PORT),
        );
        let log: Log = receiver.recv().expect("the application starts");
        let mut client = RawClient::connect(served.address());
        client.ask(line(&format!("AUTH x {token}")));
        assert_eq!(client.ask(line("AUTH x own")), INTERNAL);
        assert_eq!(client.ask(line("HELLO 3 AUTH x own")), INTERNAL);
        let lines = log.lines();
        let reason = "reason=\"the actor that authenticates has ended: Mailbox has closed\"";
        assert!(lines.iter().filter(|line| line.contains(reason)).count() >= 2, "{lines:?}");
        assert!(lines.iter().any(|line| line.contains("command=\"HELLO\"")), "{lines:?}");
        assert_eq!(client.ask(line("AUTH local secret")), OK);
    }
}

#[thegiant::test]
async fn transactions_ask_nobody() {
    let (server, asked) = test_server();
    let mut client = server.connect();
    client.send("AUTH local secret\r\nMULTI\r\nAUTH x own\r\nAUTH local secret\r\nEXEC\r\n").await;
    let refused = "-ERR this login has to wait, which it cannot do in a transaction or behind another login: send AUTH alone\r\n";
    client.expect(format!("{OK}{OK}+QUEUED\r\n+QUEUED\r\n*2\r\n{refused}{OK}")).await;
    assert_eq!(asked.load(Relaxed), 0);
}

#[thegiant::test]
async fn the_default_user_has_to_log_in_unless_the_program_says_otherwise() {
    for (rules, reply) in
        [("on", NO_AUTH), ("on >pw", NO_AUTH), ("on nopass", "+hello\r\n"), ("off", NO_AUTH)]
    {
        let app = || {
            App::new().fallback(|_: &Request| Simple("hello")).authenticate(Tokens(Arc::default()).start())
        };
        let server = TestServer::with(Server::new(app).user("default", rules));
        let mut client = server.connect();
        client.send("HI\r\n").await;
        client.expect(reply).await;
    }
}

#[test]
#[should_panic(expected = "only one of two merged applications can authenticate clients")]
fn two_merged_applications_cannot_both_authenticate() {
    actix::System::new().block_on(async {
        let app = || App::new().authenticate(Tokens(Arc::default()).start());
        drop(app().merge(app()));
    });
}
