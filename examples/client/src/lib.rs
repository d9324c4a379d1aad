//! Run the server with `cargo run -p client`, and the client with
//! `cargo run -p client --bin vote --no-default-features -- lunch pizza`.
//!
//! This example shows a crate that a server and its clients share. The feature `server` adds the actor. Without it, the crate
//! has only `PollsClient`, which `#[commands(client)]` generates, and compiles without actix.

use std::collections::BTreeMap;

#[cfg(feature = "server")]
use thegiant::prelude::*;
use thegiant_client::{ToArgs, commands};

/// Reads, and sends, `[WEIGHT n]`.
#[cfg_attr(feature = "server", derive(Args))]
#[derive(Clone, Debug, Default, ToArgs)]
pub struct VoteOptions {
    /// The number of votes that this one counts for.
    #[arg("WEIGHT", name = "n")]
    pub weight: Option<i64>,
}

/// The votes for each choice of each poll.
#[cfg(feature = "server")]
#[derive(Debug, Default)]
pub struct Polls {
    polls: BTreeMap<Bytes, BTreeMap<String, i64>>,
}

#[cfg(feature = "server")]
impl Actor for Polls {
    type Context = Context<Self>;
}

// `cfg` applies to the methods, and not to the client.
#[commands(client, cfg(feature = "server"))]
impl Polls {
    /// Adds a vote, and returns how many the choice has now.
    ///
    /// # Errors
    /// - `WEIGHT`: the weight is not positive
    #[command("VOTE", write)]
    fn vote(&mut self, poll: Key, choice: String, options: VoteOptions) -> Result<i64, Error> {
        let weight = options.weight.unwrap_or(1);
        if weight < 1 {
            return Err(Error::new("WEIGHT", "a vote counts at least once"));
        }
        let votes = self.polls.entry(poll.into()).or_default().entry(choice).or_default();
        *votes = votes.saturating_add(weight);
        Ok(*votes)
    }

    /// Returns the votes for each choice.
    #[command("VOTES", readonly)]
    fn votes(&self, poll: Key<&[u8]>) -> Option<&BTreeMap<String, i64>> {
        self.polls.get(*poll)
    }
}
