//! Run with `cargo run -p middleware`, then try `redis-cli -p 6380 NOTE hello`.
//!
//! This example shows code that runs around every command: its own middleware, a rate limit and an audit log.

use std::{env, io};

use thegiant::{
    command::Flags,
    middleware::{AuditLog, Decision, Middleware, Outcome, RateLimit},
    prelude::*,
};

#[derive(Default)]
struct Notes(Vec<String>);

impl Actor for Notes {
    type Context = Context<Self>;
}

#[commands]
impl Notes {
    /// Adds a note.
    #[command("NOTE", write)]
    fn note(&mut self, text: String) -> usize {
        self.0.push(text);
        self.0.len()
    }

    /// Returns all notes.
    #[command("NOTES", readonly)]
    fn notes(&self) -> Vec<String> {
        self.0.clone()
    }
}

/// Refuses writes of clients without a name, and reports slow commands.
struct Named;

impl Middleware for Named {
    fn before(&self, request: &Request) -> Decision {
        if request.flags().contains(Flags::WRITE) && request.client().name().is_none() {
            return Decision::refuse(Error::new("NONAME", "set a name with CLIENT SETNAME first"));
        }
        Decision::Run
    }

    fn after(&self, request: &Request, outcome: &Outcome) {
        if outcome.took().as_millis() >= 100 {
            println!("{request:?} took {:?}", outcome.took());
        }
    }
}

fn app() -> App {
    App::new()
        .middleware(AuditLog::new().only(|request: &Request| request.flags().contains(Flags::WRITE)))
        .middleware(RateLimit::per_address(100).burst(20))
        .middleware(Named)
        .mount(Notes::default().start())
}

#[thegiant::main]
async fn main() -> io::Result<()> {
    tracing_subscriber::fmt::init();
    let address = env::args().nth(1).unwrap_or("127.0.0.1:6380".to_owned());
    Server::new(app).bind(address)?.run().await
}

#[cfg(test)]
mod tests {
    use thegiant::test::TestServer;

    use super::*;

    #[thegiant::test]
    async fn only_clients_with_a_name_write() {
        let server = TestServer::start(app());
        let mut client = server.connect();
        assert!(matches!(client.call(["NOTE", "a"]).await, Value::Error(_)));
        client.call(["CLIENT", "SETNAME", "me"]).await;
        assert_eq!(client.call(["NOTE", "a"]).await, Value::Integer(1));
    }

    #[thegiant::test]
    async fn an_address_gets_its_burst() {
        let server = TestServer::start(app());
        let mut client = server.connect();
        for _ in 0..20 {
            assert_eq!(client.call(["NOTES"]).await, Value::Array(Vec::new()));
        }
        assert_eq!(client.call(["NOTES"]).await, Value::Error(Error::new("RATELIMIT", "too many commands")));
    }
}
