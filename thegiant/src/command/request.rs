//! One request as the client sent it.

use std::fmt;

use bytes::Bytes;

use super::{Arguments, Flags, Spec};
use crate::{Client, Error, batch::RequestWords};

/// One request: the name of the command, its arguments and its client.
///
/// It is the parameter of a fallback function ([`App::fallback`](crate::App::fallback)). A `#[command]`
/// method gets its arguments as separate parameters, and can take a `&Request` as well.
///
/// ```no_run
/// use thegiant::prelude::*;
///
/// # fn app() -> App {
/// App::new().fallback(|request: &Request| {
///     if request.is("GREET") {
///         Ok(format!("hello, {}", request.client().addr()))
///     } else {
///         Err(request.unknown_command())
///     }
/// })
/// # }
/// ```
#[derive(Clone, Copy)]
pub struct Request<'a> {
    pub(crate) spec: Option<&'static Spec>,
    pub(crate) words: RequestWords<'a>,
    pub(crate) client: &'a Client,
}

impl<'a> Request<'a> {
    /// Returns a request whose command does not run here.
    pub(crate) fn new(words: RequestWords<'a>, client: &'a Client) -> Self {
        Request { spec: None, words, client }
    }

    /// Returns the name of the command as the client wrote it.
    pub fn name(&self) -> &'a [u8] {
        self.words.name()
    }

    /// Returns whether the command has this name, in upper or lower case.
    pub fn is(&self, name: &str) -> bool {
        self.name().eq_ignore_ascii_case(name.as_bytes())
    }

    /// Returns the arguments after the name.
    pub fn args(&'a self) -> Arguments<'a> {
        Arguments::new(self, self.spec.map_or(1, Spec::words))
    }

    /// Returns the word at `index`; 0 is the name.
    pub fn get(&self, index: usize) -> Option<&'a [u8]> {
        self.words.get(index)
    }

    /// Returns the word at `index`, owned; see [`Arguments::take_bytes`].
    #[inline]
    pub fn bytes(&self, index: usize) -> Option<Bytes> {
        self.words.bytes(index)
    }

    /// Returns the number of words: the name and the arguments.
    #[expect(clippy::len_without_is_empty, reason = "a request has at least its name")]
    pub fn len(&self) -> usize {
        self.words.len()
    }

    /// Returns the client that sent the request.
    pub fn client(&self) -> &'a Client {
        self.client
    }

    /// Returns the description of the command.
    ///
    /// It is `None` for a command without a row: one of a [fallback](crate::App::fallback) or of a
    /// [proxy](crate::App::proxy), or an unknown one.
    pub fn spec(&self) -> Option<&'static Spec> {
        let has_row =
            |spec: &&Spec| !spec.flags.contains(Flags::ANY_NAME) && !spec.flags.contains(Flags::FORWARDED);
        self.spec.filter(has_row)
    }

    /// Returns whether an actor, the server, a fallback or a proxy runs the request. Others are rejected.
    pub(crate) fn has_command(&self) -> bool {
        self.spec.is_some()
    }

    /// Returns the name for logs: as in `COMMAND`, or else as the client wrote it, in lower case and shortened.
    pub(crate) fn logged_name(&self) -> String {
        self.spec().map_or_else(|| self.quoted_name().to_lowercase(), Spec::full_name)
    }

    /// Returns the flags of the command; none for a command [without a row](Self::spec).
    ///
    /// The flags of `EXEC` include those of the commands that it runs.
    pub fn flags(&self) -> Flags {
        let Some(spec) = self.spec() else { return Flags::NONE };
        match spec.flags.contains(Flags::EXECUTES) {
            true => spec.flags.union(self.client.queued_flags()),
            false => spec.flags,
        }
    }

    /// Returns the keys of the request; none for a command of a [fallback](crate::App::fallback) and for an unknown command.
    ///
    /// For a request that a [proxy](crate::App::proxy) sends on, the upstream's reply to `COMMAND` says which words are keys. There are
    /// none for a command that the upstream does not list, and none until it has replied for the first time. The keys do not have
    /// the [key prefix](crate::Server::key_prefix) of the client yet.
    ///
    /// ```
    /// use thegiant::{middleware::Decision, prelude::*};
    ///
    /// // Also in front of a Redis, with `App::proxy`.
    /// let no_internals = |request: &Request| match request.keys().any(|key| key.starts_with(b"internal:")) {
    ///     true => Decision::refuse(Error::new("NOPERM", "these keys are not for clients")),
    ///     false => Decision::Run,
    /// };
    /// let app = App::new().middleware(no_internals);
    /// ```
    pub fn keys(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let words = self.words;
        let of_row = self.spec().and_then(|spec| spec.keys).map(|keys| keys.in_request(words));
        let of_upstream = self.upstream_keys().into_iter().filter_map(move |position| words.get(position));
        of_row.into_iter().flatten().chain(of_upstream)
    }

    /// Returns the positions of the keys if a proxy sends the request on.
    fn upstream_keys(&self) -> Vec<usize> {
        let is_forwarded = self.spec.is_some_and(|spec| spec.flags.contains(Flags::FORWARDED));
        let Some(host) = is_forwarded.then(|| self.client.host()).flatten() else { return Vec::new() };
        let words: Vec<&[u8]> = (0..self.len()).filter_map(|index| self.get(index)).collect();
        host.upstream_keys(&words)
    }

    /// Returns the error `ERR unknown command '…', with args beginning with: …`.
    pub fn unknown_command(&self) -> Error {
        let mut args = Vec::new();
        for argument in (1..).map_while(|index| self.get(index)) {
            if args.len() >= QUOTED {
                break;
            }
            let room = QUOTED - args.len();
            args.extend([b"'", c_text(argument, room), b"' "].concat());
        }
        let name = c_text(self.name(), QUOTED);
        Error::from_bytes([b"ERR unknown command '", name, b"', with args beginning with: ", &args].concat())
    }

    /// Returns the error `ERR unknown subcommand '…'. Try … HELP.`.
    pub(crate) fn unknown_subcommand(&self, container: &str) -> Error {
        let word = c_text(self.get(1).unwrap_or_default(), QUOTED);
        let container = container.as_bytes();
        Error::from_bytes([b"ERR unknown subcommand '", word, b"'. Try ", container, b" HELP."].concat())
    }

    /// Returns the error `ERR wrong number of arguments for '…' command`.
    #[cold]
    pub fn wrong_arity(&self) -> Error {
        self.wrong_arity_of(self.spec.map_or(1, Spec::words))
    }

    /// Returns the same error for a command whose name has this many words.
    pub(crate) fn wrong_arity_of(&self, words: usize) -> Error {
        let words: Vec<&[u8]> = (0..words).filter_map(|index| self.get(index)).collect();
        let name = words.join(&b'|').to_ascii_lowercase();
        let name = c_text(&name, QUOTED);
        Error::from_bytes([b"ERR wrong number of arguments for '", name, b"' command"].concat())
    }

    /// Returns the name as the client wrote it, shortened for the log.
    pub(crate) fn quoted_name(&self) -> String {
        String::from_utf8_lossy(c_text(self.name(), QUOTED)).into_owned()
    }
}

/// Maximum number of bytes of a request that an error quotes, as in Redis.
pub(crate) const QUOTED: usize = 128;

/// Shortens text as C's `%.*s` does: to at most `max_len` bytes, and up to a NUL.
pub(crate) fn c_text(bytes: &[u8], max_len: usize) -> &[u8] {
    let bytes = &bytes[..bytes.len().min(max_len)];
    bytes.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// Shows users and passwords as `(redacted)`.
impl fmt::Debug for Request<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.redacted().map(String::from_utf8_lossy)).finish()
    }
}
