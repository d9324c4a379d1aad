//! What a parameter looks like from outside.

/// The type of an argument, by the names that `COMMAND DOCS` uses.
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
    /// Seconds or milliseconds since 1970.
    UnixTime,
    /// A word that stands for itself, such as `NX`.
    PureToken,
    /// One of several arguments: an enum with `#[derive(Args)]`.
    OneOf,
    /// Several arguments in order: a tuple.
    Block,
    /// Several arguments in any order: a struct with `#[derive(Args)]`. Documented in its place,
    /// as if its fields were parameters.
    Options,
}

impl ArgKind {
    /// The name in `COMMAND DOCS`.
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

/// The description of a parameter, made in a `const` from its type. Arity, key positions and
/// `COMMAND DOCS` are computed from these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ArgSpec {
    /// The parameter's name; empty while only the type is known.
    pub name: &'static str,
    /// The type.
    pub kind: ArgKind,
    /// The word in front of the value, such as `EX`; for [`ArgKind::PureToken`] the word itself.
    pub token: Option<&'static str>,
    /// Whether it may be left out.
    pub optional: bool,
    /// Whether it may stand several times: the rest of the arguments.
    pub multiple: bool,
    /// What it consists of, for [`ArgKind::OneOf`], [`ArgKind::Block`] and [`ArgKind::Options`].
    pub parts: &'static [ArgSpec],
}

impl ArgSpec {
    /// One argument of this type, required.
    pub const fn new(kind: ArgKind) -> Self {
        ArgSpec { name: "", kind, token: None, optional: false, multiple: false, parts: &[] }
    }

    /// Several arguments in order.
    pub const fn block(parts: &'static [ArgSpec]) -> Self {
        ArgSpec { parts, ..ArgSpec::new(ArgKind::Block) }
    }

    /// One of several.
    pub const fn one_of(parts: &'static [ArgSpec]) -> Self {
        ArgSpec { parts, ..ArgSpec::new(ArgKind::OneOf) }
    }

    /// Several in any order.
    pub const fn options(parts: &'static [ArgSpec]) -> Self {
        ArgSpec { parts, ..ArgSpec::new(ArgKind::Options) }
    }

    /// With this name.
    #[must_use]
    pub const fn named(self, name: &'static str) -> Self {
        ArgSpec { name, ..self }
    }

    /// With this name, unless it has one or is a key, which is named so.
    #[must_use]
    pub const fn named_if_unnamed(self, name: &'static str) -> Self {
        match (self.name.is_empty(), self.kind) {
            (false, _) => self,
            (true, ArgKind::Key) => self.named("key"),
            (true, _) => self.named(name),
        }
    }

    /// Introduced by this word.
    #[must_use]
    pub const fn token(self, token: &'static str) -> Self {
        ArgSpec { token: Some(token), ..self }
    }

    /// Of this type, which says more than the type of the parameter does.
    #[must_use]
    pub const fn kind(self, kind: ArgKind) -> Self {
        ArgSpec { kind, ..self }
    }

    /// Naming a key.
    #[must_use]
    pub const fn key(self) -> Self {
        ArgSpec { kind: ArgKind::Key, ..self }
    }

    /// May be left out.
    #[must_use]
    pub const fn optional(self) -> Self {
        ArgSpec { optional: true, ..self }
    }

    /// May stand several times.
    #[must_use]
    pub const fn multiple(self) -> Self {
        ArgSpec { multiple: true, ..self }
    }

    /// The least number of arguments it takes.
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

    /// The greatest number of arguments it takes, `None` without a bound. Options are unbounded
    /// here, and so is a choice that may be left out: what is wrong with them is a syntax error, as
    /// Redis has it, not one of arity.
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

    /// The number of arguments of one repetition.
    pub(crate) const fn parts_len(&self) -> usize {
        ArgSpec { optional: false, multiple: false, ..*self }.min_len()
    }

    const fn prefix_len(&self) -> usize {
        if self.token.is_some() { 1 } else { 0 }
    }
}

/// The least number of arguments that these take together.
pub(crate) const fn min_len(args: &[ArgSpec]) -> usize {
    let mut sum = 0;
    let mut at = 0;
    while at < args.len() {
        sum += args[at].min_len();
        at += 1;
    }
    sum
}

/// The greatest number of arguments that these take together, `None` without a bound.
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
    let mut most = 0;
    let mut at = 0;
    while at < args.len() {
        match args[at].max_len() {
            Some(len) if len > most => most = len,
            Some(_) => {}
            None => return None,
        }
        at += 1;
    }
    Some(most)
}

const fn shortest(args: &[ArgSpec]) -> usize {
    let mut least = if args.is_empty() { 0 } else { args[0].min_len() };
    let mut at = 1;
    while at < args.len() {
        let len = args[at].min_len();
        if len < least {
            least = len;
        }
        at += 1;
    }
    least
}
