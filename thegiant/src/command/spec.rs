//! The description of a command, without its function.

use std::{fmt, ops::Range, time::Duration};

use super::{
    Docs, KeySpec, ReplySpec, RequestPolicy, ResponsePolicy,
    args::{ArgSpec, Usage, max_len, min_len},
    categories,
    key_uses::KeyUses,
};

/// The description of a command.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Spec {
    /// The name in capitals, such as `GET`. A subcommand has both words, such as `CONFIG GET`.
    pub name: &'static str,
    /// The other names of the command.
    pub aliases: &'static [&'static str],
    /// The flags, as in Redis.
    pub flags: Flags,
    /// The positions of the keys; `None` if the command has no keys.
    pub keys: Option<KeySpec>,
    /// How the command uses its keys.
    pub(crate) key_uses: KeyUses,
    /// The parameters.
    pub args: &'static [ArgSpec],
    /// The type of the reply.
    pub reply: ReplySpec,
    /// One line of documentation, from the doc comment of the method.
    pub summary: &'static str,
    /// The group in `COMMAND DOCS`. `#[commands]` uses the name of the actor's type by default.
    pub group: &'static str,
    /// The ACL categories beyond those that follow from the flags and the group.
    pub categories: &'static [&'static str],
    /// The version of the application that introduced the command.
    pub since: Option<&'static str>,
    /// The keyspace event of its keys (`notify-keyspace-events`); `None` means the command's name.
    pub event: Option<&'static str>,
    /// The maximum time until a later reply.
    pub timeout: Option<Duration>,
    /// The shards that run the command, if its actor has [shards](crate::App::mount_shards).
    pub request_policy: RequestPolicy,
    /// How the replies of several shards become one.
    pub response_policy: ResponsePolicy,
    /// Whether the reply may be [streamed](super::Answer::MAY_STREAM).
    pub may_stream: bool,
    /// Whether the command itself says which keys it changes; see [`KeyEvents`](crate::KeyEvents).
    pub reports_keys: bool,
    /// Most commands have only a summary.
    docs: Option<&'static Docs>,
    /// The number of words in the name.
    words: usize,
    /// The minimum number of words in a request, including the name.
    min_words: usize,
    /// The maximum number of words in a request; `None` means no limit.
    max_words: Option<usize>,
}

impl Spec {
    /// The row of all commands that have no row of their own.
    pub(crate) const FALLBACK: Spec = Spec::new("FALLBACK", &[]).any_args().flags(Flags::ANY_NAME);

    /// Returns a command with this name and these parameters.
    ///
    /// # Panics
    /// Panics if first, last and step cannot describe the positions of the keys. In a `const`, this is a
    /// compile error.
    pub const fn new(name: &'static str, args: &'static [ArgSpec]) -> Self {
        let words = word_count(name);
        Spec {
            name,
            aliases: &[],
            flags: Flags::NONE,
            keys: KeySpec::of(words, args),
            key_uses: KeyUses::of(words, args),
            args,
            reply: ReplySpec::Any,
            summary: "",
            group: "generic",
            categories: &[],
            since: None,
            event: None,
            timeout: None,
            request_policy: RequestPolicy::OneShard,
            response_policy: ResponsePolicy::Array,
            may_stream: true,
            reports_keys: false,
            docs: None,
            words,
            min_words: words + min_len(args),
            max_words: match max_len(args) {
                Some(len) => Some(words + len),
                None => None,
            },
        }
    }

    /// Accepts any number of arguments, because a fallback or an upstream checks them.
    pub(crate) const fn any_args(mut self) -> Self {
        self.max_words = None;
        self
    }

    /// Returns whether a request can have words after the name.
    pub(crate) fn takes_arguments(&self) -> bool {
        self.max_words.is_none_or(|max| max > self.words)
    }

    /// Sets the flags.
    #[must_use]
    pub const fn flags(mut self, flags: Flags) -> Self {
        self.flags = flags;
        self
    }

    /// Sets the other names.
    #[must_use]
    pub const fn aliases(mut self, aliases: &'static [&'static str]) -> Self {
        self.aliases = aliases;
        self
    }

    /// Sets the line of documentation.
    #[must_use]
    pub const fn summary(mut self, summary: &'static str) -> Self {
        self.summary = summary;
        self
    }

    /// Sets the type of the reply.
    #[must_use]
    pub const fn reply(mut self, reply: ReplySpec) -> Self {
        self.reply = reply;
        self
    }

    /// Sets the documentation beyond the summary.
    #[must_use]
    pub const fn with_docs(mut self, docs: &'static Docs) -> Self {
        self.docs = Some(docs);
        self
    }

    /// Sets the group in `COMMAND DOCS`, which is an ACL category, too.
    ///
    /// The groups of Redis become its categories: `sorted-set` is `sortedset`, and `generic` is `keyspace`.
    ///
    /// # Panics
    /// Panics if the name has other characters than lower case letters, digits, `-` and `_`. In a `const`, this is
    /// a compile error.
    #[must_use]
    #[track_caller]
    pub const fn group(mut self, group: &'static str) -> Self {
        categories::check_name(group);
        self.group = group;
        self
    }

    /// Sets the ACL categories beyond those that follow from the flags and the group.
    ///
    /// # Panics
    /// Panics if a name has other characters than lower case letters, digits, `-` and `_`. In a `const`, this is a
    /// compile error.
    #[must_use]
    #[track_caller]
    pub const fn categories(mut self, categories: &'static [&'static str]) -> Self {
        let mut at = 0;
        while at < categories.len() {
            categories::check_name(categories[at]);
            at += 1;
        }
        self.categories = categories;
        self
    }

    /// Sets the version of the application that introduced the command.
    #[must_use]
    pub const fn since(mut self, since: &'static str) -> Self {
        self.since = Some(since);
        self
    }

    /// Sets the keyspace event.
    #[must_use]
    pub const fn event(mut self, event: &'static str) -> Self {
        self.event = Some(event);
        self
    }

    /// Sets whether the command itself says which keys it changes.
    #[must_use]
    pub const fn reports_keys(mut self, reports_keys: bool) -> Self {
        self.reports_keys = reports_keys;
        self
    }

    /// Sets the maximum time until a later reply.
    #[must_use]
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Sets which shards run the command, and how their replies become one.
    ///
    /// # Panics
    /// Panics if the command cannot run on several shards. In a `const`, this is a compile error.
    #[must_use]
    #[track_caller]
    pub const fn split(mut self, request: RequestPolicy, response: ResponsePolicy) -> Self {
        check_split(self.words, self.args, request);
        self.request_policy = request;
        self.response_policy = response;
        self
    }

    /// Sets whether the reply may be [streamed](super::Answer::MAY_STREAM). By default, it may.
    #[must_use]
    pub const fn may_stream(mut self, may_stream: bool) -> Self {
        self.may_stream = may_stream;
        self
    }

    /// Returns the position of the first word that belongs to a key, and the number of words for each key.
    ///
    /// All words from there on belong to keys, if the command can be [split](RequestPolicy::MultiShard).
    pub(crate) fn key_groups(&self) -> (usize, usize) {
        let step = self.keys.map_or(1, |keys| keys.step);
        (self.min_words.saturating_sub(step), step)
    }

    /// Returns the arity as in Redis: the number of words, or minus the minimum number of words.
    pub fn arity(&self) -> i64 {
        let min_words = self.min_words as i64;
        if self.max_words == Some(self.min_words) { min_words } else { -min_words }
    }

    /// Returns whether a request may have this many words, including the name.
    pub fn accepts(&self, words: usize) -> bool {
        words >= self.min_words && self.max_words.is_none_or(|max_words| words <= max_words)
    }

    /// Returns the minimum number of words in a request, including the name.
    pub(super) fn min_words(&self) -> usize {
        self.min_words
    }

    /// Returns the number of words in the name: 2 for a subcommand, else 1.
    pub fn words(&self) -> usize {
        self.words
    }

    /// Returns the positions of the channels in a request with this many words.
    #[inline]
    pub(crate) fn channels(&self, words: usize) -> Range<usize> {
        let first = self.words;
        if !self.flags.contains(Flags::CHANNELS) && !self.flags.contains(Flags::PATTERNS) {
            return first..first;
        }
        let has_several = self.args.first().is_some_and(|arg| arg.multiple);
        first..if has_several { words } else { (first + 1).min(words) }
    }

    /// Returns the documentation beyond the summary.
    pub fn docs(&self) -> &'static Docs {
        self.docs.unwrap_or(&Docs::NONE)
    }

    /// Returns the name and the parameters in one line, as in the Redis manual: `SET key value [NX | XX]`.
    pub fn syntax(&self) -> String {
        format!("{}{}", self.name, Usage(self.args))
    }

    /// Returns the name as in `COMMAND`: `get` or `config|get`.
    pub fn full_name(&self) -> String {
        full_name(self.name)
    }

    /// Returns the name and the aliases.
    pub(crate) fn names(&self) -> impl Iterator<Item = &'static str> {
        [self.name].into_iter().chain(self.aliases.iter().copied())
    }
}

/// Checks that a command with these parameters can run on several shards.
///
/// `#[commands]` calls it with the tokens of `split` or `all`, so that a compile error points there.
///
/// # Panics
/// Panics if it cannot.
#[track_caller]
pub const fn check_split(words: usize, args: &[ArgSpec], request: RequestPolicy) {
    match (request, KeySpec::of(words, args)) {
        (RequestPolicy::OneShard, _) => {}
        // The keys are in the last parameter, and so in its groups of words.
        (RequestPolicy::MultiShard, Some(keys))
            if keys.options.is_empty()
                && keys.last < 0
                && keys.first + keys.step >= words + min_len(args) => {}
        (RequestPolicy::MultiShard, _) => {
            panic!("`split` needs all keys in one `Vec`, such as `Vec<Key>` or `Vec<(Key, Bytes)>`")
        }
        (RequestPolicy::AllShards | RequestPolicy::Scan, Some(_)) => {
            panic!("`all` is for commands without keys: remove the `Key`, or use `split`")
        }
        (RequestPolicy::Scan, None) if args.is_empty() => {
            panic!("`all = \"scan\"` needs the cursor as the first parameter")
        }
        (RequestPolicy::AllShards | RequestPolicy::Scan, None) => {}
    }
}

/// Checks that the replies of several shards to a command can be merged.
///
/// # Panics
/// Panics if they cannot.
#[track_caller]
pub const fn check_merge(reply: ReplySpec, request: RequestPolicy, response: ResponsePolicy) {
    match (request, response) {
        (RequestPolicy::OneShard | RequestPolicy::Scan, _) => {}
        (_, ResponsePolicy::Array) => assert!(
            is_list(reply),
            "replies of several shards can only be joined if they are arrays: return a `Vec`, or say how to merge them, \
             such as `\"agg_sum\"` or `\"all_succeeded\"`"
        ),
        (
            _,
            ResponsePolicy::AggSum
            | ResponsePolicy::AggMin
            | ResponsePolicy::AggMax
            | ResponsePolicy::AggLogicalAnd
            | ResponsePolicy::AggLogicalOr,
        ) => {
            assert!(
                is_integer(reply),
                "only integers can be aggregated: return an integer, or a `Vec` of integers"
            );
        }
        (_, ResponsePolicy::OneSucceeded | ResponsePolicy::AllSucceeded | ResponsePolicy::Random) => {}
    }
}

const fn is_list(reply: ReplySpec) -> bool {
    match reply {
        ReplySpec::Any | ReplySpec::Array(_) | ReplySpec::Set(_) | ReplySpec::Tuple(_) => true,
        ReplySpec::Nullable(reply) => is_list(*reply),
        _ => false,
    }
}

const fn is_integer(reply: ReplySpec) -> bool {
    match reply {
        ReplySpec::Any | ReplySpec::Integer | ReplySpec::Tuple(_) => true,
        ReplySpec::Array(element) => is_integer(*element),
        _ => false,
    }
}

/// Returns a name as in `COMMAND`: `get` or `config|get`.
pub(crate) fn full_name(name: &str) -> String {
    name.to_ascii_lowercase().replace(' ', "|")
}

/// Splits a name into the command or container and the subcommand.
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

/// The flags of a command, named as in Redis.
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
    /// `denyoom`: may increase the size of the data.
    DENYOOM = "denyoom" << 2;
    /// `admin`: for operators.
    ADMIN = "admin" << 3;
    /// `pubsub`: publishes or subscribes.
    PUBSUB = "pubsub" << 4;
    /// `noscript`: scripts must not call it.
    NOSCRIPT = "noscript" << 5;
    /// `blocking`: may block the client until its reply comes later.
    ///
    /// Methods without the flag can reply later, too. The flag lets the connection prepare for it.
    BLOCKING = "blocking" << 6;
    /// `loading`: allowed while the server loads its data.
    LOADING = "loading" << 7;
    /// `stale`: allowed while data is stale.
    STALE = "stale" << 8;
    /// `skip_monitor`: not shown by `MONITOR`.
    SKIP_MONITOR = "skip_monitor" << 9;
    /// `skip_slowlog`: not shown by `SLOWLOG`.
    SKIP_SLOWLOG = "skip_slowlog" << 10;
    /// `asking`: allowed on a cluster slot that the server is importing.
    ASKING = "asking" << 11;
    /// `fast`: takes constant or logarithmic time.
    FAST = "fast" << 12;
    /// `no_auth`: allowed before authentication.
    NO_AUTH = "no_auth" << 13;
    /// `may_replicate`: may be replicated, although it does not write.
    MAY_REPLICATE = "may_replicate" << 14;
    /// `no_mandatory_keys`: its keys are optional.
    NO_MANDATORY_KEYS = "no_mandatory_keys" << 15;
    /// `no_async_loading`: denied while the server loads data in the background.
    NO_ASYNC_LOADING = "no_async_loading" << 16;
    /// `no_multi`: denied inside a transaction.
    NO_MULTI = "no_multi" << 17;
    /// `allow_busy`: allowed while a script runs.
    ALLOW_BUSY = "allow_busy" << 18;
}

impl Flags {
    /// No flag.
    pub const NONE: Flags = Flags(0);

    /// `pubsub_mode`: allowed for a RESP2 client that has subscribed, which may use few other commands.
    ///
    /// Redis has no name for this flag, so `COMMAND` does not show it.
    pub const PUBSUB_MODE: Flags = Flags(1 << 24);

    /// `never_queued`: a built-in command that runs at once between `MULTI` and `EXEC`.
    pub(crate) const NEVER_QUEUED: Flags = Flags(1 << 25);

    /// `executes`: `EXEC`, which runs the queued commands.
    pub(crate) const EXECUTES: Flags = Flags(1 << 26);

    /// `forwarded`: the proxy sends the command on to an upstream.
    pub(crate) const FORWARDED: Flags = Flags(1 << 27);

    /// `any_name`: the row of a fallback or a proxy, for all commands without a row of their own.
    pub(crate) const ANY_NAME: Flags = Flags(1 << 28);

    /// `channels`: the first parameter names the channels to which the command publishes or subscribes.
    ///
    /// A user with rules for channels needs them for the command. Redis has no name for this flag and the next one.
    pub const CHANNELS: Flags = Flags(1 << 29);

    /// `patterns`: the first parameter has the channel patterns to which the command subscribes.
    pub const PATTERNS: Flags = Flags(1 << 30);

    /// `tenant_safe`: a user with a [key prefix](crate::Server::key_prefix) may send the command without a key.
    ///
    /// The command shows and changes nothing that belongs to other users. If it is about all keys, it respects
    /// [`Client::key_prefix`](crate::Client::key_prefix).
    pub const TENANT_SAFE: Flags = Flags(1 << 31);

    /// Returns the flags of both.
    #[must_use]
    pub const fn union(self, other: Flags) -> Flags {
        Flags(self.0 | other.0)
    }

    /// Returns whether all flags of `other` are set.
    pub const fn contains(self, other: Flags) -> bool {
        self.0 & other.0 == other.0
    }

    /// Returns the names of the flags that are set.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Self::ALL.iter().filter(move |(flag, _)| self.contains(*flag)).map(|(_, name)| *name)
    }
}

impl fmt::Debug for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}
