//! Test with `cargo test -p testing`; run with `cargo run -p testing`, then try `redis-cli -p 6380 LOCK door 60`.
//!
//! This example shows tests without sockets, and a test in which a timeout of an hour passes at once.

use std::{collections::HashSet, time::Duration};

use thegiant::prelude::*;

/// Locks that expire.
#[derive(Default)]
struct Locks {
    held: HashSet<Bytes>,
}

impl Actor for Locks {
    type Context = Context<Self>;
}

#[commands]
impl Locks {
    /// Takes a lock. Returns 0 if it is taken already.
    #[command("LOCK", write)]
    fn lock(&mut self, name: Bytes, seconds: u32, context: &mut Context<Self>) -> bool {
        let is_free = self.held.insert(name.clone());
        if is_free {
            let expiry = Duration::from_secs(seconds.into());
            context.run_later(expiry, move |locks, _| {
                locks.held.remove(&name);
            });
        }
        is_free
    }
}

fn app() -> App {
    App::new().mount(Locks::default().start())
}

#[thegiant::main]
async fn main() -> std::io::Result<()> {
    Server::new(app).bind("127.0.0.1:6380")?.run().await
}

#[cfg(test)]
mod tests {
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
