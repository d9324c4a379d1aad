//! Users and selectors as text, as `ACL LIST` and `ACL GETUSER` show them.

use super::{Catalog, ChannelRules, KeyRules, Selector, User, command_rules::CommandRules};

impl User {
    /// Returns the rules that make this user, as `ACL LIST` and the aclfile have them behind the name.
    pub(crate) fn describe(&self, catalog: &Catalog) -> Vec<u8> {
        let mut words: Vec<Vec<u8>> = self.flags().map(|flag| flag.as_bytes().to_vec()).collect();
        words.extend(self.passwords().map(|hash| format!("#{hash}").into_bytes()));
        words.push(self.root.describe(catalog));
        let nested = |selector: &Selector| [b"(", &*selector.describe(catalog), b")"].concat();
        words.extend(self.selectors.iter().map(nested));
        words.join(&b' ')
    }

    /// Returns the flags of the user itself.
    pub(crate) fn flags(&self) -> impl Iterator<Item = &'static str> {
        let flags = [
            Some(if self.is_on { "on" } else { "off" }),
            self.nopass.then_some("nopass"),
            self.sanitize_payload
                .map(|is_on| if is_on { "sanitize-payload" } else { "skip-sanitize-payload" }),
        ];
        flags.into_iter().flatten()
    }

    /// Returns the SHA-256 of each password, in hexadecimal digits.
    pub(crate) fn passwords(&self) -> impl ExactSizeIterator<Item = String> {
        self.passwords.iter().map(ToString::to_string)
    }

    /// Returns the rules outside of parentheses.
    pub(crate) fn root(&self) -> &Selector {
        &self.root
    }

    /// Returns the selectors in parentheses.
    pub(crate) fn nested_selectors(&self) -> &[Selector] {
        &self.selectors
    }
}

impl Selector {
    fn describe(&self, catalog: &Catalog) -> Vec<u8> {
        let mut words = vec![self.key_text()];
        if matches!(self.channels, ChannelRules::Matching(_)) {
            words.push(b"resetchannels".to_vec());
        }
        words.extend([self.channel_text(), self.command_text(catalog)]);
        words.retain(|word| !word.is_empty());
        words.join(&b' ')
    }

    /// Returns the rules for keys.
    pub(crate) fn key_text(&self) -> Vec<u8> {
        match &self.keys {
            KeyRules::All => b"~*".to_vec(),
            KeyRules::Matching(patterns) => {
                let rules: Vec<Vec<u8>> = patterns.iter().map(|pattern| pattern.text()).collect();
                rules.join(&b' ')
            }
        }
    }

    /// Returns the rules for channels.
    pub(crate) fn channel_text(&self) -> Vec<u8> {
        match &self.channels {
            ChannelRules::All => b"&*".to_vec(),
            ChannelRules::Matching(patterns) => {
                let rules: Vec<Vec<u8>> =
                    patterns.iter().map(|pattern| [b"&", pattern.text()].concat()).collect();
                rules.join(&b' ')
            }
        }
    }

    /// Returns the rules for commands.
    ///
    /// They are not the rules that were applied, but few that have the same effect: categories first, then single
    /// commands. An open catalog does not know which effect the rules have, so there they are those that were applied.
    pub(crate) fn command_text(&self, catalog: &Catalog) -> Vec<u8> {
        let all: &[u8] = if self.commands.allows_others() { b"+@all" } else { b"-@all" };
        let mut rules = vec![all.to_vec()];
        if catalog.is_open() {
            rules.extend(self.commands.others());
        } else {
            Summary::of(&self.commands, catalog).add_to(&mut rules);
        }
        rules.join(&b' ')
    }
}

/// Finds few rules with the same effect as those of a selector.
struct Summary<'a> {
    catalog: &'a Catalog,
    /// The rules of the selector.
    wanted: &'a CommandRules,
    /// The commands that the categories so far have not explained.
    rest: CommandRules,
    /// The effect of the rules so far.
    reached: CommandRules,
    /// Whether the rules add commands to none, or take them from all.
    adds: bool,
}

impl<'a> Summary<'a> {
    fn of(wanted: &'a CommandRules, catalog: &'a Catalog) -> Self {
        let adds = !wanted.allows_others();
        let mut reached = CommandRules::none(catalog);
        reached.set_all(!adds, catalog);
        Summary { catalog, wanted, rest: wanted.clone(), reached, adds }
    }

    fn add_to(mut self, rules: &mut Vec<Vec<u8>>) {
        let sign = if self.adds { '+' } else { '-' };
        let mut categories: Vec<_> = self.catalog.categories().iter().collect();
        while let Some(best) = self.best(categories.iter().map(|(_, category)| *category)) {
            let (name, category) = categories.remove(best);
            self.reached.set_category(category, self.adds, self.catalog);
            self.rest.set_category(category, !self.adds, self.catalog);
            rules.push(format!("{sign}@{name}").into_bytes());
        }
        for command in self.catalog.in_order() {
            self.add_command(command, rules);
        }
    }

    /// Returns the index of the category that explains the most commands with the fewest exceptions.
    fn best(&self, categories: impl Iterator<Item = super::Categories>) -> Option<usize> {
        let mut best = None;
        let (mut fewest, mut most) = (usize::MAX, 0);
        for (index, category) in categories.enumerate() {
            let count = |has: bool| {
                self.catalog
                    .members(category)
                    .filter(|command| self.rest.rows().allow(*command) == has)
                    .count()
            };
            let (same, different) = (count(self.adds), count(!self.adds));
            if same > different && (different < fewest || (different == fewest && same > most)) {
                best = Some(index);
                (fewest, most) = (different, same);
            }
        }
        best
    }

    /// Adds the rules for a command that the rules so far have wrong.
    fn add_command(&mut self, command: usize, rules: &mut Vec<Vec<u8>>) {
        let name = self.catalog.name(command);
        let is_allowed = self.wanted.rows().allow(command);
        if is_allowed != self.reached.rows().allow(command) {
            let sign = if is_allowed { '+' } else { '-' };
            rules.push(format!("{sign}{name}").into_bytes());
            self.reached.set_command(command, is_allowed, self.catalog);
        }
        if !is_allowed {
            let with_argument = |argument: &[u8]| [b"+", name.as_bytes(), b"|", argument].concat();
            rules.extend(self.wanted.first_arguments(command).map(with_argument));
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::acl::{
        User,
        sample::{catalog, user},
    };

    /// Categories first, then single commands, as in Redis.
    #[test]
    fn rules_are_summarized() {
        let catalog = catalog();
        for (rules, expected) in [
            ("on", "on resetchannels -@all"),
            ("nopass ~* &*", "off nopass ~* &* -@all"),
            ("reset", "off sanitize-payload resetchannels -@all"),
            ("~a %R~b %W~c %RW~d %R~a", "off ~a %R~b %W~c ~d resetchannels -@all"),
            ("%R~* %W~* ~a", "off %RW~* ~a resetchannels -@all"),
            ("&a &b", "off resetchannels &a &b -@all"),
            ("+get +mget", "off resetchannels -@all +@read -queue"),
            ("+get", "off resetchannels -@all +get"),
            ("+@string", "off resetchannels -@all +@string"),
            ("+@string -get", "off resetchannels -@all +@string -get"),
            ("+@all -get", "off resetchannels +@all -get"),
            ("+@all -@admin +config|get", "off resetchannels +@all -config|set"),
            ("+config", "off resetchannels -@all +@admin +config"),
            ("+@jobs", "off resetchannels -@all +@jobs"),
            ("+select|0 +select|1", "off resetchannels -@all +select|0 +select|1"),
            ("(+get ~a) (&* -@all)", "off resetchannels -@all (~a resetchannels -@all +get) (&* -@all)"),
            ("()", "off resetchannels -@all (resetchannels -@all)"),
        ] {
            let alice = user(rules, &catalog);
            assert_eq!(String::from_utf8_lossy(&alice.describe(&catalog)), expected, "{rules}");
            let again = user(expected, &catalog);
            assert_eq!(String::from_utf8_lossy(&again.describe(&catalog)), expected, "{rules}");
        }
        assert_eq!(User::default_user(&catalog).describe(&catalog), b"on nopass ~* &* +@all");
    }
}
