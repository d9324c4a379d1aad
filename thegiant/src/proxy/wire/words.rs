//! The words of a request.

use bytes::Bytes;

use crate::{
    command::{Request, split_name},
    resp::Encoder,
};

/// The words of a request.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Words<'a> {
    /// The words of a client's request.
    Client(&'a Request<'a>),
    /// The words of a command that the application sends, or of a part of a split.
    Own(&'a [Bytes]),
    /// The words of a request that somebody asks about.
    Slices(&'a [&'a [u8]]),
}

/// Maximum size of the length and the two line ends that accompany each word, in bytes.
const WORD_OVERHEAD: usize = 16;

impl<'a> Words<'a> {
    pub(crate) fn get(self, index: usize) -> Option<&'a [u8]> {
        match self {
            Words::Client(request) => request.get(index),
            Words::Own(words) => words.get(index).map(|word| &word[..]),
            Words::Slices(words) => words.get(index).copied(),
        }
    }

    pub(crate) fn len(self) -> usize {
        match self {
            Words::Client(request) => request.len(),
            Words::Own(words) => words.len(),
            Words::Slices(words) => words.len(),
        }
    }

    /// Returns whether this is the named command or subcommand, in any case.
    pub(crate) fn is(self, name: &str) -> bool {
        let (name, subcommand) = split_name(name);
        let is_word = |index: usize, known: &str| {
            self.get(index).is_some_and(|word| word.eq_ignore_ascii_case(known.as_bytes()))
        };
        is_word(0, name) && subcommand.is_none_or(|subcommand| is_word(1, subcommand))
    }

    /// Returns an upper limit for the size of the encoded request, in bytes.
    pub(crate) fn max_encoded_len(self) -> usize {
        (0..self.len()).map(|index| self.get(index).map_or(0, <[u8]>::len) + WORD_OVERHEAD).sum()
    }

    pub(crate) fn write(self, out: &mut Encoder) {
        match self {
            Words::Client(request) => request.words.write(out),
            Words::Own(words) => out.request(words),
            Words::Slices(words) => out.request(words),
        }
    }
}
