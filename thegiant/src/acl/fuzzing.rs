//! The function of the fuzz target `acl_rules`.

use super::{Access, AccessedCommand, Catalog, User, Users};
use crate::command::{Flags, KeyAccess, Spec};

static SPECS: [Spec; 6] = [
    Spec::new("GET", &[]).flags(Flags::READONLY.union(Flags::FAST)).group("string"),
    Spec::new("SET", &[]).flags(Flags::WRITE).group("string"),
    Spec::new("CONFIG GET", &[]).flags(Flags::ADMIN).group("server"),
    Spec::new("CONFIG SET", &[]).flags(Flags::ADMIN).group("server"),
    Spec::new("SELECT", &[]).flags(Flags::FAST).group("connection"),
    Spec::new("PUSH", &[]).flags(Flags::WRITE).group("jobs"),
];

/// Applies rules, one in each line.
///
/// The text that describes the user then makes the same user again.
///
/// # Panics
/// Panics if it does not.
pub fn rules(data: &[u8]) {
    let Some((first, text)) = data.split_first() else { return };
    let catalog = Catalog::new(&SPECS.each_ref(), first & 1 == 1).expect("few categories");
    let new = || User::new(b"u", &catalog, false);
    let Ok(user) = new().with_rules(text.split(|byte| *byte == b'\n'), &catalog, first & 2 == 2) else {
        return;
    };

    let described = user.describe(&catalog);
    let again = new().with_rules(described.split(|byte| *byte == b' '), &catalog, false);
    let again = again.unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&described)));
    assert_eq!(again.describe(&catalog), described);

    let line = [b"user u ", &*described].concat();
    let users = Users::parse(&line, "file", &catalog, false, User::default_user(&catalog))
        .unwrap_or_else(|error| panic!("{error}"));
    let loaded = users.get(b"u").expect("the user of the line");
    assert_eq!(loaded.describe(&catalog), described);
    for (command, key) in (0..SPECS.len() as u16).zip(text.chunks(3)) {
        let access = KeyAccess::new(first & 4 == 4, first & 8 == 8);
        let access = Access::new(AccessedCommand::Row(command))
            .first_argument(Some(key))
            .keys([(1, key, access)].into_iter())
            .channels([(2, key, first & 16 == 16)].into_iter());
        assert_eq!(user.check(&access), loaded.check(&access));
        assert!(!user.is_unrestricted() || user.check(&access).is_ok());
    }
}
