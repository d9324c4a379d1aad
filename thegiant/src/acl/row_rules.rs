//! The rules of a selector for the commands that have rows.

use super::Catalog;
use crate::command::{KeyAccess, UsualKeys};

/// A rule for each command of a [`Catalog`], by its number.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct RowRules(Box<[RowRule]>);

/// Whether a command may run whatever its arguments are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum RowRule {
    Denied,
    /// Has no key and no channel.
    Allowed,
    /// Has one key at this position, for which its user never needs more than this access.
    AllowedWithKey(u16, KeyAccess),
    /// Has further keys, or channels.
    AllowedWithOthers,
}

impl RowRules {
    /// Allows or denies all commands.
    pub(super) fn new(allows: bool, catalog: &Catalog) -> Self {
        let rule = |command| RowRule::new(allows, catalog.usual_keys(command));
        RowRules((0..catalog.len()).map(rule).collect())
    }

    #[inline]
    pub(super) fn get(&self, command: usize) -> RowRule {
        self.0.get(command).copied().unwrap_or(RowRule::Denied)
    }

    #[inline]
    pub(super) fn allow(&self, command: usize) -> bool {
        !matches!(self.get(command), RowRule::Denied)
    }

    pub(super) fn set(&mut self, command: usize, allows: bool, catalog: &Catalog) {
        if let Some(rule) = self.0.get_mut(command) {
            *rule = RowRule::new(allows, catalog.usual_keys(command));
        }
    }
}

impl RowRule {
    fn new(allows: bool, keys: UsualKeys) -> Self {
        match keys {
            _ if !allows => RowRule::Denied,
            UsualKeys::None => RowRule::Allowed,
            UsualKeys::One(position, access) => RowRule::AllowedWithKey(position, access),
            UsualKeys::Other => RowRule::AllowedWithOthers,
        }
    }
}
