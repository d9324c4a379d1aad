use std::collections::BTreeMap;

use thegiant::{
    prelude::*,
    resp::{Encoder, Protocol},
};

/// Returns the reply of RESP2 and of RESP3, with spaces for the ends of lines.
fn both<T: Reply>(reply: impl Fn() -> T) -> [String; 2] {
    [Protocol::Resp2, Protocol::Resp3].map(|protocol| {
        let mut out = Encoder::new(protocol);
        reply().write_to(&mut out);
        String::from_utf8(out.to_vec()).expect("text").replace("\r\n", " ").trim_end().to_owned()
    })
}

#[derive(Default, Reply)]
#[reply(rename_all = "kebab-case")]
struct Queue<'a> {
    name: &'a str,
    ready_jobs: u64,
    #[reply(rename = "OUT")]
    out_jobs: u64,
    #[reply(skip)]
    _secret: Option<std::fs::File>,
    oldest: Option<f64>,
    #[reply(skip_none)]
    r#type: Option<bool>,
}

#[derive(Reply)]
#[reply(skip_none)]
struct Sparse<T> {
    first: Option<T>,
    second: Option<BTreeMap<String, T>>,
}

#[derive(Reply)]
struct Pair(u8, #[reply(skip)] (), String);

#[derive(Reply)]
struct Cents(i64);

#[derive(Clone, Copy, Reply)]
enum State {
    Ready,
    KeepTtl,
    #[reply(rename = "Gone Away")]
    Gone,
}

#[derive(Clone, Copy, Reply)]
#[reply(rename_all = "kebab-case")]
enum Styled {
    KeepTtl,
}

#[derive(Reply)]
#[reply(skip_none)]
enum Found {
    One(Cents),
    Several(i64, i64),
    Named { state: State, count: Option<u8> },
}

#[test]
fn named_fields_are_a_map() {
    assert_eq!(
        both(|| Queue { name: "q", ready_jobs: 1, ..Queue::default() }),
        [
            "*8 $4 name $1 q $10 ready-jobs :1 $3 OUT :0 $6 oldest $-1",
            "%4 $4 name $1 q $10 ready-jobs :1 $3 OUT :0 $6 oldest _",
        ]
    );
    let full = || Queue { oldest: Some(0.5), r#type: Some(true), ..Queue::default() };
    assert_eq!(both(full)[1], "%5 $4 name $0  $10 ready-jobs :0 $3 OUT :0 $6 oldest ,0.5 $4 type #t");
}

#[test]
fn a_type_can_leave_out_all_that_is_missing() {
    assert_eq!(both(|| Sparse::<i64> { first: None, second: None }), ["*0", "%0"]);
    assert_eq!(both(|| Sparse { first: Some(1), second: None }), ["*2 $5 first :1", "%1 $5 first :1"]);
    let second = || Some(BTreeMap::from([("a".to_owned(), 1)]));
    assert_eq!(both(|| Sparse { first: None, second: second() })[1], "%1 $6 second %1 $1 a :1");
}

#[test]
fn unnamed_fields_are_an_array_and_one_is_itself() {
    assert_eq!(both(|| Pair(255, (), "x".to_owned())), ["*2 :255 $1 x"; 2]);
    assert_eq!(both(|| Cents(5)), [":5"; 2]);
    assert_eq!(both(|| vec![Cents(5), Cents(6)]), ["*2 :5 :6"; 2]);
}

#[test]
fn a_variant_is_a_word_or_its_values() {
    let states = || [State::Ready, State::KeepTtl, State::Gone];
    assert_eq!(both(states), ["*3 $5 ready $7 keepttl $9 Gone Away"; 2]);
    assert_eq!(both(|| Styled::KeepTtl), ["$8 keep-ttl"; 2]);
    assert_eq!(both(|| Found::One(Cents(1))), [":1"; 2]);
    assert_eq!(both(|| Found::Several(1, 2)), ["*2 :1 :2"; 2]);
    assert_eq!(both(|| Found::Named { state: State::Ready, count: None })[1], "%1 $5 state $5 ready");
    assert_eq!(
        both(|| Found::Named { state: State::Ready, count: Some(1) })[0],
        "*4 $5 state $5 ready $5 count :1"
    );
}
