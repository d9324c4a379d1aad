//! A user, and the rules that change it.

use super::{
    Access, Catalog, Denied, RuleError, Selector, Users, password::PasswordHash, rule_error::Mistake,
};
use crate::{Client, batch::CommandId, command::KeyAccess, pubsub::ChannelKind};

/// A user: how it authenticates, and what it may do.
#[derive(Clone, Debug)]
pub(crate) struct User {
    pub(crate) name: Box<[u8]>,
    /// Clients can authenticate as this user.
    pub(crate) is_on: bool,
    /// Every password is right.
    pub(crate) nopass: bool,
    /// `sanitize-payload`, `skip-sanitize-payload` or neither. The toolkit has no payloads.
    pub(super) sanitize_payload: Option<bool>,
    pub(super) passwords: Vec<PasswordHash>,
    pub(super) root: Selector,
    pub(super) selectors: Vec<Selector>,
}

impl User {
    /// Returns a user that may do nothing, except to use all channels if `all_channels` (`acl-pubsub-default`).
    pub(crate) fn new(name: &[u8], catalog: &Catalog, all_channels: bool) -> Self {
        User {
            name: name.into(),
            is_on: false,
            nopass: false,
            sanitize_payload: None,
            passwords: Vec::new(),
            root: Selector::new(catalog, all_channels),
            selectors: Vec::new(),
        }
    }

    /// Returns the user of clients that have not authenticated. It may do everything, without a password.
    pub(crate) fn default_user(catalog: &Catalog) -> Self {
        User {
            is_on: true,
            nopass: true,
            root: Selector::all(catalog),
            ..User::new(Users::DEFAULT, catalog, true)
        }
    }

    /// Returns the user with these rules applied, in which a selector may be spread over several.
    pub(crate) fn with_rules<'a>(
        &self,
        rules: impl IntoIterator<Item = &'a [u8]>,
        catalog: &Catalog,
        all_channels: bool,
    ) -> Result<Self, RuleError> {
        let mut user = self.clone();
        for rule in join_selectors(rules)? {
            user.apply(&rule, catalog, all_channels)?;
        }
        Ok(user)
    }

    /// Applies one rule. After an error, the user is unchanged.
    pub(crate) fn apply(
        &mut self,
        rule: &[u8],
        catalog: &Catalog,
        all_channels: bool,
    ) -> Result<(), RuleError> {
        self.try_apply(rule, catalog, all_channels).map_err(|mistake| RuleError::new(rule, mistake))
    }

    pub(super) fn try_apply(
        &mut self,
        rule: &[u8],
        catalog: &Catalog,
        all_channels: bool,
    ) -> Result<(), Mistake> {
        match rule.to_ascii_lowercase().as_slice() {
            b"" => {}
            b"on" => self.is_on = true,
            b"off" => self.is_on = false,
            b"skip-sanitize-payload" => self.sanitize_payload = Some(false),
            b"sanitize-payload" => self.sanitize_payload = Some(true),
            b"nopass" => self.set_nopass(true),
            b"resetpass" => self.set_nopass(false),
            [b'>', ..] => self.add_password(PasswordHash::of(&rule[1..])),
            [b'#', ..] => self.add_password(PasswordHash::parse(&rule[1..]).ok_or(Mistake::MalformedHash)?),
            [b'<', ..] => self.remove_password(PasswordHash::of(&rule[1..]))?,
            [b'!', ..] => {
                self.remove_password(PasswordHash::parse(&rule[1..]).ok_or(Mistake::MalformedHash)?)?
            }
            [b'(', .., b')'] => {
                let selector = parse_selector(&rule[1..rule.len() - 1], catalog, all_channels)?;
                self.selectors.push(selector);
            }
            b"clearselectors" => self.selectors.clear(),
            b"reset" => {
                let name = std::mem::take(&mut self.name);
                *self = User { sanitize_payload: Some(true), ..User::new(&name, catalog, all_channels) };
            }
            _ => self.root.apply(rule, catalog)?,
        }
        Ok(())
    }

    fn set_nopass(&mut self, nopass: bool) {
        self.nopass = nopass;
        self.passwords.clear();
    }

    fn add_password(&mut self, hash: PasswordHash) {
        if !self.passwords.iter().any(|known| known.is_same(&hash)) {
            self.passwords.push(hash);
        }
        self.nopass = false;
    }

    fn remove_password(&mut self, hash: PasswordHash) -> Result<(), Mistake> {
        let index =
            self.passwords.iter().position(|known| known.is_same(&hash)).ok_or(Mistake::NoSuchPassword)?;
        self.passwords.remove(index);
        Ok(())
    }

    /// Returns whether clients can authenticate as this user with this password.
    ///
    /// The time depends on the length of the given password and the number of passwords, and on nothing else.
    pub(crate) fn matches_password(&self, password: &[u8]) -> bool {
        let hash = PasswordHash::of(password);
        let matches = self.passwords.iter().fold(false, |matches, known| matches | known.is_same(&hash));
        self.is_on & (self.nopass | matches)
    }

    /// Returns whether the user may do everything, so that no request needs a check.
    pub(crate) fn is_unrestricted(&self) -> bool {
        self.selectors().any(Selector::allows_all)
    }

    /// Returns whether the user may do what a request wants, if that needs no closer look. `false` says nothing.
    ///
    /// `word` returns the word at a position.
    #[inline]
    pub(crate) fn allows_plainly<'a>(
        &self,
        command: CommandId,
        word: impl Fn(usize) -> Option<&'a [u8]>,
    ) -> bool {
        self.root.allows_plainly(usize::from(command.0), word)
    }

    /// Returns whether the user may do what a request wants, or the most relevant reason why not.
    #[inline]
    pub(crate) fn check<'a, K, C>(&self, access: &Access<'a, K, C>) -> Result<(), Denied>
    where
        K: Iterator<Item = (usize, &'a [u8], KeyAccess)> + Clone,
        C: Iterator<Item = (usize, &'a [u8], bool)> + Clone,
    {
        let Err(mut denied) = self.root.check(access) else { return Ok(()) };
        for selector in &self.selectors {
            match selector.check(access) {
                Ok(()) => return Ok(()),
                Err(other) => denied = denied.max(other),
            }
        }
        Err(denied)
    }

    /// Returns whether a client may use a channel, or a pattern of channels.
    pub(crate) fn may_listen(&self, channel: &[u8], is_pattern: bool) -> bool {
        self.selectors().any(|selector| selector.channels.allow(channel, is_pattern))
    }

    /// Returns whether a client may use all channels that it has subscribed at an upstream.
    pub(crate) fn may_keep_listening(&self, client: &Client) -> bool {
        let is_pattern = |kind| kind == ChannelKind::Pattern as usize;
        !client.any_upstream_name(|kind, name| !self.may_listen(name, is_pattern(kind)))
    }

    /// Returns whether the rules for commands, keys and channels are those of another user.
    pub(crate) fn has_rules_of(&self, other: &User) -> bool {
        self.selectors().eq(other.selectors())
    }

    /// Returns whether a client may learn that a key has changed.
    pub(crate) fn may_read(&self, key: &[u8]) -> bool {
        self.selectors().any(|selector| selector.keys.allow(key, KeyAccess::READ))
    }

    /// Returns whether a client may read every key with this prefix.
    pub(crate) fn may_read_all(&self, prefix: &[u8]) -> bool {
        self.selectors().any(|selector| selector.keys.allow_reads_of_all(prefix))
    }

    pub(super) fn selectors(&self) -> impl Iterator<Item = &Selector> {
        [&self.root].into_iter().chain(&self.selectors)
    }
}

/// Parses the rules between the parentheses of a selector.
fn parse_selector(rules: &[u8], catalog: &Catalog, all_channels: bool) -> Result<Selector, Mistake> {
    // Redis removes quotes here, and shows the rule without them.
    if rules.iter().any(|byte| matches!(byte, b'"' | b'\'')) {
        return Err(Mistake::Syntax);
    }
    let mut selector = Selector::new(catalog, all_channels);
    let is_separator = |byte: &u8| matches!(byte, b'\t'..=b'\r' | b' ');
    for rule in rules.split(is_separator).filter(|rule| !rule.is_empty()) {
        // In `ACL LIST` and the aclfile, the selector would end here.
        if rule.ends_with(b")") {
            return Err(Mistake::Syntax);
        }
        selector.apply(rule, catalog)?;
    }
    Ok(selector)
}

/// Joins the rules from `(` to `)` with spaces.
pub(super) fn join_selectors<'a>(
    rules: impl IntoIterator<Item = &'a [u8]>,
) -> Result<Vec<Vec<u8>>, RuleError> {
    let mut joined = Vec::new();
    let mut open: Option<(&[u8], Vec<u8>)> = None;
    for rule in rules {
        match &mut open {
            _ if rule.starts_with(b"(") && !rule.ends_with(b")") => open = Some((rule, rule.to_vec())),
            None => joined.push(rule.to_vec()),
            Some((_, selector)) => {
                selector.push(b' ');
                selector.extend_from_slice(rule);
                if rule.ends_with(b")") {
                    joined.extend(open.take().map(|(_, selector)| selector));
                }
            }
        }
    }
    match open {
        Some((first, _)) => Err(RuleError::Unmatched(first.into())),
        None => Ok(joined),
    }
}
