use proptest::{collection::vec, prelude::*, sample::Index};
use thegiant::{
    Bytes, Error,
    resp::{Encoder, Protocol, Value},
};

use crate::support::{Reader, Reply, request};

/// A request: its words, and whether it is sent inline.
type Sent = (Vec<Vec<u8>>, bool);

fn word() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => vec(any::<u8>(), 0..20),
        2 => "[A-Z]{1,8}".prop_map(String::into_bytes),
        // Bytes that have a meaning in the protocol or in quotes.
        2 => vec(prop::sample::select(b"\r\n$*0123 \"'\\x".to_vec()), 0..20),
        1 => (16_000..17_000usize, any::<u8>()).prop_map(|(len, byte)| vec![byte; len]),
        1 => (60_000..140_000usize).prop_map(|len| b"\r\n$1*".iter().copied().cycle().take(len).collect()),
    ]
}

fn sent() -> impl Strategy<Value = Sent> {
    (vec(word(), 1..5), any::<bool>())
}

/// Quotes a word as a person would.
fn quoted(word: &[u8]) -> String {
    let escaped: String = word.iter().map(|byte| format!("\\x{byte:02x}")).collect();
    match std::str::from_utf8(word) {
        Ok(plain) if !plain.is_empty() && plain.chars().all(|c| c.is_ascii_alphanumeric()) => {
            plain.to_owned()
        }
        Ok(text) if !text.contains(['\\', '\n', '\0', '\'']) => format!("'{text}'"),
        Ok(text) if !text.contains(['\n', '\0']) => {
            format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
        }
        _ => format!("\"{escaped}\""),
    }
}

/// Words of 10,000 bytes or more would exceed the limit of an inline request.
fn is_inline((words, inline): &Sent) -> bool {
    *inline && words.iter().map(Vec::len).sum::<usize>() < 10_000
}

fn encode(requests: &[Sent]) -> Vec<u8> {
    let one = |sent: &Sent| match is_inline(sent) {
        true => (sent.0.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ") + "\r\n").into_bytes(),
        false => request(&sent.0),
    };
    requests.iter().flat_map(one).collect()
}

/// Splits the bytes at these positions.
fn cut<'b>(bytes: &'b [u8], cuts: &[Index]) -> Vec<&'b [u8]> {
    let mut positions: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
    positions.sort_unstable();
    let mut pieces = Vec::new();
    let mut from = 0;
    for position in positions {
        pieces.push(&bytes[from..position]);
        from = position;
    }
    pieces.push(&bytes[from..]);
    pieces
}

/// Generates bytes that begin like requests and contain errors.
fn nearly_requests() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just(b"*1\r\n".to_vec()),
        Just(b"*0\r\n".to_vec()),
        Just(b"$4\r\nPING\r\n".to_vec()),
        Just(b"\r\n".to_vec()),
        Just(b"$20000\r\n".to_vec()),
        "[*$][0-9-]{0,3}\r?\n?".prop_map(String::into_bytes),
        "[a-z \"'\\\\]{0,10}\n?".prop_map(String::into_bytes),
        vec(any::<u8>(), 0..4),
    ];
    vec(piece, 0..20).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn requests_survive_any_split(requests in vec(sent(), 0..6), cuts in vec(any::<Index>(), 0..12)) {
        let bytes = encode(&requests);
        let reader = Reader::read(cut(&bytes, &cuts));
        prop_assert_eq!(reader.error, None);
        prop_assert!(reader.requests.iter().eq(requests.iter().map(|(words, _)| words)));
    }

    #[test]
    fn invalid_input_is_decoded_the_same_in_any_split(bytes in nearly_requests(), cuts in vec(any::<Index>(), 0..12)) {
        let whole = Reader::read([bytes.as_slice()]);
        let pieces = Reader::read(cut(&bytes, &cuts));
        prop_assert_eq!(&pieces.requests, &whole.requests);
        prop_assert_eq!(pieces.error, whole.error);
    }

    #[test]
    fn a_client_reads_the_value_that_was_encoded(value in value()) {
        prop_assert_eq!(read(&value, Protocol::Resp3), Some(in_resp3(&value)));
        prop_assert_eq!(read(&value, Protocol::Resp2), Some(in_resp2(&value)));
    }
}

fn line() -> impl Strategy<Value = String> {
    prop_oneof!["[ -~]{0,20}", "[a-z\r\n]{0,10}", "\\PC{0,10}"]
}

fn value() -> impl Strategy<Value = Value> {
    let scalar = prop_oneof![
        Just(Value::Null),
        line().prop_map(Value::Simple),
        line().prop_map(|text| Value::Error(Error::err(text))),
        any::<i64>().prop_map(Value::Integer),
        vec(any::<u8>(), 0..30).prop_map(Value::bulk),
        (16_000..17_000usize).prop_map(|len| Value::Bulk(Bytes::from(vec![b'\n'; len]))),
        any::<bool>().prop_map(Value::Boolean),
        // NaN does not equal itself.
        any::<f64>().prop_filter("a number", |number| !number.is_nan()).prop_map(Value::Double),
        "-?[1-9][0-9]{0,40}".prop_map(Value::BigNumber),
        "[a-z\r\n]{0,20}".prop_map(|text| Value::Verbatim(*b"txt", text)),
    ];
    scalar.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..6).prop_map(Value::Array),
            vec(inner.clone(), 0..6).prop_map(Value::Set),
            vec((inner.clone(), inner), 0..4).prop_map(Value::Map),
        ]
    })
}

fn read(value: &Value, protocol: Protocol) -> Option<Reply> {
    let mut out = Encoder::new(protocol);
    value.encode(&mut out);
    Reply::only(&out.to_vec())
}

fn scrubbed(text: &str) -> Vec<u8> {
    text.replace(['\r', '\n'], " ").into_bytes()
}

fn in_resp3(value: &Value) -> Reply {
    let all = |values: &[Value]| values.iter().map(in_resp3).collect();
    match value {
        Value::Null => Reply::Null,
        Value::Simple(text) => Reply::Simple(scrubbed(text)),
        Value::Error(error) => Reply::Error(error.as_bytes().to_vec()),
        Value::Integer(number) => Reply::Integer(*number),
        Value::Bulk(bytes) => Reply::Bulk(bytes.to_vec()),
        Value::Boolean(value) => Reply::Boolean(*value),
        Value::Double(number) => Reply::Double(*number),
        Value::BigNumber(digits) => Reply::BigNumber(digits.clone()),
        Value::Verbatim(format, text) => Reply::Verbatim(*format, text.clone().into_bytes()),
        Value::Array(values) => Reply::Array(all(values)),
        Value::Set(values) => Reply::Set(all(values)),
        Value::Map(pairs) => {
            Reply::Map(pairs.iter().map(|(key, value)| (in_resp3(key), in_resp3(value))).collect())
        }
    }
}

/// Converts the types that RESP2 lacks as Redis does.
fn in_resp2(value: &Value) -> Reply {
    let all = |values: &[Value]| values.iter().map(in_resp2).collect();
    match value {
        Value::Boolean(value) => Reply::Integer(i64::from(*value)),
        Value::Double(_) => Reply::Bulk(number_text(value)),
        Value::BigNumber(digits) => Reply::Bulk(digits.clone().into_bytes()),
        Value::Verbatim(_, text) => Reply::Bulk(text.clone().into_bytes()),
        Value::Array(values) | Value::Set(values) => Reply::Array(all(values)),
        Value::Map(pairs) => {
            Reply::Array(pairs.iter().flat_map(|(key, value)| [in_resp2(key), in_resp2(value)]).collect())
        }
        other => in_resp3(other),
    }
}

/// Returns the text of a double, which RESP3 sends between `,` and the end of the line.
fn number_text(value: &Value) -> Vec<u8> {
    let mut out = Encoder::new(Protocol::Resp3);
    value.encode(&mut out);
    let line = out.to_vec();
    line[1..line.len() - 2].to_vec()
}
