//! The checks that all clients run.

use std::{any::Any, fmt::Debug, io, time::Duration};

use bytes::Bytes;
use tokio::sync::mpsc::UnboundedReceiver;

const PAIRS: usize = 10_000;

/// The address and the protocol of the server.
#[derive(Clone, Copy)]
pub struct Server {
    pub resp3: bool,
    pub port: u16,
    /// Whether redis-servers run the commands, which have lists and scripts.
    pub is_redis: bool,
}

/// The kind of error that the client reports in place of a reply.
#[derive(Debug)]
pub enum Failure {
    /// The server replied with this error text.
    Answered(String),
    /// The user of the client may not do this.
    Denied,
    /// The server has refused the password.
    WrongPassword,
    Lost(String),
}

pub type Reply<T> = Result<T, Failure>;

pub type Words = Vec<Bytes>;

/// The methods of a client that the checks use.
///
/// An optional method returns `None` if the client's program does not implement it.
pub trait Client: Sized {
    const NAME: &'static str;
    /// Whether an error in a pipeline hides the other replies.
    const PIPELINE_FAILS_AS_A_WHOLE: bool = false;

    async fn connect(server: Server) -> Reply<Self>;
    /// Connects with the name `tester` and database 3.
    async fn connect_tester(server: Server) -> Reply<Self>;
    async fn set(&mut self, key: &[u8], value: &[u8]) -> Reply<()>;
    async fn get(&mut self, key: &[u8]) -> Reply<Option<Vec<u8>>>;
    async fn call(&mut self, words: Words) -> Reply<String>;
    async fn pipeline(&mut self, commands: Vec<Words>) -> Vec<Reply<String>>;

    /// Runs commands in a transaction.
    async fn transaction(&mut self, _commands: Vec<Words>) -> Option<Reply<Vec<String>>> {
        None
    }

    /// Increments a watched number in a transaction. Returns `false` if another client has changed it.
    async fn count_up(&mut self, _key: &str) -> Option<Reply<bool>> {
        None
    }

    /// Pops the first element of a list, and blocks while the list is empty.
    async fn pop(&mut self, _list: &str) -> Option<Reply<(String, String)>> {
        None
    }

    /// Connects as a user of the server.
    async fn log_in(_server: Server, _user: &str, _password: &str) -> Option<Reply<Self>> {
        None
    }

    /// Returns all keys with a prefix.
    async fn scan(&mut self, _prefix: &str) -> Option<Reply<Vec<String>>> {
        None
    }

    /// Subscribes to a channel and to a pattern.
    async fn listen(_server: Server, _channel: &str, _pattern: &str) -> Option<Reply<Listener>> {
        None
    }
}

/// The received messages with their channels. Dropping the value closes the connection.
pub struct Listener {
    pub heard: UnboundedReceiver<(String, String)>,
    pub connection: Box<dyn Any>,
}

pub type Verdict = Result<(), String>;

pub async fn run<C: Client>(server: Server) {
    println!("version {}", version_of(C::NAME));
    let mut client = C::connect(server).await.expect("the server answers");
    say("values", values(&mut client).await);
    say("options", options(&mut client, server).await);
    say("pipeline", pipeline(&mut client).await);
    say("errors", errors(&mut client).await);
    say("binary", binary(&mut client).await);
    say("large", large(&mut client).await);
    let commands = ["SET n 1", "INCR n", "ECHO among", "GET n"].map(words);
    if let Some(replies) = client.transaction(commands.into()).await {
        say("transactions", is(replies, ["OK", "2", "among", "2"].map(str::to_owned).into()));
    }
    if let Some(listener) = C::listen(server, "news", "n?ws").await {
        say("channels", channels(&mut client, listener).await);
    }
    if let Some(verdict) = users(&mut client, server).await {
        say("users", verdict);
    }
    if server.is_redis {
        say("lists", lists(&mut client, server).await);
        say("watch", watching(&mut client, server).await);
        say("scan", scan(&mut client).await);
    }
    say("reconnect", reconnect(&mut client).await);
}

/// Returns the version of a crate from the lock file.
pub fn version_of(name: &str) -> &'static str {
    let (_, package) =
        include_str!("../Cargo.lock").split_once(&format!("name = \"{name}\"\n")).expect("the package");
    package.split('"').nth(1).expect("its version")
}

pub fn say(check: &str, verdict: Verdict) {
    match verdict {
        Ok(()) => println!("ok {check}"),
        Err(wrong) => println!("failed {check}: {}", wrong.replace('\n', " ")),
    }
}

async fn values(client: &mut impl Client) -> Verdict {
    is(client.set(b"greeting", b"hello world").await, ())?;
    is(client.get(b"greeting").await, Some(b"hello world".to_vec()))?;
    is(client.get(b"missing").await, None)
}

async fn options<C: Client>(client: &mut C, server: Server) -> Verdict {
    let mut tester = C::connect_tester(server).await.map_err(|failure| format!("{failure:?}"))?;
    is(tester.call(words("CLIENT GETNAME")).await, "tester".to_owned())?;
    is(tester.set(b"where", b"in 3").await, ())?;
    is(client.get(b"where").await, None)?;
    is(tester.get(b"where").await, Some(b"in 3".to_vec()))
}

/// Sends ten thousand pairs of SET and GET in one pipeline, with an error in the middle.
async fn pipeline<C: Client>(client: &mut C) -> Verdict {
    let mut commands: Vec<Words> = (0..PAIRS)
        .flat_map(|n| [words(&format!("SET key-{n} {n}")), words(&format!("GET key-{n}"))])
        .collect();
    let replies = if C::PIPELINE_FAILS_AS_A_WHOLE {
        let failed = client.pipeline(vec![words("SET key-0 0"), words("NOPE"), words("SET key-1 1")]).await;
        fails(failed.into_iter().next().expect("a reply"), "unknown command 'NOPE'")?;
        client.pipeline(commands).await
    } else {
        commands.insert(PAIRS, words("NOPE"));
        let mut replies = client.pipeline(commands).await;
        fails(replies.remove(PAIRS), "unknown command 'NOPE'")?;
        replies
    };
    if replies.len() != 2 * PAIRS {
        return Err(format!("{} replies, such as {:?}", replies.len(), replies.first()));
    }
    for (n, pair) in replies.chunks(2).enumerate() {
        let [Ok(set), Ok(get)] = pair else { return Err(format!("{pair:?}")) };
        if set != "OK" || *get != n.to_string() {
            return Err(format!("SET and GET {n}: {pair:?}"));
        }
    }
    Ok(())
}

async fn errors(client: &mut impl Client) -> Verdict {
    let unknown = "unknown command 'NOPE', with args beginning with: 'a'";
    fails(client.call(words("NOPE a")).await, unknown)?;
    fails(client.call(words("GET")).await, "wrong number of arguments for 'get' command")?;
    is(client.set(b"word", b"abc").await, ())?;
    fails(client.call(words("INCR word")).await, "value is not an integer or out of range")?;
    is(client.get(b"word").await, Some(b"abc".to_vec()))
}

async fn binary(client: &mut impl Client) -> Verdict {
    let every_byte: Vec<u8> = (0..=255).chain(*b"\r\n$5\r\n*1\r\n").collect();
    is(client.set(&every_byte, &every_byte).await, ())?;
    is(client.get(&every_byte).await, Some(every_byte))
}

async fn large(client: &mut impl Client) -> Verdict {
    for length in [0, 16_384, 8 << 20] {
        let value = b"0123456789abcd\r\n".repeat(length / 16);
        is(client.set(b"large", &value).await, ())?;
        if client.get(b"large").await.ok().flatten() != Some(value) {
            return Err(format!("{length} bytes came back differently"));
        }
    }
    Ok(())
}

/// Receives a thousand messages in order from a channel and from a matching pattern, then unsubscribes.
async fn channels(client: &mut impl Client, listener: Reply<Listener>) -> Verdict {
    let Listener { mut heard, connection } = listener.map_err(|failure| format!("{failure:?}"))?;
    // With RESP3 a client may not wait for the confirmation of a subscription, which is a push.
    while client.call(words("PUBSUB NUMPAT")).await.map_err(|failure| format!("{failure:?}"))? != "1" {}
    for number in 0..1000 {
        is(client.call(words(&format!("PUBLISH news {number}"))).await, "2".to_owned())?;
        for _ in 0..2 {
            is(Ok(heard.recv().await), Some(("news".to_owned(), number.to_string())))?;
        }
    }
    drop(connection);
    while client.call(words("PUBLISH news nobody")).await.map_err(|failure| format!("{failure:?}"))? != "0" {}
    Ok(())
}

/// Logs in as a user, and finds what it may not do by the kinds of the errors.
async fn users<C: Client>(client: &mut C, server: Server) -> Option<Verdict> {
    let rules = words("ACL SETUSER worker reset on >secret ~job:* +@connection +@read +set");
    let added = is(client.call(rules).await, "OK".to_owned());
    let worker = C::log_in(server, "worker", "secret").await?;
    let stranger = C::log_in(server, "worker", "wrong").await?;
    Some(match (added, worker, stranger) {
        (Ok(()), Ok(mut worker), Err(Failure::WrongPassword)) => permissions(&mut worker).await,
        (added, worker, stranger) => Err(format!("{added:?}, {:?}, {:?}", worker.err(), stranger.err())),
    })
}

async fn permissions(worker: &mut impl Client) -> Verdict {
    is(worker.set(b"job:1", b"x").await, ())?;
    is(worker.get(b"job:1").await, Some(b"x".to_vec()))?;
    for refused in ["GET other", "FLUSHALL"] {
        is_denied(&worker.call(words(refused)).await)?;
    }
    let replies = worker.pipeline(vec![words("GET job:1"), words("GET other")]).await;
    let [Ok(allowed), refused] = &replies[..] else { return Err(format!("{replies:?}")) };
    is(Ok(allowed.as_str()), "x")?;
    is_denied(refused)
}

/// A blocked client receives an element that another client pushes, repeatedly.
async fn lists<C: Client>(client: &mut C, server: Server) -> Verdict {
    let mut other = connected::<C>(server).await?;
    for number in 0..50 {
        let (list, number) = (format!("list-{number}"), number.to_string());
        let push = words(&format!("RPUSH {list} {number}"));
        let (taken, pushed) = tokio::join!(other.pop(&list), client.call(push));
        is(pushed, "1".to_owned())?;
        is(taken.ok_or("the client does not support this check")?, (list, number))?;
    }
    Ok(())
}

/// Four clients increment one watched number.
async fn watching<C: Client>(client: &mut C, server: Server) -> Verdict {
    let count_up = || async {
        let mut other = connected::<C>(server).await?;
        let mut left = 20;
        while left > 0 {
            let counted = other.count_up("total").await.ok_or("the client does not support this check")?;
            left -= i32::from(counted.map_err(|failure| format!("{failure:?}"))?);
        }
        Ok::<(), String>(())
    };
    tokio::try_join!(count_up(), count_up(), count_up(), count_up())?;
    is(client.get(b"total").await, Some(b"80".to_vec()))
}

/// A scan returns each key once.
async fn scan(client: &mut impl Client) -> Verdict {
    for number in 0..500 {
        is(client.set(format!("scanned-{number}").as_bytes(), b"1").await, ())?;
    }
    let mut wanted: Vec<_> = (0..500).map(|number| format!("scanned-{number}")).collect();
    let found = client.scan("scanned-").await.ok_or("the client does not support this check")?;
    wanted.sort_unstable();
    let sorted = found.map(|mut keys| {
        keys.sort_unstable();
        keys
    });
    is(sorted, wanted)
}

async fn connected<C: Client>(server: Server) -> Result<C, String> {
    C::connect(server).await.map_err(|failure| format!("{failure:?}"))
}

/// The same client works after a restart of the server. Its first commands may fail.
async fn reconnect(client: &mut impl Client) -> Verdict {
    is(client.set(b"greeting", b"hello world").await, ())?;
    println!("restart");
    // The client notices the lost connection only while the runtime runs, so this wait must not block it.
    let line = tokio::task::spawn_blocking(|| io::stdin().lines().next());
    line.await.map_err(|error| error.to_string())?;
    loop {
        match client.get(b"greeting").await {
            Err(Failure::Lost(why)) => println!("after the restart: {why}"),
            reply => {
                is(reply, None)?;
                return values(client).await;
            }
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn words(line: &str) -> Words {
    line.split(' ').map(|word| Bytes::copy_from_slice(word.as_bytes())).collect()
}

fn is<T: Debug + PartialEq>(found: Reply<T>, wanted: T) -> Verdict {
    match found {
        Ok(found) if found == wanted => Ok(()),
        found => Err(format!("{found:?} instead of {wanted:?}")),
    }
}

fn is_denied(reply: &Reply<String>) -> Verdict {
    match reply {
        Err(Failure::Denied) => Ok(()),
        reply => Err(format!("{reply:?} is not denied")),
    }
}

fn fails(reply: Reply<String>, text: &str) -> Verdict {
    match reply {
        Err(Failure::Answered(words)) if words.contains(text) => Ok(()),
        reply => Err(format!("{reply:?} does not say {text}")),
    }
}
