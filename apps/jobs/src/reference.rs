//! Keeps the command pages and the Python client current.

use std::{env, fs, path::Path};

use thegiant::{command::Commands, docs};

use crate::{server::Jobs, storage::Memory};

/// Each file is what the rows of the commands say. With the variable `OVERWRITE`, the test writes the files.
#[test]
fn the_reference_is_current() {
    let files = [
        ("COMMANDS.md", docs::markdown("Commands of jobs", Jobs::<Memory>::specs())),
        ("jobs_client.py", docs::python("Jobs", Jobs::<Memory>::specs())),
    ];
    for (name, text) in files {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
        if env::var_os("OVERWRITE").is_some() {
            fs::write(&path, &text).expect("a file");
        }
        let current = fs::read_to_string(&path).unwrap_or_default();
        assert!(current == text, "{name} is not current: run the tests of jobs with OVERWRITE=1");
    }
}
