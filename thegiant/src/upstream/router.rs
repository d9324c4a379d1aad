//! The router: the application's code that chooses an upstream for each request.

use std::{fmt, future::Future, pin::Pin};

use bytes::Bytes;

use super::{
    key_table::{KeyPositions, KnownCommand},
    servers::Servers,
};
use crate::{
    Client, Error, Value,
    command::{Call, split_name},
    resp::Encoder,
};

/// Chooses an upstream for each request.
///
/// Pass it to [`Upstream::start_all`](super::Upstream::start_all).
///
/// ```
/// use thegiant::upstream::{Request, Route, Router, Servers};
///
/// /// Chooses the server by the sum of the bytes of the first key.
/// struct Sum;
///
/// impl Router for Sum {
///     fn route(&mut self, request: &Request<'_>, servers: &mut Servers) -> Route {
///         match request.keys().next() {
///             Some(key) => Route::To(key.iter().map(|byte| usize::from(*byte)).sum::<usize>() % servers.len()),
///             None => Route::Any,
///         }
///     }
/// }
/// ```
pub trait Router: 'static {
    /// Returns the route of a request.
    ///
    /// The proxy calls this method for every request, so it should be fast. It calls the method more than
    /// once for some requests, for example for a request that has to wait.
    fn route(&mut self, request: &Request<'_>, servers: &mut Servers) -> Route;

    /// Returns the server that a request has to be sent to after an error reply such as `MOVED 866
    /// 10.0.0.7:6379`.
    ///
    /// The error must say that the upstream did not run the request. `None`, the default, passes the error to
    /// the client.
    ///
    /// A client's script can reply with any error text. So the router must only follow an address that it
    /// knows from a source that it trusts. [`refresh`](Self::refresh) can ask that source again.
    ///
    /// The proxy does not send the requests of a transaction again. If this method returns a redirect for one
    /// of them, the client receives `TRYAGAIN`.
    fn redirect(&mut self, error: &str, servers: &mut Servers) -> Option<Redirect> {
        let _ = (error, servers);
        None
    }

    /// Returns a future that updates the router's data, if the update could turn this error into a redirect.
    ///
    /// The proxy calls this method when [`redirect`](Self::redirect) returns `None`. It waits for the future
    /// and calls [`redirect`](Self::redirect) again. It repeats both steps a few times before it passes the
    /// error to the client.
    fn refresh(&mut self, error: &str) -> Option<Refresh> {
        let _ = error;
        None
    }
}

/// The future that [`Router::refresh`] returns.
pub type Refresh = Pin<Box<dyn Future<Output = ()>>>;

/// The route of a request: one upstream, any, several, or none.
///
/// An [`Error`] converts to a route that replies with it.
///
/// ```
/// use thegiant::{Error, upstream::{Request, Route}};
///
/// fn route(request: &Request<'_>) -> Route {
///     if request.is("FLUSHALL") { Error::new("NOPERM", "not here").into() } else { Route::Any }
/// }
/// ```
#[derive(Debug)]
pub enum Route {
    /// Sends the request to the server with this number in [`Servers`].
    To(usize),
    /// Sends the request to any server that is up.
    Any,
    /// Sends several requests and merges their replies.
    Split(Split),
    /// Sends no request. The client receives this reply.
    Reply(Value),
}

impl Route {
    /// Returns the number of the upstream, or `None` for any.
    ///
    /// Serves requests that cannot be split, such as those of a transaction: a split or a reply is an error.
    pub(super) fn into_one(self) -> Result<Option<usize>, Error> {
        match self {
            Route::To(server) => Ok(Some(server)),
            Route::Any => Ok(None),
            Route::Reply(Value::Error(error)) => Err(error),
            Route::Split(_) | Route::Reply(_) => Err(Error::CROSS_SLOT),
        }
    }
}

/// Replies with the error.
impl From<Error> for Route {
    fn from(error: Error) -> Self {
        Route::Reply(Value::Error(error))
    }
}

/// The server that a request has to be sent to instead; see [`Router::redirect`].
///
/// ```
/// use thegiant::upstream::{Redirect, Servers};
///
/// /// Follows the `MOVED SLOT ADDRESS` error of Redis Cluster, but only to known servers.
/// fn moved(error: &str, servers: &mut Servers) -> Option<Redirect> {
///     let (_, address) = error.strip_prefix("MOVED ")?.split_once(' ')?;
///     let server = (0..servers.len()).find(|server| servers.address(*server) == address)?;
///     Some(Redirect { server, asking: false })
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Redirect {
    /// The number of the server in [`Servers`].
    pub server: usize,
    /// Sends `ASKING` before the request, as Redis Cluster requires during the migration of a hash slot.
    pub asking: bool,
}

/// Several requests in place of one, and a function that merges their replies.
///
/// ```
/// use thegiant::{Value, upstream::Split};
///
/// let sizes = Split::new((0..3).map(|server| (server, ["DBSIZE"])), |replies| {
///     Value::Integer(replies.iter().filter_map(Value::as_int).sum())
/// });
/// # let _ = sizes;
/// ```
pub struct Split {
    pub(super) parts: Vec<(usize, Vec<Bytes>)>,
    pub(super) merge: Merge,
}

/// The function that merges the replies of a split.
pub(super) type Merge = Box<dyn FnOnce(Vec<Value>) -> Value>;

impl Split {
    /// Creates a split from pairs of a server number and a request.
    ///
    /// `merge` receives the replies in the order of `parts` and returns the reply for the client. If a reply
    /// is an error, the client receives the first error and `merge` is not called. [`lenient`](Self::lenient)
    /// passes errors to `merge`.
    pub fn new<W: AsRef<[u8]>>(
        parts: impl IntoIterator<Item = (usize, impl IntoIterator<Item = W>)>,
        merge: impl FnOnce(Vec<Value>) -> Value + 'static,
    ) -> Self {
        Self::lenient(parts, |replies| {
            let is_error = |reply: &Value| matches!(reply, Value::Error(_));
            match replies.iter().position(is_error) {
                Some(error) => replies.into_iter().nth(error).unwrap_or(Value::Null),
                None => merge(replies),
            }
        })
    }

    /// Creates a split like [`new`](Self::new) whose `merge` also receives errors.
    ///
    /// ```
    /// use thegiant::{Value, upstream::Split};
    ///
    /// // Counts the servers that reply.
    /// let present = Split::lenient((0..3).map(|server| (server, ["PING"])), |replies| {
    ///     let is_ok = |reply: &&Value| !matches!(reply, Value::Error(_));
    ///     Value::Integer(replies.iter().filter(is_ok).count() as i64)
    /// });
    /// # let _ = present;
    /// ```
    pub fn lenient<W: AsRef<[u8]>>(
        parts: impl IntoIterator<Item = (usize, impl IntoIterator<Item = W>)>,
        merge: impl FnOnce(Vec<Value>) -> Value + 'static,
    ) -> Self {
        let to_bytes = |word: W| Bytes::copy_from_slice(word.as_ref());
        let parts = parts.into_iter();
        let parts =
            parts.map(|(server, words)| (server, words.into_iter().map(to_bytes).collect())).collect();
        Split { parts, merge: Box::new(merge) }
    }
}

impl fmt::Debug for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Split").field("parts", &self.parts).finish_non_exhaustive()
    }
}

/// A request for which a router chooses an upstream.
///
/// ```
/// use thegiant::upstream::Request;
///
/// /// Returns the first key up to its first colon.
/// fn tenant<'a>(request: &Request<'a>) -> Option<&'a [u8]> {
///     request.keys().next()?.split(|byte| *byte == b':').next()
/// }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    words: Words<'a>,
    known: Option<&'a KnownCommand>,
    is_in_transaction: bool,
}

/// The words of a request.
#[derive(Clone, Copy, Debug)]
pub(super) enum Words<'a> {
    /// The words of a client's request.
    Call(&'a Call<'a>),
    /// The words of a command that the application sends, or of a part of a split.
    Own(&'a [Bytes]),
}

impl<'a> Request<'a> {
    pub(super) fn new(words: Words<'a>, known: Option<&'a KnownCommand>, is_in_transaction: bool) -> Self {
        Request { words, known, is_in_transaction }
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
    /// The request then has to reach the same upstream as the client's other requests. [`Any`](Route::Any)
    /// chooses that upstream. Do not send such a request to a replica, even if it is read-only.
    pub fn is_in_transaction(&self) -> bool {
        self.is_in_transaction
    }

    /// Returns the client that sent the request, or `None` if the application sent it.
    pub fn client(&self) -> Option<&'a Client> {
        match self.words {
            Words::Call(call) => Some(call.client()),
            Words::Own(_) => None,
        }
    }
}

/// Maximum size of the length and the two line ends that accompany each word, in bytes.
const WORD_OVERHEAD: usize = 16;

impl<'a> Words<'a> {
    pub(super) fn get(self, index: usize) -> Option<&'a [u8]> {
        match self {
            Words::Call(call) => call.get(index),
            Words::Own(words) => words.get(index).map(|word| &word[..]),
        }
    }

    pub(super) fn len(self) -> usize {
        match self {
            Words::Call(call) => call.len(),
            Words::Own(words) => words.len(),
        }
    }

    /// Returns whether this is the named command or subcommand, in any case.
    pub(super) fn is(self, name: &str) -> bool {
        let (name, subcommand) = split_name(name);
        let is_word = |index: usize, known: &str| {
            self.get(index).is_some_and(|word| word.eq_ignore_ascii_case(known.as_bytes()))
        };
        is_word(0, name) && subcommand.is_none_or(|subcommand| is_word(1, subcommand))
    }

    /// Returns an upper limit for the size of the encoded request, in bytes.
    pub(super) fn max_encoded_len(self) -> usize {
        (0..self.len()).map(|index| self.get(index).map_or(0, <[u8]>::len) + WORD_OVERHEAD).sum()
    }

    pub(super) fn write(self, out: &mut Encoder) {
        match self {
            Words::Call(call) => call.words.write(out),
            Words::Own(words) => out.request(words),
        }
    }
}
