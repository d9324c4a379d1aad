//! Run with `cargo run -p prometheus`, then send `VOTE` with any Redis client and read the metrics: `curl
//! http://127.0.0.1:9100/metrics`. The environment variable METRICS_BIND sets another address for them.
//!
//! This example shows metrics: an endpoint exports the metrics of the toolkit and of the application to
//! Prometheus.

mod endpoint;

use std::{collections::HashMap, env, io};

use thegiant::{Counter, prelude::*};

/// A ballot box.
#[derive(Default)]
struct Ballot {
    votes: HashMap<Bytes, u64>,
    /// All votes: a metric of the application in addition to those of the toolkit.
    cast: Counter,
}

impl Actor for Ballot {
    type Context = Context<Self>;
}

#[commands]
impl Ballot {
    /// Votes for a candidate, and returns the number of votes.
    #[command("VOTE", write, fast)]
    fn vote(&mut self, candidate: Key) -> u64 {
        self.cast.increment();
        let votes = self.votes.entry(candidate.into()).or_default();
        *votes += 1;
        *votes
    }

    /// Returns the number of votes for a candidate.
    #[command("VOTES", readonly, fast)]
    fn votes(&self, candidate: Key<&[u8]>) -> u64 {
        self.votes.get(*candidate).copied().unwrap_or_default()
    }
}

#[thegiant::main]
async fn main() -> io::Result<()> {
    let address = env::args().nth(1).unwrap_or("127.0.0.1:6380".to_owned());
    let metrics_address = env::var("METRICS_BIND").unwrap_or("127.0.0.1:9100".to_owned());
    let app = || {
        let ballot = Ballot::default();
        App::new().counter("Ballot", "ballot_votes_total", &ballot.cast).mount(ballot.start())
    };
    // Without latency tracking, the server does not time commands and exports no latencies.
    let server = Server::new(app).latency_tracking(true).bind(address)?;
    // The server registers its metrics when it runs, so the recorder comes first.
    endpoint::serve(&metrics_address)?;
    for address in server.addrs() {
        println!("listening on {address}");
    }
    server.run().await
}
