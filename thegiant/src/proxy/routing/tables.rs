//! The commands of all upstreams.

use std::sync::Arc;

use super::key_table::KeyTable;

/// The tables of all upstreams, and their union. The union decides which words are keys.
#[derive(Debug, Default)]
pub(crate) struct Tables {
    /// Sorted by the number of the upstream. Upstreams with the same commands share a table.
    each: Vec<(usize, Arc<KeyTable>)>,
    union: Option<Arc<KeyTable>>,
    has_keys: bool,
}

impl Tables {
    /// Returns the commands of all upstreams.
    pub(crate) fn union(&self) -> Option<&KeyTable> {
        self.union.as_deref()
    }

    /// Returns the commands of all upstreams, to share them with other threads.
    pub(crate) fn shared(&self) -> Option<&Arc<KeyTable>> {
        self.union.as_ref()
    }

    /// Returns whether any command has keys. Without keys, the tables are useless for routing.
    pub(crate) fn has_keys(&self) -> bool {
        self.has_keys
    }

    /// Stores the table of an upstream. Returns whether it is new and differs from another upstream's table.
    pub(crate) fn insert(&mut self, server: usize, table: KeyTable) -> bool {
        if self.each.iter().any(|(other, known)| *other == server && known.has_same_commands(&table)) {
            return false;
        }
        self.each.retain(|(other, _)| *other != server);
        let same = self.each.iter().find(|(_, known)| known.has_same_commands(&table));
        let table = same.map_or_else(|| Arc::new(table), |(_, known)| Arc::clone(known));
        let differs = self.each.iter().any(|(_, known)| !Arc::ptr_eq(known, &table));
        self.each.push((server, table));
        self.each.sort_by_key(|(server, _)| *server);
        self.update_union();
        differs
    }

    /// Removes the table of an upstream.
    ///
    /// If it was the last one, the union keeps its commands until another upstream has replied to `COMMAND`. Otherwise, requests
    /// that move from a removed upstream to its successor would have no keys.
    pub(crate) fn remove(&mut self, server: usize) {
        self.each.retain(|(other, _)| *other != server);
        if !self.each.is_empty() {
            self.update_union();
        }
    }

    fn update_union(&mut self) {
        self.union = self.compute_union();
        self.has_keys = self.union().is_some_and(KeyTable::has_keys);
    }

    fn compute_union(&self) -> Option<Arc<KeyTable>> {
        let (_, first) = self.each.first()?;
        let is_same = self.each.iter().all(|(_, other)| Arc::ptr_eq(first, other));
        let tables = self.each.iter().map(|(_, table)| &**table);
        Some(if is_same { Arc::clone(first) } else { Arc::new(KeyTable::union(tables)) })
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::{super::key_table::KeyPositions, *};
    use crate::proxy::wire::Words;

    fn table(commands: &[(&str, &str, usize)]) -> KeyTable {
        let command = |(name, flag, first): &(&str, &str, usize)| {
            let len = name.len();
            format!("*6\r\n${len}\r\n{name}\r\n:-2\r\n*1\r\n+{flag}\r\n:{first}\r\n:{first}\r\n:1\r\n")
        };
        let commands: Vec<_> = commands.iter().map(command).collect();
        KeyTable::read(format!("*{}\r\n{}", commands.len(), commands.concat()).as_bytes())
            .expect("a reply to COMMAND")
    }

    /// Returns the position of the first key of a command.
    fn key_of(tables: &Tables, name: &'static str) -> Option<usize> {
        let request = [name, "a", "b", "c"].map(Bytes::from);
        let words = Words::Own(&request);
        KeyPositions::new(tables.union()?.find(words), words).next()
    }

    #[test]
    fn the_union_has_the_commands_of_all_upstreams() {
        let mut tables = Tables::default();
        assert!(!tables.insert(1, table(&[("SET", "write", 1), ("GET", "readonly", 1)])));
        // The order of commands differs from server to server.
        assert!(!tables.insert(2, table(&[("GET", "readonly", 1), ("SET", "write", 1)])));
        assert!(tables.insert(3, table(&[])));
        assert!(!tables.insert(3, table(&[])));
        assert_eq!(["GET", "SET", "NEW"].map(|name| key_of(&tables, name)), [Some(1), Some(1), None]);
        // An upstream that contradicts the others cannot take keys from them.
        assert!(tables.insert(0, table(&[("NEW", "write", 2), ("GET", "write", 0), ("SET", "write", 1)])));
        assert_eq!(["GET", "SET", "NEW"].map(|name| key_of(&tables, name)), [Some(1), Some(1), Some(2)]);
        let request = [Bytes::from("GET")];
        assert!(!tables.union().and_then(|all| all.find(Words::Own(&request))).expect("GET").is_readonly);
        tables.remove(0);
        assert_eq!(key_of(&tables, "NEW"), None);
        (1..=2).for_each(|server| tables.remove(server));
        assert!(!tables.has_keys());
    }

    #[test]
    fn the_last_table_stays_until_there_is_another_one() {
        let mut tables = Tables::default();
        tables.insert(1, table(&[("GET", "readonly", 1)]));
        tables.remove(1);
        assert_eq!(key_of(&tables, "GET"), Some(1));
        tables.insert(4, table(&[("OTHER", "write", 1)]));
        assert_eq!(["GET", "OTHER"].map(|name| key_of(&tables, name)), [None, Some(1)]);
    }
}
