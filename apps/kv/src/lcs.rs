//! The longest common subsequence of two values, for `LCS`.

use thegiant::{Reply, resp::Encoder};

/// Ranges of bytes that are equal in two values, from the last to the first. Together they form the subsequence.
#[derive(Debug, PartialEq)]
pub(crate) struct Lcs(Vec<Match>);

/// Equal bytes of two values: the position of the first byte in each, and their number.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Match {
    at: [usize; 2],
    len: usize,
}

/// The reply to `LCS`.
pub(crate) enum LcsReply {
    Text(thegiant::Bytes),
    Len(usize),
    /// The ranges of at least `min` bytes, with or without their lengths.
    Matches {
        lcs: Lcs,
        min: usize,
        with_len: bool,
    },
}

/// Maximum size of the table of lengths, in bytes. Redis has the same limit.
const MAX_TABLE: usize = 512 * 1024 * 1024;

impl Lcs {
    /// Returns the subsequence that Redis finds, or `None` if the values are too long.
    pub(crate) fn of(one: &[u8], other: &[u8]) -> Option<Self> {
        let width = other.len() + 1;
        let cells = (one.len() + 1).checked_mul(width)?;
        if cells.checked_mul(size_of::<u32>())? > MAX_TABLE {
            return None;
        }
        // The length of the subsequence of the first bytes of both values, for each pair of lengths.
        let mut lengths = vec![0u32; cells];
        for (row, byte) in (1..).zip(one) {
            for (column, matched) in (1..).zip(other) {
                let at = row * width + column;
                lengths[at] = if byte == matched {
                    lengths[at - width - 1] + 1
                } else {
                    lengths[at - width].max(lengths[at - 1])
                };
            }
        }
        let mut matches: Vec<Match> = Vec::new();
        let (mut row, mut column) = (one.len(), other.len());
        while row > 0 && column > 0 {
            let at = row * width + column;
            if one[row - 1] == other[column - 1] {
                (row, column) = (row - 1, column - 1);
                match matches.last_mut().filter(|last| last.at == [row + 1, column + 1]) {
                    Some(last) => *last = Match { at: [row, column], len: last.len + 1 },
                    None => matches.push(Match { at: [row, column], len: 1 }),
                }
            } else if lengths[at - width] > lengths[at - 1] {
                row -= 1;
            } else {
                column -= 1;
            }
        }
        Some(Lcs(matches))
    }

    pub(crate) fn len(&self) -> usize {
        self.0.iter().map(|found| found.len).sum()
    }

    /// Returns the subsequence, from the value that was the first one.
    pub(crate) fn text(&self, one: &[u8]) -> Vec<u8> {
        self.0.iter().rev().flat_map(|found| &one[found.at[0]..found.at[0] + found.len]).copied().collect()
    }
}

impl Reply for LcsReply {
    fn write_to(self, out: &mut Encoder) {
        match self {
            LcsReply::Text(text) => text.write_to(out),
            LcsReply::Len(len) => len.write_to(out),
            LcsReply::Matches { lcs, min, with_len } => {
                out.map(2);
                out.bulk(b"matches");
                let matches = || lcs.0.iter().filter(|found| found.len >= min);
                out.array(matches().count());
                for Match { at, len } in matches() {
                    out.array(if with_len { 3 } else { 2 });
                    for start in *at {
                        [start, start + len - 1].write_to(out);
                    }
                    if with_len {
                        len.write_to(out);
                    }
                }
                out.bulk(b"len");
                lcs.len().write_to(out);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_subsequence_and_its_ranges() {
        let (one, other) = (b"ohmytext", b"mynewtext");
        let lcs = Lcs::of(one, other).expect("short values");
        assert_eq!((&lcs.text(one)[..], lcs.len()), (&b"mytext"[..], 6));
        assert_eq!(lcs, Lcs(vec![Match { at: [4, 5], len: 4 }, Match { at: [2, 0], len: 2 }]));
        assert_eq!(Lcs::of(b"", b"x"), Some(Lcs(Vec::new())));
    }

    #[test]
    fn values_that_are_too_long_are_refused() {
        assert_eq!(Lcs::of(&[0; 20_000], &[0; 20_000]), None);
    }
}
