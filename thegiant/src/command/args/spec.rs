//! The description of a parameter.

use crate::command::KeyUse;

/// The type of an argument in `COMMAND DOCS`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ArgKind {
    /// Any bytes.
    String,
    /// An integer.
    Integer,
    /// A floating point number.
    Double,
    /// The name of a key.
    Key,
    /// A glob pattern.
    Pattern,
    /// Seconds or milliseconds since the Unix epoch.
    UnixTime,
    /// A token without a value, such as `NX`.
    PureToken,
    /// One of several arguments: an enum with `#[derive(Args)]`.
    OneOf,
    /// Several arguments in order: a tuple.
    Block,
    /// Several arguments in any order: a struct with `#[derive(Args)]`.
    ///
    /// `COMMAND DOCS` lists its fields as if they were parameters.
    Options,
}

impl ArgKind {
    /// Returns the name in `COMMAND DOCS`.
    pub const fn name(self) -> &'static str {
        match self {
            ArgKind::String => "string",
            ArgKind::Integer => "integer",
            ArgKind::Double => "double",
            ArgKind::Key => "key",
            ArgKind::Pattern => "pattern",
            ArgKind::UnixTime => "unix-time",
            ArgKind::PureToken => "pure-token",
            ArgKind::OneOf => "oneof",
            ArgKind::Block | ArgKind::Options => "block",
        }
    }
}

/// The description of a parameter, from which arity, key positions and `COMMAND DOCS` are computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ArgSpec {
    /// The parameter's name; empty in the description of a type.
    pub name: &'static str,
    /// The type.
    pub kind: ArgKind,
    /// The token before the value, such as `EX`, or the token of an [`ArgKind::PureToken`].
    pub token: Option<&'static str>,
    /// Whether a request may omit it.
    pub optional: bool,
    /// Whether it repeats to the end of the request.
    pub multiple: bool,
    /// The parts of an [`ArgKind::OneOf`], [`ArgKind::Block`] or [`ArgKind::Options`].
    pub parts: &'static [ArgSpec],
    /// How the command uses the keys of the parameter, if it has any.
    pub key_use: KeyUse,
}

impl ArgSpec {
    /// Returns one required argument of this type.
    pub const fn new(kind: ArgKind) -> Self {
        ArgSpec {
            name: "",
            kind,
            token: None,
            optional: false,
            multiple: false,
            parts: &[],
            key_use: KeyUse::DERIVED,
        }
    }

    /// Returns several arguments in order.
    pub const fn block(parts: &'static [ArgSpec]) -> Self {
        ArgSpec { parts, ..ArgSpec::new(ArgKind::Block) }
    }

    /// Returns a choice of one among several arguments.
    pub const fn one_of(parts: &'static [ArgSpec]) -> Self {
        ArgSpec { parts, ..ArgSpec::new(ArgKind::OneOf) }
    }

    /// Returns several arguments in any order.
    pub const fn options(parts: &'static [ArgSpec]) -> Self {
        ArgSpec { parts, ..ArgSpec::new(ArgKind::Options) }
    }

    /// Sets the name.
    #[must_use]
    pub const fn named(self, name: &'static str) -> Self {
        ArgSpec { name, ..self }
    }

    /// Sets the name, unless it has one. A key is called `key`.
    #[must_use]
    pub const fn named_if_unnamed(self, name: &'static str) -> Self {
        match (self.name.is_empty(), self.kind) {
            (false, _) => self,
            (true, ArgKind::Key) => self.named("key"),
            (true, _) => self.named(name),
        }
    }

    /// Sets the token.
    #[must_use]
    pub const fn token(self, token: &'static str) -> Self {
        ArgSpec { token: Some(token), ..self }
    }

    /// Sets a type that is more precise than the type of the parameter.
    #[must_use]
    pub const fn kind(self, kind: ArgKind) -> Self {
        ArgSpec { kind, ..self }
    }

    /// Makes it a key.
    #[must_use]
    pub const fn key(self) -> Self {
        ArgSpec { kind: ArgKind::Key, ..self }
    }

    /// Sets how the command uses the keys of the parameter.
    #[must_use]
    pub const fn key_use(self, key_use: KeyUse) -> Self {
        ArgSpec { key_use, ..self }
    }

    /// Makes it optional.
    #[must_use]
    pub const fn optional(self) -> Self {
        ArgSpec { optional: true, ..self }
    }

    /// Makes it repeat to the end of the request.
    #[must_use]
    pub const fn multiple(self) -> Self {
        ArgSpec { multiple: true, ..self }
    }

    /// Returns the minimum number of arguments that it reads.
    pub const fn min_len(&self) -> usize {
        if self.optional {
            return 0;
        }
        self.prefix_len()
            + match self.kind {
                ArgKind::PureToken => 0,
                ArgKind::OneOf => shortest(self.parts),
                ArgKind::Block | ArgKind::Options => min_len(self.parts),
                _ => 1,
            }
    }

    /// Returns the maximum number of arguments that it reads; `None` means no limit.
    ///
    /// Options and optional choices have no limit here. As in Redis, a mistake in them is a syntax error, and
    /// not a wrong number of arguments.
    pub const fn max_len(&self) -> Option<usize> {
        if self.multiple {
            return None;
        }
        let inner = match self.kind {
            ArgKind::PureToken => Some(0),
            ArgKind::Options => None,
            ArgKind::OneOf if self.optional => None,
            ArgKind::OneOf => longest(self.parts),
            ArgKind::Block => max_len(self.parts),
            _ => Some(1),
        };
        match inner {
            Some(len) => Some(self.prefix_len() + len),
            None => None,
        }
    }

    /// Returns the number of arguments in one repetition.
    pub(crate) const fn parts_len(&self) -> usize {
        ArgSpec { optional: false, multiple: false, ..*self }.min_len()
    }

    const fn prefix_len(&self) -> usize {
        if self.token.is_some() { 1 } else { 0 }
    }
}

/// Returns the minimum number of arguments that these read together.
pub(crate) const fn min_len(args: &[ArgSpec]) -> usize {
    let mut sum = 0;
    let mut at = 0;
    while at < args.len() {
        sum += args[at].min_len();
        at += 1;
    }
    sum
}

/// Returns the maximum number of arguments that these read together; `None` means no limit.
pub(crate) const fn max_len(args: &[ArgSpec]) -> Option<usize> {
    let mut sum = 0;
    let mut at = 0;
    while at < args.len() {
        match args[at].max_len() {
            Some(len) => sum += len,
            None => return None,
        }
        at += 1;
    }
    Some(sum)
}

const fn longest(args: &[ArgSpec]) -> Option<usize> {
    let mut longest = 0;
    let mut at = 0;
    while at < args.len() {
        match args[at].max_len() {
            Some(len) if len > longest => longest = len,
            Some(_) => {}
            None => return None,
        }
        at += 1;
    }
    Some(longest)
}

const fn shortest(args: &[ArgSpec]) -> usize {
    let mut shortest = if args.is_empty() { 0 } else { args[0].min_len() };
    let mut at = 1;
    while at < args.len() {
        let len = args[at].min_len();
        if len < shortest {
            shortest = len;
        }
        at += 1;
    }
    shortest
}
