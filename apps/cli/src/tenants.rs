//! Tenants: users with keys and channels of their own.

use clap::Args;
use thegiant::Server;

/// The option of an app whose users can be tenants.
#[derive(Args)]
pub struct TenantOptions {
    /// Separate the users: on the server, the keys and channels of each user except `default` begin with USER:
    #[arg(long, help_heading = "Server options")]
    tenants: bool,
}

impl TenantOptions {
    /// Sets the key prefixes of the users, if the option is on.
    pub fn apply(&self, server: Server) -> Server {
        if self.tenants { server.key_prefix(key_prefix) } else { server }
    }
}

/// Returns the key prefix of a user. No two prefixes begin with each other, since a prefix has one colon, at its end.
fn key_prefix(user: &str) -> Option<String> {
    let name = user.replace('%', "%25").replace(':', "%3A");
    (user != "default").then(|| format!("{name}:"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_prefix_begins_with_another() {
        let users = ["a", "ab", "a:", "a:b", "a%3A", "a%", "%", ":"];
        let prefixes = users.map(|user| key_prefix(user).expect("a prefix"));
        for (index, prefix) in prefixes.iter().enumerate() {
            let longer = prefixes.iter().enumerate().filter(|(other, _)| *other != index);
            assert_eq!(longer.filter(|(_, other)| other.starts_with(prefix)).count(), 0, "{prefix}");
        }
        assert_eq!(key_prefix("default"), None);
    }
}
