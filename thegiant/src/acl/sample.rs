//! A catalog for tests.

use super::{Access, AccessedCommand, Catalog, Denied, User};
use crate::command::{Flags, KeyAccess, Spec};

static SPECS: [Spec; 10] = [
    Spec::new("GET", &[]).flags(Flags::READONLY.union(Flags::FAST)).group("string"),
    Spec::new("SET", &[]).flags(Flags::WRITE).group("string"),
    Spec::new("MGET", &[]).flags(Flags::READONLY.union(Flags::FAST)).group("string"),
    Spec::new("CONFIG GET", &[]).flags(Flags::ADMIN).group("server"),
    Spec::new("CONFIG SET", &[]).flags(Flags::ADMIN).group("server"),
    Spec::new("SELECT", &[]).flags(Flags::FAST).group("connection"),
    Spec::new("SUBSCRIBE", &[]).flags(Flags::PUBSUB).group("pubsub"),
    Spec::new("HELLO", &[]).flags(Flags::NO_AUTH.union(Flags::FAST)).group("connection"),
    Spec::new("PUSH", &[]).flags(Flags::WRITE.union(Flags::FAST)).group("jobs").categories(&["dangerous"]),
    Spec::new("QUEUE", &[]).flags(Flags::READONLY).group("jobs").aliases(&["Q"]),
];

/// Returns a catalog with commands of Redis and of an application.
pub(super) fn catalog() -> Catalog {
    Catalog::new(&SPECS.each_ref(), false).expect("a catalog")
}

/// Returns a catalog of a server that runs further commands.
pub(super) fn open_catalog() -> Catalog {
    Catalog::new(&SPECS.each_ref(), true).expect("a catalog")
}

/// Returns a new user with these rules, which are separated by spaces.
pub(super) fn user(rules: &str, catalog: &Catalog) -> User {
    let rules = rules.split(' ').map(str::as_bytes);
    User::new(b"alice", catalog, false).with_rules(rules, catalog, false).expect("valid rules")
}

/// Returns whether the user may run a command with these keys.
pub(super) fn check(
    user: &User,
    catalog: &Catalog,
    name: &str,
    keys: &[(&str, KeyAccess)],
) -> Result<(), Denied> {
    let keys = keys.iter().zip(1..).map(|((key, access), position)| (position, key.as_bytes(), *access));
    user.check(&Access::new(command(catalog, name)).keys(keys))
}

/// Returns the command with this full name.
pub(super) fn command(catalog: &Catalog, name: &str) -> AccessedCommand<'static> {
    catalog.accessed(catalog.find(name.as_bytes()).expect("a command") as u16)
}
