//! The request that a router sees.

use super::key_table::{KeyPositions, KnownCommand};
use crate::{Client, proxy::wire::Words};

/// A request for which a router chooses an upstream.
///
/// ```
/// use thegiant::proxy::UpstreamRequest;
///
/// /// Returns the first key up to its first colon.
/// fn tenant<'a>(request: &UpstreamRequest<'a>) -> Option<&'a [u8]> {
///     request.keys().next()?.split(|byte| *byte == b':').next()
/// }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct UpstreamRequest<'a> {
    words: Words<'a>,
    known: Option<&'a KnownCommand>,
    is_in_transaction: bool,
}

impl<'a> UpstreamRequest<'a> {
    pub(crate) fn new(words: Words<'a>, known: Option<&'a KnownCommand>, is_in_transaction: bool) -> Self {
        UpstreamRequest { words, known, is_in_transaction }
    }

    /// Returns the name of the command, in the case that the client sent.
    pub fn name(&self) -> &'a [u8] {
        self.get(0).unwrap_or_default()
    }

    /// Returns whether this is the named command, such as `GET`, or subcommand, such as `SCRIPT LOAD`.
    ///
    /// Ignores the case.
    pub fn is(&self, name: &str) -> bool {
        self.words.is(name)
    }

    /// Returns a word of the request. Index 0 is the name.
    pub fn get(&self, index: usize) -> Option<&'a [u8]> {
        self.words.get(index)
    }

    /// Returns the number of words: the name and the arguments.
    #[expect(clippy::len_without_is_empty, reason = "a request always has a name")]
    pub fn len(&self) -> usize {
        self.words.len()
    }

    /// Returns an iterator over all words, including the name.
    pub fn words(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let words = self.words;
        (0..words.len()).filter_map(move |index| words.get(index))
    }

    /// Returns an iterator over the keys.
    ///
    /// The upstreams' `COMMAND` replies define the positions of the keys. A command that is unknown to the
    /// upstreams has no keys.
    pub fn keys(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let words = self.words;
        self.key_positions().filter_map(move |index| words.get(index))
    }

    /// Returns an iterator over the indexes of the keys, for [`get`](Self::get).
    pub fn key_positions(&self) -> impl Iterator<Item = usize> + use<'a> {
        KeyPositions::new(self.known, self.words)
    }

    /// Returns whether the upstreams' `COMMAND` replies flag the command as `readonly`.
    pub fn is_readonly(&self) -> bool {
        self.known.is_some_and(|known| known.is_readonly)
    }

    /// Returns whether the client has a transaction, watched keys or a subscription on an upstream.
    ///
    /// The request then has to reach the same upstream as the client's other requests. [`Route::Any`](crate::proxy::Route::Any)
    /// chooses that upstream. Do not send such a request to a replica, even if it is read-only.
    pub fn is_in_transaction(&self) -> bool {
        self.is_in_transaction
    }

    /// Returns the client that sent the request, or `None` if the application sent it.
    pub fn client(&self) -> Option<&'a Client> {
        match self.words {
            Words::Client(request) => Some(request.client()),
            Words::Own(_) | Words::Slices(_) => None,
        }
    }
}
