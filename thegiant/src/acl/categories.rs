//! Sets of ACL categories.

use crate::command::{REDIS_CATEGORIES, Spec, redis_index};

/// A set of categories of one server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Categories(u64);

/// Maximum number of categories of a server.
const MAX: usize = u64::BITS as usize;

impl Categories {
    pub(crate) const NONE: Categories = Categories(0);

    /// Returns the set of the categories of Redis with these names. Unknown names are ignored.
    pub(crate) fn of_redis<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let bits = names.into_iter().filter_map(|name| Some(1 << redis_index(name)?));
        Categories(bits.fold(0, |set, bit: u64| set | bit))
    }

    /// Returns whether any category is in both sets.
    pub(crate) fn intersects(self, other: Categories) -> bool {
        self.0 & other.0 != 0
    }

    fn union(self, other: Categories) -> Self {
        Categories(self.0 | other.0)
    }
}

/// The names of a server's categories. Those of Redis come first, in the order of `ACL CAT`.
#[derive(Clone, Debug)]
pub(crate) struct CategoryNames(Vec<&'static str>);

impl CategoryNames {
    /// Collects the categories of these commands.
    ///
    /// # Errors
    /// Returns what to do if there are too many.
    pub(crate) fn of<'a>(commands: impl Iterator<Item = &'a Spec>) -> Result<Self, String> {
        let mut names = REDIS_CATEGORIES.to_vec();
        for spec in commands {
            for name in spec.category_names() {
                if !names.contains(&name) {
                    names.push(name);
                }
            }
        }
        if names.len() > MAX {
            return Err(format!(
                "the commands have {} ACL categories, and {MAX} are possible: give the actors fewer groups with \
                 `#[commands(group = \"…\")]`",
                names.len()
            ));
        }
        Ok(CategoryNames(names))
    }

    /// Returns all names, each with the set of this category alone.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&'static str, Categories)> {
        self.0.iter().enumerate().map(|(index, name)| (*name, Categories(1 << index)))
    }

    /// Returns the category with this name, ignoring case.
    pub(crate) fn find(&self, name: &[u8]) -> Option<(&'static str, Categories)> {
        self.iter().find(|(known, _)| known.as_bytes().eq_ignore_ascii_case(name))
    }

    /// Returns the set of the categories with these names. Unknown names are ignored.
    pub(crate) fn set<'a>(&self, names: impl IntoIterator<Item = &'a str>) -> Categories {
        let found = names.into_iter().filter_map(|name| self.find(name.as_bytes()));
        found.fold(Categories::NONE, |set, (_, category)| set.union(category))
    }
}
