use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use thegiant::{Raw, prelude::*};
use thegiant_client::{CallError, Connection, FromReply, Protocol, RequestBuilder, ToArgs, WrongReply};

use super::run;
use crate::support::Served;

/// A type of the application, as an argument and as a reply.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Cents(i64);

impl<'a> FromArg<'a> for Cents {
    const ARG: thegiant::command::ArgSpec = i64::ARG;

    fn from_arg(args: &mut thegiant::command::Arguments<'a>) -> Result<Self, Error> {
        i64::from_arg(args).map(Cents)
    }
}

impl ToArgs for Cents {
    fn to_args(&self, out: &mut RequestBuilder) {
        self.0.to_args(out);
    }
}

impl Reply for Cents {
    fn write_to(self, out: &mut thegiant::resp::Encoder) {
        self.0.write_to(out);
    }
}

impl FromReply for Cents {
    fn from_reply(reply: Value) -> Result<Self, WrongReply> {
        i64::from_reply(reply).map(Cents)
    }
}

#[derive(Debug, Default, Args, ToArgs)]
struct Options<'a> {
    #[arg("FROM")]
    from: Vec<&'a str>,
    reverse: bool,
    #[arg("PRICE")]
    price: Option<Cents>,
    limit: Option<Limit<'a>>,
}

#[derive(Debug, Args, ToArgs)]
enum Limit<'a> {
    Count(u64),
    #[arg("RANGE")]
    Between {
        from: i64,
        to: i64,
    },
    Prefix(&'a [u8]),
    Unlimited,
}

type Alias = Result<Option<Bytes>, Error>;

struct Kinds {
    text: String,
    names: BTreeMap<String, i64>,
}

impl Actor for Kinds {
    type Context = Context<Self>;
}

#[commands(client, include(FURTHER))]
impl Kinds {
    #[command("STRINGS")]
    fn strings(&self, key: Key, bytes: &[u8], text: &str, owned: String, vec: Vec<u8>) -> Vec<Bytes> {
        vec![key.into(), Bytes::copy_from_slice(bytes), text.to_owned().into(), owned.into(), vec.into()]
    }

    #[command("NUMBERS")]
    fn numbers(&self, small: i8, large: u64, float: f64, single: f32) -> (i8, u64, f64, f32, i128) {
        (small, large, float, single, -i128::from(large))
    }

    /// The parameters have the names of variables in the generated code.
    #[command("OPTIONAL")]
    fn optional(
        &self,
        request: Option<&[u8]>,
        value: Option<&str>,
        connection: Option<i64>,
        _price: Option<Cents>,
    ) -> String {
        format!("{request:?} {value:?} {connection:?} {_price:?}")
    }

    #[command("MANY KEYS")]
    fn many(&self, keys: Vec<Key>) -> usize {
        keys.len()
    }

    #[command("PAIRS")]
    fn pairs(&self, pairs: Vec<(Key<&[u8]>, i64)>) -> HashMap<String, i64> {
        let pair = |(key, number): (Key<&[u8]>, i64)| (String::from_utf8_lossy(*key).into_owned(), number);
        pairs.into_iter().map(pair).collect()
    }

    #[command("PERHAPS")]
    fn perhaps(&self, texts: Option<Vec<String>>) -> Option<Vec<String>> {
        texts
    }

    #[command("OPTIONS")]
    fn options<'a>(&self, price: Cents, options: Options<'a>) -> (Cents, String) {
        (price, format!("{options:?}"))
    }

    #[command("CHOICE")]
    fn choice(&self, limits: Vec<Limit<'_>>) -> String {
        format!("{limits:?}")
    }

    #[command("NOTHING")]
    fn nothing(&self, client: &Client) {
        client.db();
    }

    #[command("HIDDEN", no_client)]
    fn hidden(&self) -> Raw {
        Raw(Bytes::from_static(b"+hidden\r\n"))
    }
}

#[commands(client, rows = FURTHER)]
impl Kinds {
    #[command("BORROWED")]
    fn borrowed(&self, found: bool_word::Word) -> Option<&str> {
        found.0.then_some(&*self.text)
    }

    #[command("MAP")]
    fn map(&self) -> &BTreeMap<String, i64> {
        &self.names
    }

    #[command("NESTED")]
    fn nested(&self) -> HashMap<&str, (bool, Vec<&Bytes>)> {
        HashMap::from([("a", (true, vec![])), ("b", (false, vec![]))])
    }

    #[command("SETS")]
    fn sets(&self) -> (HashSet<&str>, BTreeSet<i64>, [bool; 2]) {
        (HashSet::from(["a", "b"]), BTreeSet::from([1, 2]), [true, false])
    }

    #[command("ITERATOR")]
    fn iterator(&self) -> Result<Array<impl ExactSizeIterator<Item = (&str, i64)>>, Error> {
        Ok(Array(self.names.iter().map(|(name, number)| (name.as_str(), *number))))
    }

    #[command("STREAM")]
    fn stream(&self, len: u32) -> ArrayStream {
        ArrayStream::new(0..len)
    }

    #[command("LATER", blocking)]
    async fn later(text: String) -> Result<Simple<String>, Error> {
        if text.is_empty() { Err(Error::new("EMPTY", "the text is empty")) } else { Ok(Simple(text)) }
    }

    #[command("RESPOND", blocking)]
    fn respond(&self, responder: Responder<Result<Vec<i64>, Error>>) {
        drop(responder.send(Ok(vec![1, 2])));
    }

    #[command("FUTURE", blocking)]
    fn future(&mut self) -> ResponseActFuture<Self, Option<f64>> {
        Box::pin(async { Some(0.5) }.into_actor(self))
    }

    #[command("ALIAS")]
    fn alias(&self, found: Option<i64>) -> Alias {
        found.map(|number| Some(number.to_string().into())).ok_or(Error::err("nothing"))
    }

    #[command("ANY")]
    fn any(&self) -> impl Reply + use<> {
        Value::Map(vec![("a".into(), Value::Double(1.5))])
    }
}

/// An argument type in another module.
mod bool_word {
    use thegiant::{
        Error, FromArg,
        command::{ArgSpec, Arguments},
    };
    use thegiant_client::{RequestBuilder, ToArgs};

    pub(super) struct Word(pub(super) bool);

    impl<'a> FromArg<'a> for Word {
        const ARG: ArgSpec = <&str>::ARG;

        fn from_arg(args: &mut Arguments<'a>) -> Result<Self, Error> {
            Ok(Word(args.take_str()? == "yes"))
        }
    }

    impl ToArgs for Word {
        fn to_args(&self, out: &mut RequestBuilder) {
            out.word(if self.0 { b"yes" } else { b"no" });
        }
    }
}

fn app() -> App {
    let names = BTreeMap::from([("one".to_owned(), 1), ("two".to_owned(), 2)]);
    App::new().mount(Kinds { text: "text".to_owned(), names }.start())
}

#[test]
fn each_kind_of_argument_and_reply_arrives_in_both_protocols() {
    let served = Served::start(app);
    for protocol in [Protocol::Resp2, Protocol::Resp3] {
        run(round_trips(served.address(), protocol)).expect("each call has its reply");
    }
}

async fn round_trips(address: &str, protocol: Protocol) -> Result<(), CallError> {
    let client = KindsClient::from(Connection::builder(address).protocol(protocol).connect().await?);
    let strings = client.strings("key", b"\xff\r\n", "tëxt", String::new(), vec![0, 1]).await?;
    assert_eq!(strings, [&b"key"[..], b"\xff\r\n", "tëxt".as_bytes(), b"", &[0, 1]]);
    for float in [0.1, -1e300, f64::INFINITY] {
        let numbers = client.numbers(i8::MIN, u64::MAX, float, 0.1).await?;
        assert_eq!(numbers, (i8::MIN, u64::MAX, float, 0.1, -i128::from(u64::MAX)));
    }
    let all = client.optional(Some(b"a"), Some("b"), Some(3), Some(Cents(4))).await?;
    assert_eq!(all, "Some([97]) Some(\"b\") Some(3) Some(Cents(4))");
    assert_eq!(client.optional(None, None, None, None).await?, "None None None None");
    assert_eq!(client.many(["a", "b"]).await?, 2);
    assert_eq!(client.many(vec![Bytes::from("a")]).await?, 1);
    let pairs = HashMap::from([("a".to_owned(), 1), ("b".to_owned(), 2)]);
    assert_eq!(client.pairs([("a", 1), ("b", 2)]).await?, pairs);
    assert_eq!(client.perhaps(["a"]).await?, Some(vec!["a".to_owned()]));
    assert_eq!(client.perhaps([""; 0]).await?, None);
    let options =
        Options { from: vec!["a", "b"], reverse: true, price: Some(Cents(5)), limit: Some(Limit::Count(6)) };
    let written = format!("{options:?}");
    assert_eq!(client.options(Cents(7), options).await?, (Cents(7), written));
    let limits = || vec![Limit::Between { from: -1, to: 2 }, Limit::Prefix(b"p"), Limit::Unlimited];
    assert_eq!(client.choice(limits()).await?, format!("{:?}", limits()));
    client.nothing().await?;
    assert_eq!(client.borrowed(bool_word::Word(true)).await?.as_deref(), Some("text"));
    assert_eq!(client.borrowed(bool_word::Word(false)).await?, None);
    let names = BTreeMap::from([("one".to_owned(), 1), ("two".to_owned(), 2)]);
    assert_eq!(client.map().await?, names);
    assert_eq!(client.nested().await?["a"], (true, vec![]));
    let sets = (HashSet::from(["a".to_owned(), "b".to_owned()]), BTreeSet::from([1, 2]), [true, false]);
    assert_eq!(client.sets().await?, sets);
    assert_eq!(client.iterator().await?, [("one".to_owned(), 1), ("two".to_owned(), 2)]);
    let numbers: Vec<Value> = (0..50_000).map(Value::Integer).collect();
    assert!(client.stream(50_000).await? == numbers);
    assert_eq!(client.later("a").await?, "a");
    assert_eq!(client.respond().await?, [1, 2]);
    assert_eq!(client.future().await?, Some(0.5));
    assert_eq!(client.alias(Some(1)).await?, Ok(Some(Bytes::from("1"))));
    let any = client.any().await?;
    assert_eq!(matches!(any, Value::Map(_)), protocol == Protocol::Resp3, "{any:?}");
    Ok(())
}

#[test]
fn an_error_reply_keeps_its_code_and_its_text() {
    let served = Served::start(app);
    run(async {
        let client = KindsClient::from(Connection::connect(served.address()).await.expect("a connection"));
        let error = client.later("").await.expect_err("an error");
        assert_eq!(error, CallError::Reply(Error::new("EMPTY", "the text is empty")));
        assert_eq!(error.to_string(), "EMPTY the text is empty");
        assert_eq!(client.alias(None).await, Err(CallError::Reply(Error::err("nothing"))));
        let error = client.many([""; 0]).await.expect_err("an error");
        assert_eq!(error.to_string(), "ERR wrong number of arguments for 'many|keys' command");
    });
}

#[test]
fn a_reply_of_another_type_is_an_error() {
    let served = Served::start(app);
    run(async {
        let connection = Connection::connect(served.address()).await.expect("a connection");
        let error = connection.call::<i64>("MAP").await.expect_err("an error");
        assert_eq!(error.to_string(), "unexpected reply: expected an integer of type i64, got a map");
        let error = connection
            .call::<Vec<String>>(("STRINGS", "a", "b", "c", "d", &[0xff_u8][..]))
            .await
            .expect_err("an error");
        assert!(matches!(error, CallError::WrongReply(_)), "{error:?}");
        // The connection is as good as before. An empty request would have no reply.
        assert_eq!(connection.call::<Value>("HIDDEN").await, Ok(Value::Simple("hidden".into())));
        assert!(matches!(connection.call::<Value>([""; 0]).await, Err(CallError::NotSent(_))));
    });
}
