//! What upstreams say of their commands.

use std::{cell::Cell, collections::HashMap};

use foldhash::quality::RandomState;

use super::{commands::is_known, router::Words};
use crate::{Value, command::Keys};

/// The commands of an upstream, by its reply to `COMMAND`.
#[derive(Debug, Default)]
pub(super) struct KeyTable {
    places: HashMap<Box<[u8]>, usize, RandomState>,
    commands: Vec<(Box<[u8]>, KnownCommand)>,
    /// The one that was looked for before: it is often the same.
    last: Cell<usize>,
    /// Some may wait that are not known for it.
    has_blocking: bool,
}

/// What is known of a command.
#[derive(Debug, Default)]
pub(super) struct KnownCommand {
    pub(super) is_readonly: bool,
    /// It may wait, which only the upstream knows of.
    pub(super) is_blocking: bool,
    keys: Vec<KeysAt>,
    /// By the second word.
    subcommands: Vec<(Box<[u8]>, KnownCommand)>,
}

/// Where keys are, as Redis describes it (<https://redis.io/docs/latest/develop/reference/key-specs/>).
#[derive(Clone, Debug, PartialEq, Eq)]
struct KeysAt {
    begin: Begin,
    find: Find,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Begin {
    Index(usize),
    /// Behind this word, which is looked for from here on; backwards, if that is counted from the end.
    Keyword(Box<[u8]>, i64),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Find {
    /// Up to the last, counted from the first one, or from the end if it is negative; of what is left there, this part.
    Range { last: i64, step: usize, limit: usize },
    /// A word says how many there are: its place, and that of the first, both counted from the beginning.
    Count { at: usize, first: usize, step: usize },
}

impl KeyTable {
    /// The commands that a reply to `COMMAND` tells of. None: it does not, since it is an error.
    pub(super) fn read(reply: &[u8]) -> Option<Self> {
        let mut table = KeyTable::default();
        let (commands, _) = Value::parse(reply).ok()??;
        for command in commands.as_array()? {
            let Some((name, known)) = KnownCommand::read(command) else { continue };
            table.has_blocking |= known.is_blocking;
            table.places.insert(name.clone(), table.commands.len());
            table.commands.push((name, known));
        }
        Some(table)
    }

    /// Whether there are commands that may wait and are not known for it.
    pub(super) fn has_blocking(&self) -> bool {
        self.has_blocking
    }

    pub(super) fn find(&self, words: Words<'_>) -> Option<&KnownCommand> {
        let name = words.get(0)?;
        let last = self.commands.get(self.last.get()).filter(|(last, _)| name.eq_ignore_ascii_case(last));
        let known = match last {
            Some((_, known)) => known,
            None => {
                let checkpoint = *self.places.get(&name.to_ascii_lowercase()[..])?;
                self.last.set(checkpoint);
                &self.commands[checkpoint].1
            }
        };
        if known.subcommands.is_empty() {
            return Some(known);
        }
        let second = words.get(1).unwrap_or_default();
        let is_it = |(name, _): &&(Box<[u8]>, KnownCommand)| second.eq_ignore_ascii_case(name);
        Some(known.subcommands.iter().find(is_it).map_or(known, |(_, known)| known))
    }
}

impl KnownCommand {
    fn read(command: &Value) -> Option<(Box<[u8]>, KnownCommand)> {
        let fields = command.as_array()?;
        let values = |index: usize| fields.get(index).and_then(Value::as_array).unwrap_or_default();
        let number = |index: usize| fields.get(index).and_then(Value::as_int).unwrap_or(0);
        let name = fields.first()?.as_bytes()?;
        let has = |flag: &str| values(2).iter().any(|known| known.as_str() == Some(flag));
        let (first, last, step) = (number(3), number(4), number(5));
        // The fields 6 and 7 are the ACL categories and the tips.
        let (specs, subcommands) = (values(8), values(9));
        let mut keys: Vec<KeysAt> = specs.iter().filter_map(KeysAt::read).collect();
        if keys.is_empty() && first > 0 {
            let last = if last < 0 { last } else { last - first };
            let find = Find::Range { last, step: usize::try_from(step).unwrap_or(1).max(1), limit: 0 };
            keys.push(KeysAt { begin: Begin::Index(usize::try_from(first).ok()?), find });
        }
        // What is below a command has its name, too.
        let short = name.rsplit(|byte| *byte == b'|').next().unwrap_or_default();
        let known = KnownCommand {
            is_readonly: has("readonly"),
            is_blocking: has("blocking") && !is_known(name),
            keys,
            subcommands: subcommands.iter().filter_map(KnownCommand::read).collect(),
        };
        Some((short.to_ascii_lowercase().into(), known))
    }
}

impl KeysAt {
    fn read(spec: &Value) -> Option<Self> {
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
        Some(KeysAt { begin, find })
    }

    fn positions(&self, words: Words<'_>) -> Option<Keys> {
        let len = words.len();
        let begin = match &self.begin {
            Begin::Index(index) => *index,
            Begin::Keyword(keyword, from) => {
                let is_it =
                    |index: &usize| words.get(*index).is_some_and(|word| word.eq_ignore_ascii_case(keyword));
                let found = if *from < 0 {
                    let from = len.checked_sub(usize::try_from(from.unsigned_abs()).ok()?)?;
                    (1..=from).rev().find(is_it)
                } else {
                    (usize::try_from(*from).ok()?..len).find(is_it)
                };
                found? + 1
            }
        };
        let (first, last, step) = match self.find {
            Find::Range { last, step, limit } if last < 0 => {
                // Of what is left, a half or a third, if the rest is something else for each key.
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

/// The places of a request's keys.
pub(super) struct KeyPositions<'a> {
    words: Words<'a>,
    more: std::slice::Iter<'a, KeysAt>,
    current: Option<Keys>,
}

impl<'a> KeyPositions<'a> {
    pub(super) fn new(known: Option<&'a KnownCommand>, words: Words<'a>) -> Self {
        let more = known.map_or(&[][..], |known| &known.keys).iter();
        KeyPositions { words, more, current: None }
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
            self.current = self.more.next()?.positions(self.words);
        }
    }
}

/// Names and values in a row, which is the RESP2 form of a map.
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
