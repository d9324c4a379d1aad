mod full;
mod kills;
mod owner;
mod restarts;

use std::path::Path;

use crate::support::{Process, RawClient};

const ENGINES: [&str; 2] = ["lsm", "sqlite"];

/// Starts `kv-disk` on the data of a folder, with these options.
fn start(engine: &str, folder: &Path, options: &[&str]) -> (Process, RawClient) {
    let folder = folder.to_str().expect("text");
    let process =
        Process::program_with("kv-disk", &[&["--engine", engine, "--dir", folder], options].concat());
    let client = RawClient::connect(process.address());
    (process, client)
}
