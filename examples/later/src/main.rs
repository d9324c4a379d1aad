//! Run with `cargo run -p later`, then try `redis-cli -p 6380 RECEIVE 60000`, and `SEND book` in another terminal.
//!
//! This example shows three ways to reply later, while the server runs the commands of other clients:
//!
//! - A [`Responder`] is a handle to the reply. The actor keeps it until it has the reply, as `BLPOP` does in Redis.
//! - An `async fn` without `self` replies with its result.
//! - A [`ResponseActFuture`] can use the actor again when its future has ended.

use std::{collections::VecDeque, time::Duration};

use thegiant::{actix::clock::sleep, prelude::*};

/// A queue of parcels whose receivers wait.
#[derive(Default)]
struct Exchange {
    parcels: VecDeque<Bytes>,
    receivers: VecDeque<Responder<Option<Bytes>>>,
}

impl Actor for Exchange {
    type Context = Context<Self>;
}

#[commands]
impl Exchange {
    /// Returns the next parcel. Waits for one, and returns null after the timeout.
    #[command("RECEIVE", blocking)]
    fn receive(&mut self, milliseconds: u64, responder: Responder<Option<Bytes>>) {
        self.receivers.push_back(responder.timeout(Duration::from_millis(milliseconds), None));
        self.deliver();
    }

    /// Adds a parcel.
    #[command("SEND")]
    fn send(&mut self, parcel: Bytes) {
        self.parcels.push_back(parcel);
        self.deliver();
    }

    /// Replies with a text after a delay.
    #[command("ECHOLATER", blocking)]
    async fn echo_later(milliseconds: u64, text: Bytes) -> Bytes {
        sleep(Duration::from_millis(milliseconds)).await;
        text
    }

    /// Adds a parcel after a delay, and returns the number of parcels.
    #[command("SENDLATER", blocking)]
    fn send_later(&mut self, milliseconds: u64, parcel: Bytes) -> ResponseActFuture<Self, usize> {
        let delay = sleep(Duration::from_millis(milliseconds));
        Box::pin(delay.into_actor(self).map(|(), exchange, _| {
            exchange.send(parcel);
            exchange.parcels.len()
        }))
    }
}

impl Exchange {
    /// Gives parcels to receivers, both in the order in which they came.
    fn deliver(&mut self) {
        while !self.parcels.is_empty()
            && let Some(receiver) = self.receivers.pop_front()
        {
            // `send` returns the parcel if the client has disconnected or its timeout has passed.
            if let Err(Some(parcel)) = receiver.send(self.parcels.pop_front()) {
                self.parcels.push_front(parcel);
            }
        }
    }
}

fn app() -> App {
    App::new().mount(Exchange::default().start())
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
    async fn a_receiver_waits_for_a_parcel() {
        let server = TestServer::start(app());
        let (mut receiver, mut sender) = (server.connect(), server.connect());
        receiver.send("RECEIVE 60000\r\n").await;
        sender.send("SEND book\r\nSEND pen\r\nRECEIVE 60000\r\n").await;
        receiver.expect("$4\r\nbook\r\n").await;
        sender.expect("+OK\r\n+OK\r\n$3\r\npen\r\n").await;
    }

    #[thegiant::test]
    async fn a_parcel_outlives_a_receiver_whose_timeout_has_passed() {
        tokio::time::pause();
        let server = TestServer::start(app());
        let mut client = server.connect();
        client.send("RECEIVE 1000\r\nSEND book\r\nRECEIVE 1000\r\n").await;
        client.expect("$-1\r\n+OK\r\n$4\r\nbook\r\n").await;
    }

    #[thegiant::test]
    async fn futures_reply_after_their_delay() {
        tokio::time::pause();
        let server = TestServer::start(app());
        let mut client = server.connect();
        client.send("ECHOLATER 5000 hello\r\nSENDLATER 5000 book\r\nRECEIVE 1\r\n").await;
        client.expect("$5\r\nhello\r\n:1\r\n$4\r\nbook\r\n").await;
    }
}
