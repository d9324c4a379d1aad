//! `CONFIG`: the settings of the server.

use std::collections::BTreeMap;

use crate::{commands, connection::Session, glob};

#[commands(rows = CONFIG, group = "server")]
impl Session {
    /// Returns the settings whose names match.
    #[command("CONFIG GET", admin, noscript, loading, stale)]
    fn config_get(&self, parameter: Vec<&[u8]>) -> BTreeMap<String, String> {
        let settings = self.shared.options.settings();
        let mut found = BTreeMap::new();
        for pattern in parameter {
            for (name, value) in &settings {
                if glob::matches_ignore_case(pattern, name.as_bytes()) {
                    found.insert(name_as_asked(name, pattern), value.clone());
                }
            }
        }
        found
    }
}

/// Where a setting was asked for by name and not by a pattern, its name is answered as it was written.
fn name_as_asked(name: &str, pattern: &[u8]) -> String {
    let is_name = pattern.eq_ignore_ascii_case(name.as_bytes());
    if is_name { String::from_utf8_lossy(pattern).into_owned() } else { name.to_owned() }
}
