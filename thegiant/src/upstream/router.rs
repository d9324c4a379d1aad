//! What decides to which of several upstreams a request goes.

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

/// Decides to which of several upstreams a request goes; see [`Upstream::start_all`](super::Upstream::start_all).
///
/// ```
/// use thegiant::upstream::{Request, Route, Router, Servers};
///
/// /// Each key is on the server that the sum of its bytes says.
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
    /// Where a request goes.
    ///
    /// It is asked about every request, so it should be quick; and about some of them twice, such as those that come behind
    /// one that has to be waited for.
    fn route(&mut self, request: &Request<'_>, servers: &mut Servers) -> Route;

    /// An error has been replied, such as `MOVED 866 10.0.0.7:6379`. If it says that the request has not been run, and
    /// where it has to go, it is sent there; otherwise, which is what happens unless this is written, the client gets the
    /// error.
    ///
    /// Clients choose the errors of their own scripts. So the router must only follow an address that it knows from a source
    /// that it trusts; [`refresh`](Self::refresh) may ask that source again.
    ///
    /// Requests of a transaction are not sent again: their clients get `TRYAGAIN` in place of an error of which this knows
    /// where to go.
    fn redirect(&mut self, error: &str, servers: &mut Servers) -> Option<Redirect> {
        let _ = (error, servers);
        None
    }

    /// Returns a future that updates what the router knows, if that may turn this error into a redirect.
    ///
    /// [`redirect`](Self::redirect) has returned `None` for the error. The request waits for the future, then
    /// [`redirect`](Self::redirect) is called once more. That may happen a few times before the client gets the error.
    fn refresh(&mut self, error: &str) -> Option<Refresh> {
        let _ = error;
        None
    }
}

/// A future of [`Router::refresh`].
pub type Refresh = Pin<Box<dyn Future<Output = ()>>>;

/// Where a request goes.
///
/// An error is a route, too: it is answered.
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
    /// To this one of the [`Servers`].
    To(usize),
    /// To any that is there.
    Any,
    /// To several.
    Split(Split),
    /// To none: this is answered.
    Reply(Value),
}

impl Route {
    /// The one upstream that it is, where it cannot be several; none is any.
    pub(super) fn into_one(self) -> Result<Option<usize>, Error> {
        match self {
            Route::To(server) => Ok(Some(server)),
            Route::Any => Ok(None),
            Route::Reply(Value::Error(error)) => Err(error),
            Route::Split(_) | Route::Reply(_) => Err(Error::CROSS_SLOT),
        }
    }
}

/// The error is answered.
impl From<Error> for Route {
    fn from(error: Error) -> Self {
        Route::Reply(Value::Error(error))
    }
}

/// Where a request goes that has been sent to the wrong one; see [`Router::redirect`].
///
/// ```
/// use thegiant::upstream::{Redirect, Servers};
///
/// /// `MOVED SLOT ADDRESS`, as Redis Cluster says it. Only addresses of known servers are followed.
/// fn moved(error: &str, servers: &mut Servers) -> Option<Redirect> {
///     let (_, address) = error.strip_prefix("MOVED ")?.split_once(' ')?;
///     let server = (0..servers.len()).find(|server| servers.address(*server) == address)?;
///     Some(Redirect { server, asking: false })
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Redirect {
    /// To this one of the [`Servers`].
    pub server: usize,
    /// It is told before that it is to answer, though what is asked for is not its own yet (`ASKING`).
    pub asking: bool,
}

/// A request that is sent as several ones, whose replies become one.
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

/// Makes one reply of several.
pub(super) type Merge = Box<dyn FnOnce(Vec<Value>) -> Value>;

impl Split {
    /// Requests with the servers that they go to, and what makes one reply of theirs, which are in the same order.
    ///
    /// Where a reply is an error, `merge` does not see it: the first error is what the client gets, unless the split is
    /// made to be [lenient](Self::lenient).
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

    /// The same, with a `merge` that sees errors, too.
    ///
    /// ```
    /// use thegiant::{Value, upstream::Split};
    ///
    /// // How many of them answer.
    /// let present = Split::lenient((0..3).map(|server| (server, ["PING"])), |replies| {
    ///     let is_there = |reply: &&Value| !matches!(reply, Value::Error(_));
    ///     Value::Integer(replies.iter().filter(is_there).count() as i64)
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

/// A request that is to be sent to one of several upstreams, or to some of them.
///
/// ```
/// use thegiant::upstream::Request;
///
/// /// What the keys of a request have in common, up to the first colon.
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
    /// Of a client.
    Call(&'a Call<'a>),
    /// Of the program, or a part of a request.
    Own(&'a [Bytes]),
}

impl<'a> Request<'a> {
    pub(super) fn new(words: Words<'a>, known: Option<&'a KnownCommand>, is_in_transaction: bool) -> Self {
        Request { words, known, is_in_transaction }
    }

    /// The command, as it was sent.
    pub fn name(&self) -> &'a [u8] {
        self.get(0).unwrap_or_default()
    }

    /// Whether it is this command, in any case; with two words, such as `SCRIPT LOAD`, this subcommand.
    pub fn is(&self, name: &str) -> bool {
        self.words.is(name)
    }

    /// The `index`th word; 0 is the name.
    pub fn get(&self, index: usize) -> Option<&'a [u8]> {
        self.words.get(index)
    }

    /// The number of words: the name and the arguments.
    #[expect(clippy::len_without_is_empty, reason = "a request has at least its name")]
    pub fn len(&self) -> usize {
        self.words.len()
    }

    /// All words, from the name on.
    pub fn words(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let words = self.words;
        (0..words.len()).filter_map(move |index| words.get(index))
    }

    /// The keys, by what the upstreams' `COMMAND` says of the command. One that it does not know has none.
    pub fn keys(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let words = self.words;
        self.key_positions().filter_map(move |index| words.get(index))
    }

    /// Where the keys are among the words.
    pub fn key_positions(&self) -> impl Iterator<Item = usize> + use<'a> {
        KeyPositions::new(self.known, self.words)
    }

    /// Whether it changes nothing, by what the upstreams' `COMMAND` says.
    pub fn is_readonly(&self) -> bool {
        self.known.is_some_and(|known| known.is_readonly)
    }

    /// Whether it is part of a transaction, or its client watches keys or listens: it has to go where the others have gone,
    /// so it should not go to a replica even if it changes nothing, and [`Any`](Route::Any) is where these have gone.
    pub fn is_in_transaction(&self) -> bool {
        self.is_in_transaction
    }

    /// Requester sent it; the program, if it is none.
    pub fn client(&self) -> Option<&'a Client> {
        match self.words {
            Words::Call(call) => Some(call.client()),
            Words::Own(_) => None,
        }
    }
}

/// A word is sent with its length and two line ends.
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

    /// Whether it is this command, or this subcommand.
    pub(super) fn is(self, name: &str) -> bool {
        let (name, subcommand) = split_name(name);
        let is_word = |index: usize, known: &str| {
            self.get(index).is_some_and(|word| word.eq_ignore_ascii_case(known.as_bytes()))
        };
        is_word(0, name) && subcommand.is_none_or(|subcommand| is_word(1, subcommand))
    }

    /// At most how many bytes it takes when it is sent.
    pub(super) fn max_encoded_len(self) -> usize {
        (0..self.len()).map(|index| self.get(index).map_or(0, <[u8]>::len) + WORD_OVERHEAD).sum()
    }

    pub(super) fn write(self, out: &mut Encoder) {
        match self {
            Words::Call(call) => call.write(out),
            Words::Own(words) => out.request(words),
        }
    }
}
