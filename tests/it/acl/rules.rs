use std::collections::BTreeSet;

use proptest::{
    collection::vec,
    prelude::*,
    sample::select,
    test_runner::{Config, TestRunner},
};

use crate::support::{Process, RawClient, Reply, request};

/// A server with a user whose rules are changed.
struct Subject {
    client: RawClient,
    _process: Process,
}

/// The commands that both servers know, except `DEBUG`, which has no subcommands in Redis.
struct Shared {
    commands: Vec<String>,
}

const USER: &str = "u";
/// A user that gets the rules that `ACL LIST` shows.
const COPY: &str = "v";

/// Requests for which the test asks `ACL DRYRUN`.
const PROBES: &str = "GET k1|GET K2|SET k1 v|SET ab v GET|MGET k1 ab zz|MSET k1 v foo:1 v|RENAME k1 foo:1|COPY ab k1|\
                      EXISTS k1 zz|DEL k1 ab|APPEND k1 v|STRLEN k1|OBJECT ENCODING k1|PUBLISH k1 m|SPUBLISH ab m|\
                      SUBSCRIBE k1 ab|PSUBSCRIBE k? a*|SSUBSCRIBE foo:1|UNSUBSCRIBE zz|CONFIG GET x|CONFIG SET x y|\
                      SELECT 0|SELECT 1|PING|AUTH x|HELLO|FLUSHALL|CLIENT ID|CLIENT LIST|COMMAND|COMMAND DOCS|WATCH k1|\
                      KEYS *|MULTI|INFO|LCS k1 foo:1|GETEX k1 PERSIST|NOPE|GET";

/// Without `*`, which the toolkit shows in another way than Redis if it was given by `%RW~*`.
const PATTERNS: [&str; 9] = ["a*", "k1", "k?", "[af]*", "foo:*", "", "z**", "k\\1", "a b"];

const OTHER_RULES: &str = "allkeys resetkeys allchannels resetchannels allcommands nocommands ALLKEYS on off ON \
                           sanitize-payload skip-sanitize-payload nopass resetpass reset clearselectors >p1 >p2 <p1 <p2 \
                           #0000000000000000000000000000000000000000000000000000000000000000 \
                           !0000000000000000000000000000000000000000000000000000000000000000 #12 !zz \
                           +select|0 +select|1 +SELECT|1 -select|0 +get|k1 +GET|K2 +config|nope +config| +get| +nope \
                           +nope|x -nope +config|get|x ~* %R~* &* +@nope + - +@ %x~a x ( ) ()";

/// Random rules have the same effect and the same errors as in Redis: `ACL DRYRUN` decides the same for each request, and
/// so it does for a user with the rules that `ACL LIST` shows.
#[test]
fn random_rules_have_the_effect_that_they_have_in_redis() {
    let mut kv = Subject::new(Process::program("kv"));
    let mut redis = Subject::new(Process::redis(&[]));
    let shared = Shared::new(&mut kv, &mut redis);
    let steps = vec(vec(shared.rule(), 0..8), 1..4);
    let config = Config { cases: 500, failure_persistence: None, ..Config::default() };
    let run = |steps: Vec<Vec<String>>| {
        for subject in [&mut kv, &mut redis] {
            subject.ask(["ACL", "DELUSER", USER, COPY]);
        }
        for rules in &steps {
            let [kv, redis] = [&mut kv, &mut redis].map(|subject| subject.set(USER, rules));
            prop_assert_eq!(kv, redis, "{:?}", rules);
        }
        let [kv_user, redis_user] = [&mut kv, &mut redis].map(Subject::user);
        prop_assert_eq!(kv_user, redis_user, "{:?}", steps);
        let Some(line) = kv.line(USER) else { return Ok(()) };
        let rules: Vec<String> = line.split(' ').map(str::to_owned).collect();
        prop_assert_eq!(kv.set(COPY, &rules), Reply::Simple(b"OK".to_vec()), "{}", line);
        for probe in PROBES.split('|') {
            let [kv_reply, redis_reply] = [&mut kv, &mut redis].map(|subject| subject.dry_run(USER, probe));
            prop_assert_eq!(&kv_reply, &redis_reply, "{} of {:?}", probe, steps);
            prop_assert_eq!(&kv.dry_run(COPY, probe), &kv_reply, "{} of {}", probe, line);
        }
        Ok(())
    };
    if let Err(error) = TestRunner::new_with_rng(config, rng()).run(&steps, with_cell(run)) {
        panic!("{error}");
    }
}

/// The runner calls a `Fn`, but a test case changes its clients.
fn with_cell<T>(run: impl FnMut(T) -> Result<(), TestCaseError>) -> impl Fn(T) -> Result<(), TestCaseError> {
    let run = std::cell::RefCell::new(run);
    move |value| (run.borrow_mut())(value)
}

/// The same cases in each run.
fn rng() -> proptest::test_runner::TestRng {
    proptest::test_runner::TestRng::deterministic_rng(proptest::test_runner::RngAlgorithm::ChaCha)
}

impl Subject {
    fn new(process: Process) -> Self {
        let mut client = RawClient::connect(process.address());
        client.ask(request(["HELLO", "3"]));
        Subject { client, _process: process }
    }

    fn ask<W: AsRef<[u8]>>(&mut self, words: impl IntoIterator<Item = W>) -> Reply {
        Reply::only(&self.client.ask(request(words))).expect("a well-formed reply")
    }

    fn set(&mut self, user: &str, rules: &[String]) -> Reply {
        self.ask(["ACL", "SETUSER", user].into_iter().chain(rules.iter().map(String::as_str)))
    }

    fn dry_run(&mut self, user: &str, request: &str) -> Reply {
        self.ask(["ACL", "DRYRUN", user].into_iter().chain(request.split(' ')))
    }

    /// Returns what `ACL GETUSER` says, except for the commands: a server with other commands summarizes them in another
    /// way.
    fn user(&mut self) -> Reply {
        without_commands(self.ask(["ACL", "GETUSER", USER]))
    }

    /// Returns the rules of a user in `ACL LIST`.
    fn line(&mut self, user: &str) -> Option<String> {
        let prefix = format!("user {user} ");
        let mut lines = texts(self.ask(["ACL", "LIST"])).into_iter();
        lines.find_map(|line| line.strip_prefix(&prefix).map(str::to_owned))
    }

    fn names(&mut self) -> BTreeSet<String> {
        texts(self.ask(["COMMAND", "LIST"])).into_iter().collect()
    }
}

impl Shared {
    fn new(kv: &mut Subject, redis: &mut Subject) -> Self {
        let [kv, redis] = [kv, redis].map(Subject::names);
        let commands = kv.intersection(&redis).filter(|name| *name != "debug");
        Shared { commands: commands.cloned().collect() }
    }

    /// Generates a rule. Some are wrong.
    fn rule(&self) -> impl Strategy<Value = String> + use<> {
        let selector = vec(self.selector_rule(), 0..5);
        prop_oneof![
            6 => self.selector_rule(),
            3 => select(OTHER_RULES.split_whitespace().map(str::to_owned).collect::<Vec<_>>()),
            1 => selector.prop_map(|rules| format!("({})", rules.join(" "))),
            1 => select(vec!["(+get", "(~a*", "+mget", "&k1", "%R~k1)", "+@read)"]).prop_map(str::to_owned),
        ]
    }

    /// Generates a rule that a selector can have, too.
    fn selector_rule(&self) -> impl Strategy<Value = String> + use<> {
        let categories =
            "keyspace read write string pubsub admin fast slow dangerous connection transaction all Read";
        let categories: Vec<&str> = categories.split(' ').collect();
        let sign = || select(vec!["+", "-"]);
        let prefix = select(vec!["~", "%R~", "%W~", "%RW~", "%wr~", "&"]);
        prop_oneof![
            (sign(), select(self.commands.clone())).prop_map(|(sign, name)| sign.to_owned() + &name),
            (sign(), select(categories)).prop_map(|(sign, name)| format!("{sign}@{name}")),
            (prefix, select(PATTERNS.to_vec())).prop_map(|(prefix, pattern)| format!("{prefix}{pattern}")),
        ]
    }
}

fn texts(reply: Reply) -> Vec<String> {
    let (Reply::Array(elements) | Reply::Set(elements)) = reply else { panic!("{reply:?} has no elements") };
    elements.iter().map(text).collect()
}

fn text(reply: &Reply) -> String {
    match reply {
        Reply::Simple(bytes) | Reply::Bulk(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        other => panic!("{other:?} is not a text"),
    }
}

fn without_commands(reply: Reply) -> Reply {
    match reply {
        Reply::Map(fields) => {
            let kept = fields.into_iter().filter(|(name, _)| text(name) != "commands");
            Reply::Map(kept.map(|(name, value)| (name, without_commands(value))).collect())
        }
        Reply::Array(elements) => Reply::Array(elements.into_iter().map(without_commands).collect()),
        other => other,
    }
}
