//! The Sentinel client of the `redis` crate, while another server becomes the master.

use std::{
    io::{self, Read, Write},
    net::TcpStream,
    rc::Rc,
    sync::atomic::{AtomicBool, AtomicI64, Ordering::Relaxed},
    time::Duration,
};

use redis::{
    ProtocolVersion, RedisConnectionInfo, RedisResult,
    aio::MultiplexedConnection,
    sentinel::{SentinelClient, SentinelNodeConnectionInfo, SentinelServerType},
};
use tokio::{
    task::LocalSet,
    time::{Instant, sleep},
};

use crate::checks::{self, Server, Verdict};

const COUNTERS: usize = 4;
/// How often each counter counts before the next switch.
const COUNTS: i64 = 200;
const PATIENCE: Duration = Duration::from_secs(60);

/// The results of a counter.
#[derive(Default)]
struct Tally {
    counted: AtomicI64,
    failed: AtomicI64,
    is_over: AtomicBool,
}

pub async fn run(server: Server) {
    println!("version {}", checks::version_of("redis"));
    checks::say("switch", LocalSet::new().run_until(switch(server)).await);
}

async fn switch(server: Server) -> Verdict {
    let tallies: Vec<Rc<Tally>> = (0..COUNTERS).map(|_| Rc::default()).collect();
    let start = |tally: &Rc<Tally>| {
        let sentinel = sentinel(server).map_err(|error| error.to_string())?;
        Ok::<_, String>(tokio::task::spawn_local(count(sentinel, Rc::clone(tally))))
    };
    let counters = tallies.iter().map(start).collect::<Result<Vec<_>, _>>()?;
    go_on(&tallies).await?;
    let [first, second] = servers(server.port).map_err(|error| error.to_string())?;
    for master in [second, first, second] {
        follow(server.port, master).map_err(|error| error.to_string())?;
        go_on(&tallies).await?;
    }
    tallies.iter().for_each(|tally| tally.is_over.store(true, Relaxed));
    for counter in counters {
        counter.await.map_err(|error| error.to_string())?;
    }
    let own = |port| -> io::Result<i64> {
        follow(server.port, port)?;
        let reply = ask(port, "GET n")?;
        let number = reply.trim_start_matches(':').split("\r\n").next().unwrap_or_default();
        number.parse().map_err(|_| io::Error::other(reply))
    };
    let total = own(first).and_then(|one| Ok(one + own(second)?)).map_err(|error| error.to_string())?;
    let sum = |of: fn(&Tally) -> &AtomicI64| tallies.iter().map(|tally| of(tally).load(Relaxed)).sum::<i64>();
    let (counted, failed) = (sum(|tally| &tally.counted), sum(|tally| &tally.failed));
    match (counted..=counted + failed).contains(&total) {
        true => Ok(()),
        false => Err(format!("{total} are counted, {counted} acknowledged, {failed} failed")),
    }
}

fn sentinel(server: Server) -> RedisResult<SentinelClient> {
    let protocol = if server.resp3 { ProtocolVersion::RESP3 } else { ProtocolVersion::RESP2 };
    let settings = RedisConnectionInfo::default().set_protocol(protocol);
    let node = SentinelNodeConnectionInfo::default().set_redis_connection_info(settings);
    let address = format!("redis://127.0.0.1:{}?protocol={}", server.port, if server.resp3 { 3 } else { 2 });
    SentinelClient::build(vec![address], "counters".to_owned(), Some(node), SentinelServerType::Master)
}

/// Counts until it is over. After an error, it asks for the master again.
async fn count(mut sentinel: SentinelClient, tally: Rc<Tally>) {
    let mut connection: Option<MultiplexedConnection> = None;
    while !tally.is_over.load(Relaxed) {
        let mut current = match connection.take() {
            Some(connection) => connection,
            None => match sentinel.get_async_connection().await {
                Ok(connection) => connection,
                Err(_) => {
                    sleep(Duration::from_millis(10)).await;
                    continue;
                }
            },
        };
        if redis::cmd("INCR").arg("n").query_async::<i64>(&mut current).await.is_ok() {
            tally.counted.fetch_add(1, Relaxed);
            connection = Some(current);
        } else {
            tally.failed.fetch_add(1, Relaxed);
        }
    }
}

/// Waits until each counter has counted again.
async fn go_on(tallies: &[Rc<Tally>]) -> Verdict {
    let deadline = Instant::now() + PATIENCE;
    for tally in tallies {
        let before = tally.counted.load(Relaxed);
        while tally.counted.load(Relaxed) < before + COUNTS {
            if Instant::now() > deadline {
                return Err("the client does not find the master".to_owned());
            }
            sleep(Duration::from_millis(10)).await;
        }
    }
    Ok(())
}

/// Returns the ports of the master and of the replica.
fn servers(sentinel: u16) -> io::Result<[u16; 2]> {
    let port_in = |reply: String, after: &str| {
        let (_, rest) = reply.rsplit_once(after)?;
        rest.split("\r\n").nth(1)?.parse::<u16>().ok()
    };
    let master = port_in(ask(sentinel, "SENTINEL GET-MASTER-ADDR-BY-NAME counters")?, "$");
    let replica = port_in(ask(sentinel, "SENTINEL REPLICAS counters")?, "\r\nport\r\n$");
    master.zip(replica).map(|(master, replica)| [master, replica]).ok_or(io::ErrorKind::InvalidData.into())
}

/// Makes a server the master: the old master ends its work first.
fn follow(sentinel: u16, master: u16) -> io::Result<()> {
    for server in servers(sentinel)? {
        let reply = ask(server, &format!("FOLLOW 127.0.0.1 {master}"))?;
        if reply != "+OK\r\n" {
            return Err(io::Error::other(reply));
        }
    }
    Ok(())
}

/// Sends a request on a new connection. Returns the reply, which has to come at once.
fn ask(port: u16, request: &str) -> io::Result<String> {
    let mut connection = TcpStream::connect(("127.0.0.1", port))?;
    write!(connection, "{request}\r\n")?;
    let mut reply = vec![0; 1 << 16];
    let len = connection.read(&mut reply)?;
    reply.truncate(len);
    String::from_utf8(reply).map_err(io::Error::other)
}
