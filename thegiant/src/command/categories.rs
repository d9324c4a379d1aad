//! The ACL categories of a command.

use super::{Flags, Spec};

/// The categories of Redis, in the order of `ACL CAT`.
pub(crate) const REDIS_CATEGORIES: [&str; 21] = [
    "keyspace",
    "read",
    "write",
    "set",
    "sortedset",
    "list",
    "hash",
    "string",
    "bitmap",
    "hyperloglog",
    "geo",
    "stream",
    "pubsub",
    "admin",
    "fast",
    "slow",
    "blocking",
    "dangerous",
    "connection",
    "transaction",
    "scripting",
];

/// The categories of a container that is no command. Its `HELP` is also in the category of its group.
pub(crate) const CONTAINER_CATEGORIES: [&str; 1] = ["slow"];

/// Groups that are no categories: Redis has none for them, or the flags alone decide.
const GROUPS_WITHOUT_CATEGORY: [&str; 12] = [
    "server",
    "cluster",
    "sentinel",
    "module",
    "all",
    "read",
    "write",
    "admin",
    "fast",
    "slow",
    "blocking",
    "dangerous",
];

impl Spec {
    /// Returns the names of the command's ACL categories, from its flags, its group and `categories`.
    ///
    /// The names of Redis come first, in the order of `ACL CAT`.
    pub(crate) fn category_names(&self) -> Vec<&'static str> {
        let mut names: Vec<&'static str> = self.flag_categories().collect();
        names.extend(self.group_category());
        names.extend(self.categories);
        // Scripts may write, whatever their flags say.
        if names.contains(&"scripting") {
            names.retain(|name| *name != "read");
        }
        names.sort_by_key(|name| redis_index(name).unwrap_or(REDIS_CATEGORIES.len()));
        let mut distinct = Vec::with_capacity(names.len());
        for name in names {
            if !distinct.contains(&name) {
                distinct.push(name);
            }
        }
        distinct
    }

    fn flag_categories(&self) -> impl Iterator<Item = &'static str> {
        let by_flag = [
            (Flags::WRITE, "write"),
            (Flags::READONLY, "read"),
            (Flags::PUBSUB, "pubsub"),
            (Flags::ADMIN, "admin"),
            (Flags::ADMIN, "dangerous"),
            (Flags::BLOCKING, "blocking"),
        ];
        let speed = if self.flags.contains(Flags::FAST) { "fast" } else { "slow" };
        let flags = self.flags;
        by_flag
            .into_iter()
            .filter(move |(flag, _)| flags.contains(*flag))
            .map(|(_, name)| name)
            .chain([speed])
    }

    pub(crate) fn group_category(&self) -> Option<&'static str> {
        let touches_keys = self.flags.contains(Flags::WRITE) || self.flags.contains(Flags::READONLY);
        match self.group {
            // `WAIT` is generic, but touches no keys.
            "generic" => touches_keys.then_some("keyspace"),
            "sorted-set" => Some("sortedset"),
            "transactions" => Some("transaction"),
            group => Some(group).filter(|group| !GROUPS_WITHOUT_CATEGORY.contains(group)),
        }
    }
}

/// Returns the position of a category of Redis in [`REDIS_CATEGORIES`].
pub(crate) fn redis_index(name: &str) -> Option<usize> {
    REDIS_CATEGORIES.iter().position(|known| *known == name)
}

/// Checks the name of a group or a category, which is a word in ACL rules.
///
/// # Panics
/// Panics if it has other characters than lower case letters, digits, `-` and `_`, or none. In a `const`, this
/// is a compile error.
#[track_caller]
pub(super) const fn check_name(name: &str) {
    let bytes = name.as_bytes();
    assert!(!bytes.is_empty(), "the name of a group or category is empty: write a name such as `\"jobs\"`");
    let mut at = 0;
    while at < bytes.len() {
        assert!(
            matches!(bytes[at], b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_'),
            "the name of a group or category has lower case letters, digits, `-` and `_` only, because ACL rules use it"
        );
        at += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(spec: Spec) -> Vec<&'static str> {
        spec.category_names()
    }

    #[test]
    fn categories_follow_from_flags_group_and_attribute() {
        let get = Spec::new("GET", &[]).flags(Flags::READONLY.union(Flags::FAST)).group("string");
        assert_eq!(names(get), ["read", "string", "fast"]);
        let flush = Spec::new("FLUSHALL", &[]).flags(Flags::WRITE).group("server");
        assert_eq!(
            names(flush.categories(&["dangerous", "keyspace"])),
            ["keyspace", "write", "slow", "dangerous"]
        );
        let pause = Spec::new("PAUSE", &[]).flags(Flags::ADMIN).group("jobs");
        assert_eq!(names(pause.categories(&["jobs", "ops"])), ["admin", "slow", "dangerous", "jobs", "ops"]);
    }

    #[test]
    fn groups_become_the_categories_of_redis() {
        let zadd = Spec::new("ZADD", &[]).group("sorted-set");
        assert_eq!(names(zadd), ["sortedset", "slow"]);
        assert_eq!(names(Spec::new("MULTI", &[]).group("transactions")), ["slow", "transaction"]);
        assert_eq!(names(Spec::new("DEL", &[]).flags(Flags::WRITE)), ["keyspace", "write", "slow"]);
        assert_eq!(names(Spec::new("WAIT", &[]).categories(&["connection"])), ["slow", "connection"]);
        let script = Spec::new("EVAL_RO", &[]).flags(Flags::READONLY).group("scripting");
        assert_eq!(names(script), ["slow", "scripting"]);
        // An actor of the type `Fast` is not fast for that.
        assert_eq!(names(Spec::new("SLEEP", &[]).group("fast")), ["slow"]);
    }

    #[test]
    #[should_panic(expected = "lower case letters")]
    fn a_group_has_no_spaces() {
        let _ = Spec::new("A", &[]).group("two words");
    }
}
