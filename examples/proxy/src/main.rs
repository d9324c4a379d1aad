//! Run with `cargo run -p proxy` beside a redis-server on port 6379, then try
//! `redis-cli -p 6380 VISIT home`.
//!
//! This example shows your own commands in front of Redis. The server answers the commands of its actor and sends all
//! others on. Commands of its actor cannot be in a transaction, which Redis runs.

use thegiant::{
    prelude::*,
    proxy::{CallError, Upstream, UpstreamHandle},
};

struct Front {
    redis: UpstreamHandle,
}

impl Actor for Front {
    type Context = Context<Self>;
}

#[commands]
impl Front {
    /// Refuses a command of Redis.
    #[command("FLUSHALL", write)]
    fn flush_all(&self, _options: Option<Vec<Bytes>>) -> Result<(), Error> {
        Err(Error::new("NOPERM", "FLUSHALL is disabled on this server"))
    }

    /// Counts a visit of a page in Redis and returns the number of visits.
    #[command("VISIT", write)]
    fn visit(&self, page: String) -> ResponseFuture<Result<Value, CallError>> {
        let redis = self.redis.clone();
        Box::pin(async move { redis.call(("INCR", format!("visits:{page}"))).await })
    }
}

fn app(redis: &str) -> App {
    let redis = Upstream::new(redis).start();
    App::new().mount(Front { redis: redis.clone() }.start()).proxy(redis)
}

#[thegiant::main]
async fn main() -> std::io::Result<()> {
    Server::new(|| app("127.0.0.1:6379")).bind("127.0.0.1:6380")?.run().await
}

#[cfg(test)]
mod tests {
    use thegiant::test::TestServer;

    use super::*;

    /// In place of Redis: replies to each command with its words.
    fn echo() -> Server {
        let words = |request: &Request| {
            [request.name()].into_iter().chain(request.args()).map(<[u8]>::to_vec).collect::<Vec<_>>()
        };
        Server::new(App::new().fallback(words)).bind("127.0.0.1:0").expect("a free port")
    }

    #[thegiant::test]
    async fn commands_of_its_own_come_first() {
        let upstream = echo();
        let address = upstream.addrs()[0].to_string();
        let _upstream = TestServer::with(upstream);
        let server = TestServer::start(app(&address));
        let mut client = server.connect();
        client.send("FLUSHALL ASYNC\r\nVISIT home\r\nGET a\r\n").await;
        client.expect("-NOPERM FLUSHALL is disabled on this server\r\n").await;
        client.expect("*2\r\n$4\r\nINCR\r\n$11\r\nvisits:home\r\n*2\r\n$3\r\nGET\r\n$1\r\na\r\n").await;
    }
}
