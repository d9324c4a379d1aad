//! Run with `cargo run --release -p prometheus`, then send `VOTE` with any Redis client and look at
//! the numbers: `curl http://127.0.0.1:9100/metrics`. The environment variable METRICS_BIND names
//! another address for them.

mod endpoint;

use std::{collections::HashMap, env};

use metrics::counter;
use thegiant::prelude::*;

/// A ballot box.
#[derive(Default)]
struct Ballot {
    votes: HashMap<Bytes, u64>,
}

impl Actor for Ballot {
    type Context = Context<Self>;
}

#[commands]
impl Ballot {
    /// Votes for a candidate; returns how many have.
    #[command("VOTE", write, fast)]
    fn vote(&mut self, candidate: Key) -> u64 {
        // An application has figures of its own, beside those of the toolkit.
        counter!("ballot_votes_total").increment(1);
        let votes = self.votes.entry(candidate.into()).or_default();
        *votes += 1;
        *votes
    }

    /// How many have voted for a candidate.
    #[command("VOTES", readonly, fast)]
    fn votes(&self, candidate: Key<&[u8]>) -> u64 {
        self.votes.get(*candidate).copied().unwrap_or_default()
    }
}

#[actix::main]
async fn main() {
    let app = App::new().mount(Ballot::default().start());
    let address = env::var("METRICS_BIND").unwrap_or("127.0.0.1:9100".to_owned());
    // The recorder has to be there when the server starts. Latencies are known while commands are timed.
    let configure = |server: Server| endpoint::serve(&address).map(|()| server.latency_tracking(true));
    cli::serve_with(app, configure).await;
}
