use std::{
    borrow::Cow,
    collections::BTreeMap,
    fmt,
    net::IpAddr,
    str::FromStr,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use proptest::{collection::vec, prelude::*};
use thegiant::{
    Json, Milliseconds, Parsed, Seconds, UnixTime, UnixTimeMs,
    prelude::*,
    resp::{Encoder, Protocol},
};
use thegiant_client::{CallError, Connection, FromReply, ToArgs, WrongReply};

use super::run;
use crate::support::Served;

#[derive(Clone, Debug, PartialEq, Reply, FromReply)]
#[reply(rename_all = "kebab-case", skip_none)]
struct Report<T> {
    first_value: T,
    state: State,
    #[reply(rename = "THE.BYTES")]
    bytes: Vec<u8>,
    small: u8,
    letter: char,
    ratio: f64,
    label: Option<String>,
    tags: Vec<Tag>,
    by_name: BTreeMap<String, Option<i64>>,
    #[reply(skip)]
    cached: u64,
    found: Found,
    more: Option<Box<Report<T>>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Reply, FromReply)]
#[reply(rename_all = "UPPERCASE")]
enum State {
    Ready,
    OnHold,
    #[reply(rename = "gone")]
    Lost,
}

#[derive(Clone, Debug, PartialEq, Reply, FromReply)]
struct Tag(Cow<'static, str>);

/// Has a null where `skip_none` would leave a gap.
#[derive(Clone, Debug, PartialEq, Reply, FromReply)]
#[reply(array)]
struct Line {
    from: Point,
    #[reply(skip)]
    len: Option<f64>,
    to: Option<Point>,
}

#[derive(Clone, Debug, PartialEq, Reply, FromReply)]
struct Point(i64, #[reply(skip)] u8, i64);

/// Its variants differ in their types.
#[derive(Clone, Debug, PartialEq, Reply, FromReply)]
enum Found {
    Missing,
    Line(Line),
    Pair(bool, Point, i64),
    Text(String),
    Number(i64),
    Named {
        name: Option<u64>,
        #[reply(rename = "max")]
        most: u64,
    },
    Unknown,
}

fn point() -> impl Strategy<Value = Point> {
    any::<(i64, i64)>().prop_map(|(x, y)| Point(x, 0, y))
}

fn line() -> impl Strategy<Value = Line> {
    (point(), prop::option::of(point())).prop_map(|(from, to)| Line { from, len: None, to })
}

fn found() -> impl Strategy<Value = Found> {
    prop_oneof![
        Just(Found::Missing),
        Just(Found::Unknown),
        line().prop_map(Found::Line),
        (any::<bool>(), point(), any::<i64>()).prop_map(|(a, b, c)| Found::Pair(a, b, c)),
        // A text in capitals is no word of the enum.
        "[A-Z0-9]{0,6}".prop_map(Found::Text),
        any::<i64>().prop_map(Found::Number),
        any::<(Option<u64>, u64)>().prop_map(|(name, most)| Found::Named { name, most }),
    ]
}

fn report() -> impl Strategy<Value = Report<u128>> {
    let state = prop::sample::select(vec![State::Ready, State::OnHold, State::Lost]);
    let texts = (any::<char>(), prop::option::of(".{0,4}"), vec(".{0,4}", 0..3));
    let maps = prop::collection::btree_map(".{0,4}", any::<Option<i64>>(), 0..3);
    let numbers = (any::<u128>(), any::<u8>(), prop::num::f64::NORMAL | prop::num::f64::INFINITE);
    let one = (state, vec(any::<u8>(), 0..4), texts, maps, numbers, found());
    let one = one.prop_map(|(state, bytes, (letter, label, tags), by_name, numbers, found)| Report {
        first_value: numbers.0,
        state,
        bytes,
        small: numbers.1,
        letter,
        ratio: numbers.2,
        label,
        tags: tags.into_iter().map(|tag| Tag(tag.into())).collect(),
        by_name,
        cached: 0,
        found,
        more: None,
    });
    let one = one.boxed();
    (one.clone(), prop::option::of(one)).prop_map(|(mut first, more)| {
        first.more = more.map(Box::new);
        first
    })
}

/// Writes a reply as a server does, and reads it as a client does.
fn round_trip<T: Reply + FromReply>(value: T, protocol: Protocol) -> Result<T, WrongReply> {
    let mut out = Encoder::new(protocol);
    value.write_to(&mut out);
    let (value, _) = Value::parse(&out.to_vec()).expect("valid").expect("complete");
    T::from_reply(value)
}

proptest! {
    #[test]
    fn what_a_derived_reply_writes_is_read_in_both_protocols(report in report(), line in line()) {
        for protocol in [Protocol::Resp2, Protocol::Resp3] {
            prop_assert_eq!(round_trip(report.clone(), protocol), Ok(report.clone()));
            prop_assert_eq!(round_trip(line.clone(), protocol), Ok(line.clone()));
        }
    }
}

fn read<T: FromReply>(reply: &[u8]) -> Result<T, String> {
    let (value, _) = Value::parse(reply).expect("valid").expect("complete");
    T::from_reply(value).map_err(|error| error.to_string())
}

#[derive(Debug, PartialEq, FromReply)]
struct Limits {
    max: i64,
    min: Option<i64>,
    point: Option<Point>,
}

#[derive(Debug, PartialEq, FromReply)]
enum Lookup {
    Nothing,
    Found(Limits),
}

#[test]
fn further_fields_and_a_missing_option_are_no_errors() {
    let limits = Limits { max: 1, min: None, point: None };
    assert_eq!(read(b"*4\r\n+new\r\n*0\r\n$3\r\nmax\r\n:1\r\n"), Ok(limits));
    let limits = Limits { max: 1, min: Some(2), point: None };
    assert_eq!(read(b"%4\r\n:0\r\n:0\r\n+max\r\n:1\r\n+min\r\n:2\r\n+max\r\n:3\r\n"), Ok(limits));
    assert_eq!(read(b"+nothing\r\n"), Ok(Lookup::Nothing));
}

#[test]
fn an_error_names_the_field() {
    let wrong = |reply: &[u8]| read::<Limits>(reply).expect_err("an error");
    assert_eq!(wrong(b"%0\r\n"), "expected an integer of type i64 in `max`, got null");
    assert_eq!(
        wrong(b"%2\r\n+max\r\n:1\r\n+point\r\n*2\r\n:1\r\n+a\r\n"),
        "expected an integer of type i64 in `point.2`, got a string"
    );
    assert_eq!(
        wrong(b"%2\r\n+max\r\n:1\r\n+point\r\n*1\r\n:1\r\n"),
        "expected an array of 2 elements in `point`, got 1"
    );
    assert_eq!(wrong(b"*1\r\n+max\r\n"), "expected a map, got an array");
    assert_eq!(read::<Lookup>(b"+else\r\n").expect_err("an error"), "expected a map, got a string");
    let long = [b"$100\r\n", &[b'\n'; 100][..], b"\r\n"].concat();
    let error = read::<State>(&long).expect_err("an error");
    let shown = format!("\"{}\"…", "\\n".repeat(64));
    assert_eq!(error, format!("expected one of `READY`, `ONHOLD`, `gone`, got {shown}"));
    let error = read::<Found>(b"~0\r\n").expect_err("an error");
    let variants = "one of `Missing`, `Line`, `Pair`, `Text`, `Number`, `Named`, `Unknown`";
    assert_eq!(error, format!("expected {variants}, got a set"));
}

/// A number of one argument.
#[derive(Clone, Copy, Debug, PartialEq, FromArg, ToArgs, Reply, FromReply)]
#[arg(range = 1..=65535)]
struct Port(u16);

#[derive(Clone, Debug, PartialEq, FromArg, ToArgs)]
struct Name<'a>(&'a str);

#[derive(Clone, Copy, Debug, PartialEq, FromArg, ToArgs, Reply, FromReply)]
#[arg(error = "the side is LEFT or RIGHT")]
enum Side {
    Left,
    #[arg("RIGHT", alias = "R")]
    Starboard,
}

/// A colour, written `#rrggbb`.
#[derive(Clone, Copy, Debug, PartialEq, FromArg, ToArgs)]
#[arg(try_from = "&str")]
struct Colour(u32);

impl TryFrom<&str> for Colour {
    type Error = String;

    fn try_from(text: &str) -> Result<Self, String> {
        text.parse()
    }
}

impl FromStr for Colour {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digits = text.strip_prefix('#').filter(|digits| digits.len() == 6);
        let number = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok());
        number.map(Colour).ok_or_else(|| "a colour is #rrggbb".to_owned())
    }
}

impl fmt::Display for Colour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{:06x}", self.0)
    }
}

/// Options with values of all these types.
#[derive(Debug, Default, PartialEq, Args, ToArgs)]
struct Painting<'a> {
    #[arg("AT")]
    at: Option<Milliseconds>,
    #[arg("IN")]
    colours: Option<Vec<Colour>>,
    #[arg("BY")]
    by: Option<Name<'a>>,
    #[arg("DOC")]
    document: Option<Json<BTreeMap<&'a str, i64>>>,
    side: Option<Side>,
}

type Times = (Milliseconds, Seconds, UnixTime, UnixTimeMs);

struct Painter;

impl Actor for Painter {
    type Context = Context<Self>;
}

#[commands(client)]
impl Painter {
    #[command("ONE")]
    fn one(&self, port: Port, side: Side, name: Name<'_>, colour: Colour) -> (Port, Side, String) {
        (port, side, format!("{} {}", name.0, colour.0))
    }

    #[command("PAINT")]
    fn paint<'a>(&self, ports: (Port, u8, char), painting: Painting<'a>) -> (Port, u8, char, String) {
        (ports.0, ports.1, ports.2, format!("{painting:?}"))
    }

    #[command("ADDRESS")]
    fn address(&self, address: Parsed<IpAddr>, more: Option<Vec<Parsed<f32>>>) -> Option<Parsed<Colour>> {
        (address.0.is_loopback() && more.is_none()).then_some(Parsed(Colour(0xff)))
    }

    #[command("TIMES")]
    fn times(&self, ms: Milliseconds, s: Seconds, at: UnixTime, at_ms: UnixTimeMs) -> Times {
        (ms, s, at, at_ms)
    }

    #[command("JSON")]
    fn json<'a>(&self, document: Json<BTreeMap<&'a str, i64>>) -> Result<Json<Vec<(&'a str, i64)>>, Error> {
        Ok(Json(document.0.into_iter().collect()))
    }

    #[command("KEYED")]
    fn keyed(&self, keys: Json<BTreeMap<Option<i64>, i64>>) -> usize {
        keys.0.len()
    }
}

#[test]
fn one_derive_makes_a_parameter_an_argument() {
    let served = Served::start(|| App::new().mount(Painter.start()));
    for protocol in [Protocol::Resp2, Protocol::Resp3] {
        run(calls(served.address(), protocol)).expect("each call has its reply");
    }
}

async fn calls(address: &str, protocol: Protocol) -> Result<(), CallError> {
    let painter = PainterClient::from(Connection::builder(address).protocol(protocol).connect().await?);
    let one = painter.one(Port(80), Side::Starboard, Name("wall"), Colour(10)).await?;
    assert_eq!(one, (Port(80), Side::Starboard, "wall 10".to_owned()));
    let refused = painter.one(Port(0), Side::Left, Name(""), Colour(0)).await.expect_err("an error");
    let text = "ERR value is out of range, value must between 1 and 65535";
    assert_eq!(refused.to_string(), text);

    let painting = Painting {
        at: Some(Milliseconds(Duration::from_secs(2))),
        colours: Some(vec![Colour(1), Colour(2)]),
        by: Some(Name("IN")),
        document: Some(Json(BTreeMap::from([("a", 1)]))),
        side: Some(Side::Left),
    };
    let written = format!("{painting:?}");
    assert_eq!(painter.paint((Port(1), 2, 'ä'), painting).await?, (Port(1), 2, 'ä', written));
    let nothing = format!("{:?}", Painting::default());
    assert_eq!(painter.paint((Port(1), 2, 'b'), Painting::default()).await?, (Port(1), 2, 'b', nothing));

    let address = Parsed(IpAddr::from([127, 0, 0, 1]));
    assert_eq!(painter.address(address, []).await?, Some(Parsed(Colour(0xff))));
    assert_eq!(painter.address(address, [Parsed(0.5)]).await?, None);

    let (ms, s) = (Milliseconds(Duration::from_millis(1500)), Seconds(Duration::from_secs(2)));
    let at = |milliseconds| UNIX_EPOCH + Duration::from_millis(milliseconds);
    let times = painter.times(ms, s, UnixTime(at(3000)), UnixTimeMs(at(4001))).await?;
    assert_eq!(times, (ms, s, UnixTime(at(3000)), UnixTimeMs(at(4001))));
    let before = UnixTime(SystemTime::UNIX_EPOCH - Duration::from_secs(1));
    assert!(matches!(painter.times(ms, s, before, UnixTimeMs(at(0))).await, Err(CallError::Reply(_))));

    let documents = painter.json(Json(BTreeMap::from([("b", 2), ("a", 1)]))).await?;
    assert_eq!(documents, Json(vec![("a".to_owned(), 1), ("b".to_owned(), 2)]));
    // JSON has no such keys. The other calls of the connection do not notice.
    let unwritable = painter.keyed(Json(BTreeMap::from([(None, 1)])));
    let text = "an argument cannot be written: key must be a string";
    assert_eq!(unwritable.await, Err(CallError::NotSent(text.to_owned())));
    assert_eq!(painter.json(Json(BTreeMap::new())).await?, Json(vec![]));
    Ok(())
}
