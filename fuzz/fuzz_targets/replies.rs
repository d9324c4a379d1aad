//! Replies: the parsers and the frame scanner agree on the length of a reply, the parts in which the input arrives do not
//! change the result of the scanner, and an encoded value parses to the same value.
//!
//! The first byte chooses the parts.

#![no_main]

use libfuzzer_sys::fuzz_target;
use thegiant_resp::{Encoder, FrameScanner, Incoming, InvalidReply, Protocol, Value};

fuzz_target!(|data: &[u8]| {
    let Some((seed, input)) = data.split_first() else { return };
    let scanned = scan(input, input.len().max(1));
    assert_eq!(scan(input, 1), scanned);
    assert_eq!(scan(input, usize::from(*seed) % 16 + 1), scanned);

    let incoming = Incoming::parse(input);
    match &incoming {
        Ok(Some((_, len))) => assert_eq!(scanned, Ok(Some(*len))),
        // The parser may be incomplete where the scanner already rejects the reply, but not the other way round.
        Ok(None) => assert!(!matches!(scanned, Ok(Some(_)))),
        // The scanner does not check the content of lines.
        Err(_) => {}
    }
    match (incoming, Value::parse(input)) {
        (Ok(Some((Incoming::Reply(reply), len))), parsed) => {
            check_encoding(&reply);
            if !has_nan(&reply) {
                assert_eq!(parsed, Ok(Some((reply, len))));
            }
        }
        (Ok(Some((Incoming::Push(_), _))), parsed) => assert!(parsed.is_err()),
        (Ok(None), parsed) => assert!(!matches!(parsed, Ok(Some(_)))),
        (Err(_), parsed) => assert!(!matches!(parsed, Ok(Some(_)))),
    }
});

/// Returns the length of the first reply in `input`, which arrives in parts of `size` bytes.
fn scan(input: &[u8], size: usize) -> Result<Option<usize>, InvalidReply> {
    let (mut scanner, mut total) = (FrameScanner::default(), 0);
    for part in input.chunks(size) {
        let scanned = scanner.advance(part)?;
        assert!(0 < scanned.len && scanned.len <= part.len());
        total += scanned.len;
        if scanned.is_complete {
            return Ok(Some(total));
        }
        assert_eq!(scanned.len, part.len());
    }
    Ok(None)
}

fn check_encoding(value: &Value) {
    let mut out = Encoder::new(Protocol::Resp3);
    value.encode(&mut out);
    let encoded = out.into_vec();
    let Ok(Some((parsed, len))) = Value::parse(&encoded) else { panic!("{value:?} became {encoded:?}") };
    assert_eq!(len, encoded.len());
    if !has_nan(value) && !has_line_end(value) {
        assert_eq!(parsed, *value);
    }
}

fn has_nan(value: &Value) -> bool {
    any(value, &|value| matches!(value, Value::Double(number) if number.is_nan()))
}

/// The encoder replaces a CR within a line by a space.
fn has_line_end(value: &Value) -> bool {
    any(value, &|value| match value {
        Value::Simple(text) | Value::BigNumber(text) => text.contains('\r'),
        _ => false,
    })
}

fn any(value: &Value, is_it: &impl Fn(&Value) -> bool) -> bool {
    let any_of = |values: &[Value]| values.iter().any(|value| any(value, is_it));
    is_it(value)
        || match value {
            Value::Array(values) | Value::Set(values) => any_of(values),
            Value::Map(pairs) => pairs.iter().any(|(key, value)| any(key, is_it) || any(value, is_it)),
            _ => false,
        }
}
