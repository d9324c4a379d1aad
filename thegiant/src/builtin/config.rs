//! `CONFIG`: the settings of the server.

use std::collections::BTreeMap;

use crate::{commands, connection::Session, glob};

#[commands(rows = CONFIG, group = "server")]
impl Session {
    /// Returns the settings whose names match.
    #[command("CONFIG GET", admin, noscript, loading, stale)]
    fn config_get(&self, parameter: Vec<&[u8]>) -> BTreeMap<String, String> {
        let settings = self.shared.options.settings();
        let asked_by = |pattern: &[u8]| {
            let matching = |(name, _): &(&str, String)| glob::matches_ignore_case(pattern, name.as_bytes());
            let found: Vec<_> = settings.iter().filter(|setting| matching(setting)).collect();
            // A name that is no pattern is answered as it was written.
            let is_name = pattern.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-');
            let written = is_name.then(|| String::from_utf8_lossy(pattern).into_owned());
            found
                .into_iter()
                .map(move |(name, value)| (written.clone().unwrap_or((*name).to_owned()), value.clone()))
        };
        parameter.into_iter().flat_map(asked_by).collect()
    }
}
