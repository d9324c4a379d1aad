//! Run with `cargo run -p leaderboard`, then try it with redis-cli:
//!
//! ```console
//! $ redis-cli -p 6380 --user chess.player --pass pawn
//! 127.0.0.1:6380> SCORE ADD blitz ann 7
//! (integer) 7
//! 127.0.0.1:6380> SCORE ADD blitz bob 5
//! (integer) 5
//! 127.0.0.1:6380> SCORE TOP blitz 10 WITHSCORES
//! 1) 1) "ann"
//!    2) (integer) 7
//! 2) 1) "bob"
//!    2) (integer) 5
//! 127.0.0.1:6380> SCORE RANK blitz eve
//! (error) NOPLAYER eve has no points
//! 127.0.0.1:6380> SCORE RESET blitz
//! (error) NOPERM this user has no permissions to run the 'score|reset' command
//! ```
//!
//! This example shows subcommands of two actors: `SCORE RESET` belongs to the second one, which sends the first one a message, and
//! the users of the server may not run it unless they are referees. It also shows two games that do not see each other: the names of
//! their boards and channels have different prefixes, which their players do not see. `SUBSCRIBE blitz` shows each new score.

use std::{cmp::Reverse, collections::HashMap};

use thegiant::prelude::*;

/// Points: an argument from 1 to 1000.
#[derive(FromArg)]
#[arg(range = 1..=1000, error = "a player gets 1 to 1000 points")]
struct Points(i64);

/// Reads `[WITHSCORES] [LAST]`, in any order.
#[derive(Args)]
struct TopOptions {
    withscores: bool,
    last: bool,
}

/// One reply of two forms: names, or names with scores.
#[derive(Reply)]
enum Top<'a> {
    Names(Vec<&'a str>),
    Scores(Vec<(&'a str, i64)>),
}

/// A map in RESP3; an array of names and values in RESP2.
#[derive(Reply)]
struct Place {
    rank: usize,
    score: i64,
}

/// An error whose text clients read, behind its code.
#[derive(Debug, thiserror::Error, ReplyError)]
#[error("{0} has no points")]
#[reply(code = "NOPLAYER")]
struct NoPlayer(String);

struct Boards {
    /// The score of each player, by board.
    scores: HashMap<Bytes, HashMap<String, i64>>,
    channels: PubSub,
}

impl Actor for Boards {
    type Context = Context<Self>;
}

#[commands]
impl Boards {
    /// Adds points to a score and returns it. The channel with the name of the board gets it, too.
    #[command("SCORE ADD", write)]
    fn add(&mut self, board: Key, player: String, points: Points) -> i64 {
        let score = self.scores.entry(board.0.clone()).or_default().entry(player.clone()).or_default();
        *score = score.saturating_add(points.0);
        self.channels.publish(board, format!("{player} {score}"));
        *score
    }

    /// Returns the best players, or the last ones.
    #[command("SCORE TOP", readonly)]
    fn top(&self, board: Key<&[u8]>, count: usize, options: TopOptions) -> Top<'_> {
        let scores = self.scores.get(*board).into_iter().flatten();
        let mut players: Vec<_> = scores.map(|(player, score)| (player.as_str(), *score)).collect();
        players.sort_by_key(|(player, score)| (Reverse(*score), *player));
        if options.last {
            players.reverse();
        }
        players.truncate(count);
        match options.withscores {
            true => Top::Scores(players),
            false => Top::Names(players.into_iter().map(|(player, _)| player).collect()),
        }
    }

    /// Returns the rank and the score of a player.
    #[command("SCORE RANK", readonly)]
    fn rank(&self, board: Key<&[u8]>, player: &str) -> Result<Place, NoPlayer> {
        let scores = self.scores.get(*board).filter(|scores| scores.contains_key(player));
        let scores = scores.ok_or_else(|| NoPlayer(player.to_owned()))?;
        let better = scores.values().filter(|score| **score > scores[player]).count();
        Ok(Place { rank: better + 1, score: scores[player] })
    }
}

/// A message that empties a board. The answer is the number of its players.
struct Empty(Bytes);

impl Message for Empty {
    type Result = usize;
}

impl Handler<Empty> for Boards {
    type Result = usize;

    fn handle(&mut self, Empty(board): Empty, _: &mut Context<Self>) -> usize {
        self.scores.remove(&board).map_or(0, |scores| scores.len())
    }
}

/// The commands for referees. This actor could also be in another crate, or on another thread.
struct Referees(Addr<Boards>);

impl Actor for Referees {
    type Context = Context<Self>;
}

#[commands]
impl Referees {
    /// Empties a board, and returns the number of its players.
    #[command("SCORE RESET", write)]
    fn reset(&self, board: Key) -> ResponseFuture<Result<usize, Error>> {
        let emptied = self.0.send(Empty(board.into()));
        Box::pin(async { emptied.await.map_err(Error::internal) })
    }
}

fn app() -> App {
    let app = App::new();
    let boards = Boards { scores: HashMap::new(), channels: app.pubsub() }.start();
    app.mount(boards.clone()).mount(Referees(boards).start())
}

fn server() -> Server {
    let player = "~* &* +@all -@admin -score|reset";
    Server::new(app)
        .user("default", "off")
        .user("chess.player", format!("on >pawn {player}"))
        .user("chess.referee", "on >king ~* &* +@all -@admin")
        .user("go.player", format!("on >stone {player}"))
        .key_prefix(|user| user.split_once('.').map(|(game, _)| format!("{game}:")))
}

#[thegiant::main]
async fn main() -> std::io::Result<()> {
    server().bind("127.0.0.1:6380")?.run().await
}

#[cfg(test)]
mod tests {
    use thegiant::test::{TestClient, TestServer};

    use super::*;

    async fn log_in(server: &TestServer, user: &str, password: &str) -> TestClient {
        let mut client = server.connect();
        assert_eq!(client.call(("AUTH", user, password)).await, Value::simple("OK"));
        client.resp3().await
    }

    #[thegiant::test]
    async fn players_have_ranks() {
        let server = TestServer::with(server());
        let mut client = log_in(&server, "chess.player", "pawn").await;
        for (player, points, score) in [("ann", 7, 7), ("bob", 5, 5), ("cid", 3, 3), ("cid", 4, 7)] {
            assert_eq!(client.call(("SCORE", "ADD", "blitz", player, points)).await, Value::Integer(score));
        }
        client
            .send("SCORE TOP blitz 2\r\nSCORE TOP blitz 1 LAST WITHSCORES\r\nSCORE RANK blitz bob\r\n")
            .await;
        client.expect("*2\r\n$3\r\nann\r\n$3\r\ncid\r\n*1\r\n*2\r\n$3\r\nbob\r\n:5\r\n").await;
        client.expect("%2\r\n$4\r\nrank\r\n:3\r\n$5\r\nscore\r\n:5\r\n").await;
        client.send("SCORE RANK blitz eve\r\nSCORE ADD blitz eve 1001\r\nSCORE TOP rapid 10\r\n").await;
        client.expect("-NOPLAYER eve has no points\r\n-ERR a player gets 1 to 1000 points\r\n*0\r\n").await;
    }

    #[thegiant::test]
    async fn a_game_has_its_own_boards_channels_and_referees() {
        let server = TestServer::with(server());
        let mut player = log_in(&server, "chess.player", "pawn").await;
        let mut referee = log_in(&server, "chess.referee", "king").await;
        let mut other = log_in(&server, "go.player", "stone").await;
        for client in [&mut referee, &mut other] {
            client.send("SUBSCRIBE blitz\r\n").await;
            client.pushed().await;
        }
        player.call(("SCORE", "ADD", "blitz", "ann", 7)).await;
        assert_eq!(referee.pushed().await, ["message", "blitz", "ann 7"].map(Value::from));
        assert_eq!(other.call(("SCORE", "ADD", "blitz", "go", 1)).await, Value::Integer(1));
        assert_eq!(other.pushed().await, ["message", "blitz", "go 1"].map(Value::from));

        assert!(matches!(player.call(["SCORE", "RESET", "blitz"]).await, Value::Error(_)));
        assert_eq!(referee.call(["SCORE", "RESET", "blitz"]).await, Value::Integer(1));
        assert_eq!(player.call(("SCORE", "TOP", "blitz", 10)).await, Value::Array(Vec::new()));
        assert_eq!(other.call(("SCORE", "TOP", "blitz", 10)).await, Value::Array(vec!["go".into()]));
    }
}
