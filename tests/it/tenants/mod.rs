//! Users with keys and channels of their own.

/// Two tenants send random commands, and none of them notices the other.
mod chance;
/// Commands of an application: keys in replies, and commands about all keys.
mod commands;
/// Logins change the prefix of the requests behind them.
mod logins;
/// Requests that a proxy sends on.
mod proxied;
/// Keyspace events, invalidations and channels.
mod pushes;

use crate::support::{Process, RawClient, line};

/// Starts `kv` with the tenants `alice` and `bob`.
fn start(options: &[&str]) -> Process {
    let kv = Process::program_with("kv", &[&["--tenants"], options].concat());
    let mut operator = RawClient::connect(kv.address());
    add_users(&mut operator);
    kv
}

/// Adds the users `alice` and `bob`.
fn add_users(operator: &mut RawClient) {
    for user in ["alice", "bob"] {
        assert_eq!(operator.ask(line(&format!("ACL SETUSER {user} on nopass ~* &* +@all"))), "+OK\r\n");
    }
}

/// Connects as a user.
fn log_in(address: &str, user: &str) -> RawClient {
    let mut client = RawClient::connect(address);
    assert_eq!(client.ask(line(&format!("AUTH {user} x"))), "+OK\r\n");
    client
}
