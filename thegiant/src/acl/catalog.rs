//! The commands that ACL rules can name.

use std::collections::BTreeMap;

use super::{AccessedCommand, Categories, CategoryNames};
use crate::command::{CONTAINER_CATEGORIES, Flags, Spec, UsualKeys, full_name, split_name};

/// The commands of a server by number, by name and by category.
///
/// The numbers of commands with a row are their ids on the server. Behind them come the containers that are no
/// commands, such as `CONFIG`, and the `HELP` of each container: rules can name them, too.
#[derive(Debug)]
pub(crate) struct Catalog {
    categories: CategoryNames,
    commands: Vec<CatalogCommand>,
    /// In lower case, such as `get` or `config|get`.
    by_name: BTreeMap<String, usize>,
    /// All commands with a name: each container before its subcommands.
    order: Vec<usize>,
    is_open: bool,
}

#[derive(Debug)]
struct CatalogCommand {
    name: String,
    categories: Categories,
    is_public: bool,
    usual_keys: UsualKeys,
    subcommands: Vec<usize>,
}

impl Catalog {
    /// Returns the catalog of these commands, which are in the order of their ids.
    ///
    /// An open catalog accepts rules for further commands, because a proxy or a fallback may run them.
    ///
    /// # Errors
    /// Returns what to do if the commands have too many categories.
    pub(crate) fn new(commands: &[&'static Spec], is_open: bool) -> Result<Self, String> {
        let categories = CategoryNames::of(commands.iter().copied().filter(|spec| is_named(spec)))?;
        let rows = commands.iter().map(|spec| CatalogCommand::of(spec, &categories)).collect();
        let mut catalog =
            Catalog { categories, commands: rows, by_name: BTreeMap::new(), order: Vec::new(), is_open };
        for (index, spec) in commands.iter().enumerate() {
            catalog.add_names(index, spec);
        }
        catalog.order_commands(commands);
        Ok(catalog)
    }

    fn add_names(&mut self, index: usize, spec: &Spec) {
        if is_named(spec) {
            for name in spec.names() {
                self.by_name.insert(full_name(name), index);
            }
        }
    }

    /// Adds the containers, and brings all commands into order.
    fn order_commands(&mut self, commands: &[&'static Spec]) {
        let mut top = Vec::new();
        for (index, spec) in commands.iter().enumerate().filter(|(_, spec)| is_named(spec)) {
            let (container, subcommand) = split_name(spec.name);
            let above = if subcommand.is_none() { index } else { self.container(container) };
            if !top.contains(&above) {
                top.push(above);
            }
            if subcommand.is_some() {
                self.commands[above].subcommands.push(index);
            }
        }
        for container in top.iter().copied() {
            if let Some(first) = self.commands[container].subcommands.first() {
                self.add_help(container, commands[*first]);
            }
        }
        let with_subcommands =
            |above: usize| [above].into_iter().chain(self.commands[above].subcommands.clone());
        self.order = top.into_iter().flat_map(with_subcommands).collect();
    }

    /// Returns the number of a container, and adds it if it is no command.
    fn container(&mut self, name: &str) -> usize {
        let name = name.to_ascii_lowercase();
        *self.by_name.entry(name.clone()).or_insert_with(|| {
            self.commands.push(CatalogCommand::without_row(name, self.categories.set(CONTAINER_CATEGORIES)));
            self.commands.len() - 1
        })
    }

    /// Adds the `HELP` of a container, unless it is a command. `first` is one of its subcommands.
    fn add_help(&mut self, container: usize, first: &Spec) {
        let name = help_of(self.commands[container].name.as_bytes());
        let number = self.commands.len();
        if *self.by_name.entry(name.clone()).or_insert(number) == number {
            let categories =
                self.categories.set(CONTAINER_CATEGORIES.into_iter().chain(first.group_category()));
            self.commands.push(CatalogCommand::without_row(name, categories));
            self.commands[container].subcommands.push(number);
        }
    }

    /// Returns the `HELP` of a container for [`Access`](super::Access), if there is such a container.
    pub(super) fn help(&self, container: &[u8]) -> Option<AccessedCommand<'static>> {
        let number = self.find(help_of(container).as_bytes())?;
        Some(self.accessed(u16::try_from(number).ok()?))
    }

    /// Returns the names of the categories.
    pub(crate) fn categories(&self) -> &CategoryNames {
        &self.categories
    }

    /// Returns the full names of the commands in a category, as `ACL CAT` lists them.
    pub(crate) fn commands_of(&self, category: Categories) -> impl Iterator<Item = &str> {
        self.members(category).map(|command| self.name(command))
    }

    /// Returns the command of a request for [`Access`](super::Access).
    ///
    /// A fallback, and a command that a proxy sends on, are [`AccessedCommand::Unlisted`] instead.
    #[inline]
    pub(crate) fn accessed(&self, id: u16) -> AccessedCommand<'static> {
        match self.commands.get(usize::from(id)) {
            Some(command) if command.is_public => AccessedCommand::Public,
            _ => AccessedCommand::Row(id),
        }
    }

    /// Returns the keys and channels in each request of a command.
    pub(super) fn usual_keys(&self, command: usize) -> UsualKeys {
        self.commands.get(command).map_or(UsualKeys::Other, |command| command.usual_keys)
    }

    /// Returns the full name of a command, such as `config|get`.
    pub(crate) fn name(&self, command: usize) -> &str {
        &self.commands[command].name
    }

    /// Returns whether rules may name commands that are not in the catalog.
    pub(super) fn is_open(&self) -> bool {
        self.is_open
    }

    /// Returns the number of commands and containers.
    pub(super) fn len(&self) -> usize {
        self.commands.len()
    }

    /// Returns the command or container with this full name, ignoring case.
    pub(super) fn find(&self, name: &[u8]) -> Option<usize> {
        let name = std::str::from_utf8(name).ok()?.to_ascii_lowercase();
        self.by_name.get(&name).copied()
    }

    pub(super) fn subcommands(&self, command: usize) -> &[usize] {
        &self.commands[command].subcommands
    }

    /// Returns all commands with a name: each container before its subcommands.
    pub(super) fn in_order(&self) -> impl Iterator<Item = usize> {
        self.order.iter().copied()
    }

    /// Returns the commands of a category.
    pub(super) fn members(&self, category: Categories) -> impl Iterator<Item = usize> {
        self.in_order().filter(move |command| self.commands[*command].categories.intersects(category))
    }
}

/// Returns the full name of the `HELP` of a container.
pub(crate) fn help_of(container: &[u8]) -> String {
    String::from_utf8_lossy(container).to_lowercase() + "|help"
}

/// Returns whether rules name the command by its row. A fallback has no name, and an upstream describes what a proxy sends on.
fn is_named(spec: &Spec) -> bool {
    !spec.flags.contains(Flags::ANY_NAME) && !spec.flags.contains(Flags::FORWARDED)
}

impl CatalogCommand {
    fn without_row(name: String, categories: Categories) -> Self {
        let usual_keys = UsualKeys::Other;
        CatalogCommand { name, categories, is_public: false, usual_keys, subcommands: Vec::new() }
    }

    fn of(spec: &Spec, categories: &CategoryNames) -> Self {
        CatalogCommand {
            name: spec.full_name(),
            categories: categories.set(spec.category_names()),
            is_public: spec.flags.contains(Flags::NO_AUTH),
            usual_keys: spec.usual_keys(),
            subcommands: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn containers_come_behind_the_commands() {
        static SPECS: [Spec; 3] = [
            Spec::new("CONFIG GET", &[]).flags(Flags::ADMIN).group("server"),
            Spec::new("GET", &[]).group("string").aliases(&["FETCH"]),
            Spec::new("CONFIG SET", &[]).group("server"),
        ];
        let catalog = Catalog::new(&SPECS.each_ref(), false).expect("a catalog");
        assert_eq!(catalog.find(b"fetch"), Some(1));
        assert_eq!(catalog.find(b"Config|SET"), Some(2));
        assert_eq!(catalog.find(b"config"), Some(3));
        assert_eq!(catalog.find(b"config|"), None);
        let names: Vec<&str> = catalog.in_order().map(|command| catalog.name(command)).collect();
        assert_eq!(names, ["config", "config|get", "config|set", "config|help", "get"]);
        let (_, slow) = catalog.categories().find(b"SLOW").expect("a category");
        assert_eq!(catalog.commands_of(slow).count(), 5);
        let (_, admin) = catalog.categories().find(b"admin").expect("a category");
        assert_eq!(catalog.commands_of(admin).collect::<Vec<_>>(), ["config|get"]);
    }

    #[test]
    fn a_server_has_64_categories() {
        let specs: Vec<&'static Spec> = (0..44)
            .map(|number| {
                &*Box::leak(Box::new(
                    Spec::new("A", &[]).group(Box::leak(format!("g{number}").into_boxed_str())),
                ))
            })
            .collect();
        assert!(Catalog::new(&specs[..43], false).is_ok());
        assert!(Catalog::new(&specs, false).expect_err("too many").contains("65 ACL categories"));
    }
}
