//! Run with `cargo run -p types`, then try `redis-cli -p 6380 DEPOSIT ann 1000`.
//!
//! This example shows arguments, options, replies and errors of your own types.

use std::collections::HashMap;

use thegiant::prelude::*;

/// An amount of money in cents: an argument that is a positive integer.
#[derive(FromArg)]
#[arg(range = 1.., error = "the amount must be positive")]
struct Cents(i64);

/// Reads `[OVERDRAFT cents] [DRYRUN]`, in any order.
#[derive(Args)]
struct Options {
    #[arg("OVERDRAFT")]
    overdraft: Option<Cents>,
    #[arg("DRYRUN")]
    dry_run: bool,
}

/// A reply: a map in RESP3, an array of names and values in RESP2.
#[derive(Reply)]
struct Statement {
    balance: i64,
    standing: Standing,
}

/// A word of a reply: `good` or `overdrawn`.
#[derive(Reply)]
enum Standing {
    Good,
    Overdrawn,
}

/// An error whose text clients read, behind the code of the variant.
#[derive(Debug, thiserror::Error, ReplyError)]
enum BankError {
    #[error("no such account")]
    #[reply(code = "NOACCOUNT")]
    UnknownAccount,
    #[error("{missing} cents are missing")]
    #[reply(code = "OVERDRAWN")]
    Overdrawn { missing: i64 },
}

#[derive(Default)]
struct Bank {
    accounts: HashMap<Bytes, i64>,
}

impl Actor for Bank {
    type Context = Context<Self>;
}

#[commands]
impl Bank {
    /// Adds an amount to an account and returns the new balance.
    #[command("DEPOSIT", write)]
    fn deposit(&mut self, account: Key, amount: Cents) -> i64 {
        let balance = self.accounts.entry(account.into()).or_default();
        *balance = balance.saturating_add(amount.0);
        *balance
    }

    /// Takes an amount from an account and returns the new balance.
    #[command("WITHDRAW", write)]
    fn withdraw(&mut self, account: Key<&[u8]>, amount: Cents, options: Options) -> Result<i64, BankError> {
        let balance = self.accounts.get_mut(*account).ok_or(BankError::UnknownAccount)?;
        let allowed = options.overdraft.map_or(0, |Cents(cents)| cents);
        let left = balance.saturating_sub(amount.0);
        if left < -allowed {
            return Err(BankError::Overdrawn { missing: -allowed - left });
        }
        if !options.dry_run {
            *balance = left;
        }
        Ok(left)
    }

    /// Describes an account.
    #[command("STATEMENT", readonly)]
    fn statement(&self, account: Key<&[u8]>) -> Result<Statement, BankError> {
        let balance = *self.accounts.get(*account).ok_or(BankError::UnknownAccount)?;
        let standing = if balance < 0 { Standing::Overdrawn } else { Standing::Good };
        Ok(Statement { balance, standing })
    }
}

fn app() -> App {
    App::new().mount(Bank::default().start())
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
    async fn replies_with_errors_of_its_own() {
        let server = TestServer::start(app());
        let mut client = server.connect();
        client.send("DEPOSIT a 0\r\nWITHDRAW a 1\r\nDEPOSIT a 100\r\nWITHDRAW a 150\r\n").await;
        client.expect("-ERR the amount must be positive\r\n-NOACCOUNT no such account\r\n").await;
        client.expect(":100\r\n-OVERDRAWN 50 cents are missing\r\n").await;
    }

    #[thegiant::test]
    async fn reads_options_in_any_order() {
        let server = TestServer::start(app());
        let mut client = server.connect();
        client
            .send("DEPOSIT a 100\r\nWITHDRAW a 150 DRYRUN OVERDRAFT 60\r\nWITHDRAW a 1 overdraft 60\r\n")
            .await;
        client.expect(":100\r\n:-50\r\n:99\r\n").await;
        client.send("WITHDRAW a 1 OVERDRAFT 0\r\nWITHDRAW a 1 DRYRUN DRYRUN\r\n").await;
        client.expect("-ERR the amount must be positive\r\n-ERR syntax error\r\n").await;
        client.send("STATEMENT a\r\n").await;
        client.expect("*4\r\n$7\r\nbalance\r\n:99\r\n$8\r\nstanding\r\n$4\r\ngood\r\n").await;
    }
}
