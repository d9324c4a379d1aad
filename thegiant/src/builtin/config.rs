//! `CONFIG`: the settings of the server.

use std::collections::BTreeMap;

use crate::{commands, connection::Session, glob};

#[commands(rows = CONFIG, group = "server")]
impl Session {
    /// Returns the settings whose names match.
    #[command("CONFIG GET", admin, noscript, loading, stale)]
    fn config_get(&self, parameter: Vec<&[u8]>) -> BTreeMap<&'static str, String> {
        let asked =
            |name: &str| parameter.iter().any(|pattern| glob::matches_ignore_case(pattern, name.as_bytes()));
        self.shared.options.settings().into_iter().filter(|(name, _)| asked(name)).collect()
    }
}
