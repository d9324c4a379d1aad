//! Run with `cargo run -p counter`, then try `redis-cli -p 6380 COUNT visits`.
//!
//! This example shows a command of your own: an actor that has state.

use std::collections::HashMap;

use thegiant::prelude::*;

/// Named counters.
#[derive(Default)]
struct Counters {
    values: HashMap<Bytes, i64>,
}

impl Actor for Counters {
    type Context = Context<Self>;
}

#[commands]
impl Counters {
    /// Adds to a counter and returns its new value.
    #[command("COUNT", write)]
    fn count(&mut self, name: Key, by: Option<i64>) -> i64 {
        let value = self.values.entry(name.into()).or_default();
        *value = value.saturating_add(by.unwrap_or(1));
        *value
    }

    /// Returns the value of a counter.
    #[command("VALUE", readonly, fast)]
    fn value(&self, name: Key<&[u8]>) -> Option<i64> {
        self.values.get(*name).copied()
    }
}

fn app() -> App {
    App::new().mount(Counters::default().start())
}

#[thegiant::main]
async fn main() -> std::io::Result<()> {
    tracing_subscriber::fmt::init();
    Server::new(app).bind("127.0.0.1:6380")?.run().await
}

#[cfg(test)]
mod tests {
    use thegiant::test::TestServer;

    use super::*;

    #[thegiant::test]
    async fn counts_by_one_unless_an_increment_is_given() {
        let server = TestServer::start(app());
        let mut client = server.connect();
        assert_eq!(client.call(["VALUE", "visits"]).await, Value::Null);
        assert_eq!(client.call(["COUNT", "visits"]).await, Value::Integer(1));
        assert_eq!(client.call(["COUNT", "visits", "10"]).await, Value::Integer(11));
        assert_eq!(client.call(["VALUE", "visits"]).await, Value::Integer(11));
    }
}
