//! Run with `cargo run -p shards`, then try `redis-cli -p 6380 SCORES ann bob eve`.
//!
//! This example shows how an application uses all cores. Its keys are divided among shards: actors of one type, each on
//! its own thread. A command with one key runs on the shard of that key. The attributes `split` and `all` say how a command
//! over several keys, or over all of them, becomes one reply.

use std::{collections::HashMap, thread};

use thegiant::prelude::*;

/// The players of one shard, and their scores.
#[derive(Default)]
struct Scores(HashMap<String, i64>);

impl Actor for Scores {
    type Context = Context<Self>;
}

#[commands]
impl Scores {
    /// Adds points to the score of a player, and returns it.
    #[command("SCORE", write, fast)]
    fn score(&mut self, player: Key<String>, points: i64) -> i64 {
        let score = self.0.entry(player.into_inner()).or_default();
        *score += points;
        *score
    }

    /// Returns the scores of players. Each shard gets the names of its players.
    #[command("SCORES", readonly, fast, split)]
    fn scores(&self, players: Vec<Key<&str>>) -> Vec<Option<i64>> {
        players.into_iter().map(|player| self.0.get(*player).copied()).collect()
    }

    /// Removes players, and returns how many there were.
    #[command("REMOVE", write, split = "agg_sum")]
    fn remove(&mut self, players: Vec<Key<&str>>) -> usize {
        players.into_iter().filter(|player| self.0.remove(**player).is_some()).count()
    }

    /// Returns the best score. Each shard has a candidate.
    #[command("BEST", readonly, all = "agg_max")]
    fn best(&self) -> i64 {
        self.0.values().copied().max().unwrap_or(0)
    }
}

fn app(shards: u16) -> App {
    App::new().mount_shards(shards, |_| Scores::default())
}

#[thegiant::main]
async fn main() -> std::io::Result<()> {
    let cpus = thread::available_parallelism()?.get() as u16;
    Server::new(move || app(cpus)).workers(cpus).bind("127.0.0.1:6380")?.run().await
}

#[cfg(test)]
mod tests {
    use thegiant::test::TestServer;

    use super::*;

    #[thegiant::test]
    async fn any_number_of_shards_replies_the_same() {
        for shards in [1, 2, 5] {
            let server = TestServer::start(app(shards));
            let mut client = server.connect();
            client.send("SCORE ann 3\r\nSCORE bob 7\r\nSCORE eve 1\r\nSCORES eve nobody ann\r\n").await;
            client.expect(":3\r\n:7\r\n:1\r\n*3\r\n:1\r\n$-1\r\n:3\r\n").await;
            client.send("BEST\r\nREMOVE ann bob nobody\r\nBEST\r\n").await;
            client.expect(":7\r\n:2\r\n:1\r\n").await;
        }
    }
}
