use thegiant::{
    Authenticate, Identity,
    cluster::{Cluster, Topology},
    prelude::*,
    test::TestServer,
};

use super::{log_in, start};
use crate::support::{ANY_PORT, RawClient, Served, line, lines, request};

const OK: &str = "+OK\r\n";

#[test]
fn a_login_in_a_pipeline_changes_the_keys_behind_it() {
    for options in [&[][..], &["--threads", "3"]] {
        let kv = start(options);
        let mut client = RawClient::connect(kv.address());
        client.send(lines(
            "MSET k default l default \n AUTH alice x \n MSET k alice l alice \n GET k \n RESET \n GET k \n HELLO 2 AUTH bob x \n
             GET k \n SET k bob \n MGET k l \n AUTH alice x \n MGET k l \n AUTH alice x \n GET k \n RESET \n MGET k l alice:k",
        ));
        client.replies(3);
        assert_eq!(client.replies(3), "$5\r\nalice\r\n+RESET\r\n$7\r\ndefault\r\n");
        client.reply();
        assert_eq!(client.replies(3), "$-1\r\n+OK\r\n*2\r\n$3\r\nbob\r\n$-1\r\n");
        assert_eq!(client.replies(2), "+OK\r\n*2\r\n$5\r\nalice\r\n$5\r\nalice\r\n");
        assert_eq!(client.replies(3), "+OK\r\n$5\r\nalice\r\n+RESET\r\n");
        assert_eq!(client.reply(), "*3\r\n$7\r\ndefault\r\n$7\r\ndefault\r\n$5\r\nalice\r\n");
    }
}

#[test]
fn a_login_in_a_transaction_is_refused() {
    let kv = start(&[]);
    let mut client = log_in(kv.address(), "alice");
    let refused =
        "-ERR a user with other keys cannot log in inside a transaction: send AUTH before MULTI\r\n";
    for login in ["AUTH bob x", "HELLO 3 AUTH bob x"] {
        client.send(lines(&format!("MULTI \n SET k 1 \n {login} \n AUTH alice x \n GET k \n EXEC \n GET k")));
        assert_eq!(client.replies(5), format!("{OK}{}", "+QUEUED\r\n".repeat(4)));
        assert_eq!(client.replies(2), format!("*4\r\n{OK}{refused}{OK}$1\r\n1\r\n$1\r\n1\r\n"));
    }
    client.ask(lines("DEL k"));
    client.send(lines("MULTI \n SET k alice \n RESET \n SET k default"));
    assert_eq!(client.replies(4), "+OK\r\n+QUEUED\r\n+RESET\r\n+OK\r\n");
    assert_eq!(log_in(kv.address(), "alice").ask(lines("EXISTS k")), ":0\r\n");
}

#[test]
fn another_user_has_none_of_the_subscriptions_and_watched_keys() {
    let kv = start(&[]);
    let mut client = log_in(kv.address(), "alice");
    client.send(lines("HELLO 3 \n SUBSCRIBE c \n CLIENT TRACKING ON BCAST \n WATCH k \n AUTH bob x"));
    client.replies(5);
    let mut alice = log_in(kv.address(), "alice");
    alice.send(lines("SET k 1 \n PUBLISH c x"));
    assert_eq!(alice.replies(2), "+OK\r\n:0\r\n");
    client.send(lines("MULTI \n GET k \n EXEC \n CLIENT GETREDIR \n UNSUBSCRIBE"));
    assert_eq!(client.replies(4), "+OK\r\n+QUEUED\r\n*1\r\n_\r\n:-1\r\n");
    assert_eq!(client.reply(), ">3\r\n$11\r\nunsubscribe\r\n_\r\n:0\r\n");
}

/// Names the user in the password, and the prefix.
struct Tokens;

impl Actor for Tokens {
    type Context = Context<Self>;
}

impl Handler<Authenticate> for Tokens {
    type Result = Result<Identity, Error>;

    fn handle(&mut self, login: Authenticate, _: &mut Context<Self>) -> Self::Result {
        let identity = match login.user.as_str() {
            "app" => Identity::with_rules("app", "allkeys allchannels +@all"),
            user => Identity::user(user),
        };
        Ok(match login.password.as_bytes() {
            b"none" => identity,
            prefix => identity.key_prefix(prefix.to_vec()),
        })
    }
}

/// Returns its argument, so that a test sees the name of the key on the server.
struct Names;

impl Actor for Names {
    type Context = Context<Self>;
}

#[commands]
impl Names {
    /// Returns the name of the key on the server, and as the client knows it.
    #[command("NAME", readonly)]
    fn name<'a>(&self, key: Key<&'a [u8]>) -> (&'a [u8], Key<&'a [u8]>) {
        (key.0, key)
    }

    /// Returns the names of a channel, or of a pattern, and of the keys behind it.
    #[command("CHANNEL", channels)]
    fn channel<'a>(&self, channel: &'a [u8], keys: Vec<Key<&'a [u8]>>) -> (&'a [u8], Vec<&'a [u8]>) {
        (channel, keys.into_iter().map(Key::into_inner).collect())
    }

    /// Returns the names of a pattern and of a key.
    #[command("PATTERN", patterns)]
    fn pattern<'a>(&self, pattern: &'a [u8], key: Key<&'a [u8]>) -> (&'a [u8], &'a [u8]) {
        (pattern, key.0)
    }

    /// Returns the name of a channel that is a key, and of another key.
    #[command("BOTH", channels)]
    fn both<'a>(&self, channel: Key<&'a [u8]>, key: Key<&'a [u8]>) -> (&'a [u8], &'a [u8]) {
        (channel.0, key.0)
    }
}

fn server() -> TestServer {
    let app = || App::new().mount(Names.start()).authenticate(Tokens.start());
    let server = Server::new(app).user("worker", "on ~* +@all");
    TestServer::with(server.key_prefix(|user| (user == "worker").then_some("w:")))
}

#[thegiant::test]
async fn an_identity_decides_about_the_prefix() {
    let server = server();
    let mut client = server.connect();
    for (login, name) in [
        ("AUTH app one:", "one:k"),
        ("AUTH app none", "k"),
        ("AUTH worker none", "w:k"),
        ("AUTH worker two:", "two:k"),
        ("AUTH worker \"\"", "k"),
    ] {
        client.send(format!("{login}\r\nNAME k\r\n")).await;
        client.expect(format!("+OK\r\n*2\r\n${}\r\n{name}\r\n$1\r\nk\r\n", name.len())).await;
    }
}

#[thegiant::test]
async fn a_prefix_can_have_any_bytes() {
    let server = server();
    let mut client = server.connect();
    let large = "x".repeat(100_000);
    for prefix in [&b"*?[a]\\"[..], b"\xff\0\r\n$1", large.as_bytes()] {
        client.send(request([&b"AUTH"[..], b"app", prefix])).await;
        client.expect(OK).await;
        for key in [&b"k"[..], b"", b"\0\xff\r\n", large.as_bytes()] {
            client.send(request([&b"NAME"[..], key])).await;
            let name = [prefix, key].concat();
            let bulk = |text: &[u8]| [format!("${}\r\n", text.len()).as_bytes(), text, b"\r\n"].concat();
            client.expect([b"*2\r\n".to_vec(), bulk(&name), bulk(key)].concat()).await;
        }
    }
}

#[thegiant::test]
async fn channels_and_keys_of_one_request_have_their_prefixes() {
    let server = server();
    let mut client = server.connect();
    client.send("AUTH app a*:\r\nCHANNEL c k l\r\nPATTERN p k\r\nBOTH c k\r\n").await;
    client.expect("+OK\r\n*2\r\n$4\r\na*:c\r\n*2\r\n$4\r\na*:k\r\n$4\r\na*:l\r\n").await;
    client.expect("*2\r\n$5\r\na\\*:p\r\n$4\r\na*:k\r\n*2\r\n$4\r\na*:c\r\n$4\r\na*:k\r\n").await;
}

/// Two such names could get the same prefix.
#[thegiant::test]
async fn a_user_whose_name_is_not_text_cannot_log_in() {
    let app = || App::new().mount(Names.start());
    let server =
        TestServer::with(Server::new(app).key_prefix(|user| (user != "default").then(|| user.to_owned())));
    let mut client = server.connect();
    client.send(&b"ACL SETUSER \"\\xff\" on nopass ~* +@all\r\nAUTH \"\\xff\" x\r\nNAME k\r\n"[..]).await;
    client.expect("+OK\r\n-ERR internal error\r\n*2\r\n$1\r\nk\r\n$1\r\nk\r\n").await;
}

/// Clients compute the slot of a key from its name without the prefix.
#[test]
fn an_instance_of_a_cluster_has_no_tenants() {
    let cluster = || {
        let topology = Topology::parse("version 1\na 127.0.0.1:7001 0-8191\nb 127.0.0.1:7002 8192-16383");
        Cluster::new(topology.expect("a topology"), "a").upstream(None)
    };
    let app = || App::new().mount(Names.start()).authenticate(Tokens.start());
    let with_prefixes = Served::try_with(app, move |server: Server| {
        Ok(server.bind(ANY_PORT)?.cluster(cluster())?.key_prefix(|user| Some(format!("{user}:"))))
    });
    let error = match with_prefixes {
        Ok(served) => served.ended().expect_err("both"),
        Err(error) => error,
    };
    assert!(error.to_string().contains("an instance of a cluster cannot have key prefixes"), "{error}");
    let served = Served::with(app, move |server| server.bind(ANY_PORT)?.cluster(cluster()));
    let mut client = RawClient::connect(served.address());
    assert_eq!(client.ask(line("AUTH app a:")), "-ERR internal error\r\n");
    assert_eq!(client.ask(line("AUTH app none")), OK);
}
