//! Test with `cargo test -p testing`; run with `cargo run -p testing`, then try `redis-cli -p 6380 LOCK door 60`.
//!
//! This example shows tests without sockets, and a test in which a timeout of an hour passes at once.

use thegiant::{ExpiringMap, Seconds, prelude::*};

/// Locks that expire.
struct Locks {
    held: ExpiringMap<Bytes, ()>,
}

impl Actor for Locks {
    type Context = Context<Self>;
}

#[commands(expire(held))]
impl Locks {
    /// Takes a lock. Returns 0 if it is taken already.
    #[command("LOCK", write)]
    fn lock(&mut self, name: Key, time: Seconds) -> bool {
        let is_free = self.held.get(&*name).is_none();
        if is_free {
            self.held.insert_for(name.into(), (), time.0);
        }
        is_free
    }
}

fn app() -> App {
    let app = App::new();
    let held = ExpiringMap::new(app.keyspace());
    app.mount(Locks { held }.start())
}

#[thegiant::main]
async fn main() -> std::io::Result<()> {
    Server::new(app).bind("127.0.0.1:6380")?.run().await
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use thegiant::test::TestServer;

    use super::*;

    #[thegiant::test]
    async fn a_lock_expires_after_an_hour() {
        tokio::time::pause(); // From here on, the clock jumps to the next timer.
        let server = TestServer::start(app());
        let mut client = server.connect();
        assert_eq!(client.call(["LOCK", "door", "3600"]).await, Value::Integer(1));
        assert_eq!(client.call(["LOCK", "door", "3600"]).await, Value::Integer(0));
        tokio::time::sleep(Duration::from_secs(3601)).await;
        assert_eq!(client.call(["LOCK", "door", "3600"]).await, Value::Integer(1));
    }
}
