//! Errors of an application: those that clients read, and internal ones, which the log gets.

use std::{fmt, io};

use actix::ResponseFuture;
use thegiant::{Commit, GroupCommit, ReplyError, prelude::*};
use tracing::Level;

use crate::support::{Log, RawClient, Served, line, lines};

#[derive(Debug, ReplyError)]
#[reply(code = "SHOP")]
enum ShopError {
    Closed,
    #[reply(code = "NOSTOCK")]
    OutOfStock(&'static str),
    #[reply(internal)]
    Storage {
        source: io::Error,
    },
}

impl fmt::Display for ShopError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ShopError::Closed => f.write_str("come back\r\ntomorrow"),
            ShopError::OutOfStock(product) => write!(f, "there are no {product} left"),
            ShopError::Storage { .. } => f.write_str("the storage failed"),
        }
    }
}

impl std::error::Error for ShopError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            ShopError::Storage { source } => Some(source),
            _ => None,
        }
    }
}

/// Has neither an attribute nor variants, and a type parameter.
#[derive(Debug, ReplyError)]
struct Wrong<T: fmt::Debug + Send + Sync + 'static>(T);

impl<T: fmt::Debug + Send + Sync> fmt::Display for Wrong<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is wrong", self.0)
    }
}

impl<T: fmt::Debug + Send + Sync> std::error::Error for Wrong<T> {}

/// An error that cannot occur.
#[derive(Debug, ReplyError)]
enum Never {}

impl fmt::Display for Never {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {}
    }
}

impl std::error::Error for Never {}

fn storage() -> ShopError {
    ShopError::Storage { source: io::Error::other("/var/lib/shop.db is gone") }
}

struct Shop {
    /// The same error for several commands.
    broken: Error,
}

impl Actor for Shop {
    type Context = Context<Self>;
}

#[commands]
impl Shop {
    #[command("BUY")]
    fn buy(&self, product: &str) -> Result<(), Error> {
        match product {
            "pears" => Err(ShopError::OutOfStock("pears"))?,
            "tea" => Err(ShopError::Closed)?,
            _ => Err(Wrong(product.to_owned()))?,
        }
    }

    #[command("OPEN")]
    fn open(&self) -> Result<bool, Never> {
        Ok(true)
    }

    #[command("READ", readonly, all)]
    fn read(&self) -> Result<Vec<i64>, ShopError> {
        Err(storage())
    }

    #[command("LIST")]
    fn list(&self) -> Vec<Result<i64, Error>> {
        vec![Ok(1), Err(storage().into())]
    }

    #[command("LATER")]
    fn later(&self) -> ResponseFuture<Result<i64, Error>> {
        Box::pin(async { Err(Error::internal("the future failed")) })
    }

    #[command("BROKEN")]
    fn broken(&self, _key: Key<&[u8]>) -> Result<i64, Error> {
        Err(self.broken.clone())
    }
}

fn shop() -> Addr<Shop> {
    Shop { broken: Error::internal("broken") }.start()
}

/// Serves an application that logs to the returned log.
fn served(app: fn() -> App) -> (Served, Log) {
    let log = Log::default();
    let log_of_server = log.clone();
    let served = Served::start(move || {
        log_of_server.keep(Level::ERROR);
        app()
    });
    (served, log)
}

/// Sends a request and returns its reply, and the part of each line of the log behind the client.
fn ask(client: &mut RawClient, log: &Log, request: Vec<u8>, replies: usize) -> (String, Vec<String>) {
    let before = log.lines().len();
    client.send(request);
    let replies = String::from_utf8_lossy(&client.replies(replies)).into_owned();
    let start = format!("ERROR a command failed id=1 client={} ", client.local_address());
    let reason = |line: &String| line.strip_prefix(&*start).unwrap_or(line).to_owned();
    (replies, log.lines()[before..].iter().map(reason).collect())
}

#[test]
fn an_error_that_clients_may_read_becomes_a_reply() {
    let (served, log) = served(|| App::new().mount(shop()));
    let mut client = RawClient::connect(served.address());
    for (product, reply) in [
        ("pears", "-NOSTOCK there are no pears left\r\n"),
        ("tea", "-SHOP come back  tomorrow\r\n"),
        ("x", "-ERR \"x\" is wrong\r\n"),
    ] {
        let asked = ask(&mut client, &log, line(&format!("BUY {product}")), 1);
        assert_eq!(asked, (reply.to_owned(), Vec::new()));
    }
    assert_eq!(ask(&mut client, &log, line("OPEN"), 1).0, ":1\r\n");
}

const INTERNAL: &str = "-ERR internal error\r\n";

#[test]
fn the_log_has_the_reason_for_an_internal_error_and_the_client_has_not() {
    let (served, log) = served(|| App::new().mount(shop()));
    let mut client = RawClient::connect(served.address());
    let storage = |command: &str| {
        format!("command=\"{command}\" reason=\"the storage failed: /var/lib/shop.db is gone\"")
    };
    let asked = ask(&mut client, &log, line("read"), 1);
    assert_eq!(asked, (INTERNAL.to_owned(), vec![storage("READ")]));
    let asked = ask(&mut client, &log, line("LIST"), 1);
    assert_eq!(asked, (format!("*2\r\n:1\r\n{INTERNAL}"), vec![storage("")]));
    let asked = ask(&mut client, &log, line("LATER"), 1);
    let later = "command=\"LATER\" reason=\"the future failed\"".to_owned();
    assert_eq!(asked, (INTERNAL.to_owned(), vec![later]));
    let (replies, logged) = ask(&mut client, &log, lines("MULTI \n READ \n EXEC"), 3);
    assert_eq!(replies, format!("+OK\r\n+QUEUED\r\n*1\r\n{INTERNAL}"));
    assert_eq!(logged, [storage("READ")]);
    // The same error for several commands is logged once.
    let asked = ask(&mut client, &log, lines("BROKEN a \n BROKEN b \n PING \n BROKEN c"), 4);
    let broken = "command=\"BROKEN\" reason=\"broken\"".to_owned();
    assert_eq!(asked, (format!("{INTERNAL}{INTERNAL}+PONG\r\n{INTERNAL}"), vec![broken]));
    assert_eq!(ask(&mut client, &log, line("BROKEN d"), 1), (INTERNAL.to_owned(), Vec::new()));
}

#[test]
fn the_log_has_the_reasons_of_all_shards() {
    let (served, log) = served(|| App::new().mount_shards(4, |_| Shop { broken: Error::internal("broken") }));
    let mut client = RawClient::connect(served.address());
    let (replies, logged) = ask(&mut client, &log, lines("BROKEN a \n BROKEN b \n BROKEN c"), 3);
    assert_eq!(replies, INTERNAL.repeat(3));
    let broken = "command=\"BROKEN\" reason=\"broken\"";
    assert_eq!(logged, [broken].repeat(logged.len()));
    assert!((2..=3).contains(&logged.len()), "{logged:?}");
    let (replies, logged) = ask(&mut client, &log, line("READ"), 1);
    assert_eq!((&*replies, logged.len()), (INTERNAL, 4), "{logged:?}");
}

/// Cannot commit anything.
struct Broken;

impl Actor for Broken {
    type Context = Context<Self>;
}

#[commands(group_commit)]
impl Broken {
    #[command("SET", write)]
    fn set(&mut self) {}
}

impl GroupCommit for Broken {
    fn commit(&mut self, _: &mut Context<Self>) -> Commit {
        Err(storage().into()).into()
    }

    fn rollback(&mut self, _: &Error, _: &mut Context<Self>) {}
}

#[test]
fn the_log_has_the_reason_for_a_failed_commit_once() {
    let (served, log) = served(|| App::new().mount(Broken.start()));
    let mut client = RawClient::connect(served.address());
    for _ in 0..2 {
        assert_eq!(ask(&mut client, &log, lines("SET \n SET"), 2).0, INTERNAL.repeat(2));
    }
    let reason = "the storage failed: /var/lib/shop.db is gone";
    assert_eq!(log.lines(), [format!("ERROR group commit failed; writes are refused error={reason} held=1")]);
}
