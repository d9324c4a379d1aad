use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use thegiant::{Raw, prelude::*, resp::Protocol};

use crate::support::{RawClient, Served, line, lines, request};

/// Has one command per parameter type. Each replies with its arguments.
#[derive(Debug)]
struct Parameters;

impl Actor for Parameters {
    type Context = Context<Self>;
}

#[derive(Args)]
struct Window {
    #[arg("LIMIT")]
    limit: Option<(i64, u64)>,
    order: Option<Order>,
    withscores: bool,
}

#[derive(Debug, Args)]
enum Order {
    Asc,
    Desc,
}

#[commands]
impl Parameters {
    /// A `Vec<u8>` is a string, not a list of numbers.
    #[command("P.VEC.U8")]
    fn vec_u8(&self, value: Vec<u8>, times: usize) -> Vec<u8> {
        value.repeat(times)
    }

    /// An option may be empty, so the parser must not read empty options forever.
    #[command("P.WINDOWS")]
    fn windows(&self, windows: Vec<Window>) -> usize {
        windows.len()
    }

    #[command("P.BYTES")]
    fn bytes(&self, value: Bytes) -> Bytes {
        value
    }

    #[command("P.SLICE")]
    fn slice<'a>(&self, value: &'a [u8]) -> &'a [u8] {
        value
    }

    #[command("P.STR")]
    fn str<'a>(&self, value: &'a str) -> &'a str {
        value
    }

    #[command("P.STRING")]
    fn string(&self, value: String) -> String {
        value
    }

    #[command("P.I64")]
    fn i64(&self, value: i64) -> i64 {
        value
    }

    #[command("P.I8")]
    fn i8(&self, value: i8) -> i8 {
        value
    }

    #[command("P.U64")]
    fn u64(&self, value: u64) -> String {
        value.to_string()
    }

    #[command("P.TWO")]
    fn two(&self, first: i64, second: i64) -> i64 {
        first + second
    }

    #[command("P.F64")]
    fn f64(&self, value: f64) -> f64 {
        value
    }

    #[command("P.KEY")]
    fn key(&self, key: Key) -> Bytes {
        key.into()
    }

    #[command("P.OPTION")]
    fn option(&self, first: i64, second: Option<i64>, third: Option<i64>) -> (i64, Option<i64>, Option<i64>) {
        (first, second, third)
    }

    #[command("P.REST")]
    fn rest(&self, values: Vec<i64>) -> Vec<i64> {
        values
    }

    #[command("P.PAIRS")]
    fn pairs(&self, pairs: Vec<(Key, i64)>) -> Vec<(Bytes, i64)> {
        pairs.into_iter().map(|(key, value)| (key.into(), value)).collect()
    }

    #[command("P.OPTIONS")]
    fn options(&self, key: Key<&str>, window: Window) -> String {
        let Window { limit, order, withscores } = window;
        format!("{} {limit:?} {order:?} {withscores}", *key)
    }

    #[command("P.CLIENT")]
    fn client(&self, client: &Client) -> (u64, u16, bool, Option<String>) {
        (client.id(), client.db(), client.protocol() == Protocol::Resp3, client.name())
    }

    #[command("P.CALL")]
    fn call(&self, request: &Request<'_>, value: i64) -> (usize, i64) {
        (request.len(), value)
    }

    #[command("P.CONTEXT")]
    fn context(&self, value: i64, context: &mut Context<Self>) -> (bool, i64) {
        (context.address().connected(), value)
    }
}

/// Has one command per return type.
#[derive(Debug)]
struct Returns {
    bytes: Bytes,
    text: String,
    map: BTreeMap<String, Bytes>,
}

impl Actor for Returns {
    type Context = Context<Self>;
}

#[commands]
impl Returns {
    #[command("R.UNIT")]
    fn unit(&self) {}

    #[command("R.SIMPLE")]
    fn simple(&self) -> Simple {
        Simple("PONG")
    }

    #[command("R.STR")]
    fn str(&self) -> &str {
        &self.text
    }

    #[command("R.BYTES")]
    fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    #[command("R.INTEGER")]
    fn integer(&self) -> i64 {
        i64::MIN
    }

    #[command("R.WIDE")]
    fn wide(&self) -> u64 {
        u64::MAX
    }

    #[command("R.FLOAT")]
    fn float(&self) -> f64 {
        0.1
    }

    #[command("R.INFINITE")]
    fn infinite(&self) -> (f64, f64, f64) {
        (f64::INFINITY, f64::NEG_INFINITY, f64::NAN)
    }

    #[command("R.BOOL")]
    fn bool(&self) -> (bool, bool) {
        (true, false)
    }

    #[command("R.SOME")]
    fn some(&self) -> Option<&str> {
        Some(&self.text)
    }

    #[command("R.NONE")]
    fn none(&self) -> Option<i64> {
        None
    }

    #[command("R.VEC")]
    fn vec(&self) -> Vec<Option<i64>> {
        vec![Some(1), None]
    }

    #[command("R.ARRAY")]
    fn array(&self) -> Array<impl ExactSizeIterator<Item = usize> + use<>> {
        Array((0..3).map(|number| number * number))
    }

    #[command("R.MAP")]
    fn map(&self) -> &BTreeMap<String, Bytes> {
        &self.map
    }

    #[command("R.HASHMAP")]
    fn hash_map(&self) -> HashMap<&'static str, bool> {
        HashMap::from([("a", true)])
    }

    #[command("R.SET")]
    fn set(&self) -> BTreeSet<i64> {
        BTreeSet::from([2, 1])
    }

    #[command("R.HASHSET")]
    fn hash_set(&self) -> HashSet<&'static str> {
        HashSet::from(["a"])
    }

    #[command("R.TUPLE")]
    fn tuple(&self) -> (i64, &str, Option<bool>) {
        (1, &self.text, None)
    }

    #[command("R.OK")]
    fn ok(&self) -> Result<i64, Error> {
        Ok(1)
    }

    #[command("R.ERROR")]
    fn error(&self) -> Result<i64, Error> {
        Err(Error::new("OWN", "my\r\nreason"))
    }

    #[command("R.INTERNAL")]
    fn internal(&self) -> Result<i64, Error> {
        "x".parse().map_err(Error::internal)
    }

    #[command("R.RAW")]
    fn raw(&self) -> Raw {
        Raw(Bytes::from_static(b"*1\r\n:7\r\n"))
    }

    #[command("R.VALUE")]
    fn value(&self) -> Value {
        Value::Map(vec![(Value::bulk("a"), Value::Array(vec![Value::Boolean(true), Value::Double(1.5)]))])
    }

    #[command("R.TEXT")]
    fn verbatim(&self) -> Value {
        Value::Verbatim(*b"txt", "hello".into())
    }

    #[command("R.IMPL")]
    fn opaque(&self) -> impl Reply + use<> {
        vec!["a", "b"]
    }
}

fn app() -> App {
    let map = BTreeMap::from([("a".to_owned(), "1".into()), ("b".to_owned(), "2".into())]);
    let return_values_are_encoded =
        Returns { bytes: Bytes::from_static(b"\0\r\n\xff"), text: "hello".into(), map };
    App::new().databases(16).mount(Parameters.start()).mount(return_values_are_encoded.start())
}

#[test]
fn parameters_are_parsed() {
    let served = Served::start(app);
    let mut client = RawClient::connect(served.address());
    for (request, reply) in [
        ("P.BYTES a", "$1\r\na\r\n"),
        ("P.SLICE a", "$1\r\na\r\n"),
        ("P.WINDOWS LIMIT 1 2 ASC", ":1\r\n"),
        ("P.WINDOWS LIMIT 1 2 LIMIT 1 2", "-ERR syntax error\r\n"),
        ("P.WINDOWS x", "-ERR syntax error\r\n"),
        ("P.VEC.U8 ab 2", "$4\r\nabab\r\n"),
        ("P.STR \u{e9}", "$2\r\n\u{e9}\r\n"),
        ("P.STRING \u{e9}", "$2\r\n\u{e9}\r\n"),
        ("P.I64 -9223372036854775808", ":-9223372036854775808\r\n"),
        ("P.I64 9223372036854775808", "-ERR value is not an integer or out of range\r\n"),
        ("P.I64 +1", "-ERR value is not an integer or out of range\r\n"),
        ("P.I64 01", "-ERR value is not an integer or out of range\r\n"),
        ("P.I64 1.0", "-ERR value is not an integer or out of range\r\n"),
        ("P.I8 -128", ":-128\r\n"),
        ("P.I8 128", "-ERR value is not an integer or out of range\r\n"),
        ("P.U64 18446744073709551615", "$20\r\n18446744073709551615\r\n"),
        ("P.U64 -1", "-ERR value is not an integer or out of range\r\n"),
        ("P.TWO 1 2", ":3\r\n"),
        // The server checks the number of arguments before their types.
        ("P.TWO x", "-ERR wrong number of arguments for 'p.two' command\r\n"),
        ("P.TWO x 1 1", "-ERR wrong number of arguments for 'p.two' command\r\n"),
        ("P.F64 1e3", "$4\r\n1000\r\n"),
        ("P.F64 -inf", "$4\r\n-inf\r\n"),
        ("P.F64 nan", "-ERR value is not a valid float\r\n"),
        ("P.F64 x", "-ERR value is not a valid float\r\n"),
        ("P.KEY k", "$1\r\nk\r\n"),
        ("P.OPTION 1", "*3\r\n:1\r\n$-1\r\n$-1\r\n"),
        ("P.OPTION 1 2", "*3\r\n:1\r\n:2\r\n$-1\r\n"),
        ("P.OPTION 1 2 3", "*3\r\n:1\r\n:2\r\n:3\r\n"),
        ("P.OPTION 1 2 3 4", "-ERR wrong number of arguments for 'p.option' command\r\n"),
        ("P.OPTION 1 x", "-ERR value is not an integer or out of range\r\n"),
        ("P.REST 1", "*1\r\n:1\r\n"),
        ("P.REST 1 2 3", "*3\r\n:1\r\n:2\r\n:3\r\n"),
        ("P.REST", "-ERR wrong number of arguments for 'p.rest' command\r\n"),
        ("P.PAIRS a 1 b 2", "*2\r\n*2\r\n$1\r\na\r\n:1\r\n*2\r\n$1\r\nb\r\n:2\r\n"),
        ("P.PAIRS a 1 b", "-ERR wrong number of arguments for 'p.pairs' command\r\n"),
        ("P.CALL 5", "*2\r\n:2\r\n:5\r\n"),
        ("P.CONTEXT 5", "*2\r\n:1\r\n:5\r\n"),
    ] {
        assert_eq!(client.ask(line(request)), reply, "{request}");
    }
    for command in ["P.STR", "P.STRING"] {
        let request = request([command.as_bytes(), b"\xff"]);
        assert_eq!(client.ask(request), "-ERR value is not valid UTF-8\r\n");
    }
}

#[test]
fn options_come_in_any_order_and_at_most_once() {
    let served = Served::start(app);
    let mut client = RawClient::connect(served.address());
    for (request, expected) in [
        ("P.OPTIONS k", "k None None false"),
        ("P.OPTIONS k desc", "k None Some(Desc) false"),
        ("P.OPTIONS k WITHSCORES limit 0 10 Asc", "k Some((0, 10)) Some(Asc) true"),
    ] {
        assert_eq!(client.ask(line(request)), format!("${}\r\n{expected}\r\n", expected.len()), "{request}");
    }
    for wrong in ["ASC ASC", "ASC DESC", "WITHSCORES WITHSCORES", "LIMIT", "LIMIT 1", "NOPE", "ASC NOPE"] {
        let request = format!("P.OPTIONS k {wrong}");
        assert_eq!(client.ask(line(&request)), "-ERR syntax error\r\n", "{request}");
    }
    assert_eq!(client.ask(line("P.OPTIONS k LIMIT 1 x")), "-ERR value is not an integer or out of range\r\n");
    assert_eq!(client.ask(line("P.OPTIONS")), "-ERR wrong number of arguments for 'p.options' command\r\n");
}

#[test]
fn a_handler_sees_the_state_of_its_client() {
    let served = Served::start(app);
    let mut client = RawClient::connect(served.address());
    assert_eq!(client.ask(line("P.CLIENT")), "*4\r\n:1\r\n:0\r\n:0\r\n$-1\r\n");
    client.send(lines("SELECT 3 \n CLIENT SETNAME me \n P.CLIENT"));
    assert_eq!(client.replies(3), "+OK\r\n+OK\r\n*4\r\n:1\r\n:3\r\n:0\r\n$2\r\nme\r\n");
    client.send(lines("HELLO 3 SETNAME you \n P.CLIENT \n RESET \n P.CLIENT"));
    assert!(client.reply().starts_with(b"%7\r\n"));
    assert_eq!(client.reply(), "*4\r\n:1\r\n:3\r\n#t\r\n$3\r\nyou\r\n");
    assert_eq!(client.replies(2), "+RESET\r\n*4\r\n:1\r\n:0\r\n:0\r\n$-1\r\n");
    assert_eq!(RawClient::connect(served.address()).ask(line("P.CLIENT")), "*4\r\n:2\r\n:0\r\n:0\r\n$-1\r\n");
}

#[test]
fn return_values_are_encoded() {
    let served = Served::start(app);
    let mut resp2 = RawClient::connect(served.address());
    let mut resp3 = RawClient::connect(served.address());
    resp3.ask(line("HELLO 3"));
    for (request, reply2, reply3) in [
        ("R.UNIT", "+OK\r\n", "+OK\r\n"),
        ("R.SIMPLE", "+PONG\r\n", "+PONG\r\n"),
        ("R.STR", "$5\r\nhello\r\n", "$5\r\nhello\r\n"),
        ("R.INTEGER", ":-9223372036854775808\r\n", ":-9223372036854775808\r\n"),
        ("R.WIDE", "$20\r\n18446744073709551615\r\n", "(18446744073709551615\r\n"),
        ("R.FLOAT", "$3\r\n0.1\r\n", ",0.1\r\n"),
        ("R.INFINITE", "*3\r\n$3\r\ninf\r\n$4\r\n-inf\r\n$3\r\nnan\r\n", "*3\r\n,inf\r\n,-inf\r\n,nan\r\n"),
        ("R.BOOL", "*2\r\n:1\r\n:0\r\n", "*2\r\n#t\r\n#f\r\n"),
        ("R.SOME", "$5\r\nhello\r\n", "$5\r\nhello\r\n"),
        ("R.NONE", "$-1\r\n", "_\r\n"),
        ("R.VEC", "*2\r\n:1\r\n$-1\r\n", "*2\r\n:1\r\n_\r\n"),
        ("R.ARRAY", "*3\r\n:0\r\n:1\r\n:4\r\n", "*3\r\n:0\r\n:1\r\n:4\r\n"),
        (
            "R.MAP",
            "*4\r\n$1\r\na\r\n$1\r\n1\r\n$1\r\nb\r\n$1\r\n2\r\n",
            "%2\r\n$1\r\na\r\n$1\r\n1\r\n$1\r\nb\r\n$1\r\n2\r\n",
        ),
        ("R.HASHMAP", "*2\r\n$1\r\na\r\n:1\r\n", "%1\r\n$1\r\na\r\n#t\r\n"),
        ("R.SET", "*2\r\n:1\r\n:2\r\n", "~2\r\n:1\r\n:2\r\n"),
        ("R.HASHSET", "*1\r\n$1\r\na\r\n", "~1\r\n$1\r\na\r\n"),
        ("R.TUPLE", "*3\r\n:1\r\n$5\r\nhello\r\n$-1\r\n", "*3\r\n:1\r\n$5\r\nhello\r\n_\r\n"),
        ("R.OK", ":1\r\n", ":1\r\n"),
        ("R.ERROR", "-OWN my  reason\r\n", "-OWN my  reason\r\n"),
        ("R.INTERNAL", "-ERR internal error\r\n", "-ERR internal error\r\n"),
        ("R.RAW", "*1\r\n:7\r\n", "*1\r\n:7\r\n"),
        ("R.VALUE", "*2\r\n$1\r\na\r\n*2\r\n:1\r\n$3\r\n1.5\r\n", "%1\r\n$1\r\na\r\n*2\r\n#t\r\n,1.5\r\n"),
        ("R.TEXT", "$5\r\nhello\r\n", "=9\r\ntxt:hello\r\n"),
        ("R.IMPL", "*2\r\n$1\r\na\r\n$1\r\nb\r\n", "*2\r\n$1\r\na\r\n$1\r\nb\r\n"),
    ] {
        assert_eq!(resp2.ask(line(request)), reply2, "{request}");
        assert_eq!(resp3.ask(line(request)), reply3, "{request} with RESP3");
    }
    assert_eq!(resp2.ask(line("R.BYTES")), b"$4\r\n\0\r\n\xff\r\n"[..]);
}
