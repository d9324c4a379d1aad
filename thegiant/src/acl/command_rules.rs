//! The commands that a selector allows.

use super::{AccessedCommand, Catalog, Categories, row_rules::RowRules, rule_error::Mistake};

/// The commands that a selector allows.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct CommandRules {
    rows: RowRules,
    /// The last rule for all commands was `+@all`, so commands that are not in the catalog are allowed, too.
    allows_others: bool,
    /// No rule has taken a command away since `+@all`.
    allows_all: bool,
    /// The arguments with which a command is allowed that is not allowed itself.
    first_arguments: Vec<FirstArguments>,
    /// The rules since the last one for all commands, if the catalog is open.
    others: Vec<OtherRule>,
}

#[derive(Clone, Debug, PartialEq)]
struct FirstArguments {
    command: usize,
    arguments: Vec<Box<[u8]>>,
}

/// A rule for commands that are not in the catalog.
#[derive(Clone, Debug, PartialEq, Eq)]
struct OtherRule {
    target: OtherTarget,
    allows: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum OtherTarget {
    Category(&'static str, Categories),
    /// A command, or all its subcommands.
    Command(Box<[u8]>),
    /// A command, and a subcommand or first argument.
    Subcommand(Box<[u8]>, Box<[u8]>),
}

impl CommandRules {
    /// Allows no command.
    pub(super) fn none(catalog: &Catalog) -> Self {
        CommandRules {
            rows: RowRules::new(false, catalog),
            allows_others: false,
            allows_all: false,
            first_arguments: Vec::new(),
            others: Vec::new(),
        }
    }

    /// Allows or denies all commands.
    pub(super) fn set_all(&mut self, allows: bool, catalog: &Catalog) {
        *self = CommandRules {
            rows: RowRules::new(allows, catalog),
            allows_others: allows,
            allows_all: allows,
            ..CommandRules::none(catalog)
        };
    }

    /// Applies a rule without its `+` or `-`: a command, `command|argument` or `@category`.
    pub(super) fn apply(&mut self, allows: bool, target: &[u8], catalog: &Catalog) -> Result<(), Mistake> {
        if let Some(category) = target.strip_prefix(b"@") {
            return self.apply_category(allows, category, catalog);
        }
        if let Some(command) = catalog.find(target) {
            self.set_command(command, allows, catalog);
            self.remember(OtherTarget::command(target), allows, catalog);
            return Ok(());
        }
        let Some((name, argument)) = split_at_last_bar(target) else {
            return self.apply_other(allows, target, catalog);
        };
        match catalog.find(name) {
            None => self.apply_other(allows, target, catalog),
            // Only `+` can name an argument.
            Some(_) if !allows => Err(Mistake::UnknownCommand),
            Some(_) if name.contains(&b'|') => Err(Mistake::ArgumentOfSubcommand),
            // `ACL LIST` could not show such an argument.
            Some(_) if !is_word(argument) => Err(Mistake::Syntax),
            Some(command) if catalog.subcommands(command).is_empty() => {
                self.add_first_argument(command, argument);
                self.remember(OtherTarget::command(target), allows, catalog);
                Ok(())
            }
            Some(_) => Err(Mistake::UnknownCommand),
        }
    }

    fn apply_category(&mut self, allows: bool, name: &[u8], catalog: &Catalog) -> Result<(), Mistake> {
        if name.eq_ignore_ascii_case(b"all") {
            self.set_all(allows, catalog);
            return Ok(());
        }
        let (name, category) = catalog.categories().find(name).ok_or(Mistake::UnknownCommand)?;
        self.set_category(category, allows, catalog);
        self.remember(OtherTarget::Category(name, category), allows, catalog);
        Ok(())
    }

    /// Applies a rule for a command that is not in the catalog.
    fn apply_other(&mut self, allows: bool, target: &[u8], catalog: &Catalog) -> Result<(), Mistake> {
        let is_name = !target.split(|byte| *byte == b'|').any(|part| !is_word(part));
        if !catalog.is_open() || !is_name || target.split(|byte| *byte == b'|').count() > 2 {
            return Err(Mistake::UnknownCommand);
        }
        self.remember(OtherTarget::command(target), allows, catalog);
        Ok(())
    }

    /// Allows or denies a command and its subcommands.
    pub(super) fn set_command(&mut self, command: usize, allows: bool, catalog: &Catalog) {
        self.set_row(command, allows, catalog);
        catalog.subcommands(command).iter().for_each(|subcommand| self.set_row(*subcommand, allows, catalog));
    }

    pub(super) fn set_category(&mut self, category: Categories, allows: bool, catalog: &Catalog) {
        catalog.members(category).for_each(|command| self.set_row(command, allows, catalog));
    }

    fn set_row(&mut self, command: usize, allows: bool, catalog: &Catalog) {
        self.rows.set(command, allows, catalog);
        self.allows_all &= allows;
        self.first_arguments.retain(|known| known.command != command);
    }

    fn add_first_argument(&mut self, command: usize, argument: &[u8]) {
        let index = self.first_arguments.iter().position(|known| known.command == command);
        let index = index.unwrap_or_else(|| {
            self.first_arguments.push(FirstArguments { command, arguments: Vec::new() });
            self.first_arguments.len() - 1
        });
        let arguments = &mut self.first_arguments[index].arguments;
        if !arguments.iter().any(|known| known.eq_ignore_ascii_case(argument)) {
            arguments.push(argument.into());
        }
    }

    /// Stores a rule for the commands that are not in the catalog. It replaces an earlier rule for the same target.
    fn remember(&mut self, target: OtherTarget, allows: bool, catalog: &Catalog) {
        if catalog.is_open() {
            self.allows_all &= allows;
            self.others.retain(|rule| rule.target != target);
            self.others.push(OtherRule { target, allows });
        }
    }

    /// Returns whether the command may run.
    #[inline]
    pub(super) fn allow(&self, command: AccessedCommand<'_>, first_argument: Option<&[u8]>) -> bool {
        match command {
            AccessedCommand::Row(id) if self.rows.allow(usize::from(id)) => true,
            AccessedCommand::Row(id) => self.allow_with_argument(usize::from(id), first_argument),
            AccessedCommand::Public => true,
            AccessedCommand::Unlisted { name, categories } => {
                self.allow_unlisted(name, categories, first_argument)
            }
        }
    }

    #[cold]
    fn allow_with_argument(&self, command: usize, first_argument: Option<&[u8]>) -> bool {
        let is_allowed =
            |argument: &[u8]| self.first_arguments(command).any(|known| known.eq_ignore_ascii_case(argument));
        first_argument.is_some_and(is_allowed)
    }

    /// Lets the last rule decide that applies to the command.
    fn allow_unlisted(
        &self,
        name: &[u8],
        categories: Option<Categories>,
        first_argument: Option<&[u8]>,
    ) -> bool {
        let decides = |rule: &&OtherRule| rule.applies_to(name, categories, first_argument);
        self.others.iter().rev().find(decides).map_or(self.allows_others, |rule| rule.allows)
    }

    /// Returns whether every command may run.
    pub(super) fn allows_all(&self) -> bool {
        self.allows_all
    }

    pub(super) fn allows_others(&self) -> bool {
        self.allows_others
    }

    #[inline]
    pub(super) fn rows(&self) -> &RowRules {
        &self.rows
    }

    /// Returns the arguments with which a command is allowed.
    pub(super) fn first_arguments(&self, command: usize) -> impl Iterator<Item = &[u8]> {
        let known = self.first_arguments.iter().filter(move |known| known.command == command);
        known.flat_map(|known| known.arguments.iter().map(|argument| &**argument))
    }

    /// Returns the rules for commands that are not in the catalog, as text.
    pub(super) fn others(&self) -> impl Iterator<Item = Vec<u8>> {
        self.others.iter().map(OtherRule::text)
    }
}

impl OtherRule {
    /// Returns whether the rule applies to a command. It denies a category to a command of unknown categories, and allows it none.
    fn applies_to(
        &self,
        command: &[u8],
        categories: Option<Categories>,
        first_argument: Option<&[u8]>,
    ) -> bool {
        match &self.target {
            OtherTarget::Category(_, category) => {
                categories.map_or(!self.allows, |categories| category.intersects(categories))
            }
            OtherTarget::Command(name) => name.eq_ignore_ascii_case(command),
            OtherTarget::Subcommand(name, argument) => {
                name.eq_ignore_ascii_case(command)
                    && first_argument.is_some_and(|word| argument.eq_ignore_ascii_case(word))
            }
        }
    }

    fn text(&self) -> Vec<u8> {
        let sign: &[u8] = if self.allows { b"+" } else { b"-" };
        match &self.target {
            OtherTarget::Category(name, _) => [sign, b"@", name.as_bytes()].concat(),
            OtherTarget::Command(name) => [sign, name].concat(),
            OtherTarget::Subcommand(name, argument) => [sign, name, b"|", argument].concat(),
        }
    }
}

impl OtherTarget {
    fn command(target: &[u8]) -> Self {
        match split_at_last_bar(target) {
            Some((name, argument)) => OtherTarget::Subcommand(
                name.to_ascii_lowercase().into(),
                argument.to_ascii_lowercase().into(),
            ),
            None => OtherTarget::Command(target.to_ascii_lowercase().into()),
        }
    }
}

fn split_at_last_bar(target: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = target.iter().rposition(|byte| *byte == b'|')?;
    Some((&target[..at], &target[at + 1..]))
}

/// Returns whether `ACL LIST` can show the text in one word.
fn is_word(text: &[u8]) -> bool {
    !text.is_empty() && !super::pattern::has_space(text)
}
