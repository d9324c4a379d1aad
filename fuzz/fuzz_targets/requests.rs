//! The decoder of requests: it never panics and never goes back, and the parts in which the input arrives do not change
//! the requests and the error that it finds.
//!
//! The first byte chooses the parts. If its last three bits are set, each 0xff stands for a run of 4096 bytes, so that
//! small inputs reach large strings.

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
    let parts = Reader::read(parts(&input, usize::from(*seed)));
    for other in [bytewise, parts] {
        assert_eq!(other.requests, whole.requests);
        assert_eq!(other.error, whole.error);
    }
});

/// Expands at most 20 runs, which is somewhat more than the maximum size of a line.
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

/// Parts of uneven lengths.
fn parts(input: &[u8], seed: usize) -> impl Iterator<Item = &[u8]> {
    let mut rest = input;
    let mut len = seed + 1;
    iter::from_fn(move || {
        let (part, after) = rest.split_at(len.min(rest.len()));
        rest = after;
        len = len * 7 % 61 + 1;
        (!part.is_empty()).then_some(part)
    })
}
