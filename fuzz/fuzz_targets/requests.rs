//! The decoder of requests: it never panics and never goes back, and where the input is cut makes no
//! difference to what is found in it. The first byte says how it is cut.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../tests/it/support/reader.rs"]
mod reader;

use reader::Reader;

fuzz_target!(|data: &[u8]| {
    let Some((seed, input)) = data.split_first() else { return };
    let whole = Reader::read([input]);
    let bytewise = Reader::read(input.chunks(1));
    let pieces = Reader::read(pieces(input, usize::from(*seed)));
    for other in [bytewise, pieces] {
        assert_eq!(other.requests, whole.requests);
        assert_eq!(other.error, whole.error);
    }
});

/// Pieces of uneven lengths.
fn pieces(input: &[u8], seed: usize) -> impl Iterator<Item = &[u8]> {
    let mut rest = input;
    let mut len = seed + 1;
    std::iter::from_fn(move || {
        let (piece, behind) = rest.split_at(len.min(rest.len()));
        rest = behind;
        len = len * 7 % 61 + 1;
        (!piece.is_empty()).then_some(piece)
    })
}
