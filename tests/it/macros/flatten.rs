#![allow(dead_code, reason = "the tests read the fields through `Debug`")]

use thegiant::{
    FromArg,
    command::{ArgKind, Commands},
    prelude::*,
};

use crate::support::check;

#[derive(Debug, Args)]
struct Common<'a> {
    #[arg("RETRY")]
    retry: Option<u64>,
    #[arg("ID")]
    id: &'a str,
}

#[derive(Debug, Args)]
enum Order {
    Asc,
    Desc,
}

#[derive(Debug, Args)]
struct Nested<'a> {
    order: Option<Order>,
    #[arg(flatten)]
    common: Common<'a>,
}

#[derive(Debug, Args)]
struct AddOptions<'a> {
    delay: bool,
    #[arg(flatten)]
    nested: Nested<'a>,
    #[arg("TTL")]
    ttl: Option<u64>,
}

/// Has positional arguments behind its options. They are declared in between.
#[derive(Debug, Args)]
struct Event<'a> {
    #[arg(rest)]
    id: &'a str,
    nomkstream: bool,
    #[arg(flatten)]
    trim: Trim,
    #[arg(rest, name = "field")]
    fields: Vec<(&'a str, i64)>,
}

#[derive(Debug, Args)]
struct Trim {
    #[arg("MAXLEN")]
    max_len: Option<u64>,
}

#[derive(Args)]
struct From {
    #[arg("FROM")]
    queues: Vec<Key>,
}

#[derive(Args)]
struct GetOptions {
    nohang: bool,
    #[arg(flatten)]
    from: From,
}

struct Reader;

impl Actor for Reader {
    type Context = Context<Self>;
}

#[commands]
impl Reader {
    #[command("ADD")]
    fn add(&self, options: AddOptions<'_>) -> String {
        let AddOptions { delay, nested: Nested { order, common: Common { retry, id } }, ttl } = options;
        format!("{delay} {order:?} {retry:?} {id} {ttl:?}")
    }

    #[command("EVENT")]
    fn event(&self, event: Event<'_>) -> String {
        format!("{} {} {:?} {:?}", event.id, event.nomkstream, event.trim.max_len, event.fields)
    }

    #[command("GET")]
    fn get(&self, options: GetOptions) -> usize {
        options.from.queues.len()
    }
}

fn app() -> App {
    App::new().mount(Reader.start())
}

#[test]
fn flattened_options_mix_with_the_others() {
    check(
        app,
        &[
            ("ADD ID a", "false None None a None"),
            ("ADD retry 1 DELAY desc id b TTL 2", "true Some(Desc) Some(1) b Some(2)"),
            ("ADD RETRY 1 ID a RETRY 2", "-syntax error"),
            ("ADD RETRY x ID a", "-value is not an integer or out of range"),
            ("ADD DELAY", "-wrong number of arguments for 'add' command"),
            ("ADD DELAY TTL 1", "-syntax error"),
            ("ADD ID a other", "-syntax error"),
        ],
    );
}

#[test]
fn positional_arguments_follow_the_options() {
    check(
        app,
        &[
            ("EVENT a b 1", "a false None [(\"b\", 1)]"),
            ("EVENT maxlen 7 NOMKSTREAM a MAXLEN 1", "a true Some(7) [(\"MAXLEN\", 1)]"),
            ("EVENT a b 1 c", "-wrong number of arguments for 'event' command"),
            ("EVENT nomkstream a b", "-wrong number of arguments for 'event' command"),
            ("EVENT a b", "-wrong number of arguments for 'event' command"),
            ("EVENT a b x", "-value is not an integer or out of range"),
        ],
    );
    let parts: Vec<_> = Event::ARG.parts.iter().map(|part| (part.name, part.kind)).collect();
    assert_eq!(
        parts,
        [
            ("nomkstream", ArgKind::PureToken),
            ("", ArgKind::Options),
            ("id", ArgKind::String),
            ("field", ArgKind::Block)
        ]
    );
}

#[test]
fn a_flattened_option_can_have_the_keys() {
    let spec = &Reader::ROWS[0][2].spec;
    let words = [&b"GET"[..], b"NOHANG", b"FROM", b"a", b"b"];
    let keys = spec.keys.expect("keys").positions(words.len(), |position| words.get(position).copied());
    assert_eq!(keys.collect::<Vec<_>>(), [3, 4]);
    check(app, &[("GET FROM a b NOHANG", ":3")]);
}
