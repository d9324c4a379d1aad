//! Requests that are sent with other words.

use std::fmt;

use bytes::Bytes;

use super::{Route, Split};
use crate::{
    Value,
    proxy::conn::{ReplyMap, mapped},
};

/// Another request in place of the one that the client sent, and a function that maps its reply.
///
/// It works for commands of all kinds: plain ones, those between `MULTI` and `EXEC`, `WATCH`, and commands that block. The
/// function gets the reply to the command; in a transaction, that is an element of the reply to `EXEC`. It does not get
/// errors.
///
/// ```
/// use thegiant::proxy::{UpstreamRequest, Rewrite, Route};
///
/// /// Gives each key the prefix `app:`.
/// fn prefixed(request: &UpstreamRequest<'_>) -> Route {
///     let keys: Vec<usize> = request.key_positions().collect();
///     let words = request.words().enumerate().map(|(index, word)| {
///         let prefix: &[u8] = if keys.contains(&index) { b"app:" } else { b"" };
///         [prefix, word].concat()
///     });
///     Route::Rewrite(Rewrite::new(words))
/// }
/// ```
pub struct Rewrite {
    pub(crate) words: Vec<Bytes>,
    /// The upstream, or `None` for any.
    pub(crate) server: Option<usize>,
    pub(crate) map: Option<ReplyMap>,
}

impl Rewrite {
    /// Creates a rewrite with these words, the name first, for any server.
    pub fn new<W: AsRef<[u8]>>(words: impl IntoIterator<Item = W>) -> Self {
        let words = words.into_iter().map(|word| Bytes::copy_from_slice(word.as_ref())).collect();
        Rewrite { words, server: None, map: None }
    }

    /// Chooses the server with this number in [`Servers`](crate::proxy::Servers).
    #[must_use]
    pub fn to(mut self, server: usize) -> Self {
        self.server = Some(server);
        self
    }

    /// Sets the function that returns the reply for the client.
    #[must_use]
    pub fn map(mut self, map: impl FnOnce(Value) -> Value + 'static) -> Self {
        self.map = Some(Box::new(map));
        self
    }

    /// Returns the same as a split with one part.
    pub(crate) fn into_split(self, any: usize) -> Split {
        let Rewrite { words, server, map } = self;
        let merge = move |mut replies: Vec<Value>| mapped(map, replies.pop().unwrap_or(Value::Null));
        Split { parts: vec![(server.unwrap_or(any), words)], merge: Box::new(merge) }
    }
}

impl Route {
    /// Returns the route of a request for which the router has seen these words, with a function that maps the reply.
    pub(super) fn rewritten(self, words: Vec<Bytes>, map: Option<ReplyMap>) -> Self {
        match self {
            Route::To(server) => Route::Rewrite(Rewrite { words, server: Some(server), map }),
            Route::Any => Route::Rewrite(Rewrite { words, server: None, map }),
            Route::Rewrite(rewrite) => {
                let inner = rewrite.map;
                let map = move |reply| mapped(map, mapped(inner, reply));
                Route::Rewrite(Rewrite { map: Some(Box::new(map)), ..rewrite })
            }
            Route::Split(Split { parts, merge }) => {
                let merge = move |replies| mapped(map, merge(replies));
                Route::Split(Split { parts, merge: Box::new(merge) })
            }
            Route::Listen { .. } | Route::Reply(_) => self,
        }
    }
}

impl fmt::Debug for Rewrite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rewrite")
            .field("words", &self.words)
            .field("server", &self.server)
            .finish_non_exhaustive()
    }
}
