//! The upstreams' own descriptions of their commands.

use std::{
    collections::HashMap,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

use foldhash::quality::RandomState;

use super::variable_access::access_by_options;
use crate::{
    Value,
    acl::Categories,
    command::{KeyAccess, Keys},
    proxy::wire::{Words, is_known},
};

/// The commands of an upstream, from its reply to `COMMAND`.
#[derive(Debug, Default)]
pub(crate) struct KeyTable {
    /// The indexes in `commands`, by name.
    indexes: HashMap<Box<[u8]>, usize, RandomState>,
    /// Sorted by name.
    commands: Vec<NamedCommand>,
    /// Index of the command that was looked up last. The next request often has the same command.
    last: AtomicUsize,
    /// See [`KnownCommand::is_blocking`].
    has_blocking: bool,
}

/// A command and its name in lower case.
type NamedCommand = (Box<[u8]>, KnownCommand);

/// The properties of a command that matter to the proxy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct KnownCommand {
    pub(crate) is_readonly: bool,
    /// The command may block, although the proxy has no row for it.
    pub(crate) is_blocking: bool,
    /// The upstream does not say where all keys are (`SORT … BY`).
    pub(crate) has_unknown_keys: bool,
    pub(crate) categories: Categories,
    /// The number of words in a request, or the negative minimum. 0 means that the upstream would not queue the command.
    arity: i64,
    keys: Vec<KeySpec>,
    /// Named by the second word of the request.
    subcommands: Vec<NamedCommand>,
}

/// A key specification of Redis (<https://redis.io/docs/latest/develop/reference/key-specs/>).
#[derive(Clone, Debug, PartialEq, Eq)]
struct KeySpec {
    begin: Begin,
    find: Find,
    /// `None` for words that are no keys, and only belong to the slot of one (`not_key`).
    access: Option<KeyAccess>,
    /// The access depends on the options of the request (`variable_flags`).
    is_variable: bool,
}

/// The start of the search for keys, `begin_search`.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Begin {
    Index(usize),
    /// The word after this keyword.
    ///
    /// The search runs forwards from the index. A negative index counts from the end and searches backwards.
    Keyword(Box<[u8]>, i64),
}

/// The positions of the keys relative to the start, `find_keys`.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Find {
    /// From the start up to `last`, which is relative to the start or, if negative, to the end.
    ///
    /// If `last` is negative and `limit` exceeds 1, only the first `1/limit` of the words contains keys.
    Range { last: i64, step: usize, limit: usize },
    /// The word at `at` is the number of keys. Both `at` and `first` are relative to the start.
    Count { at: usize, first: usize, step: usize },
}

impl KeyTable {
    /// Parses a reply to `COMMAND`. Returns `None` if it is not an array, such as an error.
    pub(crate) fn read(reply: &[u8]) -> Option<Self> {
        let (commands, _) = Value::parse(reply).ok()??;
        Some(KeyTable::of(KnownCommand::read_all(commands.as_array()?)))
    }

    fn of(commands: Vec<NamedCommand>) -> Self {
        let names = commands.iter().map(|(name, _)| name.clone());
        KeyTable {
            indexes: names.zip(0..).collect(),
            has_blocking: commands.iter().any(|(_, known)| known.is_blocking),
            commands,
            last: AtomicUsize::default(),
        }
    }

    /// Returns a table with the commands of all these tables.
    pub(super) fn union<'a>(tables: impl Iterator<Item = &'a KeyTable>) -> Self {
        let mut commands = Vec::new();
        tables.for_each(|table| merge(&mut commands, &table.commands));
        KeyTable::of(commands)
    }

    pub(super) fn has_same_commands(&self, other: &KeyTable) -> bool {
        self.commands == other.commands
    }

    /// Returns whether any command has keys.
    pub(crate) fn has_keys(&self) -> bool {
        self.commands.iter().any(|(_, known)| known.has_keys())
    }

    /// Returns whether a command may block although the proxy has no row for it.
    pub(crate) fn has_blocking(&self) -> bool {
        self.has_blocking
    }

    /// Returns the command or the subcommand that these words call.
    pub(crate) fn find(&self, words: Words<'_>) -> Option<&KnownCommand> {
        let known = self.find_first(words)?;
        Some(if known.subcommands.is_empty() { known } else { known.subcommand(words).unwrap_or(known) })
    }

    /// Returns whether these words call a subcommand.
    pub(crate) fn is_subcommand(&self, words: Words<'_>) -> bool {
        self.find_first(words).is_some_and(|known| known.subcommand(words).is_some())
    }

    /// Returns the command with the first of these words as its name.
    #[inline]
    fn find_first(&self, words: Words<'_>) -> Option<&KnownCommand> {
        let name = words.get(0)?;
        let last = self.commands.get(self.last.load(Relaxed)).filter(|(last, _)| is_lower(name, last));
        match last {
            Some((_, known)) => Some(known),
            None => {
                let index = *self.indexes.get(&name.to_ascii_lowercase()[..])?;
                self.last.store(index, Relaxed);
                Some(&self.commands[index].1)
            }
        }
    }
}

/// Returns whether a name in lower case is this name. Most names are short, and that is where it is fast.
fn is_lower(name: &[u8], lower: &[u8]) -> bool {
    let mut pairs = name.iter().zip(lower);
    name.len() == lower.len() && pairs.all(|(byte, lower)| byte.to_ascii_lowercase() == *lower)
}

/// Merges the commands of another upstream into `commands`.
fn merge(commands: &mut Vec<NamedCommand>, others: &[NamedCommand]) {
    for (name, known) in others {
        match commands.binary_search_by(|(own, _)| own.cmp(name)) {
            Ok(at) => commands[at].1.merge(known),
            Err(at) => commands.insert(at, (name.clone(), known.clone())),
        }
    }
}

impl KnownCommand {
    /// Merges the description of another upstream. On contradiction, the command has keys, writes and blocks.
    fn merge(&mut self, other: &KnownCommand) {
        self.is_readonly &= other.is_readonly;
        self.is_blocking |= other.is_blocking;
        self.has_unknown_keys |= other.has_unknown_keys;
        if self.arity != other.arity {
            self.arity = 0;
        }
        if self.keys.is_empty() {
            self.keys.clone_from(&other.keys);
        }
        merge(&mut self.subcommands, &other.subcommands);
    }

    /// Returns the subcommand that the second of these words names.
    fn subcommand(&self, words: Words<'_>) -> Option<&KnownCommand> {
        let second = words.get(1)?;
        let found = self.subcommands.iter().find(|(name, _)| second.eq_ignore_ascii_case(name));
        found.map(|(_, known)| known)
    }

    /// Returns whether an upstream queues a request with this number of words after `MULTI`.
    pub(crate) fn is_queued(&self, words: usize) -> bool {
        let words = i64::try_from(words).unwrap_or(i64::MAX);
        words == self.arity || (self.arity < 0 && -words <= self.arity)
    }

    /// Returns the positions and the uses of the keys.
    pub(super) fn key_accesses(&self, words: Words<'_>) -> impl Iterator<Item = (usize, KeyAccess)> {
        let keys = self.keys.iter().filter_map(move |spec| Some((spec, spec.access_of(words)?)));
        keys.flat_map(move |(spec, access)| {
            spec.positions(words).into_iter().flatten().map(move |position| (position, access))
        })
    }

    fn has_keys(&self) -> bool {
        !self.keys.is_empty() || self.subcommands.iter().any(|(_, known)| known.has_keys())
    }

    /// Reads commands, and sorts them by name.
    fn read_all(commands: &[Value]) -> Vec<NamedCommand> {
        let mut commands: Vec<NamedCommand> = commands.iter().filter_map(KnownCommand::read).collect();
        commands.sort_by(|(name, _), (other, _)| name.cmp(other));
        commands.dedup_by(|(name, _), (other, _)| name == other);
        commands
    }

    fn read(command: &Value) -> Option<NamedCommand> {
        let fields = command.as_array()?;
        let values = |index: usize| fields.get(index).and_then(Value::as_array).unwrap_or_default();
        let number = |index: usize| fields.get(index).and_then(Value::as_int).unwrap_or(0);
        let name = fields.first()?.as_bytes()?;
        let has = |flag: &str| values(2).iter().any(|known| known.as_str() == Some(flag));
        let (first, last, step) = (number(3), number(4), number(5));
        // The field 7 has the tips.
        let (specs, subcommands) = (values(8), values(9));
        let is_readonly = has("readonly");
        let access = KeyAccess::new(true, !is_readonly);
        let mut keys: Vec<KeySpec> = specs.iter().filter_map(|spec| KeySpec::read(spec, access)).collect();
        let has_unknown_keys = keys.len() < specs.len() || specs.iter().any(KeySpec::is_incomplete);
        if keys.is_empty() && first > 0 {
            let last = if last < 0 { last } else { last - first };
            let find = Find::Range { last, step: usize::try_from(step).unwrap_or(1).max(1), limit: 0 };
            keys.push(KeySpec {
                begin: Begin::Index(usize::try_from(first).ok()?),
                find,
                access: Some(access),
                is_variable: false,
            });
        }
        // The name of a subcommand is `command|subcommand`.
        let short_name = name.rsplit(|byte| *byte == b'|').next().unwrap_or_default();
        let known = KnownCommand {
            is_readonly,
            is_blocking: has("blocking") && !is_known(name),
            has_unknown_keys,
            categories: Categories::of_redis(
                values(6).iter().filter_map(|name| name.as_str()?.strip_prefix('@')),
            ),
            arity: if has("no_multi") { 0 } else { number(1) },
            keys,
            subcommands: KnownCommand::read_all(subcommands),
        };
        Some((short_name.to_ascii_lowercase().into(), known))
    }
}

impl KeySpec {
    /// Returns whether the specification does not cover all keys.
    fn is_incomplete(spec: &Value) -> bool {
        KeySpec::has(spec, "incomplete")
    }

    fn has(spec: &Value, flag: &str) -> bool {
        let flags = CommandFields::of(spec).get("flags").and_then(Value::as_array).unwrap_or_default();
        flags.iter().any(|known| known.as_str() == Some(flag))
    }

    /// Reads a specification. Without flags, its keys have the access of the command.
    fn read(spec: &Value, command: KeyAccess) -> Option<Self> {
        let has = |flag| KeySpec::has(spec, flag);
        let access = match ["RO", "RW", "OW", "RM"].into_iter().any(has) {
            true => KeyAccess::new(has("access"), ["insert", "update", "delete"].into_iter().any(has)),
            false => command,
        };
        let access = Some(access).filter(|_| !has("not_key"));
        let is_variable = has("variable_flags");
        let spec = CommandFields::of(spec);
        let begin = CommandFields::of(spec.get("begin_search")?);
        let begin_spec = CommandFields::of(begin.get("spec")?);
        let begin = match begin.text("type")? {
            b"index" => Begin::Index(usize::try_from(begin_spec.number("index")?).ok()?),
            b"keyword" => Begin::Keyword(begin_spec.text("keyword")?.into(), begin_spec.number("startfrom")?),
            _ => return None,
        };
        let find = CommandFields::of(spec.get("find_keys")?);
        let find_spec = CommandFields::of(find.get("spec")?);
        let step = usize::try_from(find_spec.number("keystep").unwrap_or(1)).ok()?.max(1);
        let find = match find.text("type")? {
            b"range" => Find::Range {
                last: find_spec.number("lastkey")?,
                step,
                limit: usize::try_from(find_spec.number("limit")?).ok()?,
            },
            b"keynum" => Find::Count {
                at: usize::try_from(find_spec.number("keynumidx")?).ok()?,
                first: usize::try_from(find_spec.number("firstkey")?).ok()?,
                step,
            },
            _ => return None,
        };
        Some(KeySpec { begin, find, access, is_variable })
    }

    /// Returns what a request does with the keys.
    fn access_of(&self, words: Words<'_>) -> Option<KeyAccess> {
        let by_options = if self.is_variable { access_by_options(words) } else { None };
        self.access.map(|access| by_options.unwrap_or(access))
    }

    fn positions(&self, words: Words<'_>) -> Option<Keys> {
        let len = words.len();
        let begin = match &self.begin {
            Begin::Index(index) => *index,
            Begin::Keyword(keyword, from) => {
                let is_match =
                    |index: &usize| words.get(*index).is_some_and(|word| word.eq_ignore_ascii_case(keyword));
                let found = if *from < 0 {
                    let from = len.checked_sub(usize::try_from(from.unsigned_abs()).ok()?)?;
                    (1..=from).rev().find(is_match)
                } else {
                    (usize::try_from(*from).ok()?..len).find(is_match)
                };
                found? + 1
            }
        };
        let (first, last, step) = match self.find {
            Find::Range { last, step, limit } if last < 0 => {
                // `XREAD` has one id for each key, so its limit of 2 selects the first half of the words.
                let end = if limit > 1 { begin + len.checked_sub(begin)? / limit } else { len };
                (begin, end.checked_sub(usize::try_from(last.unsigned_abs()).ok()?)?, step)
            }
            Find::Range { last, step, .. } => {
                (begin, begin.saturating_add(usize::try_from(last).ok()?), step)
            }
            Find::Count { at, first, step } => {
                let count = std::str::from_utf8(words.get(begin + at)?).ok()?.parse::<usize>().ok()?;
                let first = begin + first;
                (first, count.checked_sub(1)?.min(len).saturating_mul(step).saturating_add(first), step)
            }
        };
        Some(Keys { next: first, last: last.min(len.checked_sub(1)?), step })
    }
}

/// An iterator over the positions of the keys of a request.
pub(crate) struct KeyPositions<'a> {
    words: Words<'a>,
    specs: std::slice::Iter<'a, KeySpec>,
    current: Option<Keys>,
}

impl<'a> KeyPositions<'a> {
    pub(crate) fn new(known: Option<&'a KnownCommand>, words: Words<'a>) -> Self {
        let specs = known.map_or(&[][..], |known| &known.keys).iter();
        KeyPositions { words, specs, current: None }
    }
}

impl Iterator for KeyPositions<'_> {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        loop {
            if let Some(position) = self.current.as_mut().and_then(Iterator::next) {
                return Some(position);
            }
            self.current = None;
            self.current = self.specs.next()?.positions(self.words);
        }
    }
}

/// The RESP2 form of a map: an array of alternating names and values.
struct CommandFields<'a>(&'a [Value]);

impl<'a> CommandFields<'a> {
    fn of(value: &'a Value) -> Self {
        CommandFields(value.as_array().unwrap_or_default())
    }

    fn get(&self, name: &str) -> Option<&'a Value> {
        let mut fields = self.0.chunks_exact(2);
        fields.find(|field| field[0].as_str() == Some(name)).map(|field| &field[1])
    }

    fn text(&self, name: &str) -> Option<&'a [u8]> {
        self.get(name)?.as_bytes()
    }

    fn number(&self, name: &str) -> Option<i64> {
        self.get(name)?.as_int()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An upstream may send any number as the arity.
    #[test]
    fn the_arity_says_whether_a_request_is_queued() {
        let command = |arity: i64| Value::parse(format!("*2\r\n$1\r\na\r\n:{arity}\r\n").as_bytes());
        let is_queued = |(arity, words)| {
            let (command, _) = command(arity).expect("RESP").expect("a command");
            KnownCommand::read(&command).expect("a command").1.is_queued(words)
        };
        assert_eq!([(2, 1), (2, 2), (2, 3), (0, 1)].map(is_queued), [false, true, false, false]);
        assert_eq!([(-2, 1), (-2, 2), (-2, 9), (i64::MIN, 9)].map(is_queued), [false, true, true, false]);
    }
}
