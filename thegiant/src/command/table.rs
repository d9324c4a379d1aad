//! From the name of a command to its row.

use super::{Call, Spec, args::Usage, split_name};
use crate::{Error, resp::Encoder};

/// All commands of an application, found by name in any case and without allocating.
#[derive(Debug)]
pub(crate) struct CommandTable<T> {
    entries: Vec<Entry<T>>,
    /// Open addressing; at most half of it is in use.
    slots: Vec<Option<NameSlot>>,
}

#[derive(Clone, Copy, Debug)]
struct NameSlot {
    folded: u64,
    len: usize,
    /// Into the entries.
    index: u32,
}

/// A command, or a container of subcommands, or both.
#[derive(Debug)]
pub(crate) struct Entry<T> {
    /// One word, in capitals.
    pub(crate) name: &'static str,
    /// The command itself; a mere container has none.
    pub(crate) command: Option<(&'static Spec, T)>,
    /// By their second word.
    pub(crate) subcommands: Vec<(&'static str, &'static Spec, T)>,
}

/// What a request's name and number of words lead to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Resolved<T> {
    /// A command that this many words can be meant for.
    Command(T),
    /// `HELP` of a container that has none of its own.
    Help(u32),
    /// A command that takes another number of words, and whose name has this many.
    WrongArity(T, u8),
    /// The name of a container by itself, or its `HELP` with an argument.
    WrongContainerArity(u8),
    /// A container that has no such subcommand.
    UnknownSubcommand(u32),
    /// No command.
    Unknown,
    /// No command, but a line of HTTP: a browser was lured into talking to this server. Nothing of
    /// it may be run, and nothing is answered.
    CrossProtocol,
    /// A request that waits in a transaction: there it has a copy that is run.
    Queued,
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
    /// The name that is in use already.
    pub(crate) fn insert(&mut self, spec: &'static Spec, target: T) -> Result<(), &'static str> {
        for name in [spec.name].into_iter().chain(spec.aliases.iter().copied()) {
            let (word, subcommand) = split_name(name);
            let entry = self.entry(word);
            let in_use = match subcommand {
                None => entry.command.replace((spec, target)).is_some(),
                Some(subcommand) => {
                    let in_use = entry.subcommand(subcommand.as_bytes()).is_some();
                    entry.subcommands.push((subcommand, spec, target));
                    in_use
                }
            };
            if in_use {
                return Err(name);
            }
        }
        Ok(())
    }

    /// The command that a request is for.
    pub(crate) fn resolve(&self, call: &Call<'_>) -> Resolved<T> {
        let Some(index) = self.find(call.name()) else {
            let is_http = call.is("POST") || call.is("HOST:");
            return if is_http { Resolved::CrossProtocol } else { Resolved::Unknown };
        };
        let entry = &self.entries[index as usize];
        let second = call.get(1).filter(|_| !entry.subcommands.is_empty());
        let (spec, target) = match (second, entry.command) {
            (Some(word), command) => match entry.subcommand(word) {
                Some(found) => found,
                None if word.eq_ignore_ascii_case(b"HELP") => return help(index, call),
                // What is no subcommand may still be an argument.
                None => match command.filter(|(spec, _)| spec.accepts(call.len())) {
                    Some(command) => command,
                    None => return Resolved::UnknownSubcommand(index),
                },
            },
            (None, Some(command)) => command,
            (None, None) => return Resolved::WrongContainerArity(1),
        };
        if spec.accepts(call.len()) {
            Resolved::Command(target)
        } else {
            Resolved::WrongArity(target, spec.words() as u8)
        }
    }

    /// The command or subcommand that a request with these first words is for.
    pub(crate) fn spec(&self, name: &[u8], second: Option<&[u8]>) -> Option<&'static Spec> {
        let entry = self.get(name)?;
        let nested = second.filter(|_| !entry.subcommands.is_empty());
        let found = nested.map_or(entry.command, |word| entry.subcommand(word));
        found.map(|(spec, _)| spec)
    }

    /// Whether a command or subcommand has this name.
    pub(crate) fn has(&self, name: &str) -> bool {
        let (word, subcommand) = split_name(name);
        self.get(word.as_bytes()).is_some_and(|entry| match subcommand {
            Some(subcommand) => entry.subcommand(subcommand.as_bytes()).is_some(),
            None => entry.command.is_some(),
        })
    }

    /// The entry of one word.
    pub(crate) fn get(&self, name: &[u8]) -> Option<&Entry<T>> {
        self.find(name).map(|index| &self.entries[index as usize])
    }

    /// All entries, in the order in which they came.
    pub(crate) fn entries(&self) -> &[Entry<T>] {
        &self.entries
    }

    /// Answers a request that was resolved to no command.
    pub(crate) fn answer(&self, resolved: Resolved<T>, call: &Call<'_>, out: &mut Encoder) {
        match resolved {
            // Commands are answered by whoever has their rows.
            Resolved::Command(_) => out.error(&Error::INTERNAL),
            Resolved::Help(index) => self.entries[index as usize].help(out),
            Resolved::Unknown => out.error(&call.unknown_command()),
            Resolved::UnknownSubcommand(index) => {
                out.error(&call.unknown_subcommand(self.entries[index as usize].name));
            }
            Resolved::WrongArity(_, words) | Resolved::WrongContainerArity(words) => {
                out.error(&call.wrong_arity_of(usize::from(words)));
            }
            Resolved::CrossProtocol | Resolved::Queued => {}
        }
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

    fn find(&self, name: &[u8]) -> Option<u32> {
        let size = self.slots.len();
        if size == 0 {
            return None;
        }
        let folded = fold(name);
        let mut at = first_slot(folded, size);
        while let Some(slot) = self.slots[at] {
            if slot.folded == folded && slot.len == name.len() && self.is_named(slot, name) {
                return Some(slot.index);
            }
            at = (at + 1) & (size - 1);
        }
        None
    }

    fn is_named(&self, slot: NameSlot, name: &[u8]) -> bool {
        // What is folded without loss need not be compared again.
        name.len() <= size_of::<u64>()
            || self.entries[slot.index as usize].name.as_bytes().eq_ignore_ascii_case(name)
    }
}

impl<T: Copy> Entry<T> {
    pub(crate) fn subcommand(&self, word: &[u8]) -> Option<(&'static Spec, T)> {
        let found = self.subcommands.iter().find(|(name, ..)| name.as_bytes().eq_ignore_ascii_case(word))?;
        Some((found.1, found.2))
    }

    /// One line per subcommand and one for what it does, as in the `HELP` of Redis.
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

/// The `HELP` of a container takes no arguments.
fn help<T>(index: u32, call: &Call<'_>) -> Resolved<T> {
    if call.len() == 2 { Resolved::Help(index) } else { Resolved::WrongContainerArity(2) }
}

/// A name as a number that is the same for letters in either case: without loss if it is no longer
/// than the number.
fn fold(name: &[u8]) -> u64 {
    name.iter().fold(0, |folded: u64, byte| folded.rotate_left(8) ^ u64::from(byte.to_ascii_uppercase()))
}

/// Where to look first. Names are the programmer's, not the client's: who sends chosen names only
/// misses.
fn first_slot(folded: u64, size: usize) -> usize {
    // FxHash's multiplier carries into the high bits, which are brought down.
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
    fn names_are_found_in_any_case() {
        let table = table();
        let name = |name: &str| table.spec(name.as_bytes(), None).map(|spec| spec.name);
        assert_eq!(name("get"), Some("GET"));
        assert_eq!(name("uNLINK"), Some("DEL"));
        assert_eq!(name("gett"), None);
        assert_eq!(name(""), None);
        // 'T' and 0x14 differ by the bits that tell letters and their cases.
        assert_eq!(name("ge\x14"), None);
        assert_eq!(name("\0get"), None);
        assert_eq!(table.spec(b"config", Some(b"Set")).map(|spec| spec.name), Some("CONFIG SET"));
        assert_eq!(table.entries().len(), 4);
    }

    #[test]
    fn a_name_is_used_once() {
        static AGAIN: Spec = Spec::new("UNLINK", &[]);
        static SUB: Spec = Spec::new("CONFIG GET", &[]);
        assert_eq!(table().insert(&AGAIN, 9), Err("UNLINK"));
        assert_eq!(table().insert(&SUB, 9), Err("CONFIG GET"));
    }

    #[test]
    fn many_names() {
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
