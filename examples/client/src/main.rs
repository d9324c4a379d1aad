//! The server.

use actix::Actor;
use client::Polls;
use thegiant::{App, Server};

fn app() -> App {
    App::new().mount(Polls::default().start())
}

#[thegiant::main]
async fn main() -> std::io::Result<()> {
    Server::new(app).bind("127.0.0.1:6380")?.run().await
}

#[cfg(test)]
mod tests {
    use client::{PollsClient, VoteOptions};
    use thegiant_client::{CallError, Connection};

    use super::*;

    #[thegiant::test]
    async fn the_client_calls_the_commands_of_the_server() -> Result<(), CallError> {
        let server = Server::new(app).bind("127.0.0.1:0").expect("a free port").disable_signals();
        let (address, handle) = (server.addrs()[0].to_string(), server.handle());
        let running = actix::spawn(server.run());

        let polls = PollsClient::from(Connection::connect(address).await?);
        assert_eq!(polls.votes("lunch").await?, None);
        assert_eq!(polls.vote("lunch", "soup", VoteOptions::default()).await?, 1);
        assert_eq!(polls.vote("lunch", "soup", VoteOptions { weight: Some(2) }).await?, 3);
        let votes = polls.votes("lunch").await?.unwrap_or_default();
        assert_eq!(votes.get("soup"), Some(&3));
        let error = polls.vote("lunch", "soup", VoteOptions { weight: Some(0) }).await.expect_err("an error");
        assert_eq!(error.reply().map(|error| error.code()), Some("WEIGHT"));

        handle.stop();
        assert!(running.await.is_ok_and(|ended| ended.is_ok()));
        Ok(())
    }
}
