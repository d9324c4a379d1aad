//! Selectors: rules for commands, keys and channels that apply together.

use super::{
    Access, Catalog, Denied,
    command_rules::CommandRules,
    pattern::{Pattern, has_space},
    row_rules::RowRule,
    rule_error::Mistake,
};
use crate::command::KeyAccess;

/// Rules that apply together. A request may run if one selector of its user allows all of it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Selector {
    pub(super) commands: CommandRules,
    pub(crate) keys: KeyRules,
    pub(crate) channels: ChannelRules,
}

/// The keys that a selector allows.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum KeyRules {
    All,
    Matching(Vec<KeyRule>),
}

/// A pattern of keys that may be read, written, or both.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct KeyRule {
    pattern: Pattern,
    granted: KeyAccess,
}

/// The channels that a selector allows.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum ChannelRules {
    All,
    Matching(Vec<Pattern>),
}

impl Selector {
    /// Allows nothing, or all channels only.
    pub(super) fn new(catalog: &Catalog, all_channels: bool) -> Self {
        Selector {
            commands: CommandRules::none(catalog),
            keys: KeyRules::Matching(Vec::new()),
            channels: ChannelRules::new(all_channels),
        }
    }

    /// Allows everything.
    pub(super) fn all(catalog: &Catalog) -> Self {
        let mut commands = CommandRules::none(catalog);
        commands.set_all(true, catalog);
        Selector { commands, keys: KeyRules::All, channels: ChannelRules::All }
    }

    /// Applies a rule for commands, keys or channels.
    pub(super) fn apply(&mut self, rule: &[u8], catalog: &Catalog) -> Result<(), Mistake> {
        match rule.to_ascii_lowercase().as_slice() {
            b"allkeys" | b"~*" => self.keys = KeyRules::All,
            b"resetkeys" => self.keys = KeyRules::Matching(Vec::new()),
            b"allchannels" | b"&*" => self.channels = ChannelRules::All,
            b"resetchannels" => self.channels = ChannelRules::Matching(Vec::new()),
            b"allcommands" => self.commands.set_all(true, catalog),
            b"nocommands" => self.commands.set_all(false, catalog),
            [b'~' | b'%', ..] => self.keys.add(KeyRule::parse(rule))?,
            [b'&', ..] => self.channels.add(&rule[1..])?,
            [b'+', ..] => self.commands.apply(true, &rule[1..], catalog)?,
            [b'-', ..] => self.commands.apply(false, &rule[1..], catalog)?,
            _ => return Err(Mistake::Syntax),
        }
        Ok(())
    }

    /// Returns whether the selector allows everything.
    pub(super) fn allows_all(&self) -> bool {
        let Selector { commands, keys, channels } = self;
        commands.allows_all() && matches!(keys, KeyRules::All) && matches!(channels, ChannelRules::All)
    }

    /// Returns whether a request is allowed, if it is of an allowed command with at most one key. `false` says nothing.
    ///
    /// That decides most requests at once.
    #[inline]
    pub(super) fn allows_plainly<'a>(
        &self,
        command: usize,
        word: impl Fn(usize) -> Option<&'a [u8]>,
    ) -> bool {
        match self.commands.rows().get(command) {
            RowRule::Allowed => true,
            RowRule::AllowedWithKey(position, needed) => {
                word(usize::from(position)).is_some_and(|key| self.keys.allow(key, needed))
            }
            RowRule::AllowedWithOthers | RowRule::Denied => false,
        }
    }

    #[inline]
    pub(super) fn check<'a, K, C>(&self, access: &Access<'a, K, C>) -> Result<(), Denied>
    where
        K: Iterator<Item = (usize, &'a [u8], KeyAccess)> + Clone,
        C: Iterator<Item = (usize, &'a [u8], bool)> + Clone,
    {
        if !self.commands.allow(access.command, access.first_argument) {
            return Err(Denied::Command);
        }
        if let KeyRules::Matching(patterns) = &self.keys {
            for (position, key, needed) in access.keys.clone() {
                if !patterns.iter().any(|pattern| pattern.allows(key, needed)) {
                    return Err(Denied::Key(position));
                }
            }
        }
        if let ChannelRules::Matching(_) = &self.channels {
            for (position, channel, is_pattern) in access.channels.clone() {
                if !self.channels.allow(channel, is_pattern) {
                    return Err(Denied::Channel(position));
                }
            }
        }
        Ok(())
    }
}

impl KeyRules {
    fn add(&mut self, pattern: Result<KeyRule, Mistake>) -> Result<(), Mistake> {
        let KeyRules::Matching(patterns) = self else { return Err(Mistake::KeyAfterAllKeys) };
        let added = pattern?;
        let known = patterns.iter_mut().find(|known| known.pattern.text() == added.pattern.text());
        match known {
            Some(known) => {
                known.granted = known.granted.union(added.granted);
            }
            None => patterns.push(added),
        }
        Ok(())
    }

    /// Returns whether a key may be read, written, or both.
    #[inline]
    pub(crate) fn allow(&self, key: &[u8], needed: KeyAccess) -> bool {
        match self {
            KeyRules::All => true,
            // Most users have one pattern, and most patterns are short.
            KeyRules::Matching(patterns) => {
                let at_once = |first: &KeyRule| first.allows_at_once(key, needed);
                patterns.first().is_some_and(at_once) || any_allows(patterns, key, needed)
            }
        }
    }
}

// Inline, the calls inside would take the registers of the loop over requests.
#[inline(never)]
fn any_allows(patterns: &[KeyRule], key: &[u8], needed: KeyAccess) -> bool {
    patterns.iter().any(|pattern| pattern.allows(key, needed))
}

impl KeyRules {
    /// Returns whether one rule allows reads of every key with this prefix.
    pub(super) fn allow_reads_of_all(&self, prefix: &[u8]) -> bool {
        match self {
            KeyRules::All => true,
            KeyRules::Matching(patterns) => patterns.iter().any(|pattern| {
                pattern.granted.contains(KeyAccess::READ) && pattern.pattern.matches_all(prefix)
            }),
        }
    }
}

impl KeyRule {
    /// Parses `~pattern`, `%R~pattern`, `%W~pattern` or `%RW~pattern`.
    fn parse(rule: &[u8]) -> Result<Self, Mistake> {
        let bar = rule.iter().position(|byte| *byte == b'~').ok_or(Mistake::Syntax)?;
        let (permissions, pattern) = (&rule[..bar], &rule[bar + 1..]);
        let granted = match permissions.to_ascii_lowercase().as_slice() {
            b"" | b"%rw" | b"%wr" => KeyAccess::BOTH,
            b"%r" => KeyAccess::READ,
            b"%w" => KeyAccess::WRITE,
            _ => return Err(Mistake::Syntax),
        };
        if has_space(pattern) {
            return Err(Mistake::Syntax);
        }
        Ok(KeyRule { pattern: Pattern::new(pattern), granted })
    }

    #[inline]
    fn allows_at_once(&self, key: &[u8], needed: KeyAccess) -> bool {
        self.granted.contains(needed) && self.pattern.matches_at_once(key)
    }

    fn allows(&self, key: &[u8], needed: KeyAccess) -> bool {
        self.granted.contains(needed) && self.pattern.matches(key)
    }

    /// Returns the rule as `ACL LIST` shows it.
    ///
    /// Redis shows a pattern `*` for both as `~*`. That rule permits none after it, so `ACL LOAD` could fail.
    pub(super) fn text(&self) -> Vec<u8> {
        let prefix: &[u8] = match self.granted {
            KeyAccess::READ => b"%R~",
            KeyAccess::WRITE => b"%W~",
            _ if self.pattern.text() == b"*" => b"%RW~",
            _ => b"~",
        };
        [prefix, self.pattern.text()].concat()
    }
}

impl ChannelRules {
    fn new(all: bool) -> Self {
        if all { ChannelRules::All } else { ChannelRules::Matching(Vec::new()) }
    }

    fn add(&mut self, pattern: &[u8]) -> Result<(), Mistake> {
        let ChannelRules::Matching(patterns) = self else { return Err(Mistake::ChannelAfterAllChannels) };
        if has_space(pattern) {
            return Err(Mistake::Syntax);
        }
        if !patterns.iter().any(|known| known.text() == pattern) {
            patterns.push(Pattern::new(pattern));
        }
        Ok(())
    }

    /// Returns whether a channel may be used. A pattern of channels must be in the rules as it is.
    pub(crate) fn allow(&self, channel: &[u8], is_pattern: bool) -> bool {
        match self {
            ChannelRules::All => true,
            ChannelRules::Matching(patterns) => patterns.iter().any(|pattern| match is_pattern {
                true => pattern.text() == channel,
                false => pattern.matches(channel),
            }),
        }
    }
}
