//! The client. It runs on plain tokio.

use std::error::Error;

use client::{PollsClient, VoteOptions};
use thegiant_client::Connection;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let (Some(poll), Some(choice)) = (args.next(), args.next()) else {
        return Err("usage: vote POLL CHOICE".into());
    };
    let polls = PollsClient::from(Connection::connect("127.0.0.1:6380").await?);
    // Both commands travel together.
    let (votes, all) =
        tokio::try_join!(polls.vote(&poll, &choice, VoteOptions::default()), polls.votes(&poll))?;
    println!("{choice} has {votes} votes now. All votes: {all:?}");
    Ok(())
}
