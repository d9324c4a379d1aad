//! The declarative half of a row.

use std::{fmt, time::Duration};

use super::{
    KeySpec,
    args::{ArgSpec, max_len, min_len},
};

/// What is known of a command without running it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Spec {
    /// The name in capitals, `GET`; of a subcommand both words, `CONFIG GET`.
    pub name: &'static str,
    /// Other names it answers to.
    pub aliases: &'static [&'static str],
    /// Redis' flags.
    pub flags: Flags,
    /// Where the keys are, if it takes any.
    pub keys: Option<KeySpec>,
    /// The parameters.
    pub args: &'static [ArgSpec],
    /// One line, from the doc comment.
    pub summary: &'static str,
    /// The group in `COMMAND DOCS`; that of an actor's commands is the actor's name.
    pub group: &'static str,
    /// The version of the application that brought it, if said.
    pub since: Option<&'static str>,
    /// What it does to its keys (`notify-keyspace-events`), if that is not its name: a word for each, the last one
    /// for all that follow.
    pub event: Option<&'static str>,
    /// How long it may wait for its reply, if said.
    pub timeout: Option<Duration>,
    /// The number of words in the name.
    words: usize,
    /// The fewest words a request has, the name included.
    min_words: usize,
    /// The most, unless there is no bound.
    max_words: Option<usize>,
}

impl Spec {
    /// What takes every request that no row names.
    pub(crate) const FALLBACK: Spec = Spec::new("FALLBACK", &[]).any_args();

    /// A command of this name with these parameters.
    ///
    /// # Panics
    /// If the positions of the keys cannot be described by first, last and step; in a `const`,
    /// that is a compile error.
    pub const fn new(name: &'static str, args: &'static [ArgSpec]) -> Self {
        let words = word_count(name);
        Spec {
            name,
            aliases: &[],
            flags: Flags::NONE,
            keys: KeySpec::of(words, args),
            args,
            summary: "",
            group: "generic",
            since: None,
            event: None,
            timeout: None,
            words,
            min_words: words + min_len(args),
            max_words: match max_len(args) {
                Some(len) => Some(words + len),
                None => None,
            },
        }
    }

    /// With any number of arguments, which only somebody else knows.
    pub(crate) const fn any_args(mut self) -> Self {
        self.max_words = None;
        self
    }

    /// With these flags.
    #[must_use]
    pub const fn flags(mut self, flags: Flags) -> Self {
        self.flags = flags;
        self
    }

    /// With these other names.
    #[must_use]
    pub const fn aliases(mut self, aliases: &'static [&'static str]) -> Self {
        self.aliases = aliases;
        self
    }

    /// With this summary.
    #[must_use]
    pub const fn summary(mut self, summary: &'static str) -> Self {
        self.summary = summary;
        self
    }

    /// In this group.
    #[must_use]
    pub const fn group(mut self, group: &'static str) -> Self {
        self.group = group;
        self
    }

    /// Known since this version of the application.
    #[must_use]
    pub const fn since(mut self, since: &'static str) -> Self {
        self.since = Some(since);
        self
    }

    /// Doing this to its keys.
    #[must_use]
    pub const fn event(mut self, event: &'static str) -> Self {
        self.event = Some(event);
        self
    }

    /// With this limit to how long it may wait for its reply.
    #[must_use]
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Arity as Redis has it: the number of words, or, negative, the least number of them.
    pub fn arity(&self) -> i64 {
        let least = self.min_words as i64;
        if self.max_words == Some(self.min_words) { least } else { -least }
    }

    /// Whether a request of this many words, the name included, can be right.
    pub fn accepts(&self, words: usize) -> bool {
        words >= self.min_words && self.max_words.is_none_or(|most| words <= most)
    }

    /// The number of words in the name: 2 for a subcommand.
    pub fn words(&self) -> usize {
        self.words
    }

    /// The name as `COMMAND` has it: `get`, or `config|get`.
    pub fn full_name(&self) -> String {
        self.name.to_ascii_lowercase().replace(' ', "|")
    }
}

/// A name as its first word and that of a subcommand.
pub(crate) fn split_name(name: &str) -> (&str, Option<&str>) {
    match name.split_once(' ') {
        Some((container, subcommand)) => (container, Some(subcommand)),
        None => (name, None),
    }
}

const fn word_count(name: &str) -> usize {
    let bytes = name.as_bytes();
    let mut words = 1;
    let mut at = 0;
    while at < bytes.len() {
        if bytes[at] == b' ' {
            words += 1;
        }
        at += 1;
    }
    words
}

macro_rules! flags {
    ($($(#[$doc:meta])* $name:ident = $text:literal << $bit:literal;)*) => {
        impl Flags {
            $($(#[$doc])* pub const $name: Flags = Flags(1 << $bit);)*

            const ALL: &'static [(Flags, &'static str)] = &[$((Flags::$name, $text)),*];
        }
    };
}

/// The flags of a command, by the names of Redis.
///
/// ```
/// use thegiant::command::Flags;
///
/// let flags = Flags::READONLY.union(Flags::FAST);
/// assert!(flags.contains(Flags::FAST));
/// assert_eq!(flags.names().collect::<Vec<_>>(), ["readonly", "fast"]);
/// ```
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Flags(u32);

flags! {
    /// `write`: may change data.
    WRITE = "write" << 0;
    /// `readonly`: reads data and changes nothing.
    READONLY = "readonly" << 1;
    /// `denyoom`: may make the data grow.
    DENYOOM = "denyoom" << 2;
    /// `admin`: for operators.
    ADMIN = "admin" << 3;
    /// `pubsub`: publishes or subscribes.
    PUBSUB = "pubsub" << 4;
    /// `noscript`: not to be called from a script.
    NOSCRIPT = "noscript" << 5;
    /// `blocking`: may wait for something before it answers. Whether it does is up to the method, flag or no
    /// flag; of one with it, the connection expects that.
    BLOCKING = "blocking" << 6;
    /// `loading`: allowed while data is being loaded.
    LOADING = "loading" << 7;
    /// `stale`: allowed while data is stale.
    STALE = "stale" << 8;
    /// `skip_monitor`: not shown by `MONITOR`.
    SKIP_MONITOR = "skip_monitor" << 9;
    /// `skip_slowlog`: not shown by `SLOWLOG`.
    SKIP_SLOWLOG = "skip_slowlog" << 10;
    /// `asking`: goes with a slot that is being imported.
    ASKING = "asking" << 11;
    /// `fast`: takes constant or logarithmic time.
    FAST = "fast" << 12;
    /// `no_auth`: allowed before authentication.
    NO_AUTH = "no_auth" << 13;
    /// `may_replicate`: may be replicated though it does not write.
    MAY_REPLICATE = "may_replicate" << 14;
    /// `no_mandatory_keys`: its keys may be left out.
    NO_MANDATORY_KEYS = "no_mandatory_keys" << 15;
    /// `no_async_loading`: denied while data is being loaded in the background.
    NO_ASYNC_LOADING = "no_async_loading" << 16;
    /// `no_multi`: denied inside a transaction.
    NO_MULTI = "no_multi" << 17;
    /// `allow_busy`: allowed while a script runs.
    ALLOW_BUSY = "allow_busy" << 18;
}

impl Flags {
    /// No flag.
    pub const NONE: Flags = Flags(0);

    /// The flags of both.
    #[must_use]
    pub const fn union(self, other: Flags) -> Flags {
        Flags(self.0 | other.0)
    }

    /// Whether all flags of `other` are set.
    pub const fn contains(self, other: Flags) -> bool {
        self.0 & other.0 == other.0
    }

    /// The names of the flags that are set.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Self::ALL.iter().filter(move |(flag, _)| self.contains(*flag)).map(|(_, name)| *name)
    }
}

impl fmt::Debug for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}
