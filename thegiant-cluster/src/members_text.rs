//! The members of a cluster as text, which is the value of the key `topology`.

use std::{collections::BTreeSet, fmt, str::FromStr};

use crate::members::{Instance, Members, Owner};

/// Writes the version, the number of partitions, and a line for each instance.
///
/// The line has the name, the address, and the partitions with their epochs.
impl fmt::Display for Members {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "version {}\npartitions {}", self.version, self.partitions())?;
        for (index, Instance { name, address }) in self.instances.iter().enumerate() {
            write!(f, "{name} {address}")?;
            let mut first = 0;
            for range in self.owners.chunk_by(|one, next| one == next) {
                let last = first + range.len() - 1;
                if range[0].instance == index {
                    write!(f, " {}", Range { first, last, epoch: range[0].epoch })?;
                }
                first = last + 1;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

/// Partitions that have the same owner since the same version: `0-3@5` or `7@6`.
struct Range {
    first: usize,
    last: usize,
    epoch: u64,
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Range { first, last, epoch } = self;
        if first == last { write!(f, "{first}@{epoch}") } else { write!(f, "{first}-{last}@{epoch}") }
    }
}

impl Range {
    fn parse(word: &str) -> Option<Self> {
        let (range, epoch) = word.split_once('@')?;
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        Some(Range { first: first.parse().ok()?, last: last.parse().ok()?, epoch: epoch.parse().ok()? })
    }
}

impl FromStr for Members {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut lines = text.lines();
        let version = number(lines.next(), "version").ok_or("the first line is not \"version N\"")?;
        let partitions: u16 = number(lines.next(), "partitions")
            .filter(|partitions| *partitions > 0)
            .ok_or("the second line is not \"partitions N\"")?;
        let mut owners = vec![None; usize::from(partitions)];
        let mut instances = Vec::new();
        let mut names = BTreeSet::new();
        for line in lines {
            let mut words = line.split_whitespace();
            let (Some(name), Some(address)) = (words.next(), words.next()) else {
                return Err(format!("the line {line:?} has no name and no address"));
            };
            if !names.insert(name) {
                return Err(format!("there are two lines for {name}"));
            }
            for word in words {
                let wrong = || format!("{word:?} are no partitions, such as 0-3@5");
                let Range { first, last, epoch } = Range::parse(word).ok_or_else(wrong)?;
                for owner in
                    owners.get_mut(first..=last).filter(|owners| !owners.is_empty()).ok_or_else(wrong)?
                {
                    *owner = Some(Owner { instance: instances.len(), epoch });
                }
            }
            instances.push(Instance { name: name.to_owned(), address: address.to_owned() });
        }
        let owners = owners.into_iter().collect::<Option<_>>().ok_or("a partition has no owner")?;
        Ok(Members { version, instances, owners })
    }
}

/// Returns the number in a line of a word and a number.
fn number<T: FromStr>(line: Option<&str>, word: &str) -> Option<T> {
    line?.strip_prefix(word)?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_what_was_written() {
        let text = "version 7\npartitions 6\na h:1 0-1@5 5@7\nb h:2 2@5 3-4@6\nc h:3\n";
        let members: Members = text.parse().expect("it is valid");
        assert_eq!(members.to_string(), text);
        assert_eq!((members.version(), members.partitions()), (7, 6));
        assert_eq!(members.owner(4).map(Instance::name), Some("b"));
        assert_eq!((members.epoch(4), members.epoch(6)), (Some(6), None));
    }

    #[test]
    fn mistakes_are_named() {
        let mistakes = [
            ("", "the first line is not \"version N\""),
            ("version 1\npartitions 0", "the second line is not \"partitions N\""),
            ("version 1\npartitions 2\na", "the line \"a\" has no name and no address"),
            ("version 1\npartitions 2\na h:1 0-2@1", "\"0-2@1\" are no partitions, such as 0-3@5"),
            ("version 1\npartitions 2\na h:1 1-0@1", "\"1-0@1\" are no partitions, such as 0-3@5"),
            ("version 1\npartitions 2\na h:1 0", "\"0\" are no partitions, such as 0-3@5"),
            ("version 1\npartitions 2\na h:1 0@1", "a partition has no owner"),
            ("version 1\npartitions 1\na h:1 0@1\na h:1", "there are two lines for a"),
        ];
        for (text, mistake) in mistakes {
            assert_eq!(text.parse::<Members>(), Err(mistake.to_owned()), "{text}");
        }
    }
}
