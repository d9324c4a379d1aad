//! The decoder of requests: it never panics and never goes back, and where the input is cut makes no
//! difference to what is found in it. The first byte says how it is cut, and if its last three bits
//! are set, that 0xff stands for a run of 4096 bytes: so small inputs reach what is large.

#![no_main]

use std::{borrow::Cow, iter};

use libfuzzer_sys::fuzz_target;

#[path = "../../tests/it/support/reader.rs"]
mod reader;

use reader::Reader;

fuzz_target!(|data: &[u8]| {
    let Some((seed, input)) = data.split_first() else { return };
    let input = if seed % 8 == 7 { runs(input) } else { input.into() };
    let whole = Reader::read([input.as_ref()]);
    let bytewise = Reader::read(input.chunks(1));
    let pieces = Reader::read(pieces(&input, usize::from(*seed)));
    for other in [bytewise, pieces] {
        assert_eq!(other.requests, whole.requests);
        assert_eq!(other.error, whole.error);
    }
});

/// With runs up to somewhat more than a line may be long, the largest limit within reach.
fn runs(input: &[u8]) -> Cow<'_, [u8]> {
    let mut left = 20;
    let mut bytes = Vec::new();
    for byte in input {
        if *byte == 0xff && left > 0 {
            left -= 1;
            bytes.extend([0xff; 4096]);
        } else {
            bytes.push(*byte);
        }
    }
    bytes.into()
}

/// Pieces of uneven lengths.
fn pieces(input: &[u8], seed: usize) -> impl Iterator<Item = &[u8]> {
    let mut rest = input;
    let mut len = seed + 1;
    iter::from_fn(move || {
        let (piece, behind) = rest.split_at(len.min(rest.len()));
        rest = behind;
        len = len * 7 % 61 + 1;
        (!piece.is_empty()).then_some(piece)
    })
}
