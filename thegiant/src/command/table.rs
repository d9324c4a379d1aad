//! Finds the row of a command by its name.

use super::{Request, Spec, args::Usage, split_name};
use crate::{
    Error,
    batch::{RequestWords, Resolved},
    resp::Encoder,
};

/// Hash table of all commands. A lookup ignores the case of letters and does not allocate.
#[derive(Debug)]
pub(crate) struct CommandTable<T> {
    entries: Vec<Entry<T>>,
    /// Open addressing; at most half of the slots are in use.
    slots: Vec<Option<NameSlot>>,
}

#[derive(Clone, Copy, Debug)]
struct NameSlot {
    folded: u64,
    len: usize,
    /// Index of the entry.
    index: u32,
}

/// A command, or a container of subcommands, or both.
#[derive(Debug)]
pub(crate) struct Entry<T> {
    /// One word, in capitals.
    pub(crate) name: &'static str,
    /// The command itself; `None` for a container that is no command.
    pub(crate) command: Option<(&'static Spec, T)>,
    /// The subcommands: second word, description, target.
    pub(crate) subcommands: Vec<(&'static str, &'static Spec, T)>,
}

impl<T> Default for CommandTable<T> {
    fn default() -> Self {
        CommandTable { entries: Vec::new(), slots: Vec::new() }
    }
}

impl<T: Copy> CommandTable<T> {
    /// Adds a command under its name and its aliases.
    ///
    /// # Errors
    /// Returns the name that another command already uses, and the target of that command.
    pub(crate) fn insert(&mut self, spec: &'static Spec, target: T) -> Result<(), (&'static str, T)> {
        for name in spec.names() {
            let (word, subcommand) = split_name(name);
            let entry = self.entry(word);
            let in_use = match subcommand {
                None => entry.command.replace((spec, target)),
                Some(subcommand) => {
                    let in_use = entry.subcommand(subcommand.as_bytes());
                    entry.subcommands.push((subcommand, spec, target));
                    in_use
                }
            };
            if let Some((_, other)) = in_use {
                return Err((name, other));
            }
        }
        Ok(())
    }

    /// Returns all commands, with their targets. A command with aliases comes several times.
    pub(crate) fn commands(&self) -> impl Iterator<Item = (&'static Spec, T)> {
        self.entries.iter().flat_map(|entry| {
            let subcommands = entry.subcommands.iter().map(|(_, spec, target)| (*spec, *target));
            entry.command.into_iter().chain(subcommands)
        })
    }

    /// Returns the command of a request.
    #[inline(always)]
    pub(crate) fn resolve(&self, words: RequestWords<'_>) -> Resolved<T> {
        let Some(index) = self.find(words.name()) else {
            return if is_http(words.name()) { Resolved::CrossProtocol } else { Resolved::Unknown };
        };
        let entry = &self.entries[index as usize];
        let second = if entry.subcommands.is_empty() { None } else { words.get(1) };
        let (spec, target) = match (second, entry.command) {
            (Some(word), command) => match entry.subcommand(word) {
                Some(found) => found,
                None if word.eq_ignore_ascii_case(b"HELP") => return help(index, words.len()),
                // A word that is no subcommand may still be an argument of the command.
                None => match command.filter(|(spec, _)| spec.accepts(words.len())) {
                    Some(command) => command,
                    None => return Resolved::UnknownSubcommand(index),
                },
            },
            (None, Some(command)) => command,
            (None, None) => return Resolved::WrongContainerArity(1),
        };
        if spec.accepts(words.len()) {
            Resolved::Command(target)
        } else {
            Resolved::WrongArity(target, spec.words() as u8)
        }
    }

    /// Returns the command or subcommand that these first two words name.
    pub(crate) fn spec(&self, name: &[u8], second: Option<&[u8]>) -> Option<&'static Spec> {
        let entry = self.get(name)?;
        let nested = second.and_then(|word| entry.subcommand(word));
        // A word that is no subcommand may be an argument of the command.
        let may_be_argument =
            |spec: &Spec| second.is_none() || entry.subcommands.is_empty() || spec.takes_arguments();
        let found = nested.or(entry.command.filter(|(spec, _)| may_be_argument(spec)));
        found.map(|(spec, _)| spec)
    }

    /// Returns whether a command or subcommand has this name.
    pub(crate) fn has(&self, name: &str) -> bool {
        let (word, subcommand) = split_name(name);
        self.get(word.as_bytes()).is_some_and(|entry| match subcommand {
            Some(subcommand) => entry.subcommand(subcommand.as_bytes()).is_some(),
            None => entry.command.is_some(),
        })
    }

    /// Returns the entry of the command or container with this name.
    pub(crate) fn get(&self, name: &[u8]) -> Option<&Entry<T>> {
        self.find(name).map(|index| &self.entries[index as usize])
    }

    /// Returns all entries, in the order of their insertion.
    pub(crate) fn entries(&self) -> &[Entry<T>] {
        &self.entries
    }

    /// Writes the reply to a request without a command to run.
    pub(crate) fn answer(&self, resolved: Resolved<T>, request: &Request<'_>, out: &mut Encoder) {
        match resolved {
            // Callers run these themselves.
            Resolved::Command(_) | Resolved::Split(_) => out.error(&Error::INTERNAL),
            Resolved::Help(index) => self.entries[index as usize].help(out),
            Resolved::Unknown => out.error(&request.unknown_command()),
            Resolved::UnknownSubcommand(index) => {
                out.error(&request.unknown_subcommand(self.entries[index as usize].name));
            }
            Resolved::WrongArity(_, words) | Resolved::WrongContainerArity(words) => {
                out.error(&request.wrong_arity_of(usize::from(words)));
            }
            Resolved::CrossShard => out.error(&Error::CROSS_SLOT),
            Resolved::CrossProtocol | Resolved::Queued | Resolved::Held | Resolved::Denied => {}
        }
    }

    /// Returns all commands and subcommands, in the order of their insertion, each once.
    pub(crate) fn specs(&self) -> impl Iterator<Item = &'static Spec> {
        self.entries.iter().flat_map(|entry| {
            let named = |name| move |spec: &&'static Spec| split_name(spec.name) == name;
            let command = entry.command.map(|(spec, _)| spec).filter(named((entry.name, None)));
            let nested = entry
                .subcommands
                .iter()
                .filter_map(move |(word, spec, _)| Some(*spec).filter(named((entry.name, Some(word)))));
            command.into_iter().chain(nested)
        })
    }

    fn entry(&mut self, name: &'static str) -> &mut Entry<T> {
        let index = match self.find(name.as_bytes()) {
            Some(index) => index,
            None => {
                self.entries.push(Entry { name, command: None, subcommands: Vec::new() });
                self.index_entries();
                self.entries.len() as u32 - 1
            }
        };
        &mut self.entries[index as usize]
    }

    fn index_entries(&mut self) {
        let size = (self.entries.len() * 2).next_power_of_two().max(8);
        self.slots = vec![None; size];
        for (entry, index) in self.entries.iter().zip(0..) {
            let name = entry.name.as_bytes();
            let folded = fold(name);
            let mut at = first_slot(folded, size);
            while self.slots[at].is_some() {
                at = (at + 1) & (size - 1);
            }
            self.slots[at] = Some(NameSlot { folded, len: name.len(), index });
        }
    }

    #[inline]
    fn find(&self, name: &[u8]) -> Option<u32> {
        // The hash of a short name is the name itself, so it needs no second comparison.
        if name.len() <= size_of::<u64>() {
            self.probe(name, fold_short(name), |_| true)
        } else {
            self.find_long(name)
        }
    }

    /// Finds a long name. It is not inlined, so that the lookup of a short name makes no call.
    #[inline(never)]
    fn find_long(&self, name: &[u8]) -> Option<u32> {
        let is_named = |index| self.entries[index as usize].name.as_bytes().eq_ignore_ascii_case(name);
        self.probe(name, fold(name), is_named)
    }

    #[inline]
    fn probe(&self, name: &[u8], folded: u64, is_named: impl Fn(u32) -> bool) -> Option<u32> {
        let size = self.slots.len();
        if size == 0 {
            return None;
        }
        let mut at = first_slot(folded, size);
        while let Some(slot) = self.slots[at] {
            if slot.folded == folded && slot.len == name.len() && is_named(slot.index) {
                return Some(slot.index);
            }
            at = (at + 1) & (size - 1);
        }
        None
    }
}

impl<T: Copy> Entry<T> {
    pub(crate) fn subcommand(&self, word: &[u8]) -> Option<(&'static Spec, T)> {
        let found = self.subcommands.iter().find(|(name, ..)| name.as_bytes().eq_ignore_ascii_case(word))?;
        Some((found.1, found.2))
    }

    /// Writes two lines per subcommand, its usage and its summary, as `HELP` does in Redis.
    fn help(&self, out: &mut Encoder) {
        out.array(3 + 2 * self.subcommands.len());
        out.simple(&format!("{} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:", self.name));
        for (name, spec, _) in &self.subcommands {
            out.simple(&format!("{name}{}", Usage(spec.args)));
            out.simple(&format!("    {}", spec.summary));
        }
        out.simple("HELP");
        out.simple("    Prints this help.");
    }
}

/// Returns whether a request is a line of HTTP. A proxy asks this for most commands, since it has no rows for them.
fn is_http(name: &[u8]) -> bool {
    match name.len() {
        4 => name.eq_ignore_ascii_case(b"POST"),
        5 => name.eq_ignore_ascii_case(b"HOST:"),
        _ => false,
    }
}

/// Resolves the `HELP` of a container, which takes no arguments.
fn help<T>(index: u32, words: usize) -> Resolved<T> {
    if words == 2 { Resolved::Help(index) } else { Resolved::WrongContainerArity(2) }
}

/// Hashes a name so that upper and lower case give the same number.
///
/// Different names of at most eight bytes have different hashes.
#[inline]
fn fold(name: &[u8]) -> u64 {
    name.chunks(size_of::<u64>()).fold(0, |folded: u64, chunk| folded.rotate_left(5) ^ fold_short(chunk))
}

/// Hashes a name of at most eight bytes: the hash is the name in capitals.
#[inline]
fn fold_short(name: &[u8]) -> u64 {
    let word = name.iter().fold(0, |word, byte| word << 8 | u64::from(*byte));
    // All letters at once: the highest bit of each byte says whether it is at least `a`, and whether it is beyond `z`.
    let each = |byte: u8| u64::from_ne_bytes([byte; 8]);
    let low = word & each(0x7f);
    let is_small = (low + each(0x80 - b'a')) & !(low + each(0x7f - b'z')) & !word & each(0x80);
    // This bit is the difference between a small letter and its capital.
    word ^ is_small >> 2
}

/// Returns the slot where a lookup begins.
///
/// Only the application adds names, so a client cannot fill the table with collisions.
fn first_slot(folded: u64, size: usize) -> usize {
    // The multiplier of FxHash mixes into the high bits; the shift brings them down.
    (folded.wrapping_mul(0x517c_c1b7_2722_0a95) >> 32) as usize & (size - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> CommandTable<usize> {
        static SPECS: [Spec; 4] = [
            Spec::new("GET", &[]),
            Spec::new("DEL", &[]).aliases(&["UNLINK"]),
            Spec::new("CONFIG GET", &[]),
            Spec::new("CONFIG SET", &[]),
        ];
        let mut table = CommandTable::default();
        for (target, spec) in SPECS.iter().enumerate() {
            table.insert(spec, target).expect("a free name");
        }
        table
    }

    #[test]
    fn lookup_ignores_case() {
        let table = table();
        let name = |name: &str| table.spec(name.as_bytes(), None).map(|spec| spec.name);
        assert_eq!(name("get"), Some("GET"));
        assert_eq!(name("uNLINK"), Some("DEL"));
        assert_eq!(name("gett"), None);
        assert_eq!(name(""), None);
        // `T` and 0x14 differ only in the bits that mark letters and their case.
        assert_eq!(name("ge\x14"), None);
        assert_eq!(name("\0get"), None);
        assert_eq!(table.spec(b"config", Some(b"Set")).map(|spec| spec.name), Some("CONFIG SET"));
        assert_eq!(table.entries().len(), 4);
    }

    #[test]
    fn a_command_can_have_subcommands() {
        static COMMAND: Spec = Spec::new("CONFIG", &[]).any_args();
        let mut table = table();
        assert_eq!(table.spec(b"CONFIG", Some(b"key")).map(|spec| spec.name), None);
        table.insert(&COMMAND, 9).expect("a free name");
        for (second, name) in [("key", "CONFIG"), ("get", "CONFIG GET")] {
            assert_eq!(table.spec(b"CONFIG", Some(second.as_bytes())).map(|spec| spec.name), Some(name));
        }
    }

    #[test]
    fn insert_rejects_a_name_in_use() {
        static AGAIN: Spec = Spec::new("UNLINK", &[]);
        static SUB: Spec = Spec::new("CONFIG GET", &[]);
        assert_eq!(table().insert(&AGAIN, 9), Err(("UNLINK", 1)));
        assert_eq!(table().insert(&SUB, 9), Err(("CONFIG GET", 2)));
    }

    #[test]
    fn five_hundred_names_are_found() {
        let names: Vec<&'static str> =
            (0..500).map(|n| &*Box::leak(format!("COMMAND{n}").into_boxed_str())).collect();
        let mut table = CommandTable::default();
        for (target, name) in names.iter().enumerate() {
            let spec: &'static Spec = Box::leak(Box::new(Spec::new(name, &[])));
            table.insert(spec, target).expect("a free name");
        }
        assert!(names.iter().all(|name| table.get(name.to_lowercase().as_bytes()).is_some()));
        assert!(table.get(b"COMMAND500").is_none());
    }
}
