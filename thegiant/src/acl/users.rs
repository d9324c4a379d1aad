//! All users of a server.

use std::{collections::BTreeMap, sync::Arc};

use super::{Catalog, User, pattern::has_space};

/// All users, by name. The user `default` always exists.
#[derive(Clone, Debug)]
pub(crate) struct Users(BTreeMap<Box<[u8]>, Arc<User>>);

impl Users {
    /// The name of the user of clients that have not authenticated.
    pub(crate) const DEFAULT: &'static [u8] = b"default";

    /// Returns no user, not even `default`.
    pub(super) fn none() -> Self {
        Users(BTreeMap::new())
    }

    /// Returns whether this can be the name of a user: it has neither white space nor a NUL.
    pub(crate) fn is_name(name: &[u8]) -> bool {
        !has_space(name)
    }

    pub(crate) fn get(&self, name: &[u8]) -> Option<&Arc<User>> {
        self.0.get(name)
    }

    /// Returns the user of clients that have not authenticated.
    pub(crate) fn default_user(&self) -> Option<&Arc<User>> {
        self.get(Users::DEFAULT)
    }

    /// Adds a user, or replaces the one of the same name.
    pub(crate) fn set(&mut self, user: User) -> Arc<User> {
        let user = Arc::new(user);
        self.0.insert(user.name.clone(), Arc::clone(&user));
        user
    }

    /// Removes a user, unless it is `default`.
    pub(crate) fn remove(&mut self, name: &[u8]) -> Option<Arc<User>> {
        if name == Users::DEFAULT { None } else { self.0.remove(name) }
    }

    /// Returns all users, sorted by the bytes of their names.
    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = &Arc<User>> {
        self.0.values()
    }

    /// Returns the line of each user, as `ACL LIST` and the aclfile have it.
    pub(crate) fn lines(&self, catalog: &Catalog) -> impl ExactSizeIterator<Item = Vec<u8>> {
        self.iter().map(|user| [b"user ", &*user.name, b" ", &user.describe(catalog)].concat())
    }
}
