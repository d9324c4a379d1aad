use std::{collections::VecDeque, time::Duration};

use thegiant::{
    ArrayStream,
    prelude::*,
    test::{TestClient, TestServer},
};

use super::{log_in, start};
use crate::support::{RawClient, lines};

/// Has lists of values, and replies with names of keys in every way.
#[derive(Default)]
struct Lists {
    pushed: VecDeque<(Bytes, Bytes)>,
    waiting: Vec<(Bytes, Responder<(Key, Bytes)>)>,
}

impl Actor for Lists {
    type Context = Context<Self>;
}

#[commands]
impl Lists {
    /// Adds a value to a list, or gives it to a client that waits.
    #[command("LPUSH", write)]
    fn lpush(&mut self, key: Key, value: Bytes) {
        match self.waiting.iter().position(|(waiting, _)| *waiting == key.0) {
            Some(index) => drop(self.waiting.swap_remove(index).1.send((key, value))),
            None => self.pushed.push_back((key.0, value)),
        }
    }

    /// Waits for a value, at most for some milliseconds; 0 means a day.
    #[command("BLPOP", write, blocking)]
    fn blpop(&mut self, key: Key, timeout: u64, responder: Responder<(Key, Bytes)>) {
        self.waiting.retain(|(_, responder)| !responder.is_closed());
        let timeout = Duration::from_millis(if timeout == 0 { 86_400_000 } else { timeout });
        let nil = (Key(Bytes::from("alice:nil")), Bytes::new());
        self.waiting.push((key.0, responder.timeout(timeout, nil)));
    }

    /// Replies with the keys of all lists in parts.
    #[command("LISTS", readonly, tenant_safe)]
    fn lists(&self, client: &Client) -> ArrayStream {
        let prefix = client.key_prefix();
        let keys = self.pushed.iter().map(|(key, _)| key.clone()).filter(|key| key.starts_with(&prefix));
        ArrayStream::new(keys.map(Key).collect::<Vec<_>>())
    }

    /// Replies with a key of somebody else.
    #[command("LEAK", readonly)]
    fn leak(&self, _key: Key) -> Vec<Key<&'static str>> {
        vec![Key("alice:k"), Key("bob:k")]
    }

    /// Pushes the name of a key.
    #[command("TELL", readonly)]
    fn tell(&self, client: &Client, key: Key) {
        client.push(("told", key));
    }

    /// Has keys in some requests only.
    #[command("MAYBE", readonly)]
    fn maybe(&self, keys: Option<Vec<Key<&[u8]>>>) -> usize {
        keys.map_or(0, |keys| keys.len())
    }

    /// Shows values of all clients.
    #[command("VALUES", readonly)]
    fn values(&self) -> Vec<&Bytes> {
        self.pushed.iter().map(|(_, value)| value).collect()
    }
}

fn server() -> TestServer {
    let app = || App::new().mount(Lists::default().start()).fallback(|_: &Request| Simple("fallback"));
    let server = Server::new(app).user("alice", "on nopass ~* &* +@all");
    TestServer::with(server.key_prefix(|user| (user == "alice").then_some("alice:")))
}

async fn alice(server: &TestServer) -> TestClient {
    let mut client = server.connect();
    client.send("HELLO 3 AUTH alice x\r\n").await;
    client.reply().await;
    client
}

#[thegiant::test]
async fn keys_in_replies_have_no_prefix() {
    let server = server();
    let mut operator = server.connect();
    operator.send("LPUSH default 1\r\nVALUES\r\nANY\r\n").await;
    operator.expect("+OK\r\n*1\r\n$1\r\n1\r\n+fallback\r\n").await;
    let mut client = alice(&server).await;
    client.send("LPUSH l 2\r\nLISTS\r\nTELL k\r\nCOMMAND GETKEYS LPUSH l 2\r\n").await;
    client.expect("+OK\r\n*1\r\n$1\r\nl\r\n+OK\r\n*1\r\n$1\r\nl\r\n>2\r\n$4\r\ntold\r\n$1\r\nk\r\n").await;
    client.send("BLPOP w 0\r\nMULTI\r\nMAYBE k\r\nLEAK k\r\nEXEC\r\n").await;
    operator.send("LPUSH w 3\r\nLPUSH alice:w 4\r\nLISTS\r\n").await;
    operator.expect("+OK\r\n+OK\r\n*3\r\n$7\r\ndefault\r\n$7\r\nalice:l\r\n$1\r\nw\r\n").await;
    client.expect("*2\r\n$1\r\nw\r\n$1\r\n4\r\n+OK\r\n+QUEUED\r\n+QUEUED\r\n").await;
    client.expect("*2\r\n:1\r\n*2\r\n$1\r\nk\r\n-ERR internal error\r\n").await;
}

#[thegiant::test]
async fn a_wait_of_a_tenant_ends_as_any_other() {
    let server = server();
    let mut client = alice(&server).await;
    client.send("CLIENT ID\r\nBLPOP w 0\r\n").await;
    let Value::Integer(id) = client.reply().await else { panic!("no ID") };
    let mut operator = server.connect();
    for reason in [None, Some("ERROR")] {
        while operator.call(("CLIENT", "UNBLOCK", id, reason)).await != Value::Integer(1) {}
        match reason {
            None => client.expect("*2\r\n$3\r\nnil\r\n$0\r\n\r\n").await,
            Some(_) => client.expect("-UNBLOCKED client unblocked via CLIENT UNBLOCK\r\n").await,
        }
        client.send("BLPOP w 0\r\n").await;
    }
    operator.send("LPUSH alice:w x\r\n").await;
    client.expect("*2\r\n$1\r\nw\r\n$1\r\nx\r\n").await;
    client.send("BLPOP w 1\r\n").await;
    client.expect("*2\r\n$3\r\nnil\r\n$0\r\n\r\n").await;
}

#[thegiant::test]
async fn a_key_of_another_user_is_never_a_reply() {
    let server = server();
    let mut client = alice(&server).await;
    client.send("LEAK k\r\n").await;
    client.expect("*2\r\n$1\r\nk\r\n-ERR internal error\r\n").await;
}

#[thegiant::test]
async fn requests_that_could_reach_other_keys_are_refused() {
    let server = server();
    let mut client = alice(&server).await;
    let refused = |name| {
        format!("-NOPERM '{name}' is not available with a prefix for keys: it could reach other keys\r\n")
    };
    client.send("MAYBE\r\nMAYBE k\r\nVALUES\r\nANY k\r\nMAYBE k l\r\nPING\r\n").await;
    let replies = [&refused("maybe"), ":1\r\n", &refused("values"), &refused("any"), ":2\r\n+PONG\r\n"];
    client.expect(replies.concat()).await;
    client.send("MULTI\r\nVALUES\r\nEXEC\r\n").await;
    let aborted = "-EXECABORT Transaction discarded because of previous errors.\r\n";
    client.expect(format!("+OK\r\n{}{aborted}", refused("values"))).await;
}

#[test]
fn kv_refuses_the_commands_of_operators() {
    let kv = start(&[]);
    let mut client = log_in(kv.address(), "alice");
    for request in [
        "MONITOR",
        "SLOWLOG GET",
        "SLOWLOG RESET",
        "LATENCY HISTOGRAM",
        "CONFIG SET timeout 1",
        "CONFIG RESETSTAT",
        "CLIENT KILL ID 1",
        "CLIENT PAUSE 1",
        "CLIENT UNBLOCK 1",
        "CLIENT NO-EVICT ON",
        "ACL LIST",
        "ACL SETUSER alice",
        "ACL LOG",
        "DEBUG SLEEP 0",
        "SHUTDOWN",
    ] {
        let reply = client.ask(lines(request));
        assert!(reply.starts_with(b"-NOPERM '"), "{request}: {reply:?}");
    }
    let mut other = log_in(kv.address(), "bob");
    let (own, others) = (client.id(), other.id());
    let listed = String::from_utf8_lossy(&client.ask(lines("CLIENT LIST"))).into_owned();
    assert!(listed.contains(&format!("id={own} ")) && !listed.contains(&format!("id={others} ")), "{listed}");
    other.ask(lines("SET k 1"));
    let info = String::from_utf8_lossy(&client.ask(lines("INFO everything"))).into_owned();
    assert!(info.contains("role:master") && !info.contains("db0:"), "{info}");
}

#[test]
fn rules_are_about_names_with_the_prefix() {
    let kv = start(&[]);
    let mut operator = RawClient::connect(kv.address());
    operator.ask(lines("ACL SETUSER alice resetkeys ~alice:a* resetchannels &alice:c"));
    let mut client = log_in(kv.address(), "alice");
    client.send(lines("SET a1 x \n SET b x \n GET a1 \n KEYS * \n PUBLISH c x \n PUBLISH d x"));
    assert_eq!(
        client.replies(6),
        "+OK\r\n-NOPERM this user has no permissions to access one of the keys used as arguments\r\n$1\r\nx\r\n*1\r\n$2\r\na1\r\n\
         :0\r\n-NOPERM this user has no permissions to access one of the channels used as arguments\r\n"
    );
}
