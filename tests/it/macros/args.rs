#![allow(dead_code, reason = "the tests read the fields through `Debug`")]

use thegiant::{
    FromArg,
    command::{ArgKind, ArgSpec, Tokens},
    prelude::*,
};

use crate::support;

#[derive(Debug, Args)]
enum Condition {
    Nx,
    Xx,
}

#[derive(Debug, Args)]
enum Expiry {
    Ex(i64),
    #[arg("PX", name = "milliseconds")]
    Milliseconds(i64),
    #[arg("EXAT", unix_time)]
    At(i64),
    KeepTtl,
}

#[derive(Debug, Args)]
enum Range<'a> {
    All,
    Lex(&'a str, &'a str),
    #[arg("INDEX", name = "range")]
    Index {
        first_index: i64,
        last_index: i64,
    },
}

#[derive(Debug, Args)]
struct SetOptions<'a> {
    condition: Option<Condition>,
    get: bool,
    #[arg("WITHVALUES")]
    with_values: bool,
    expiry: Option<Expiry>,
    #[arg("COUNT")]
    max_count: Option<u64>,
    #[arg("LIMIT", name = "window")]
    limit: Option<(i64, i64)>,
    #[arg("MATCH", pattern)]
    r#match: Option<&'a str>,
}

/// Has required fields only.
#[derive(Debug, Args)]
struct Move<'a> {
    #[arg("FROM")]
    queues: Vec<&'a str>,
    #[arg("TO")]
    to: i64,
    range: Range<'a>,
}

const fn pure_token(name: &'static str, token: &'static str) -> ArgSpec {
    ArgSpec::new(ArgKind::PureToken).named(name).token(token)
}

const fn integer(name: &'static str) -> ArgSpec {
    ArgSpec::new(ArgKind::Integer).named(name)
}

const fn string(name: &'static str) -> ArgSpec {
    ArgSpec::new(ArgKind::String).named(name)
}

const EXPIRY: ArgSpec = ArgSpec::one_of(
    &const {
        [
            integer("ex").token("EX"),
            integer("milliseconds").token("PX"),
            integer("exat").token("EXAT").kind(ArgKind::UnixTime),
            pure_token("keepttl", "KEEPTTL"),
        ]
    },
);

const RANGE: ArgSpec = ArgSpec::one_of(
    &const {
        [
            pure_token("all", "ALL"),
            ArgSpec::block(&const { [string("first"), string("second")] }).token("LEX").named("lex"),
            ArgSpec::block(&const { [integer("first-index"), integer("last-index")] })
                .token("INDEX")
                .named("range"),
        ]
    },
);

#[test]
fn enums_are_described_by_their_variants() {
    assert_eq!(Expiry::ARG, EXPIRY);
    assert_eq!(Range::ARG, RANGE);
    assert_eq!(Expiry::TOKENS, ["EX", "PX", "EXAT", "KEEPTTL"]);
    assert_eq!(Range::TOKENS, ["ALL", "LEX", "INDEX"]);
}

#[test]
fn structs_are_described_by_their_fields() {
    let condition = ArgSpec::one_of(&const { [pure_token("nx", "NX"), pure_token("xx", "XX")] });
    let limit = ArgSpec::block(&const { [integer("first"), integer("second")] });
    assert_eq!(SetOptions::ARG.kind, ArgKind::Options);
    assert_eq!(
        SetOptions::ARG.parts,
        [
            condition.named("condition").optional(),
            pure_token("get", "GET").optional(),
            pure_token("with-values", "WITHVALUES").optional(),
            EXPIRY.named("expiry").optional(),
            integer("max-count").token("COUNT").optional(),
            limit.named("window").token("LIMIT").optional(),
            string("match").token("MATCH").kind(ArgKind::Pattern).optional(),
        ]
    );
    assert_eq!(
        Move::ARG.parts,
        [string("queues").token("FROM").multiple(), integer("to").token("TO"), RANGE.named("range")]
    );
}

/// Replies with its parsed arguments in `Debug` form.
struct Reader;

impl Actor for Reader {
    type Context = Context<Self>;
}

#[commands]
impl Reader {
    #[command("OPTIONS")]
    fn options(&self, options: SetOptions<'_>, rest: Option<Vec<String>>) -> String {
        let SetOptions { condition, get, with_values, expiry, max_count, limit, r#match } = options;
        let mut read = format!("{condition:?} {get} {with_values} {expiry:?} {max_count:?} {limit:?} {match:?}", match = r#match);
        read.extend(rest.iter().map(|rest| format!(" {rest:?}")));
        read
    }

    #[command("MOVE")]
    fn step(&self, options: Move<'_>) -> String {
        format!("{:?} {} {:?}", options.queues, options.to, options.range)
    }

    #[command("RANGE")]
    fn range(&self, range: Range<'_>, last: Option<i64>) -> String {
        format!("{range:?} {last:?}")
    }
}

/// Sends each line and compares the reply.
fn check(expected: &[(&str, &str)]) {
    support::check(|| App::new().mount(Reader.start()), expected);
}

#[test]
fn options_come_in_any_order_and_case() {
    check(&[
        ("OPTIONS", "None false false None None None None"),
        ("OPTIONS get nx", "Some(Nx) true false None None None None"),
        ("OPTIONS COUNT 3 Get XX WithValues", "Some(Xx) true true None Some(3) None None"),
        ("OPTIONS limit -1 2 match get", "None false false None None Some((-1, 2)) Some(\"get\")"),
        ("OPTIONS ex 1 GET", "None true false Some(Ex(1)) None None None"),
        ("OPTIONS PX 1", "None false false Some(Milliseconds(1)) None None None"),
        ("OPTIONS keepTTL", "None false false Some(KeepTtl) None None None"),
    ]);
}

#[test]
fn words_that_match_no_token_are_left_for_the_next_parameter() {
    check(&[
        ("OPTIONS GET a NX", "None true false None None None None [\"a\", \"NX\"]"),
        ("OPTIONS milliseconds 1", "None false false None None None None [\"milliseconds\", \"1\"]"),
        ("RANGE ALL 1", "All Some(1)"),
        ("MOVE TO 1 ALL FROM a TO 2", "[\"a\", \"TO\", \"2\"] 1 All"),
    ]);
}

#[test]
fn each_option_comes_at_most_once() {
    check(&[
        ("OPTIONS GET get", "-syntax error"),
        ("OPTIONS NX XX", "-syntax error"),
        ("OPTIONS EX 1 PX 1", "-syntax error"),
        ("OPTIONS COUNT 1 COUNT x", "-syntax error"),
        ("MOVE TO 1 TO 1 FROM a", "-syntax error"),
    ]);
}

#[test]
fn a_token_needs_all_its_values() {
    check(&[
        ("OPTIONS COUNT", "-syntax error"),
        ("OPTIONS LIMIT 1", "-syntax error"),
        ("OPTIONS NX EX", "-syntax error"),
        ("OPTIONS COUNT x", "-value is not an integer or out of range"),
        ("RANGE INDEX 1", "-syntax error"),
        ("RANGE LEX", "-syntax error"),
        ("RANGE lex a b", "Lex(\"a\", \"b\") None"),
        ("RANGE index 1 2 3", "Index { first_index: 1, last_index: 2 } Some(3)"),
        ("MOVE ALL TO 1 FROM", "-wrong number of arguments for 'move' command"),
        ("MOVE ALL TO 1 LEX a FROM", "-syntax error"),
    ]);
}

#[test]
fn a_missing_required_option_is_an_error() {
    check(&[
        ("MOVE ALL LEX a b TO 1", "-syntax error"),
        ("MOVE INDEX 1 2 FROM a b", "-syntax error"),
        ("MOVE TO 1 FROM a b c d", "-syntax error"),
        ("MOVE ALL TO 1 junk FROM a", "-syntax error"),
        ("RANGE SOME", "-syntax error"),
        ("RANGE ALL 1 2", "-syntax error"),
        ("RANGE", "-wrong number of arguments for 'range' command"),
    ]);
}
