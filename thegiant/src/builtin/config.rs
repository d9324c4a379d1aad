//! `CONFIG`: reads and changes the settings of the server.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    Error, commands,
    conn::ConnectionState,
    dispatch::GroupCommitStats,
    resp::glob,
    settings::{ConfigRefusal, ConfigRefusalReason},
};

#[commands(rows = CONFIG, group = "server")]
impl ConnectionState {
    /// Returns the effective values of configuration parameters.
    #[command("CONFIG GET", admin, noscript, loading, stale, tenant_safe)]
    fn config_get(&self, parameter: Vec<&[u8]>) -> BTreeMap<String, String> {
        let settings = self.server.all_settings();
        let mut seen = BTreeSet::new();
        let mut found = BTreeMap::new();
        for pattern in parameter {
            for (name, value) in &settings {
                // A setting that matches several patterns is listed once.
                if glob::matches_ignore_case(pattern, name.as_bytes()) && seen.insert(*name) {
                    found.insert(name_as_requested(name, pattern), value.clone());
                }
            }
        }
        found
    }

    /// Sets configuration parameters in-flight: all of them or, after an error, none.
    #[command("CONFIG SET", admin, noscript, loading, stale)]
    fn config_set(&self, parameter: &[u8], value: &[u8], more: Option<Vec<&[u8]>>) -> Result<(), Error> {
        let more = more.unwrap_or_default();
        let (pairs, []) = more.as_chunks::<2>() else { return Err(Error::SYNTAX) };
        let first = [(parameter, value)];
        let changes: Vec<_> =
            first.into_iter().chain(pairs.iter().map(|[name, value]| (*name, *value))).collect();
        self.server.configure(&changes).map_err(|refusal| refused(&refusal))
    }

    /// Resets the server's statistics.
    #[command("CONFIG RESETSTAT", admin, noscript, loading, stale)]
    fn config_resetstat(&self) {
        self.server.stats.reset();
        self.server.clients.reset_stats();
        self.server.routes.group_commit_stats().for_each(GroupCommitStats::reset);
    }

    /// Persists the effective configuration to file. The server has no such file.
    #[command("CONFIG REWRITE", admin, noscript, loading, stale)]
    fn config_rewrite(&self) -> Error {
        NO_CONFIG_FILE
    }
}

const NO_CONFIG_FILE: Error = Error::from_static("ERR The server is running without a config file");

fn refused(refusal: &ConfigRefusal<'_>) -> Error {
    let text = match &refusal.reason {
        ConfigRefusalReason::Unknown => {
            return Error::from_bytes(
                [b"ERR Unknown option or number of arguments for CONFIG SET - '", refusal.name, b"'"]
                    .concat(),
            );
        }
        ConfigRefusalReason::Duplicate => "duplicate parameter",
        ConfigRefusalReason::Text(text) => text,
    };
    let before: &[u8] = b"ERR CONFIG SET failed (possibly related to argument '";
    Error::from_bytes([before, refusal.name, b"') - ", text.as_bytes()].concat())
}

/// Returns the name of a setting as the client spelled it, or its usual spelling after a glob pattern.
fn name_as_requested(name: &str, pattern: &[u8]) -> String {
    let is_name = pattern.eq_ignore_ascii_case(name.as_bytes());
    if is_name { String::from_utf8_lossy(pattern).into_owned() } else { name.to_owned() }
}
