//! A topology as text.

use std::{fmt, ops::RangeInclusive, str::FromStr};

use super::topology::{Draft, Topology, TopologyError};

impl Topology {
    /// Reads a topology from text: a line `version N`, then one line for each instance, with its name, its address and its slots.
    ///
    /// The slots are numbers or ranges such as `0-8191`. `#` begins a comment.
    ///
    /// ```
    /// use thegiant::cluster::Topology;
    ///
    /// let mistake = Topology::parse("version 1\na 10.0.0.1:6380 0-8191\nb 10.0.0.2:6380 8191-16383").unwrap_err();
    /// assert_eq!(mistake.to_string(), "line 3: the slot 8191 belongs to a and to b");
    /// ```
    ///
    /// # Errors
    /// The first mistake, with its line. The builder has [the same ones](super::TopologyBuilder::build).
    pub fn parse(text: &str) -> Result<Self, TopologyError> {
        let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
        let mut lines = (1..).zip(lines).filter(|(_, line)| !line.is_empty());
        let version = lines.next().and_then(|(_, line)| version_in(line));
        let version = version.ok_or_else(|| {
            TopologyError::new("a topology begins with the line \"version N\", where N is a number")
        })?;
        let drafts = lines.map(|(number, line)| draft(number, line)).collect::<Result<_, _>>()?;
        Topology::check(version, drafts)
    }
}

fn version_in(line: &str) -> Option<u64> {
    match line.split_whitespace().collect::<Vec<_>>()[..] {
        ["version", version] => number(version),
        _ => None,
    }
}

/// Reads the line of an instance.
fn draft(number: usize, line: &str) -> Result<Draft, TopologyError> {
    let mut words = line.split_whitespace();
    let (Some(name), Some(address)) = (words.next(), words.next()) else {
        return Err(TopologyError::at(
            number,
            "an instance needs a name and an address, such as \"a 10.0.0.1:6380\"",
        ));
    };
    let slots = words.map(|word| {
        range(word).ok_or_else(|| {
            TopologyError::at(number, format!("{word:?} is no slot and no range of slots, such as 0-8191"))
        })
    });
    let slots = slots.collect::<Result<_, _>>()?;
    Ok(Draft { line: Some(number), name: name.to_owned(), address: address.to_owned(), slots })
}

fn range(word: &str) -> Option<RangeInclusive<u16>> {
    let (first, last) = word.split_once('-').unwrap_or((word, word));
    Some(number(first)?..=number(last)?)
}

/// Reads a number of digits only.
fn number<T: FromStr>(digits: &str) -> Option<T> {
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
}

impl FromStr for Topology {
    type Err = TopologyError;

    fn from_str(text: &str) -> Result<Self, TopologyError> {
        Topology::parse(text)
    }
}

impl fmt::Display for Topology {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "version {}", self.version())?;
        for instance in self.instances() {
            write!(f, "{} {}", instance.name(), instance.address())?;
            instance.slots().iter().try_for_each(|range| write!(f, " {}", Slots(range)))?;
            writeln!(f)?;
        }
        Ok(())
    }
}

/// A range of slots as Redis writes it: `0-8191` or `5`.
pub(crate) struct Slots<'a>(pub(crate) &'a RangeInclusive<u16>);

impl fmt::Display for Slots<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (first, last) = (self.0.start(), self.0.end());
        if first == last { write!(f, "{first}") } else { write!(f, "{first}-{last}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn assert_mistake(text: &str, mistake: &str) {
        let error = Topology::parse(text).expect_err(text);
        assert_eq!(error.to_string(), mistake);
    }

    #[test]
    fn mistakes_name_their_line() {
        let version = "a topology begins with the line \"version N\", where N is a number";
        for text in
            ["", "# version 1", "versions 1", "version -1", "version +1", "version 1 2", "a h:1 0-16383"]
        {
            assert_mistake(text, version);
        }
        let needs = "line 3: an instance needs a name and an address, such as \"a 10.0.0.1:6380\"";
        assert_mistake("version 1\n\na", needs);
        for range in ["x", "0-", "-5", "1-2-3", "+1", "70000"] {
            let mistake = format!("line 2: {range:?} is no slot and no range of slots, such as 0-8191");
            assert_mistake(&format!("version 1\na h:1 {range}"), &mistake);
        }
        assert_mistake("version 1\na h:1 0-16384", "line 2: the slot 16384 of a is greater than 16383");
        assert_mistake("version 1\na h:1 9-5", "line 2: the slots 9-5 of a end before they start");
        assert_mistake("version 1\na h:1 0-5 5", "line 2: a has the slot 5 twice");
        assert_mistake("version 1\na h:1 0-5\nb h:2 5", "line 3: the slot 5 belongs to a and to b");
        assert_mistake("version 1\na h:1 1-16383", "the slot 0 has no instance: all slots need one");
        assert_mistake("version 1", "the slot 0 has no instance: all slots need one");
        assert_mistake("version 1\na h:1\na h:2", "line 3: the instances a and a have the same ID");
        assert_mistake("version 1\na h:1\nb h:1", "line 3: the instances a and b have the address h:1");
        let name = "line 2: the name \"a/b\" has other characters than letters, digits, '-', '_' and '.'";
        assert_mistake("version 1\na/b h:1", name);
        for address in ["h", "h:", "h:x", "h:70000", "h:+1", "::1:6380", "[h]:1", "[::1]", "a@b:1", "a,b:1"] {
            let mistake = format!("line 2: a has the address {address:?}: write HOST:PORT or [IPV6]:PORT");
            assert_mistake(&format!("version 1\na {address}"), &mistake);
        }
    }

    #[test]
    fn an_id_follows_from_the_name() {
        let own = "0123456789ABCDEF0123456789abcdef01234567";
        let text = format!("version 1\na h:1 0-16383\n{own} h:2\n");
        let topology = Topology::parse(&text).expect("it is valid");
        let [a, b] = topology.instances() else { panic!("{topology:?}") };
        assert_eq!(a.id(), "ca978112ca1bbdcafac231b39a23dc4da786eff8");
        assert_eq!(b.id(), own.to_lowercase());
        assert_eq!(topology.to_string(), text);
        let same = format!("version 1\n{own} h:1\n{} h:2", own.to_lowercase());
        assert!(Topology::parse(&same).is_err());
    }

    #[test]
    fn ranges_are_joined() {
        let text = "version 7\n  a [::1]:6380 16383 5-6 0-3 4 # comment\nb :1 7-16382\n";
        let topology = Topology::parse(text).expect("it is valid");
        assert_eq!(topology.to_string(), "version 7\na [::1]:6380 0-6 16383\nb :1 7-16382\n");
        assert_eq!((topology.instances()[0].host(), topology.instances()[1].host()), ("::1", ""));
    }
}
