//! Rules of users and their effect.

use super::{
    Access, AccessedCommand, Categories, Denied, User,
    sample::{catalog, check, command, open_catalog, user},
};
use crate::command::KeyAccess;

const EMPTY_HASH: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn error(rules: &str) -> String {
    let rules = rules.split(' ').map(str::as_bytes);
    let applied = User::new(b"alice", &catalog(), false).with_rules(rules, &catalog(), false);
    applied.expect_err("a mistake").to_string()
}

#[test]
fn mistakes_have_the_texts_of_redis() {
    const UNKNOWN: &str = "Unknown command or category name in ACL";
    let hash = format!("#{}", EMPTY_HASH.to_uppercase());
    for (rules, rule, text) in [
        ("nope", "nope", "Syntax error"),
        ("%x~a", "%x~a", "Syntax error"),
        ("%~a", "%~a", "Syntax error"),
        ("~a\tb", "~a\tb", "Syntax error"),
        ("+get|", "+get|", "Syntax error"),
        (")", ")", "Syntax error"),
        ("(on)", "(on)", "Syntax error"),
        ("(~'a')", "(~'a')", "Syntax error"),
        ("(+get ~a) +@all)", "+@all)", UNKNOWN),
        ("+nope", "+nope", UNKNOWN),
        ("-get|k", "-get|k", UNKNOWN),
        ("+config|nope", "+config|nope", UNKNOWN),
        ("+@nope", "+@nope", UNKNOWN),
        ("(+get +nope)", "(+get +nope)", UNKNOWN),
        ("+config|get|x", "+config|get|x", "Allowing first-arg of a subcommand is not supported"),
        ("<secret", "<secret", "The password you are trying to remove from the user does not exist"),
        (
            &hash,
            &hash,
            "The password hash must be exactly 64 characters and contain only lowercase hexadecimal characters",
        ),
        (
            "~* ~a",
            "~a",
            "Adding a pattern after the * pattern (or the 'allkeys' flag) is not valid and does not have any effect. \
             Try 'resetkeys' to start with an empty list of patterns",
        ),
        (
            "&* &a",
            "&a",
            "Adding a pattern after the * pattern (or the 'allchannels' flag) is not valid and does not have any \
             effect. Try 'resetchannels' to start with an empty list of channels",
        ),
    ] {
        assert_eq!(error(rules), format!("Error in ACL SETUSER modifier '{rule}': {text}"));
    }
    assert_eq!(error("on ( ~a"), "Unmatched parenthesis in acl selector starting at '('.");
}

#[test]
fn passwords_are_kept_as_hashes() {
    let catalog = catalog();
    let alice = user(&format!("on >secret >two >secret #{EMPTY_HASH}"), &catalog);
    for (password, matches) in
        [("secret", true), ("two", true), ("", true), ("Secret", false), ("secret ", false)]
    {
        assert_eq!(alice.matches_password(password.as_bytes()), matches, "{password}");
    }
    assert_eq!(alice.passwords().len(), 3);
    let text = format!("{alice:?}");
    assert!(!text.contains("secret") && !text.contains(EMPTY_HASH), "{text}");

    let alice = user("on >one >two <one", &catalog);
    assert!(!alice.matches_password(b"one") && alice.matches_password(b"two"));
    assert!(user("on >one nopass", &catalog).matches_password(b"any"));
    assert!(!user("on nopass resetpass", &catalog).matches_password(b""));
    assert!(!user("off nopass >one", &catalog).matches_password(b"one"));
}

#[test]
fn the_default_user_may_do_everything() {
    let catalog = catalog();
    let default = User::default_user(&catalog);
    assert!(default.is_unrestricted() && default.matches_password(b""));
    assert_eq!(check(&default, &catalog, "config|set", &[("a", KeyAccess::WRITE)]), Ok(()));
    for rules in ["+@all ~*", "~* &*", "+@all &* ~a*", "+@all -get ~* &*"] {
        assert!(!user(rules, &catalog).is_unrestricted(), "{rules}");
    }
    assert!(user("-get (~* +@all &*)", &catalog).is_unrestricted());
}

#[test]
fn rules_decide_in_their_order() {
    let catalog = catalog();
    for (rules, name, allowed) in [
        ("on", "get", false),
        ("on", "hello", true),
        ("+get", "get", true),
        ("+GET", "mget", false),
        ("+@read -mget", "get", true),
        ("+@read -mget", "mget", false),
        ("-mget +@read", "mget", true),
        ("+@all -@dangerous", "get", true),
        ("+@all -@dangerous", "config|get", false),
        ("+@all -@dangerous", "push", false),
        ("+@JOBS", "push", true),
        ("+config", "config|set", true),
        ("+config -config|set", "config|set", false),
        ("+config -config|set", "config|get", true),
        ("+q", "queue", true),
        ("+@all reset", "get", false),
    ] {
        let result = check(&user(rules, &catalog), &catalog, name, &[]);
        assert_eq!(result, if allowed { Ok(()) } else { Err(Denied::Command) }, "{rules}: {name}");
    }
}

#[test]
fn a_first_argument_can_be_allowed() {
    let catalog = catalog();
    let alice = user("+select|0 +SELECT|Two", &catalog);
    let may_select = |alice: &User, argument: Option<&str>| {
        let access = Access::new(command(&catalog, "select"));
        alice.check(&access.first_argument(argument.map(str::as_bytes))).is_ok()
    };
    assert_eq!(
        [Some("0"), Some("1"), Some("TWO"), None].map(|word| may_select(&alice, word)),
        [true, false, true, false]
    );
    assert!(!may_select(&user("+select|0 -select", &catalog), Some("0")));
    assert!(!may_select(&user("+select|0 -@fast", &catalog), Some("0")));
}

#[test]
fn keys_are_read_or_written() {
    let catalog = catalog();
    let alice = user("+@all %R~r:* %W~w:* ~rw ~a?c", &catalog);
    for (key, read, write) in [
        ("r:1", true, false),
        ("w:1", false, true),
        ("rw", true, true),
        ("abc", true, true),
        ("r", false, false),
    ] {
        let allowed = |access| check(&alice, &catalog, "get", &[("rw", KeyAccess::READ), (key, access)]);
        assert_eq!(allowed(KeyAccess::READ), if read { Ok(()) } else { Err(Denied::Key(2)) }, "{key}");
        assert_eq!(allowed(KeyAccess::WRITE), if write { Ok(()) } else { Err(Denied::Key(2)) }, "{key}");
        assert_eq!(alice.may_read(key.as_bytes()), read);
    }
    // One pattern has to allow all of it.
    let alice = user("+@all %R~a* %W~a*", &catalog);
    assert_eq!(check(&alice, &catalog, "get", &[("a", KeyAccess::BOTH)]), Ok(()));
    let alice = user("+@all %R~a* %W~*", &catalog);
    assert_eq!(check(&alice, &catalog, "get", &[("a", KeyAccess::BOTH)]), Err(Denied::Key(1)));
    // `EXISTS` needs neither, but some pattern.
    assert_eq!(
        check(&user("+@all %W~a", &catalog), &catalog, "get", &[("a", KeyAccess::new(false, false))]),
        Ok(())
    );
    assert_eq!(
        check(&user("+@all %W~a", &catalog), &catalog, "get", &[("b", KeyAccess::new(false, false))]),
        Err(Denied::Key(1))
    );
}

#[test]
fn the_most_relevant_selector_gives_the_reason() {
    let catalog = catalog();
    let keys = [("a", KeyAccess::READ), ("b", KeyAccess::READ), ("c", KeyAccess::READ)];
    for (rules, expected) in [
        ("+set (+get)", Err(Denied::Key(1))),
        ("+get ~a (+get ~a ~b) (+set)", Err(Denied::Key(3))),
        ("+get ~a ~b (+get ~a)", Err(Denied::Key(3))),
        ("-@all (+get ~*)", Ok(())),
        ("+get ~a (+get ~b ~c)", Err(Denied::Key(2))),
    ] {
        assert_eq!(check(&user(rules, &catalog), &catalog, "get", &keys), expected, "{rules}");
    }
}

#[test]
fn channels_match_and_their_patterns_are_literal() {
    let catalog = catalog();
    let alice = user("+subscribe &news:* (&all*)", &catalog);
    let listen = |channels: &[(&str, bool)]| {
        let channels =
            channels.iter().zip(1..).map(|((name, is_pattern), at)| (at, name.as_bytes(), *is_pattern));
        alice.check(&Access::new(command(&catalog, "subscribe")).channels(channels))
    };
    assert_eq!(listen(&[("news:1", false), ("news:*", true)]), Ok(()));
    assert_eq!(listen(&[("news:1", false), ("news:1*", true)]), Err(Denied::Channel(2)));
    assert_eq!(listen(&[("news:1", false), ("weather", false)]), Err(Denied::Channel(2)));
    assert!(alice.may_listen(b"news:1", false) && alice.may_listen(b"all*", true));
    assert!(!alice.may_listen(b"weather", false) && !alice.may_listen(b"*", true));
}

#[test]
fn rules_apply_together_or_not_at_all() {
    let catalog = catalog();
    let alice = user("on +get", &catalog);
    let rules: [&[u8]; 3] = [b"off", b"-get", b"nope"];
    assert!(alice.with_rules(rules, &catalog, false).is_err());
    assert!(alice.is_on);
    let rules: [&[u8]; 4] = [b"(+get", b"~a", b"~b)", b"off"];
    let alice = alice.with_rules(rules, &catalog, false).expect("valid rules");
    assert_eq!(alice.describe(&catalog), b"off resetchannels -@all +get (~a ~b resetchannels -@all +get)");
}

/// Otherwise, the aclfile would give the user itself what the selector allows.
#[test]
fn a_selector_ends_at_its_last_parenthesis() {
    let rules: [&[u8]; 1] = [b"(~a) +@all -get +get|k)"];
    let applied = User::new(b"alice", &catalog(), false).with_rules(rules, &catalog(), false);
    assert!(applied.expect_err("a mistake").to_string().ends_with("Syntax error"));
}

/// A proxy knows the categories of the commands of its upstream.
#[test]
fn an_open_catalog_has_rules_for_other_commands() {
    let catalog = open_catalog();
    let categories = |names: &[&str]| catalog.categories().set(names.iter().copied());
    let may = |rules: &str, name: &str, argument: Option<&str>, categories: Option<Categories>| {
        let command = AccessedCommand::Unlisted { name: name.as_bytes(), categories };
        let access = Access::new(command).first_argument(argument.map(str::as_bytes));
        user(rules, &catalog).check(&access).is_ok()
    };
    let hget = Some(categories(&["read", "hash", "fast"]));
    for (rules, allowed) in [
        ("on", false),
        ("+@all", true),
        ("+@all -@read", false),
        ("+@all -@read +hget", true),
        ("+@all -HGET", false),
        ("+hget -@hash", false),
        ("-@hash +hget", true),
        ("+hget -@all", false),
        ("+@dangerous", false),
    ] {
        assert_eq!(may(rules, "HGet", Some("k"), hget), allowed, "{rules}");
    }
    // No upstream has described its commands yet, so this one may be of any category.
    for (rules, allowed) in
        [("+@all", true), ("+@all -@read", false), ("+@read", false), ("+@all -@read +hget", true)]
    {
        assert_eq!(may(rules, "HGET", Some("k"), None), allowed, "{rules}");
    }
    let admin = Some(categories(&["admin", "slow", "dangerous"]));
    assert!(may("+script|exists", "SCRIPT", Some("EXISTS"), admin));
    assert!(!may("+script|exists", "SCRIPT", Some("FLUSH"), admin));
    assert!(!may("+script -script|flush", "SCRIPT", Some("FLUSH"), admin));
    assert!(may("+script -script|flush", "SCRIPT", Some("LOAD"), admin));
    assert!(user("~* &* +@all", &catalog).is_unrestricted());
    for rule in ["-hget", "-@hash", "-script|flush", "-nothing"] {
        assert!(!user(&format!("~* &* +@all {rule}"), &catalog).is_unrestricted(), "{rule}");
    }
    let rules = "resetchannels +@all -@dangerous +hget -script|flush";
    let alice = user(&format!("+get -hget {rules} -@dangerous +hget"), &catalog);
    let shown = "off resetchannels +@all -script|flush -@dangerous +hget";
    assert_eq!(String::from_utf8_lossy(&alice.describe(&catalog)), shown);
}
